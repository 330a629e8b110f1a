"""What a run can take over from the ones before it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.snapshots.attempts import complete_files
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import Earlier
from corpusvec.transforms.snapshots.layouts import ENDED, LATEST, attempt_id, is_id
from corpusvec.transforms.snapshots.manifests import FORMATS, NEWEST_FORMAT, files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.recipes import differences
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.storage.stores import Refused, ask, unserved

# The files of each are read to know what is in them.
_MOST_UNPUBLISHED = 3
_MOST_SPARE = 7  # of these only where something is damaged


@dataclass(slots=True)
class Previous:
    """`earlier` has rows to reuse, `spare` those of files of it that are damaged; `before` is the
    snapshot that the next one follows, `alike` whether both have the same vectors for the same
    texts. `notes` are for the user.
    """

    earlier: list[Earlier] = field(default_factory=list)
    spare: list[Earlier] = field(default_factory=list)
    before: Earlier | None = None
    alike: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        """That of the snapshot before."""
        return self.before.folder.rpartition("/")[2] if self.before else None

    def names_in(self, output: Output) -> list[str]:
        """The snapshots and attempts of an output that are read."""
        read = [*self.earlier, *self.spare, *([self.before] if self.before else [])]
        there = output.path("snapshots")
        names = (one.folder.rpartition("/") for one in read)
        return sorted({name for folder, _, name in names if folder == there})


def previous(output: Output, other: Output | None, full: bool, run: Mapping[str, Any]) -> Previous:
    """Of an output, or where `other` names one of that; with `full` nothing is reused.
    `run` is the recipe of the next run.

    Raises `ValueError` where `other` has no snapshot.
    """
    found = Previous()
    here = _published(output, found.notes)
    if here:
        found.before = Earlier(Snapshot(output, here["id"]).folder, files_of(here))
        found.alike = here["run"]["fingerprint"] == run["fingerprint"]
    if full:
        found.notes += ["--full: everything is embedded again"] * bool(here)
        return found
    if other is not None:
        try:
            named = ask(other.folder, other.latest_now)
        except (OSError, Refused) as error:
            raise unserved(f"--previous={other}: cannot be read ({error})", error) from error
        if named is None:
            raise ValueError(f"--previous={other}: has no published snapshot")
        there = _published(other, found.notes)
        found.earlier += _alike(other, there, run, found.notes)
    elif here:
        found.earlier += _alike(output, here, run, found.notes)
    else:
        found.earlier += _readable(output, run["fingerprint"], found.notes)
    found.spare = _spare(output if other is None else other, found.earlier, run["fingerprint"])
    found.earlier += _unpublished(output, run["fingerprint"], found.notes)
    found.earlier += _unfinished(output, run["fingerprint"], found.notes)
    return found


def _published(output: Output, notes: list[str]) -> dict[str, Any] | None:
    """The manifest of the published snapshot, where this version can read it."""
    if (named := output.latest) is None:
        return None
    if not is_id(named):
        notes.append(f"{output.path(LATEST)}: is damaged; this run replaces it")
        return None
    try:
        manifest = output.manifest(named)
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        notes.append(f"{named}: its manifest cannot be read ({error}); it is not reused")
        return None
    if version in FORMATS:
        return manifest
    by = "a later" if version > NEWEST_FORMAT else "an earlier"
    notes.append(f"{named}: was made by {by} version of corpusvec; everything is embedded again")
    return None


def _alike(
    output: Output, manifest: dict[str, Any] | None, run: Mapping[str, Any], notes: list[str]
) -> list[Earlier]:
    """The snapshot, if its vectors are those that this run would make."""
    if manifest is None:
        return []
    if manifest["run"]["fingerprint"] != run["fingerprint"]:
        changed = differences(manifest["run"], json.loads(json.dumps(run)))
        how = (
            "by a version of corpusvec that gives some texts other vectors"
            if "rules" in changed
            else "with other settings"
        )
        notes.append(
            f"{manifest['id']}: was made {how} ({', '.join(changed)}); everything is embedded again"
        )
        return []
    return [Earlier(Snapshot(output, manifest["id"]).folder, files_of(manifest))]


def _readable(output: Output, fingerprint: str, notes: list[str]) -> list[Earlier]:
    """Where LATEST names nothing that can be read: the newest one that was published and can."""
    ids = sorted(output.published, reverse=True)
    return [*islice(_taken(output, ids, fingerprint, "was published before", notes), 1)]


def _spare(output: Output, earlier: Sequence[Earlier], fingerprint: str) -> list[Earlier]:
    """What was published before the snapshot that is read, the newest first."""
    if not earlier:
        return []
    read = earlier[0].folder.rpartition("/")[2]
    ids = sorted((one for one in output.published if one < read), reverse=True)
    spare = []
    for one in ids[:_MOST_SPARE]:
        # One that cannot be read, or was pruned just now, is no loss: another one is the rule.
        with contextlib.suppress(Exception):
            if files := _files_alike(output, one, fingerprint):
                spare.append(Earlier(Snapshot(output, one).folder, files))
    return spare


def _unpublished(output: Output, fingerprint: str, notes: list[str]) -> list[Earlier]:
    """The newest snapshots that were finished since any was published. One that LATEST was moved
    back from is left alone.
    """
    since = max(output.published, default="")
    newer = [one for one in output.snapshot_ids() if one > since]
    ids = newer[: -_MOST_UNPUBLISHED - 1 : -1]
    return [*_taken(output, ids, fingerprint, "was not published", notes)]


def _taken(
    output: Output, ids: Iterable[str], fingerprint: str, what: str, notes: list[str]
) -> Iterator[Earlier]:
    """Of these snapshots those of runs like this one."""
    for one in ids:
        if files := _files_alike(output, one, fingerprint):
            notes.append(f"{one}: {what}; up to {_documents(files)} are reused")
            yield Earlier(Snapshot(output, one).folder, files)


def _files_alike(output: Output, one: str, fingerprint: str) -> tuple[WrittenFile, ...]:
    """Those of a snapshot, if it is of a run like this one."""
    try:
        manifest = output.manifest(one)
        alike = manifest["run"]["fingerprint"] == fingerprint
        return files_of(manifest) if alike and manifest["format_version"] in FORMATS else ()
    except (ValueError, KeyError, TypeError):
        return ()


def _documents(files: Iterable[WrittenFile]) -> str:
    return f"{sum(file.rows for file in files if file.table == SENTENCES):,} documents"


def _unfinished(output: Output, fingerprint: str, notes: list[str]) -> list[Earlier]:
    """What runs that ended early have completed."""
    found = []
    for name in output.leftovers():
        folder = output.path("snapshots", name)
        if (
            not name.endswith((".attempt", ENDED))
            or Snapshot(output, attempt_id(name)).is_handed_over
        ):
            continue  # it is being removed, or may go on
        if files := complete_files(folder, fingerprint):
            found.append(Earlier(folder, files))
            up_to = f"up to {_documents(files)} are reused"
            notes.append(f"{name}: of a run that ended early, {up_to}")
    return found
