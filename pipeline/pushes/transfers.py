"""A snapshot into a table of a store: what is not there is added, what is no longer in the snapshot
is taken away, in one step.

The table keeps a digest of each row, and the digests show which rows differ. So it does not matter
which snapshot the table has, whether that is still there, or where a push was interrupted;
and a document whose metadata alone changed, which `changes/` does not name, is written again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusvec.pipeline.pushes.rows import SnapshotRows, Wanted
from corpusvec.pipeline.pushes.stores import KnownRows, Pushed, Store
from corpusvec.transforms.snapshots.recipes import another

_SAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How many rows were written, taken away (those written again among them) and left as they
    were; `waited` of those written had been sent by a push that was interrupted.
    """

    written: int = 0
    removed: int = 0
    unchanged: int = 0
    waited: int = 0
    there: bool = False  # already: nothing was compared


def why_not(held: Pushed | None, pushed: Pushed, lack: str, known: Collection[str]) -> str:
    """Why the rows of a table are not to be replaced unasked; empty where they may be. `known` are
    the snapshots of the output.
    """
    if held is None:
        return ""
    if held.output != pushed.output and held.snapshot not in known:
        return f"holds another output ({held.output}, {held.snapshot})"
    before, after = ({"run": p.run, "configuration": p.configuration} for p in (held, pushed))
    if other := another(before, after):
        return f"holds vectors of another recipe ({other})"
    return lack


def pushed_of(output: str, manifest: Mapping[str, Any]) -> Pushed:
    """What a table has after a snapshot was pushed."""
    asked = {**manifest.get("configuration", {})}
    asked.pop("input", None)
    return Pushed(output, manifest["id"], manifest.get("run") or {}, asked)


def send(
    store: Store, rows: SnapshotRows, pushed: Pushed, recreate: bool, say: Callable[[str], None]
) -> Sent:
    """Bring a table to a snapshot; `recreate`: the table is made, or made again."""
    wanted = Wanted(rows.digests())
    stale: list[Any] = []
    for known in () if recreate else store.rows():
        stale += _others(wanted, known)
    unchanged = int(wanted.found.sum())
    useless: list[Any] = []
    for known in store.waiting(rows.schema):
        useless += _others(wanted, known)
    if useless:
        store.remove_waiting(useless)
    waited = int(wanted.found.sum()) - unchanged
    _add(store, rows, ~wanted.found, say)
    store.publish(stale, pushed, recreate)
    return Sent(len(wanted.found) - unchanged, len(stale), unchanged, waited)


def _others(wanted: Wanted, known: KnownRows) -> list[Any]:
    """The places of rows that are not wanted, or are there twice."""
    return [known.places[at] for at in np.flatnonzero(~wanted.find(known.digests)).tolist()]


def _add(store: Store, rows: SnapshotRows, missing: np.ndarray, say: Callable[[str], None]) -> None:
    total, sent, told = int(missing.sum()), 0, time.monotonic()
    for table in rows.tables(missing):
        store.add_waiting(table)
        sent += len(table)
        if time.monotonic() - told > _SAY_SECONDS:
            told = time.monotonic()
            say(f"{sent:,} of {total:,} rows are sent")
