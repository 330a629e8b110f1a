"""What an output folder has: its snapshots, and the attempts of runs that have not ended well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from corpusvec.pipeline.terminal.formats import bytes_text
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.claim_files import Holder
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.layouts import attempt_id, was_published
from corpusvec.transforms.snapshots.outputs import Output

RUNNING, DEAD, HANDED_OVER = "running", "dead", "handed over"


@dataclass(frozen=True, slots=True)
class Line:
    """A snapshot. `published` is null where nobody knows: formats before 2 did not write it
    down. `repeated` is null where `reused` has both, as earlier versions counted. `problem` says
    why the manifest cannot be read; all else but `id` is null then.
    """

    id: str
    is_latest: bool
    finished: str | None = None
    documents: int | None = None
    rejected: int | None = None
    embedded: int | None = None
    reused: int | None = None
    repeated: int | None = None
    bytes: int | None = None
    fingerprint: str | None = None
    published: bool | None = None
    incomplete: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a run has written that is no snapshot yet: `state` is `running`, `dead`, or `handed
    over` to a cluster, of which nobody here knows. `by` says whose it is while it runs.
    """

    name: str
    state: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """An output: snapshots oldest first. `running` says who has a claim there."""

    output: str
    latest: str | None
    snapshots: Sequence[Line]
    attempts: Sequence[Attempt]
    running: Sequence[Holder]

    def as_json(self) -> Mapping[str, Any]:
        """Plain values."""
        return asdict(self)


def listing(output: Output) -> Listing:
    """Of an output folder. On an object store it takes some seconds, where a run has a claim."""
    holders = output.store.claims.living(output.folder)
    return Listing(
        output=output.folder,
        latest=output.latest,
        snapshots=[_line(output, one) for one in output.snapshot_ids()],
        attempts=attempts(output, holders),
        running=holders,
    )


def attempts(output: Output, holders: Iterable[Holder]) -> list[Attempt]:
    """Those of an output, and their states."""
    by = {holder.run: str(holder) for holder in holders if holder.run}
    found = []
    for name in output.leftovers():
        one = attempt_id(name)
        if one in by:
            found.append(Attempt(name, RUNNING, by[one]))
        else:
            over = bool(one) and Snapshot(output, one).is_handed_over
            found.append(Attempt(name, HANDED_OVER if over else DEAD))
    return found


def _line(output: Output, one: str) -> Line:
    is_latest, published = one == output.latest, output.published
    try:
        manifest = output.manifest(one)
        counts = manifest["counts"]
        return Line(
            id=one,
            is_latest=is_latest,
            finished=manifest["finished"],
            documents=counts[names.DOCUMENTS],
            rejected=counts[names.REJECTED],
            embedded=counts.get(names.EMBEDDED),
            reused=counts.get(names.REUSED),
            repeated=counts.get(names.REPEATED),
            bytes=sum(file["bytes"] for file in manifest["files"]),
            fingerprint=(manifest.get("run") or {}).get("fingerprint"),
            published=was_published(manifest, published),
            incomplete=manifest.get("incomplete"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        return Line(one, is_latest, published=one in published, problem=said)


def lines(found: Listing) -> Iterator[str]:
    """As text: a line for each."""
    numbers = ("documents", "rejected", "embedded", "reused", "repeated", "size")  # on the right
    titles = ("snapshot", "finished", *numbers, "fingerprint", "state")
    rows = [titles, *map(_cells, found.snapshots)]
    if len(rows) > 1:
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            cells = (
                cell.rjust(width) if title in numbers else cell.ljust(width)
                for title, cell, width in zip(titles, row, widths)
            )
            yield "  ".join(cells).rstrip()
    else:
        yield f"{found.output}: has no snapshot that is whole"
    if found.latest is not None and found.latest not in {one.id for one in found.snapshots}:
        yield f"LATEST names {found.latest}, which is not there"
    for attempt in found.attempts:
        by = f": {attempt.by}" if attempt.by else ""
        yield f"unfinished: {attempt.name} ({attempt.state}{by})"
    known = {attempt.by for attempt in found.attempts}
    for holder in found.running:
        if str(holder) not in known:
            yield f"running: {holder}"


def _cells(line: Line) -> tuple[str, ...]:
    numbers = (line.documents, line.rejected, line.embedded, line.reused, line.repeated)
    counts = ("" if number is None else f"{number:,}" for number in numbers)
    size = "" if line.bytes is None else bytes_text(line.bytes)
    short = (line.fingerprint or "")[:8]
    return (line.id, line.finished or "", *counts, size, short, _state(line))


def _state(line: Line) -> str:
    parts = [
        "LATEST" if line.is_latest else "",
        "" if line.is_latest else _PUBLISHED[line.published],
        "incomplete" if line.incomplete else "",
        f"manifest cannot be read: {line.problem}" if line.problem else "",
    ]
    return ", ".join(part for part in parts if part)


_PUBLISHED = {True: "published", False: "not published", None: "perhaps published"}
