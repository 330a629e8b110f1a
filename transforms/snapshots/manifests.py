"""The manifest of a snapshot: what was read, what became of it, and whether it may be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from corpusvec.transforms.documents import ages
from corpusvec.transforms.elements import Count, DamagedFile, Dated, Note, WrittenFile
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.file_lists import BESIDE_IT, IN_MANIFEST, format_for
from corpusvec.transforms.snapshots.recipes import another, other_limit
from corpusvec.transforms.snapshots.schemas import CHANGES, REJECTED, SENTENCES

# 2: `model_text_sha256`, and counts of rows embedded and reused. 3: the list of files is beside it.
FORMATS = (IN_MANIFEST, BESIDE_IT)  # of which rows are read and reused; later ones are refused
NEWEST_FORMAT = FORMATS[-1]
_WORTH_A_NOTE = 3  # snapshots in a row that brought nothing new
_ALWAYS = (names.RECORDS, *names.FATES, *names.MADE, names.TOKENS, names.WINDOWS)  # and first


@dataclass(frozen=True, slots=True)
class Limits:
    """When a snapshot is published: at most `max_rejected` records are rejected, at most the share
    `max_shrink` of the documents before is lost, the input is at most `max_input_age` seconds old,
    and the recipe is the same, unless a `new_recipe` is meant.
    """

    max_rejected: int = 0
    max_shrink: float = 1.0
    max_input_age: float | None = None
    new_recipe: bool = False


DEFAULT_LIMITS = Limits()
Report = WrittenFile | Count | Dated | DamagedFile | Note


def make_manifest(
    snapshot_id: str,
    reports: Sequence[Report],
    about: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Of all reports of a run; `about` is what it has beside counts and files, `before` the
    manifest of the snapshot published before it. Where records or rows are not all accounted for,
    `incomplete` says so.
    """
    files = [report for report in reports if isinstance(report, WrittenFile)]
    totals = _totals(reports)
    told = sorted({report.text for report in reports if isinstance(report, Note)})
    damage = _damage(reports, totals)
    incomplete = _incomplete(totals)
    if totals.pop(names.UNREAD, 0):  # the table of changes is no difference to that snapshot
        about = {**about, "previous": None}
    finished = datetime.now(timezone.utc)
    made = {
        "format_version": format_for(len(files)),
        "id": snapshot_id,
        "finished": finished.isoformat(timespec="milliseconds"),
        "seconds": _seconds(about, finished),
        "counts": {name: totals[name] for name in _ALWAYS} | dict(sorted(totals.items())),
        "bytes": _bytes(files),
        **about,
        "notes": [*about.get("notes", ()), *_about_damage(damage, totals), *told],
        **({"damage": damage} if damage else {}),
        **({"incomplete": incomplete} if incomplete else {}),
        "files": [_listed(file) for file in sorted(files, key=lambda file: file.path)],
    }
    if "input" in about:
        times = [report for report in reports if isinstance(report, Dated)]
        _describe_input(made, times, before)
    return made


def _totals(reports: Sequence[Report]) -> Counter[str]:
    totals: Counter[str] = Counter()
    files = [report for report in reports if isinstance(report, WrittenFile)]
    for report in reports:
        if isinstance(report, Count):
            _add(totals, {report.name: report.n})
        elif isinstance(report, WrittenFile):
            _add(totals, report.counts)
            _add(totals, report.work)
    for name, table in ((names.DOCUMENTS, SENTENCES), (names.REJECTED, REJECTED)):
        totals[name] = sum(file.rows for file in files if file.table == table)
    return totals


def _damage(reports: Sequence[Report], totals: Counter[str]) -> dict[str, Any]:
    """Which files of earlier runs are damaged, and how many documents were taken from which
    snapshots instead: these are no longer among the `totals` then. Empty where all are whole.
    """
    files = {report.path: report.what for report in reports if isinstance(report, DamagedFile)}
    of = sorted((name for name in totals if name.startswith(names.TAKEN)), reverse=True)
    taken = {name.removeprefix(names.TAKEN): totals.pop(name) for name in of}
    if not files:
        return {}
    totals[names.DAMAGED_FILES] = len(files)
    told = [{"file": path, "what": what} for path, what in sorted(files.items())]
    return {"files": told, "taken": taken}


def _about_damage(damage: Mapping[str, Any], totals: Mapping[str, int]) -> Iterator[str]:
    if not damage:
        return
    yield from (f"{one['file']}: {one['what']}; it is not reused" for one in damage["files"])
    taken = ", ".join(f"{n:,} from {snapshot}" for snapshot, n in damage["taken"].items())
    yield (
        f"documents of damaged files: taken from snapshots published before: {taken or 'none'};"
        f" embedded again, with those that are new: {totals[names.EMBEDDED]:,}"
    )


def _describe_input(
    made: dict[str, Any], times: Sequence[Dated], before: Mapping[str, Any] | None
) -> None:
    """Add what is known only at the end: how old it is, and whether it brought anything new."""
    known = ages.described(times, datetime.fromisoformat(made["started"]))
    made["input"] = {**made["input"], **known}
    if same := _unchanged(made, before or {}):
        made["input"]["unchanged"] = same
        if (n := same["snapshots"]) >= _WORTH_A_NOTE:
            since = datetime.fromisoformat(same["since"]).date()
            made["notes"].append(f"the input has not changed for {n:,} snapshots, since {since}")


def _unchanged(made: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """How many snapshots in a row brought nothing new, and since when; empty where this one did."""
    if "input" not in before or made.get("previous") != before["id"]:
        return {}
    if any(file["rows"] for file in made["files"] if file["table"] == CHANGES):
        return {}
    if any(
        made["counts"][name] != before["counts"][name] for name in (names.RECORDS, names.DOCUMENTS)
    ):
        return {}
    earlier = before["input"].get("unchanged", {"snapshots": 0, "since": before["started"]})
    return {**earlier, "snapshots": earlier["snapshots"] + 1}


def _add(totals: Counter[str], counts: Mapping[str, int]) -> None:
    """Sums, and of peaks the largest."""
    for name, n in counts.items():
        names.check(name)
        totals[name] = max(totals[name], n) if name.startswith(names.PEAK) else totals[name] + n


def _seconds(about: Mapping[str, Any], finished: datetime) -> float | None:
    """From the start of the program to its manifest; the clocks of two machines may differ."""
    if "started" not in about:
        return None
    return round((finished - datetime.fromisoformat(about["started"])).total_seconds(), 3)


def _bytes(files: Sequence[WrittenFile]) -> dict[str, int]:
    """By table."""
    sizes = dict.fromkeys(sorted({file.table for file in files}), 0)
    for file in files:
        sizes[file.table] += file.bytes
    return sizes


def _listed(file: WrittenFile) -> dict[str, Any]:
    """What making it took is among the counts of the run."""
    return {name: value for name, value in asdict(file).items() if name != "work"}


def files_of(manifest: Mapping[str, Any]) -> tuple[WrittenFile, ...]:
    """The files of a snapshot."""
    return tuple(WrittenFile(**file) for file in manifest["files"])


def _incomplete(totals: Mapping[str, int]) -> str:
    """What is missing, empty where all is there."""
    documents = totals[names.DOCUMENTS]
    accounted = documents + totals[names.REJECTED] + totals[names.EMPTY]
    if accounted != totals[names.RECORDS]:
        return (
            f"{totals[names.RECORDS]} records were read, but documents ({documents}), rejected"
            f" ({totals[names.REJECTED]}) and empty ({totals[names.EMPTY]}) are {accounted}"
        )
    if (rows := sum(totals[name] for name in names.MADE)) != documents:
        parts = ", ".join(f"{name} ({totals[name]})" for name in names.MADE)
        return f"{documents} documents were written, but those {parts} are {rows}"
    return ""


def why_not_published(
    manifest: Mapping[str, Any], before: Mapping[str, Any] | None, limits: Limits
) -> str:
    """All that speaks against publishing a snapshot after the one `before` it; empty where nothing
    does.
    """
    if manifest.get("incomplete"):
        return manifest["incomplete"]
    if not manifest["counts"][names.DOCUMENTS]:
        return "no record became a document"
    return "; and ".join(filter(None, _reasons(manifest, before, limits)))


def _reasons(
    manifest: Mapping[str, Any], before: Mapping[str, Any] | None, limits: Limits
) -> Iterator[str]:
    documents, rejected = (manifest["counts"][name] for name in (names.DOCUMENTS, names.REJECTED))
    if not limits.new_recipe:
        yield other_recipe(manifest, before)
    if rejected > limits.max_rejected:
        yield f"{rejected:,} rejected, {limits.max_rejected} allowed (--max_rejected)"
    if before and other_limit(before, manifest):  # as it is meant, nothing is lost
        before = None
    had = before["counts"][names.DOCUMENTS] if before else 0
    if documents < (1 - limits.max_shrink) * had:
        yield (
            f"{documents:,} documents where the snapshot before had {had:,}: more than"
            f" {limits.max_shrink:.0%} are gone (--max_shrink); is the input whole?"
        )
    if limits.max_input_age is not None:
        yield _too_old(manifest.get("input", {}), limits.max_input_age)


def other_recipe(manifest: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """That a manifest's recipe is not that of the snapshot before; empty where it is."""
    other = another(before, manifest) if before else ""
    return f"its recipe is not that of {before['id']} ({other})" if before and other else ""


def _too_old(about: Mapping[str, Any], limit: float) -> str:
    """Why the input is too old; empty where it is not."""
    allowed = f"{ages.in_words(limit)} (--max_input_age)"
    if (age := about.get("age_seconds")) is None:
        return f"the age of the input is unknown, so it may be older than {allowed}"
    if age <= limit:
        return ""
    return f"the input is older than {allowed}: {ages.age_text(about)}; does its export still run?"
