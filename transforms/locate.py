"""Files with rows -> where the rows of each text lie: for runners with many workers, none of whom
could know all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam

from transforms.earlier_rows import Damaged, EarlierFile, not_reused, sentence_rows, token_runs
from transforms.elements import Note, Place
from transforms.schemas import SENTENCES

_KEYED = tuple[bytes, Any]


class Located(NamedTuple):
    """`places`: the key of a text and its `Place`; `notes` of files that are damaged."""

    places: beam.PCollection
    notes: beam.PCollection


@dataclass(kw_only=True, eq=False)
class LocateRows(beam.PTransform):
    """`EarlierFile`s -> `Located`. With `tokens` only of texts whose token vectors are there."""

    tokens: bool

    def expand(self, files):
        found = files | beam.Reshuffle() | beam.ParDo(_RowsFn()).with_outputs("notes", main="rows")
        if not self.tokens:
            places = found.rows | beam.FlatMap(_without_tokens).with_output_types(_KEYED)
        else:
            joined = beam.FlatMap(_with_tokens).with_output_types(_KEYED)
            places = found.rows | beam.GroupByKey() | joined
        return Located(places, found.notes)


class _RowsFn(beam.DoFn):
    """Of sentences and tokens what each knows, by folder and id of the document."""

    def process(self, file: EarlierFile):
        try:
            yield from self._rows(file)
        except Damaged as error:
            yield beam.pvalue.TaggedOutput("notes", Note(not_reused(str(error))))

    def _rows(self, file: EarlierFile) -> Iterator[tuple[tuple[str, str], tuple]]:
        if file.file.table == SENTENCES:
            rows = sentence_rows(file)
            keys = [key.tobytes() for key in rows.keys]
            for row, (id_, key) in enumerate(zip(rows.ids.to_pylist(), keys)):
                yield (file.folder, id_), (key, file.path, row)
        else:
            runs = token_runs(file)
            places = zip(runs.ids.to_pylist(), runs.starts.tolist(), runs.lengths.tolist())
            for id_, start, length in places:
                yield (file.folder, id_), (file.path, start, length)


def _without_tokens(row: tuple[Any, tuple]) -> Iterator[tuple[bytes, Place]]:
    _, (key, path, number) = row
    yield key, Place(path, number)


def _with_tokens(group: tuple[Any, Any]) -> Iterator[tuple[bytes, Place]]:
    """The row of sentences and the run of tokens of a document: both, or it is not there."""
    found = sorted(group[1], key=lambda part: isinstance(part[0], str))
    if len(found) == 2:
        (key, path, row), tokens = found
        yield key, Place(path, row, *tokens)
