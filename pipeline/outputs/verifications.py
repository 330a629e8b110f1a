"""Whether a snapshot is whole: every file is read again, a row group at a time. Of each document 48
bytes are kept, to tell whether ids are unique and its tokens all there.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.outputs.verified_rows import Check, Documents, Tokens, check_parquet
from corpusvec.pipeline.settings import fingerprint
from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.file_lists import LIST, BrokenList, is_beside, with_files
from corpusvec.transforms.snapshots.layouts import LATEST, MANIFEST
from corpusvec.transforms.snapshots.manifests import NEWEST_FORMAT
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import REJECTED, SENTENCES, TOKENS
from corpusvec.transforms.storage.files import exists, files_in, join, open_file, size_and_digest
from corpusvec.transforms.storage.stores import damage

# What to do; `{rollback}` and `{prune}` are commands of these names, as they are typed.
_EMBED = "run `embed` again: it reuses complete files and embeds the rest again"
_INSTEAD = "until then this lets LATEST name an earlier snapshot: {rollback}"
_OLD = "LATEST names another one; this removes it in its turn: {prune}"
_BY_HAND = "it was changed by hand or by another program: restore it from a copy, or embed again"
_SUMS = (
    *(names.DOCUMENTS, names.REJECTED, names.TOKENS, names.WINDOWS),
    *(names.DROPPED_TOKENS, names.UNKNOWN_TOKENS),
)


class Problem(NamedTuple):
    """What is wrong with a file, and what to do."""

    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.remedy}"


@dataclass(slots=True)
class Verified:
    """What was read of a snapshot, and what is wrong."""

    output: str
    snapshot: str
    is_latest: bool
    files: int = 0
    bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Unreadable(Exception):
    """A manifest that cannot be checked against: why, and what to do."""


def verify(output: Output, snapshot_id: str) -> Verified:
    """Of a snapshot that is there, or that LATEST names."""
    found = _verify(output, snapshot_id)
    if not found.is_latest:  # which no run writes again
        found.problems = [
            problem._replace(remedy=_OLD) if problem.remedy.startswith(_EMBED) else problem
            for problem in found.problems
        ]
    commands = {name: command("snapshots", name, output.folder) for name in ("rollback", "prune")}
    found.problems = [
        problem._replace(remedy=problem.remedy.format(**commands)) for problem in found.problems
    ]
    return found


def _verify(output: Output, snapshot_id: str) -> Verified:
    found = Verified(output.folder, snapshot_id, output.latest == snapshot_id)
    folder = Snapshot(output, snapshot_id).folder
    there = set(files_in(folder))
    if not there:
        said = f"names {snapshot_id}, which is not there"
        found.problems.append(
            Problem(LATEST, said, "embed again, or let it name another one: {rollback}")
        )
        return found
    try:
        manifest = _manifest(folder, snapshot_id)
        listed = {LIST} if is_beside(manifest) else set()
        manifest = with_files(folder, manifest)
        files = [WrittenFile(**file) for file in manifest["files"]]
        promised = {str(name): int(n) for name, n in manifest["counts"].items()}
        run = dict(manifest["run"])
    except _Unreadable as error:
        found.problems.append(Problem(MANIFEST, *error.args))
        return found
    except BrokenList as error:
        found.problems.append(Problem(LIST, error.what, f"{_EMBED}; {_INSTEAD}"))
        return found
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"is not the manifest of a snapshot ({type(error).__name__}: {error})"
        found.problems.append(Problem(MANIFEST, said, f"{_EMBED}; {_INSTEAD}"))
        return found
    found.problems += _about_run(manifest, run)
    found.problems += _about_names(there - listed, files)
    _read(found, folder, files, run)
    if not _damaged(found, files):  # else they cannot agree
        found.problems += _about_counts(found.counts, promised)
    return found


def _manifest(folder: str, snapshot_id: str) -> Mapping[str, Any]:
    """Raises `_Unreadable`."""
    if not exists(join(folder, MANIFEST)):
        raise _Unreadable("is not there", f"{_EMBED}; {_INSTEAD}")
    with open_file(join(folder, MANIFEST)) as stream:
        content = stream.read()
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise _Unreadable(f"is not JSON ({error})", f"{_EMBED}; {_INSTEAD}") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > NEWEST_FORMAT:
        raise _Unreadable(
            f"is of format {version}, of a later version of corpusvec; this one knows formats up to"
            f" {NEWEST_FORMAT}",
            "verify it with that version",
        )
    if not isinstance(version, int) or manifest.get("id") != snapshot_id:
        raise _Unreadable(f"is not the manifest of {snapshot_id}", _BY_HAND)
    return manifest


def _about_run(manifest: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[Problem]:
    if why := manifest.get("incomplete"):
        yield Problem(MANIFEST, f"says that the snapshot is not complete: {why}", _EMBED)
    settings = {name: value for name, value in run.items() if name != "fingerprint"}
    if run.get("fingerprint") != fingerprint(settings):
        yield Problem(MANIFEST, "its fingerprint is not that of its settings (`run`)", _BY_HAND)


def _about_names(there: set[str], files: list[WrittenFile]) -> Iterator[Problem]:
    """Files that are missing, and those that nobody knows."""
    paths = [file.path for file in files]
    for path in sorted(set(paths) - there):
        yield Problem(path, "is in the manifest but does not exist", f"{_EMBED}; {_INSTEAD}")
    for path in sorted(there - {*paths, MANIFEST}):
        yield Problem(path, "is not in the manifest", "delete it, readers of the folder take it in")
    for path, times in Counter(paths).items():
        if times > 1:
            yield Problem(MANIFEST, f"names {path} {times} times", _BY_HAND)


def _damaged(found: Verified, files: Iterable[WrittenFile]) -> bool:
    """Whether there is a problem with one of the files."""
    named = {problem.file for problem in found.problems}
    return any(file.path in named for file in files)


def _read(
    found: Verified, folder: str, files: Sequence[WrittenFile], run: Mapping[str, Any]
) -> None:
    """Sentences first: they say which tokens there must be."""
    documents, counts = Documents(), Counter[str]()
    tokens = Tokens(documents)
    checks: Mapping[str, Check] = {SENTENCES: documents, TOKENS: tokens}
    of = {table: [f for f in files if f.table == table] for table in (SENTENCES, TOKENS)}
    others = [file for file in files if file.table not in of]
    fingerprint_, missing = run.get("fingerprint"), {problem.file for problem in found.problems}
    for file in [*of[SENTENCES], *of[TOKENS], *others]:
        if file is next(iter(of[TOKENS]), None):
            tokens.compare = not _damaged(found, of[SENTENCES])
        if file.path in missing:
            continue
        path = join(folder, file.path)
        size, problems = _about_bytes(path, file)
        found.files, found.bytes = found.files + 1, found.bytes + size
        if not problems and file.table == REJECTED:
            problems = [Problem(file.path, what, _BY_HAND) for what in _about_lines(path, file)]
            counts[names.REJECTED] += file.rows
        elif not problems:
            said = check_parquet(path, file, fingerprint_, checks.get(file.table))
            problems = [Problem(file.path, what, _BY_HAND) for what in said]
        found.problems += problems
    if (of[TOKENS] or run.get("layers")) and not _damaged(found, files):
        for file in of[SENTENCES]:
            if what := tokens.missing(join(folder, file.path)):
                found.problems.append(Problem(file.path, what, _BY_HAND))
    found.counts = {**counts, **documents.counts}


def _about_bytes(path: str, file: WrittenFile) -> tuple[int, list[Problem]]:
    """How many bytes were read, and whether they are those that were written."""
    remedy = f"{_EMBED}; {_INSTEAD}"
    try:
        size, digest = size_and_digest(path)
    except Exception as error:  # each file system has its own
        said = f"cannot be read ({damage(path, error)})"
        return 0, [Problem(file.path, said, remedy)]
    if size != file.bytes:
        said = f"has {size:,} bytes, the manifest says {file.bytes:,}"
        return size, [Problem(file.path, said, remedy)]
    if digest != file.digest:
        said = "is not what was written: its digest is not that of the manifest"
        return size, [Problem(file.path, said, remedy)]
    return size, []


def _about_lines(path: str, file: WrittenFile) -> Iterator[str]:
    rows = 0
    with open_file(path) as stream:
        for line in io.BufferedReader(stream):  # type: ignore[type-var]
            rows += 1
            try:
                json.loads(line)
            except ValueError:
                yield f"line {rows} is not JSON"
                return
    if rows != file.rows:
        yield f"has {rows:,} lines, the manifest says {file.rows:,}"


def _about_counts(counts: Mapping[str, int], promised: Mapping[str, int]) -> Iterator[Problem]:
    """Of rows that were counted now, and sums that must hold."""
    for name in _SUMS:
        if name in promised and counts.get(name, 0) != promised[name]:
            said = f"says {promised[name]:,} {name}, and the files have {counts.get(name, 0):,}"
            yield Problem(MANIFEST, said, _BY_HAND)
    sums = {names.RECORDS: names.FATES, names.DOCUMENTS: names.MADE}
    for whole, parts in sums.items():
        # Older manifests count what is repeated as reused.
        if {whole, *parts} - {names.REPEATED} <= promised.keys():
            total = sum(promised.get(part, 0) for part in parts)
            if total != promised[whole]:
                said = f"says {promised[whole]:,} {whole}, but {' + '.join(parts)} are {total:,}"
                yield Problem(MANIFEST, said, _BY_HAND)
