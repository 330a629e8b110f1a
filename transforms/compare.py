"""Files of sentences, of this run and of the snapshot before -> what changed.

Each file is read once, by any worker; documents meet by their ids, and those that may have moved
then by their texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import apache_beam as beam
import pyarrow as pa

from corpusvec.transforms.elements import Count, Note, WrittenFile
from corpusvec.transforms.measures import names
from corpusvec.transforms.measures.stages import Timed
from corpusvec.transforms.snapshots.changes import (
    ADDED,
    CHANGED,
    REMOVED,
    added_tables,
    changes_table,
    compare,
    parts_of,
)
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import (
    Damaged,
    Earlier,
    EarlierFile,
    ids_of,
    sentence_rows,
)
from corpusvec.transforms.snapshots.schemas import CHANGES, SENTENCES
from corpusvec.transforms.snapshots.tables import TableFiles
from corpusvec.transforms.storage.digests import Rows, unpacked

_PART = 250_000  # documents that are compared at once
_BEFORE, _AFTER = "before", "after"
_Part = tuple[int, int]  # its number, and how many there are
_Packed = tuple[_Part, tuple[str, bytes]]  # of which kind or side rows are, and these


@dataclass(kw_only=True, eq=False)
class CompareSnapshots(beam.PTransform):
    """`WrittenFile`s of sentences -> `files`, the table of changes since the snapshot `before`
    (None: there is none), and `notes` of what could not be read of that. `alike`: both are made by
    one recipe.
    """

    snapshot: Snapshot
    before: Earlier | None
    alike: bool
    about: Mapping[str, Any]

    def expand(self, files):
        attempt = self.snapshot.attempt
        if self.before is None:
            return self._all_added(files)
        old = self.before.of(SENTENCES)
        rows_before = sum(file.file.rows for file in old)
        sizes = beam.pvalue.AsList(files | "Sizes" >> beam.Map(lambda file: file.rows))
        after = files | "After" >> beam.Map(_after, attempt)
        before = files.pipeline | "Before" >> beam.Create([(_BEFORE, file) for file in old])
        read = (
            (after, before)
            | "Both" >> beam.Flatten()
            | beam.Reshuffle()
            | "ReadIds" >> _timed("rows", _read, rows_before, side_input=sizes)
        )
        parts = (
            files.pipeline
            | "WhenWritten" >> beam.Create([rows_before], reshuffle=False)
            | beam.FlatMap(_parts, sizes)
        )
        compared = (
            (read.rows, parts)
            | "Documents" >> beam.Flatten()
            | "ById" >> beam.GroupByKey()
            | "Compare" >> _timed("rows", _compared, self.alike)
        )
        written = (
            compared.rows
            | "ByText" >> beam.GroupByKey()
            | "WriteChanges" >> _timed("files", _written, attempt, self.about)
        )
        notes = (read.notes, compared.notes, written.notes) | "Told" >> beam.Flatten()
        return written.files, notes

    def _all_added(self, files):
        """Of a first snapshot: no rows have to meet, only files so that there are not too many."""
        attempt = self.snapshot.attempt
        sizes = beam.pvalue.AsList(files | "Sizes" >> beam.Map(lambda file: file.rows))
        begin = files.pipeline | "WhenWritten" >> beam.Create([0], reshuffle=False)
        written = (
            (files | "PartOfFile" >> beam.Map(_part_of, sizes), begin | beam.FlatMap(_parts, sizes))
            | "Files" >> beam.Flatten()
            | "ByPart" >> beam.GroupByKey()
            | "WriteAdded" >> _timed("files", _added, attempt, self.about)
        )
        return written.files, written.notes


def _after(file: WrittenFile, attempt: str) -> tuple[str, EarlierFile]:
    return _AFTER, EarlierFile(attempt, file, fresh=True)


def _timed(main: str, work: Callable[..., Iterator], *arguments: Any, side_input: Any = None):
    side_inputs = [] if side_input is None else [side_input]
    stage = beam.ParDo(Timed(names.COMPARE_MS, work, *arguments), *side_inputs)
    return stage.with_outputs("notes", main=main)


def _number_of_parts(before: int, sizes: Iterable[int]) -> int:
    return 1 + max(before, sum(sizes)) // _PART


def _parts(before: int, sizes: Sequence[int]) -> Iterator[_Packed]:
    """No rows of each part, so that each is there."""
    n = _number_of_parts(before, sizes)
    yield from (((part, n), (_AFTER, b"")) for part in range(n))


def _read(
    element: tuple[str, EarlierFile], sizes: Sequence[int], rows_before: int
) -> Iterator[_Packed | beam.pvalue.TaggedOutput]:
    """The rows of a file, by the parts to which their ids fall."""
    side, file = element
    n = _number_of_parts(rows_before, sizes)
    try:
        rows = sentence_rows(file)
    except Damaged as error:
        told = (
            f"{error}; changes/ does not say what became of its documents: whoever follows them"
            " reads the whole snapshot"
        )
        yield beam.pvalue.TaggedOutput("notes", Count(names.UNREAD, 1))
        yield beam.pvalue.TaggedOutput("notes", Note(told))
        return
    for part, chosen in parts_of(rows, n):
        yield from (((part, n), (side, packed)) for packed in chosen.packed())


def _by_kind(group: Iterable[tuple[str, bytes]], kinds: Sequence[str]) -> Iterator[Rows]:
    packed: dict[str, list[bytes]] = {kind: [] for kind in kinds}
    for kind, rows in group:
        packed[kind] += [rows] if rows else []
    yield from (unpacked(rows) for rows in packed.values())


def _compared(group: tuple[_Part, Iterable[tuple[str, bytes]]], alike: bool) -> Iterator[_Packed]:
    """The documents of a part -> those changed, and those added or removed by parts of their texts,
    for some of them have moved.
    """
    (part, n), sides = group
    before, after = _by_kind(sides, (_BEFORE, _AFTER))
    found = compare(before, after, alike)
    yield (part, n), (CHANGED, b"")  # there is a file of each part
    for kind, rows in zip((CHANGED, ADDED, REMOVED), found):
        by_text = rows.keys[:, 1] % n
        for number in range(n):
            chosen = rows.where(by_text == number)
            yield from (((number, n), (kind, packed)) for packed in chosen.packed())


def _part_of(file: WrittenFile, sizes: Sequence[int]) -> tuple[_Part, WrittenFile]:
    n = _number_of_parts(0, sizes)
    return (crc32(file.path.encode()) % n, n), file


def _added(
    group: tuple[_Part, Iterable[WrittenFile | tuple[str, bytes]]],
    attempt: str,
    about: Mapping[str, Any],
) -> Iterator[WrittenFile]:
    """Files of sentences -> a file of changes, without rows where there are none."""
    files = [EarlierFile(attempt, one, True) for one in group[1] if isinstance(one, WrittenFile)]
    written = TableFiles(attempt, CHANGES, about)
    ids = itertools.chain.from_iterable(ids_of(file).chunks for file in files)
    for table in added_tables(pa.chunked_array(ids, pa.string()).combine_chunks()):
        yield from written.write(table)
    yield from written.close()


def _written(
    group: tuple[_Part, Iterable[tuple[str, bytes]]], attempt: str, about: Mapping[str, Any]
) -> Iterator[WrittenFile]:
    """The candidates of some texts -> a file."""
    changed, added, removed = _by_kind(group[1], (CHANGED, ADDED, REMOVED))
    files = TableFiles(attempt, CHANGES, about)
    yield from files.write(changes_table(changed.ids, added, removed))
    yield from files.close()
