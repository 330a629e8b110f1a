"""Old snapshots, and what runs that ended early have left, are removed.

No reader sees half a snapshot: on a local disk one rename takes it away, on an object store its
manifest goes first. Whatever is here when a prune ends early, the next one removes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.outputs.listings import HANDED_OVER, RUNNING, Attempt, attempts
from corpusvec.transforms.snapshots.claim_files import Holder
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.layouts import ENDED, LATEST, attempt_id, is_id, was_published
from corpusvec.transforms.snapshots.outputs import Output


@dataclass(slots=True)
class Pruned:
    """What was removed, or would be: snapshots, and leftovers of runs. `completed` are snapshots
    whose run ended in its very last step. `kept` says why what is old stays.
    """

    snapshots: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def prune(output: Output, keep: int, handed_over: bool = False, dry_run: bool = False) -> Pruned:
    """Of an output: what is older than the newest `keep` snapshots that were published, what was
    never published and is older than LATEST, and what no run that is alive has begun. With
    `handed_over` attempts of which nobody here knows, too.
    """
    # A run looks at what is there under the same lock, when it has its claim: so it sees either
    # what is kept here, or nothing of the rest.
    with output.store.sole_writer():
        found = _chosen(output, keep, handed_over)
        folders = [] if dry_run else _taken_away(output, found)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    if not dry_run:
        output.store.claims.remove_dead(output.folder)
    return found


def _chosen(output: Output, keep: int, handed_over: bool) -> Pruned:
    """What is there is asked before who lives, which takes seconds on an object store: what a run
    begins meanwhile is not known here then. What is whole is asked last: what is no attempt any
    more is among that.

    A run reads what LATEST named when it began, or what is newer, and claims that before: so what
    is neither named nor claimed now is read by no run. What it may read of older ones, if files are
    damaged, it claims too; one of those that goes just then, on an object store, is as if damaged.
    """
    named, there = output.latest_now(), output.store.names()
    holders = output.store.claims.living(output.folder)
    unfinished = attempts(output, holders)
    whole = output.snapshot_ids()
    found = Pruned()
    if named is not None and not is_id(named):
        repair = command("snapshots", "rollback", output.folder)
        found.kept.append(f"everything: {LATEST} is damaged; to repair it, run: {repair}")
        return found
    readers = {name: holder for holder in holders for name in holder.reads or ()}
    unsure = [holder for holder in holders if holder.reads is None]
    if unsure:
        found.kept.append(f"everything: {unsure[0]} is just beginning; prune again")
        return found
    for one in _old(output, whole, keep, named):
        if one == named:
            found.kept.append(f"{one}: LATEST names it")
        elif one in readers:
            found.kept.append(f"{one}: {readers[one]} reads it")
        else:
            found.snapshots.append(one)
    for attempt in (one for one in unfinished if one.name in there):
        if why := _why_kept(attempt, readers, handed_over):
            found.kept.append(f"{attempt.name}: {why}")
        else:
            gone = found.completed if attempt.name in whole else found.leftovers
            gone.append(attempt.name)
    known = {*whole, *(attempt.name for attempt in unfinished), *(one.run for one in holders)}
    found.leftovers += output.store.scattered(there - known)
    return found


def _why_kept(attempt: Attempt, readers: Mapping[str, Holder], handed_over: bool) -> str:
    if attempt.name in readers:
        return f"{readers[attempt.name]} reads it"
    if attempt.state == RUNNING:
        return f"{attempt.by} is running"
    if attempt.state == HANDED_OVER and not handed_over:
        return (
            "its job was handed over to a cluster; where that has ended, --handed_over removes it"
        )
    return ""


def _old(output: Output, whole: Sequence[str], keep: int, named: str | None) -> list[str]:
    """The snapshots before the oldest that is to be kept, and those that LATEST has overtaken: they
    cannot be published any more. Where nobody knows whether one was, it counts as if it were.
    """
    known = [one for one in whole if _is_published(output, one)]
    cut = known[-keep] if len(known) > keep else ""
    return [one for one in whole if one < cut or (one not in known and one < (named or ""))]


def _is_published(output: Output, one: str) -> bool:
    published = output.published
    try:
        return was_published(output.manifest(one), published) is not False
    except (ValueError, KeyError, TypeError):
        return one in published


def _taken_away(output: Output, found: Pruned) -> list[str]:
    """Folders that are out of the way now, and can be removed."""
    folders = []
    for one in found.completed:
        Snapshot(output, one).complete()
    for one in [*found.snapshots, *found.leftovers]:
        if output.latest_now() == one:
            continue  # somebody went back to it just now
        folders += output.store.take_away(one)
        output.forget_published(one)
    return folders


def remove_taken_up(job: Job) -> None:
    """After a run was published: the attempts of earlier runs whose files it has taken over."""
    output = job.snapshot.output
    if output.latest != job.snapshot.id:
        return
    for earlier in job.earlier:
        name = os.path.basename(earlier.folder)
        if name.endswith((".attempt", ENDED)) and attempt_id(name):
            with contextlib.suppress(OSError):
                for folder in output.store.take_away(name):
                    shutil.rmtree(folder, ignore_errors=True)


def lines(output: Output, found: Pruned, dry_run: bool) -> Iterable[str]:
    """What was done, as text."""
    done = "would be removed" if dry_run else "removed"
    yield from (f"{done}: {one}" for one in found.snapshots)
    yield from (f"{done}: {one} (left by a run that ended early)" for one in found.leftovers)
    yield from (f"completed: {one}" for one in found.completed if not dry_run)
    yield from (f"stays: {line}" for line in found.kept)
    if not (found.snapshots or found.leftovers or found.completed or found.kept):
        yield f"{output}: has nothing to remove"
