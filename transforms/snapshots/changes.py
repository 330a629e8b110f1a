"""What changed between two snapshots, document by document."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.transforms.storage.digests import Rows

_AT_ONCE = 8_192  # ids that are Python's strings for a moment
_ROWS = 65_536  # that are written at once
ADDED, CHANGED, REMOVED, MOVED = "added", "changed", "removed", "moved"


class Difference(NamedTuple):
    """Rows in both snapshots whose vectors differ, only in the later one, only in the earlier."""

    changed: Rows
    added: Rows
    removed: Rows


def parts_of(rows: Rows, n: int) -> Iterator[tuple[int, Rows]]:
    """Rows by the parts, of `n`, to which their ids fall."""
    if n == 1:
        yield 0, rows
        return
    few = (rows.ids.slice(at, _AT_ONCE).to_pylist() for at in range(0, len(rows.ids), _AT_ONCE))
    ids = itertools.chain.from_iterable(few)
    numbers = np.fromiter((crc32(id_.encode()) % n for id_ in ids), np.int64, len(rows.ids))
    yield from ((part, rows.where(numbers == part)) for part in range(n))


def compare(before: Rows, after: Rows, alike: bool) -> Difference:
    """`alike`: whether equal texts have equal vectors, both being made by the same run's recipe."""
    at = pc.index_in(after.ids, before.ids)
    both = pc.is_valid(at).to_numpy(zero_copy_only=False)
    changed = both.copy()
    if alike:
        changed[both] = (after.keys[both] != before.keys[at.drop_null().to_numpy()]).any(axis=1)
    gone = pc.invert(pc.is_in(before.ids, after.ids)).to_numpy(zero_copy_only=False)
    return Difference(after.where(changed), after.where(~both), before.where(gone))


def changes_table(changed: pa.Array, added: Rows, removed: Rows) -> pa.Table:
    """`id`, `change` and `old_id`, sorted by id: what was added with the text of something removed
    has moved.
    """
    moved = _moved(added, removed)
    news, olds = (pa.array([pair[at] for pair in moved], pa.string()) for at in (0, 1))
    kinds = {
        CHANGED: changed,
        ADDED: _without(added.ids, news),
        MOVED: news,
        REMOVED: _without(removed.ids, olds),
    }
    none = {kind: pa.nulls(len(ids), pa.string()) for kind, ids in kinds.items()}
    names = [pa.repeat(kind, len(ids)) for kind, ids in kinds.items()]
    table = pa.table(
        {
            "id": pa.concat_arrays(list(kinds.values())),
            "change": pa.concat_arrays(names),
            "old_id": pa.concat_arrays(list({**none, MOVED: olds}.values())),
        }
    )
    # An id is there once, or twice: moved, and removed with another text.
    return table.sort_by([("id", "ascending"), ("change", "ascending")])


def added_tables(ids: pa.Array) -> Iterator[pa.Table]:
    """The same where all is added, some rows at a time."""
    order = pc.sort_indices(ids)
    for start in range(0, max(len(ids), 1), _ROWS):
        some = ids.take(order.slice(start, _ROWS))
        change, old = pa.repeat(ADDED, len(some)), pa.nulls(len(some), pa.string())
        yield pa.table({"id": some, "change": change, "old_id": old})


def _moved(added: Rows, removed: Rows) -> list[tuple[str, str]]:
    """Id and old id; of several with one text the first by their ids."""
    alike = added.where(np.isin(added.keys[:, 0], removed.keys[:, 0]))
    gone = removed.where(np.isin(removed.keys[:, 0], alike.keys[:, 0]))
    old: dict[bytes, list[str]] = {}
    for id_, key in sorted(_pairs(gone), reverse=True):
        old.setdefault(key, []).append(id_)
    return [(id_, old[key].pop()) for id_, key in sorted(_pairs(alike)) if old.get(key)]


def _without(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, others))) if len(others) else ids


def _pairs(rows: Rows) -> Iterator[tuple[str, bytes]]:
    return ((id_, key.tobytes()) for id_, key in zip(rows.ids.to_pylist(), rows.keys))
