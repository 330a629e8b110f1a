"""Files with rows -> where the rows of each text lie: for runners with many workers, none of whom
could know all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam

from corpusvec.transforms.elements import DamagedFile, Place
from corpusvec.transforms.measures import names
from corpusvec.transforms.measures.stages import Timed
from corpusvec.transforms.snapshots.earlier_rows import (
    Damaged,
    Earlier,
    EarlierFile,
    is_of,
    sentence_rows,
    token_runs,
)
from corpusvec.transforms.snapshots.schemas import SENTENCES, TOKENS

_KEYED = tuple[bytes, Any]
_Row = tuple[tuple[str, str], tuple]


class Located(NamedTuple):
    """`places`: the key of a text and its `Place`; `notes`: files that are damaged, and what it
    took.
    """

    places: beam.PCollection
    notes: beam.PCollection


@dataclass(kw_only=True, eq=False)
class LocateRows(beam.PTransform):
    """`EarlierFile`s -> `Located`. With `tokens` only of texts whose token vectors are there."""

    tokens: bool

    def expand(self, files):
        rows = beam.ParDo(Timed(names.FIND_MS, _rows)).with_outputs("notes", main="rows")
        found = files | beam.Reshuffle() | rows
        if not self.tokens:
            places = found.rows | beam.FlatMap(_without_tokens).with_output_types(_KEYED)
        else:
            joined = beam.FlatMap(_with_tokens).with_output_types(_KEYED)
            places = found.rows | beam.GroupByKey() | joined
        return Located(places, found.notes)


@dataclass(kw_only=True, eq=False)
class LocateEarlier(beam.PTransform):
    """The beginning of a pipeline -> `Located`: what is in `earlier`, and where a file of the first
    of that, the snapshot before, is damaged, what is in `spare`, too.
    """

    earlier: Sequence[Earlier]
    spare: Sequence[Earlier]
    tokens: bool

    def expand(self, begin):
        pipeline = begin.pipeline
        files = pipeline | "Files" >> beam.Create(self._files(self.earlier))
        found = files | "Locate" >> LocateRows(tokens=self.tokens)
        if not self.spare:
            return found
        before = self.earlier[0]
        damaged = found.notes | beam.Filter(
            lambda note: isinstance(note, DamagedFile) and is_of(before, note)
        )
        more = (
            pipeline
            | "SpareFiles" >> beam.Create(self._files(self.spare))
            | "IfDamaged" >> beam.FlatMap(_if_any, beam.pvalue.AsList(damaged))
            | "LocateSpare" >> LocateRows(tokens=self.tokens)
        )
        return Located(
            (found.places, more.places) | "Places" >> beam.Flatten(),
            (found.notes, more.notes) | "Told" >> beam.Flatten(),
        )

    def _files(self, places: Sequence[Earlier]) -> list[EarlierFile]:
        tables = [SENTENCES, TOKENS] if self.tokens else [SENTENCES]
        return [file for one in places for table in tables for file in one.of(table)]


def _if_any(file: EarlierFile, damaged: Sequence[DamagedFile]) -> Iterator[EarlierFile]:
    if damaged:
        yield file


def _rows(file: EarlierFile) -> Iterator[_Row | beam.pvalue.TaggedOutput]:
    """Of sentences and tokens what each knows, by folder and id of the document."""
    try:
        yield from _of_sentences(file) if file.file.table == SENTENCES else _of_tokens(file)
    except Damaged as error:
        yield beam.pvalue.TaggedOutput("notes", error.file)


def _of_sentences(file: EarlierFile) -> Iterator[_Row]:
    rows = sentence_rows(file)
    keys = [key.tobytes() for key in rows.keys]
    for row, (id_, key) in enumerate(zip(rows.ids.to_pylist(), keys)):
        yield (file.folder, id_), (key, file.path, row)


def _of_tokens(file: EarlierFile) -> Iterator[_Row]:
    runs = token_runs(file)
    places = zip(runs.ids.to_pylist(), runs.starts.tolist(), runs.lengths.tolist())
    for id_, start, length in places:
        yield (file.folder, id_), (file.path, start, length)


def _without_tokens(row: tuple[Any, tuple]) -> Iterator[tuple[bytes, Place]]:
    _, (key, path, number) = row
    yield key, Place(path, number)


def _with_tokens(group: tuple[Any, Any]) -> Iterator[tuple[bytes, Place]]:
    """The row of sentences and the run of tokens of a document: both, or it is not there. A bundle
    that was done twice may have left either twice in an attempt, any of which is right.
    """
    rows: list[tuple] = []
    runs: list[tuple] = []
    for part in group[1]:
        (rows if isinstance(part[0], bytes) else runs).append(part)
    if rows and runs:
        key, path, row = rows[0]
        yield key, Place(path, row, *runs[0])
