"""Rows of earlier files for documents that get the same vectors: Arrow to Arrow, so that no vector
becomes a Python number on the way. What a row says of its document is fresh.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.transforms.elements import Copies, Known, Place
from corpusvec.transforms.snapshots.schemas import (
    links_column,
    metadata_column,
    span_columns,
)
from corpusvec.transforms.storage.files import open_file

_GROUP_BYTES = 6 << 20  # of a table that is given out
# Of copies that wait in memory, and about of one without metadata.
_HELD_BYTES, _COPY_BYTES = 64 << 20, 800
_Copy = tuple[Known, Place]


class Waiting:
    """Copies that wait for others of the same file, so that it is read once for them, in whatever
    order they come. Where they are many they wait on the disk, in a folder for temporary files.
    """

    def __init__(self) -> None:
        self._files: dict[str, list[_Copy]] = {}
        self._bytes = 0
        self._spilled: dict[str, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, known: Known, place: Place) -> None:
        """One more."""
        copy = (known, place)
        self._files.setdefault(place.file, []).append(copy)
        self._bytes += _size_of(copy)
        if self._bytes > _HELD_BYTES:
            self._spill()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="corpusvec-copies-")
        for file, copies in self._files.items():
            number = str(len(self._spilled))
            path = self._spilled.setdefault(file, Path(self._folder.name, number))
            with path.open("ab") as stream:
                pickle.dump(copies, stream, pickle.HIGHEST_PROTOCOL)
        self._files, self._bytes = {}, 0

    def all(self) -> Iterator[Copies]:
        """All of them, which then wait no more; of a file as many at once as may be in memory."""
        if self._folder is None:
            yield from (Copies(file, copies) for file, copies in self._files.items())
            self._files, self._bytes = {}, 0
            return
        self._spill()
        for file, path in self._spilled.items():
            yield from (Copies(file, copies) for copies in _unspilled(path))
        self._spilled = {}
        self._folder.cleanup()
        self._folder = None


def _size_of(copy: _Copy) -> int:
    metadata = copy[0].metadata
    return _COPY_BYTES + (2 * sum(map(len, metadata.values())) if metadata else 0)


def _unspilled(path: Path) -> Iterator[list[_Copy]]:
    held: list[_Copy] = []
    size = 0
    with path.open("rb") as stream:
        while stream.peek(1):
            copies = pickle.load(stream)
            held += copies
            size += sum(map(_size_of, copies))
            if size > _HELD_BYTES:
                yield held
                held, size = [], 0
    if held:
        yield held


def copied_sentences(path: str, copies: Sequence[_Copy]) -> Iterator[pa.Table]:
    """The rows of `copies` out of a file of sentences, in the file's order."""
    copies = sorted(copies, key=lambda copy: copy[1].row)
    starts = np.array([place.row for _, place in copies])
    for group, rows in _taken(path, starts, np.ones(len(copies), np.int64)):
        known = [copies[at][0] for at in range(*group)]
        fresh = {
            "id": pa.array([one.id for one in known], pa.string()),
            "source": pa.array([one.source for one in known], pa.string()),
            "source_row": pa.array([one.source_row for one in known], pa.int64()),
            "metadata": metadata_column([one.metadata for one in known]),
            "links": links_column([one.links for one in known]),
            **span_columns([one.span for one in known]),
        }
        yield _with(rows, fresh)
        del rows


def copied_tokens(path: str, copies: Sequence[_Copy]) -> Iterator[pa.Table]:
    """The rows of `copies` out of a file of tokens, in the file's order; a document's together."""
    copies = sorted(copies, key=lambda copy: copy[1].tokens_row)
    starts = np.array([place.tokens_row for _, place in copies])
    lengths = np.array([place.n_tokens for _, place in copies])
    for (first, last), rows in _taken(path, starts, lengths):
        ids = pa.array([known.id for known, _ in copies[first:last]], pa.string())
        which = np.repeat(np.arange(last - first, dtype=np.int32), lengths[first:last])
        yield _with(rows, {"id": pa.DictionaryArray.from_arrays(which, ids).cast(pa.string())})
        del rows


def by_tokens_file(copies: Sequence[_Copy]) -> Iterator[tuple[str, list[_Copy]]]:
    """The copies that have tokens, by the file where these are."""
    files: dict[str, list[_Copy]] = {}
    for copy in copies:
        if path := copy[1].tokens_file:
            files.setdefault(path, []).append(copy)
    yield from sorted(files.items(), key=itemgetter(0))


def _with(table: pa.Table, fresh: dict[str, pa.Array]) -> pa.Table:
    at = -1
    for name, values in fresh.items():
        before, at = at, table.schema.get_field_index(name)
        if at < 0:  # rows of a version that did not have it
            at = before + 1
            table = table.add_column(at, name, values)
        else:
            table = table.set_column(at, name, values)
    return table


def _taken(
    path: str, starts: np.ndarray, lengths: np.ndarray
) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """Ranges of rows, ascending by their starts -> which of them [first, last), and their rows, one
    range after the other.
    """
    with open_file(path) as stream:
        file = pq.ParquetFile(stream)
        sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        group_of = np.searchsorted(ends, starts, side="right")
        first, held = 0, _held(file)
        while first < len(starts):
            begin = group_of[first]
            last = int(np.searchsorted(group_of, begin, side="right"))  # those that begin in it
            stop = int((starts[first:last] + lengths[first:last]).max())
            table = held(begin, int(np.searchsorted(ends, stop, side="left")))
            offset = ends[begin] - sizes[begin]
            last = first + _fitting(lengths[first:last], table)
            rows = _rows(starts[first:last] - offset, lengths[first:last])
            whole = len(rows) == len(table) and bool((rows == np.arange(len(rows))).all())
            yield (first, last), table if whole else table.take(pa.array(rows))
            first = last
            del table  # or it is there until the next one has been read


def _held(file: pq.ParquetFile) -> Callable[[int, int], pa.Table]:
    """Reads row groups from one to another; those asked for last are kept."""
    kept: dict[tuple[int, int], pa.Table] = {}

    def read(first: int, last: int) -> pa.Table:
        if (first, last) not in kept:
            kept.clear()
            kept[first, last] = file.read_row_groups(range(first, last + 1), use_threads=False)
        return kept[first, last]

    return read


def _fitting(lengths: np.ndarray, table: pa.Table) -> int:
    """How many of the ranges make a table of the size wanted: one at least."""
    rows = max(len(table), _GROUP_BYTES * len(table) // max(table.nbytes, 1))
    return max(1, int(np.searchsorted(np.cumsum(lengths), rows, side="right")))


def _rows(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows of ranges, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
