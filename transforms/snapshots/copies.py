"""Rows of earlier files for documents that get the same vectors: Arrow to Arrow, so that no vector
becomes a Python number on the way. What a row says of its document is fresh.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusvec.transforms.elements import Place
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.snapshots.schemas import COUNTED, sentence_counts
from corpusvec.transforms.snapshots.tables import Whole
from corpusvec.transforms.storage.files import open_file

_PLACES = [name for name in Place._fields if name != "file"]
_GROUP_BYTES = 6 << 20  # of a table that is given out
# Of copies that wait in memory, and about of a table beside its columns.
_HELD_BYTES, _TABLE_BYTES = 64 << 20, 4 << 10


class Copies(NamedTuple):
    """Documents whose vectors are in one file of sentences: a row for each, with what is fresh of
    it and the other fields of its `Place`.
    """

    file: str
    rows: pa.Table


def places_table(places: Sequence[Place]) -> pa.Table:
    """Their fields as columns."""
    return pa.table(list(map(pa.array, zip(*places))), names=Place._fields)


class Waiting:
    """Copies that wait for others of the same file, so that it is read once for them, in whatever
    order they come. Where they are many they wait on the disk, in a folder for temporary files.
    """

    def __init__(self) -> None:
        self._files: dict[str, list[pa.Table]] = {}
        self._bytes = 0
        self._spilled: dict[str, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, about: pa.Table, places: pa.Table) -> None:
        """More of them: what is fresh, and the `Place` of each."""
        rows = about
        for name in places.column_names:
            rows = rows.append_column(name, places[name])
        for file, some in _parts_of(rows, "file"):
            some = some.drop_columns(["file"])
            self._files.setdefault(file, []).append(some)
            self._bytes += some.nbytes + _TABLE_BYTES
        if self._bytes > _HELD_BYTES:
            self._spill()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="corpusvec-copies-")
        for file, tables in self._files.items():
            number = str(len(self._spilled))
            path = self._spilled.setdefault(file, Path(self._folder.name, number))
            with path.open("ab") as stream:
                pickle.dump(pa.concat_tables(tables), stream, pickle.HIGHEST_PROTOCOL)
        self._files, self._bytes = {}, 0

    def all(self) -> Iterator[Copies]:
        """All of them, which then wait no more; of a file as many at once as may be in memory."""
        if self._folder is None:
            yield from (Copies(file, pa.concat_tables(some)) for file, some in self._files.items())
            self._files, self._bytes = {}, 0
            return
        self._spill()
        for file, path in self._spilled.items():
            yield from (Copies(file, rows) for rows in _unspilled(path))
        self._spilled = {}
        self._folder.cleanup()
        self._folder = None


def _unspilled(path: Path) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    with path.open("rb") as stream:
        while stream.peek(1):
            held.append(pickle.load(stream))
            if sum(rows.nbytes for rows in held) > _HELD_BYTES:
                yield pa.concat_tables(held)
                held = []
    if held:
        yield pa.concat_tables(held)


def _parts_of(rows: pa.Table, name: str) -> Iterator[tuple[str, pa.Table]]:
    """Rows by what they have in a column of few strings."""
    values = rows[name].unique()
    if len(values) == 1:
        yield values[0].as_py(), rows
        return
    for value in values:
        yield value.as_py(), rows.filter(pc.equal(rows[name], value))


def copied_sentences(path: str, rows: pa.Table) -> Iterator[pa.Table]:
    """The rows of a file of sentences that `Copies` name, in the file's order."""
    rows = rows.sort_by("row").combine_chunks()
    starts = rows["row"].to_numpy()
    fresh = rows.drop_columns(_PLACES)
    for (first, last), taken in _taken(path, starts, np.ones(len(rows), np.int64)):
        some = fresh.slice(first, last - first)
        yield _with(taken, {name: some[name] for name in some.column_names})
        del taken


def copied_tokens(path: str, rows: pa.Table) -> Iterator[pa.Table]:
    """The same of a file of tokens; a document's rows stay together."""
    rows = rows.sort_by("tokens_row").combine_chunks()
    starts, lengths = (rows[name].to_numpy() for name in ("tokens_row", "n_tokens"))
    for (first, last), taken in _taken(path, starts, lengths):
        which = np.repeat(np.arange(first, last), lengths[first:last])
        yield _with(taken, {"id": rows["id"].take(pa.array(which))})
        del taken


def whole_sentences(path: str, rows: pa.Table) -> Whole | None:
    """The file of sentences, where `Copies` name all of its rows and nothing that is fresh differs
    from what it says.
    """
    rows = rows.sort_by("row")
    fresh = rows.drop_columns(_PLACES)
    with open_file(path) as stream:
        file = pq.ParquetFile(stream)
        if not _says(file, rows["row"].to_numpy(), np.ones(len(rows), np.int64), fresh):
            return None
        counted = file.read(list(COUNTED.values()), use_threads=False)
        return Whole(path, len(counted), sentence_counts(counted))


def whole_tokens(path: str, rows: pa.Table) -> Whole | None:
    """The same of a file of tokens."""
    rows = rows.sort_by("tokens_row")
    starts, lengths = (rows[name].to_numpy() for name in ("tokens_row", "n_tokens"))
    which = np.repeat(np.arange(len(rows)), lengths)
    with open_file(path) as stream:
        file = pq.ParquetFile(stream)
        ids = pa.table({"id": rows["id"].take(pa.array(which))})
        return Whole(path, len(which), {}) if _says(file, starts, lengths, ids) else None


def _says(file: pq.ParquetFile, starts: np.ndarray, lengths: np.ndarray, fresh: pa.Table) -> bool:
    """Whether ranges of rows, ascending by their starts, are all of a file, and it has the same in
    columns of which it is known.
    """
    ends = np.cumsum(lengths)
    if ends[-1] != file.metadata.num_rows or (starts != ends - lengths).any():
        return False
    there = set(fresh.column_names) <= set(file.schema_arrow.names)
    return there and file.read(fresh.column_names, use_threads=False).equals(fresh)


def by_tokens_file(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Those that have tokens, by the file where these are."""
    parts = ((path, some) for path, some in _parts_of(rows, "tokens_file") if path)
    yield from sorted(parts, key=itemgetter(0))


def _with(table: pa.Table, fresh: Mapping[str, pa.ChunkedArray]) -> pa.Table:
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
            rows = places_of(starts[first:last] - offset, lengths[first:last])
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
