"""What changed between two snapshots, document by document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.transforms.storage.digests import Rows

ADDED, CHANGED, REMOVED, MOVED = "added", "changed", "removed", "moved"


class Difference(NamedTuple):
    """Of documents with an id in common those whose vectors are others, and the rest."""

    changed: Rows
    added: Rows
    removed: Rows


def parts_of(rows: Rows, n: int) -> Iterator[tuple[int, Rows]]:
    """Rows by the parts, of `n`, to which their ids fall."""
    if n == 1:
        yield 0, rows
        return
    numbers = np.array([crc32(id_.encode()) % n for id_ in rows.ids.to_pylist()])
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


def matched(added: Rows, removed: Rows) -> Iterator[tuple[str, str, str | None]]:
    """Changes, as id, change and old id: what was added with the text of something removed has
    moved.
    """
    old: dict[bytes, list[str]] = {}
    for id_, key in sorted(_pairs(removed), reverse=True):
        old.setdefault(key, []).append(id_)
    for id_, key in sorted(_pairs(added)):
        if ids := old.get(key):
            yield id_, MOVED, ids.pop()
        else:
            yield id_, ADDED, None
    for ids in old.values():
        yield from ((id_, REMOVED, None) for id_ in ids)


def _pairs(rows: Rows) -> Iterator[tuple[str, bytes]]:
    return ((id_, key.tobytes()) for id_, key in zip(rows.ids.to_pylist(), rows.keys))


def changes_table(changes: Sequence[tuple[str, str, str | None]]) -> pa.Table:
    """`id`, `change` and `old_id`, sorted by id."""
    ids, kinds, old = zip(*sorted(changes)) if changes else ((), (), ())
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "change": pa.array(kinds, pa.string()),
            "old_id": pa.array(old, pa.string()),
        }
    )
