"""Suggestions that were accepted or dismissed: `OUTPUT/suggestions.tsv`, a line for each, which
says which of the two, the document and the target. A report gives such lines, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.transforms.storage.files import exists, join, open_file, write

NAME = "suggestions.tsv"
ACCEPTED, DISMISSED = "accepted", "dismissed"
Pair = tuple[str, str]


def chosen(output: str) -> Mapping[Pair, str]:
    """The pairs that are not to be suggested again, and what was said of each."""
    path = join(output, NAME)
    if not exists(path):
        return {}
    with open_file(path) as stream:
        return _parsed(stream.read(), path)


def read(path: str) -> Mapping[Pair, str]:
    """Those of a file that a report gave. Raises `UsageError`."""
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"--choices={path}: cannot be read ({error.strerror})") from error
    return _parsed(content, f"--choices={path}")


def choose(output: str, said: Mapping[Pair, str]) -> None:
    """Write down what was chosen; what was said before of the same pair counts no more."""
    for pair in said:
        if any(mark in part for part in pair for mark in "\t\n"):
            raise UsageError(f"{pair!r}: has a TAB or a line break; no line can hold it")
    kept = {**chosen(output), **said}
    lines = [f"{what}\t{document}\t{target}\n" for (document, target), what in kept.items()]
    write(join(output, NAME), "".join(lines).encode())


def _parsed(content: bytes, name: str) -> Mapping[Pair, str]:
    found = {}
    for number, line in enumerate(content.decode("utf-8-sig", "replace").split("\n"), 1):
        parts = line.rstrip("\r").split("\t")
        if not line.strip():
            continue
        if len(parts) != 3 or parts[0] not in (ACCEPTED, DISMISSED):
            raise UsageError(
                f"{name}: line {number} is not {ACCEPTED} or {DISMISSED}, a document and a target,"
                " with TABs between them; correct or remove it"
            )
        found[parts[1], parts[2]] = parts[0]
    return found
