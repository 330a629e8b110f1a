"""Read the input files: the first stage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import apache_beam as beam

from corpusvec.transforms.columns import CHARACTERS, DOCUMENTS, Documents, Records, joined_records
from corpusvec.transforms.documents.ages import Dates, dated, reduced
from corpusvec.transforms.documents.formats import (
    Reading,
    format_of,
    reader_for,
)
from corpusvec.transforms.documents.inputs import (
    InputFile,
    check_unchanged,
    groups_listed,
    known,
    read_list,
)
from corpusvec.transforms.documents.lines import has_pair_separator
from corpusvec.transforms.documents.parts import (
    Counted,
    Part,
    blocks_of,
    count_lines,
    groups_of,
    numbered,
)
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.elements import Count, Dated, Document, Failure
from corpusvec.transforms.measures import names
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.measures.counters import count
from corpusvec.transforms.storage.digests import DigestSet
from corpusvec.transforms.storage.stores import Outage

_RECENT = 10_000  # ids that a bundle remembers


class Read(NamedTuple):
    """Documents and `Failure`s of the input files, and `Count`s and `Dated`s of the run."""

    documents: beam.PCollection
    failures: beam.PCollection
    counts: beam.PCollection


@dataclass(kw_only=True)
class ReadDocuments(beam.PTransform):
    """The `n_files` of the list at `listed` -> `Read`: each record once, of two documents with one
    id the first. If `ids_differ`, one process does not look for such.

    All files are read in order by one worker into batches (`Documents`), and nothing crosses a
    shuffle. With `spread` each file is an element, and so is each `Document`; these are grouped by
    id: for runners with many workers, who share what follows too. `limit`, the first records over
    all files, needs the order, so nothing is spread with it.

    A file that is read to its end and is not what it was when it was matched ends the run.
    """

    listed: str
    n_files: int
    reading: Reading = field(default_factory=Reading)
    limit: int | None = None
    spread: bool = False
    ids_differ: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        if self.limit is not None and self.limit < 1:
            raise ValueError(
                f"--limit={self.limit}: must be 1 or more; omit the flag to read all records"
            )

    def expand(self, root: Any) -> Read:
        read = partial(_records, reading=self.reading)
        hint = partial(_wants_hint, input_format=self.reading.input_format)
        if self.spread and self.limit is None:
            return self._spread(root, read, hint)
        found = (
            root
            | beam.Create([groups_listed(self.n_files)], reshuffle=False)
            | beam.ParDo(
                _ReadFn(partial(read_list, self.listed), read, hint, self.limit, self.ids_differ)
            ).with_outputs("failures", "counts", main="documents")
        )
        return Read(found.documents, found.failures, found.counts)

    def _spread(self, root: Any, read: _Reader, hint: _Hint) -> Read:
        parts = self._parts(root) | "SpreadParts" >> beam.Reshuffle()
        found = parts | beam.ParDo(_ReadPartFn(read)).with_outputs(
            "failures", "counts", main="documents"
        )
        by_id = beam.ParDo(_ByIdFn()).with_output_types(tuple[str, Any])
        keyed = found.documents | "ById" >> by_id.with_outputs("failures", main="documents")
        unique = (
            keyed.documents
            | beam.GroupByKey()
            | beam.ParDo(_FirstFn(hint)).with_outputs("failures", "counts", main="documents")
        )
        return Read(
            unique.documents,
            (found.failures, keyed.failures, unique.failures) | "ReadFailures" >> beam.Flatten(),
            (found.counts, unique.counts) | "ReadCounts" >> beam.Flatten(),
        )

    def _parts(self, root: Any) -> beam.PCollection:
        """The parts of all files; lines are counted where a file of them is cut."""
        groups = root | beam.Create([[n] for n in groups_listed(self.n_files)], reshuffle=False)
        cut = (
            groups
            | "ListFiles" >> beam.FlatMap(partial(read_list, self.listed))
            | "SpreadFiles" >> beam.Reshuffle()
            | beam.ParDo(_CutFn(self.reading)).with_outputs("blocks", main="parts")
        )
        blocks = (
            cut.blocks
            | "SpreadBlocks" >> beam.Reshuffle()
            | beam.Map(_counted, self.reading).with_output_types(tuple[str, Any])
            | "ByFile" >> beam.GroupByKey()
            | beam.FlatMap(_numbered, self.reading)
        )
        return (cut.parts, blocks) | "Parts" >> beam.Flatten()


_Files = Callable[[Iterable[int]], Iterable[InputFile]]
_Reader = Callable[[Part, Dates], Iterator[Records]]
_Hint = Callable[[str, str], bool]


class _ReadFn(beam.DoFn):
    """All files of a list -> unique documents."""

    def __init__(
        self,
        files: _Files,
        read: _Reader,
        hint: _Hint,
        limit: int | None,
        ids_differ: bool = False,
    ):
        self._files, self._read, self._hint, self._limit = files, read, hint, limit
        self._ids_differ = ids_differ

    def process(self, groups: Iterable[int]) -> Iterator[Any]:
        yield from _timed(self._outputs(self._files(groups)))

    def _outputs(self, files: Iterable[InputFile]) -> Iterator[Any]:
        seen = None if self._ids_differ else DigestSet()
        times: list[Dated] = []
        n_records = n_separators = 0
        for records in _together(self._first(files, times)):
            n_records += len(records)
            count(names.RECORDS, len(records))
            documents, twice = _unique(records.documents, seen)
            for failure in (*records.failures, *twice):
                yield beam.pvalue.TaggedOutput("failures", failure)
            n_separators += sum(map(self._hint, documents.texts, documents.sources))
            if len(documents):
                yield documents
        yield beam.pvalue.TaggedOutput("counts", Count(names.RECORDS, n_records))
        yield from (beam.pvalue.TaggedOutput("counts", n) for n in _separators(n_separators))
        yield from (beam.pvalue.TaggedOutput("counts", time) for time in times)

    def _first(self, files: Iterable[InputFile], times: list[Dated]) -> Iterator[Records]:
        """The records within the limit; files behind it are not read. `times` get those of all
        files that count.
        """
        left = self._limit
        for file in files:
            dates = Dates()
            if left != 0:
                with closing(self._read(Part(file), dates)) as parts:  # type: ignore[type-var]
                    for records in parts:
                        if left is not None:
                            records = records.first(left)
                            left -= len(records)
                        yield records
                        if left == 0:
                            break
            times[:] = reduced([*times, *_dated(file, dates)])


def _together(parts: Iterable[Records]) -> Iterator[Records]:
    """The same, of small ones as many at once as may be in memory."""
    waiting: list[Records] = []
    n = characters = 0
    for records in parts:
        waiting.append(records)
        n += len(records)
        characters += records.documents.characters
        if n >= DOCUMENTS or characters >= CHARACTERS:
            yield joined_records(waiting)
            waiting, n, characters = [], 0, 0
    if waiting:
        yield joined_records(waiting)


def _unique(documents: Documents, seen: DigestSet | None) -> tuple[Documents, list[Failure]]:
    """Of documents with one id the first; the others failed. Without a set all ids differ."""
    if seen is None or all(new := seen.add_each(documents.ids)):
        return documents, []
    twice = [_duplicate(documents[row]) for row, is_new in enumerate(new) if not is_new]
    return documents.take(itertools.compress(range(len(new)), new)), twice


class _ReadPartFn(beam.DoFn):
    """A part of a file -> its documents."""

    def __init__(self, read: _Reader):
        self._read = read

    def process(self, part: Part) -> Iterator[Any]:
        yield from _timed(self._outputs(part))

    def _outputs(self, part: Part) -> Iterator[Any]:
        n_records, dates = 0, Dates()
        for records in self._read(part, dates):
            n_records += len(records)
            count(names.RECORDS, len(records))
            yield from (beam.pvalue.TaggedOutput("failures", one) for one in records.failures)
            yield from records.documents
        yield beam.pvalue.TaggedOutput("counts", Count(names.RECORDS, n_records))
        yield from (beam.pvalue.TaggedOutput("counts", time) for time in _dated(part.file, dates))


def _timed(outputs: Iterator[Any]) -> Iterator[Any]:
    """The outputs, and what reading took."""
    spent = Spent(names.READ_MS)
    yield from spent.during(outputs)
    yield from (beam.pvalue.TaggedOutput("counts", count) for count in spent.reports())


class _ByIdFn(beam.DoFn):
    """Reject a document if an earlier one of its bundle has the same id, so that it need not
    travel: a group of millions would not fit in memory.
    """

    def start_bundle(self) -> None:
        self._recent: dict[str, tuple[str, int]] = {}

    def process(self, document: Document) -> Iterator[Any]:
        place = _place(document)
        if self._recent.get(document.id, place) < place:
            yield beam.pvalue.TaggedOutput("failures", _duplicate(document))
            return
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[document.id] = place
        yield document.id, document


class _FirstFn(beam.DoFn):
    """The documents of one id -> the first in the order of the files; the others failed."""

    def __init__(self, hint: _Hint):
        self._hint = hint

    def start_bundle(self) -> None:
        self._n_separators = 0

    def process(self, group: tuple[str, Iterable[Document]]) -> Iterator[Any]:
        documents = iter(group[1])
        first = next(documents)
        for document in documents:  # there may be more than fit in memory
            first, later = sorted((first, document), key=_place)
            yield beam.pvalue.TaggedOutput("failures", _duplicate(later))
        self._n_separators += self._hint(first.text, first.source)
        yield first

    def finish_bundle(self) -> Iterator[Any]:
        for found in _separators(self._n_separators):
            yield stamped(found, OF_THE_RUN, "counts")


def _separators(n: int) -> list[Count]:
    """None where there is none: the hint is for those who have some."""
    return [Count(names.PAIR_SEPARATORS, n)] if n else []


def _dated(file: InputFile, dates: Dates) -> list[Dated]:
    """Its time, where one is known."""
    return [time] if (time := dated(file.path, file.written, dates)) else []


class _CutFn(beam.DoFn):
    """A file -> its parts, and blocks whose lines must be counted."""

    def __init__(self, reading: Reading):
        self._reading = reading

    def process(self, file: InputFile) -> Iterator[Any]:
        file = known(file)  # all parts are to be of what lies there now
        if blocks := blocks_of(file, self._reading):
            yield from (beam.pvalue.TaggedOutput("blocks", block) for block in blocks)
        else:
            yield from groups_of(file, self._reading) or [Part(file)]


def _counted(block: Part, reading: Reading) -> tuple[str, Counted]:
    return block.file.path, count_lines(block, reading)


def _numbered(group: tuple[str, Iterable[Counted]], reading: Reading) -> Iterator[Part]:
    return numbered(group[1], reading)


def _records(part: Part, dates: Dates, reading: Reading) -> Iterator[Records]:
    """All records of a part of a file, in order."""
    file = known(part.file)
    read = reader_for(file.path, reading, dates=dates, **part.told(reading))
    opener = _Opener(lambda on_bytes: part.open(reading, on_bytes))
    with closing(read(opener, file.path, file.name)) as parts:  # type: ignore[type-var]
        try:
            for records in parts:
                opener.count()
                yield records
        except BrokenInput:
            with suppress(Outage):
                check_unchanged(file)  # which says more than that it is cut off
            raise
        finally:
            opener.count()
    check_unchanged(file)


def _wants_hint(text: str, source: str, input_format: str) -> bool:
    """Whether a line of text looks as if it were a pair."""
    return has_pair_separator(text) and format_of(source, input_format) == "text"


def _place(document: Document) -> tuple[str, int]:
    return document.source, document.source_row


class _Opener:
    """Opens one file, as often as its reader likes: what it reads counts when records come of it,
    not when it looks for a name that is behind them.
    """

    def __init__(self, open_: Callable[[Callable[[int], None]], BinaryIO]):
        self._open = open_
        self._at = self._counted = 0

    def __call__(self) -> Any:
        self._at = 0
        return self._open(self._on_bytes)

    def _on_bytes(self, n: int) -> None:
        self._at += n

    def count(self) -> None:
        """Where reading has got to, in the counter of bytes."""
        if self._at > self._counted:
            count(names.BYTES_READ, self._at - self._counted)
            self._counted = self._at


def _duplicate(document: Document) -> Failure:
    error = f"an earlier record has the same id, {document.id!r}; ids must be unique"
    return Failure("read", document.id, document.source, document.source_row, error)
