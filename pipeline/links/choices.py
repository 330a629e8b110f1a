"""Suggestions that were accepted or dismissed: `OUTPUT/suggestions.tsv`, a line for each, which
says which of the two, the document and the target.
"""

from __future__ import annotations

from collections.abc import Iterable

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.transforms.storage.files import exists, join, open_file, write

NAME = "suggestions.tsv"
ACCEPTED, DISMISSED = "accepted", "dismissed"
Pair = tuple[str, str]


def chosen(output: str) -> set[Pair]:
    """The pairs that are not to be suggested again."""
    return {(document, target) for _, document, target in _lines(output)}


def choose(output: str, what: str, pairs: Iterable[Pair]) -> None:
    """Write down what was chosen; what was said before of the same pair counts no more."""
    kept = {(document, target): said for said, document, target in _lines(output)}
    kept |= dict.fromkeys(pairs, what)
    for pair in kept:
        if any(mark in part for part in pair for mark in "\t\n"):
            raise UsageError(f"{pair!r}: has a TAB or a line break; no line can hold it")
    lines = [f"{said}\t{document}\t{target}\n" for (document, target), said in kept.items()]
    write(join(output, NAME), "".join(lines).encode())


def _lines(output: str) -> Iterable[tuple[str, str, str]]:
    path = join(output, NAME)
    if not exists(path):
        return []
    with open_file(path) as stream:
        lines = stream.read().decode("utf-8", "replace").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        parts = line.split("\t")
        if not line.strip():
            continue
        if len(parts) != 3 or parts[0] not in (ACCEPTED, DISMISSED):
            raise UsageError(
                f"{path}: line {number} is not {ACCEPTED} or {DISMISSED}, a document and a target,"
                " with TABs between them; correct or remove it"
            )
        found.append((parts[0], parts[1], parts[2]))
    return found
