"""Files of sentences, of this run and of the snapshot before -> what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.changes import ADDED, CHANGED, REMOVED, changes_table, compare, matched, part_of
from transforms.digests import Rows, as_keys, joined
from transforms.earlier_rows import Damaged, Earlier, EarlierFile, sentence_rows
from transforms.elements import Count, Note, WrittenFile
from transforms.manifests import UNREAD
from transforms.schemas import CHANGES, SENTENCES
from transforms.snapshots import Snapshot
from transforms.tables import TableFiles

_PART = 2_000_000  # documents that are compared at once


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
        fresh = beam.pvalue.AsList(files)
        old = self.before.of(SENTENCES) if self.before else []
        compared = (
            files.pipeline
            | "WhenWritten" >> beam.Create([old], reshuffle=False)
            | beam.FlatMap(_parts, fresh)
            | beam.Reshuffle()
            | beam.ParDo(_CompareFn(self.snapshot.attempt, old, self.alike), fresh).with_outputs(
                "notes", main="candidates"
            )
        )
        written = (
            compared.candidates
            | beam.GroupByKey()
            | beam.FlatMap(_written, self.snapshot.attempt, self.about)
        )
        return written, compared.notes


def _parts(old: Sequence[EarlierFile], files: Sequence[WrittenFile]) -> Iterator[tuple[int, int]]:
    """The number of each part, and how many there are."""
    rows = max(sum(file.rows for file in files), sum(file.file.rows for file in old))
    parts = 1 + rows // _PART
    yield from ((part, parts) for part in range(parts))


class _CompareFn(beam.DoFn):
    """The documents of a part -> those changed, and those added or removed by parts of their texts,
    for some of them have moved.
    """

    def __init__(self, attempt: str, old: Sequence[EarlierFile], alike: bool):
        self._attempt, self._old, self._alike = attempt, old, alike

    def process(self, which: tuple[int, int], files: Sequence[WrittenFile]):
        part, parts = which
        notes: list[str] = []
        new = (sentence_rows(EarlierFile(self._attempt, file, True)) for file in files)
        after = joined(part_of(rows, part, parts) for rows in new)
        before = joined(part_of(rows, part, parts) for rows in self._before(notes))
        found = compare(before, after, self._alike)
        for kind, rows in zip((CHANGED, ADDED, REMOVED), found):
            by_text = rows.keys[:, 1] % parts
            for number in range(parts):
                chosen = rows.where(by_text == number)
                yield number, (kind, chosen.ids.to_pylist(), chosen.keys.tobytes())
        if notes and not part:
            yield beam.pvalue.TaggedOutput("notes", Count(UNREAD, len(notes)))
            yield from (beam.pvalue.TaggedOutput("notes", Note(note)) for note in notes)

    def _before(self, notes: list[str]) -> Iterator[Rows]:
        for file in self._old:
            try:
                yield sentence_rows(file)
            except Damaged as error:
                notes.append(
                    f"{error}; changes/ does not say what became of its documents: whoever follows"
                    " them reads the whole snapshot"
                )


def _written(
    group: tuple[int, Iterable[tuple[str, list[str], bytes]]],
    attempt: str,
    about: Mapping[str, Any],
) -> Iterator[WrittenFile]:
    """The candidates of some texts -> a file."""
    kinds: dict[str, list[Rows]] = {CHANGED: [], ADDED: [], REMOVED: []}
    for kind, ids, keys in group[1]:
        kinds[kind].append(Rows(pa.array(ids, pa.string()), as_keys(keys)))
    changed, added, removed = (joined(parts) for parts in kinds.values())
    changes = [(id_, CHANGED, None) for id_ in changed.ids.to_pylist()]
    files = TableFiles(attempt, CHANGES, about)
    yield from files.write(changes_table([*changes, *matched(added, removed)]))
    yield from files.close()
