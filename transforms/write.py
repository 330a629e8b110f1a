"""Vectors and failures -> files, and the files -> a snapshot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from corpusvec.transforms.columns import Sentences, TokenRows
from corpusvec.transforms.elements import Count, Failure, WrittenFile
from corpusvec.transforms.measures import counters, names
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, stamped
from corpusvec.transforms.measures.clocks import Spent, peak_memory
from corpusvec.transforms.models.cores import share
from corpusvec.transforms.snapshots import schemas
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.copies import (
    Copies,
    by_tokens_file,
    copied_sentences,
    copied_tokens,
    whole_sentences,
    whole_tokens,
)
from corpusvec.transforms.snapshots.earlier_rows import Earlier
from corpusvec.transforms.snapshots.manifests import (
    DEFAULT_LIMITS,
    Limits,
    Report,
    make_manifest,
    why_not_published,
)
from corpusvec.transforms.snapshots.schemas import SENTENCES, TOKENS
from corpusvec.transforms.snapshots.tables import TableFiles, Whole, broken, is_full

_GROUP_BYTES = 6 << 20  # of a row group, in memory
_MOST_FILES = 4  # of tokens, at once: each takes up to three groups of memory
_PATIENCE, _SHARE = 0.5, 0.1  # seconds, and of the time gone by, that groups may wait in all
_Rows = Sentences | TokenRows | Failure
_Whole = Callable[[str, pa.Table], Whole | None]
_Copied = Callable[[str, pa.Table], Iterator[pa.Table]]


@dataclass(kw_only=True, eq=False)
class WriteTable(beam.PTransform):
    """`Sentences` or `TokenRows` -> Parquet files of `table` in the snapshot's attempt, as
    `WrittenFile`s.

    `about` goes into every file's metadata; `encoding` is that of the vectors.
    """

    snapshot: Snapshot
    table: str
    about: Mapping[str, Any]
    encoding: str = schemas.PLAIN

    def expand(self, rows):
        return rows | beam.ParDo(_WriteFn(self.snapshot, self.table, self.about, self.encoding))


@dataclass(kw_only=True, eq=False)
class WriteRejected(beam.PTransform):
    """`Failure`s -> JSON lines in the snapshot's attempt, as `WrittenFile`s."""

    snapshot: Snapshot

    def expand(self, failures):
        return failures | beam.ParDo(_WriteFn(self.snapshot, schemas.REJECTED, {}))


@dataclass(kw_only=True, eq=False)
class CopyRows(beam.PTransform):
    """`Copies` -> Parquet files of `tables` in the snapshot's attempt, as `WrittenFile`s; `made` is
    how their documents are counted, `reused` or `repeated`. Those out of `spare` are counted beside
    that, as a `Count` for each of these. A file of `earlier` of which nothing changed is copied as
    it is, if it is full or if there is no other to merge it with.
    """

    snapshot: Snapshot
    tables: Sequence[str]
    about: Mapping[str, Any]
    made: str
    encoding: str = schemas.PLAIN
    earlier: Sequence[Earlier] = ()
    spare: Sequence[Earlier] = ()

    def expand(self, copies):
        spare = [one.folder for one in self.spare]
        alone = frozenset(path for table in self.tables for path in _alone(self.earlier, table))
        how = (self.about, self.made, self.encoding, alone, spare)
        return copies | beam.ParDo(_CopyFn(self.snapshot, self.tables, *how))


def _alone(earlier: Sequence[Earlier], table: str) -> list[str]:
    """The file that is not full, if there is one only. Several are merged: otherwise there would be
    one more each night.
    """
    files = [file for one in earlier for file in one.of(table)]
    small = [file.path for file in files if not is_full(file.file)]
    return small if len(small) == 1 else []


@dataclass(kw_only=True, eq=False)
class CommitSnapshot(beam.PTransform):
    """`WrittenFile`s, `Count`s, `Dated`s and `Note`s of the whole run -> the manifest of the
    snapshot, after it is made of them.

    It is published where all records are accounted for and it keeps within `limits`.
    """

    snapshot: Snapshot
    about: Mapping[str, Any]
    limits: Limits = DEFAULT_LIMITS

    def expand(self, reports):
        always = reports.pipeline | "Once" >> beam.Create(
            [Count(names.RECORDS, 0)], reshuffle=False
        )
        return (
            (reports, always)
            | beam.Flatten()
            | beam.WithKeys(None)
            | beam.GroupByKey()
            | beam.Values()
            | beam.Map(_commit, self.snapshot, self.about, self.limits)
        )


def _commit(
    reports: Iterable[Report],
    snapshot: Snapshot,
    about: Mapping[str, Any],
    limits: Limits,
) -> dict[str, Any]:
    here = Count(names.PEAK_MEMORY, peak_memory())
    try:
        snapshot.output.latest_now()  # which may have moved since the run began
        before = snapshot.output.published_manifest
        manifest = snapshot.commit(make_manifest(snapshot.id, [*reports, here], about, before))
        if not why_not_published(manifest, before, limits):
            snapshot.publish()
    except OSError as error:
        raise broken(snapshot.folder, error) from error
    return manifest


class _WriteFn(beam.DoFn):
    """Files belong to a bundle: one that is done again leaves files that nobody reports, and no row
    twice. Groups of rows are written on other threads: compressing them does not hold Python's
    lock. One file is written at a time. Vectors of tokens are many: where groups have to wait for
    too long, one more is begun, up to one for each core and `_MOST_FILES`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        table: str,
        about: Mapping[str, Any],
        encoding: str = schemas.PLAIN,
    ):
        self._snapshot, self._table, self._about = snapshot, table, about
        self._encoding = encoding

    def setup(self):
        self._at_once = min(share(), _MOST_FILES) if self._table == TOKENS else 1
        self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="write")
        self._writers: list[_Writer] = []

    def _writer(self) -> _Writer:
        spent = Spent(names.WRITE_MS)
        attempt, about = self._snapshot.attempt, self._about
        files = TableFiles(attempt, self._table, about, names.EMBEDDED, spent, self._encoding)
        return _Writer(self._table, files, spent)

    def start_bundle(self):
        self._rows: list[_Rows] = []
        self._bytes = 0
        self._writers = [self._writer()]
        self._began, self._waited = time.monotonic(), 0.0

    def process(self, rows: _Rows):
        self._rows.append(rows)
        self._bytes += schemas.size_of(rows)
        first, *others = self._writers
        for writer in others:
            if not writer.is_busy() and writer.files.is_overdue():
                yield from self._give(writer, writer.closed)
        is_overdue = first.files.is_overdue(waiting=True)
        if is_overdue or self._bytes >= _GROUP_BYTES:
            group, self._rows, self._bytes = self._rows, [], 0
            writer = first if is_overdue else self._free()
            yield from self._give(writer, writer.write, group)

    def _give(self, writer: _Writer, work: Callable[..., list[WrittenFile]], *rows: list[_Rows]):
        """Let a writer work -> what its last work completed."""
        yield from writer.done()
        writer.written = self._threads.submit(work, *rows)

    def _free(self) -> _Writer:
        """Of those that write nothing the one that has waited longest."""
        if all(writer.is_busy() for writer in self._writers):
            now = time.monotonic()
            too_long = max(_PATIENCE, _SHARE * (now - self._began))
            if len(self._writers) < self._at_once and self._waited >= too_long:
                self._writers.append(self._writer())
                self._waited = 0.0
            else:
                wait([writer.written for writer in self._writers], return_when=FIRST_COMPLETED)
                self._waited += time.monotonic() - now
        free = next(writer for writer in self._writers if not writer.is_busy())
        self._writers.remove(free)
        self._writers.append(free)
        return free

    def finish_bundle(self):
        first = self._writers[0]
        reports = [*first.done(), *first.write(self._rows)]
        for writer in self._writers:
            reports += [*writer.done(), *writer.closed()]
        for report in reports:
            yield stamped(report, OF_THE_RUN)

    def teardown(self):
        self._threads.shutdown()
        for writer in self._writers:
            writer.files.abort()


class _Writer:
    """Files of which one at a time is open, and the group that is being written."""

    def __init__(self, table: str, files: TableFiles, spent: Spent):
        self.files = files
        self.written: Future[list[WrittenFile]] = Future()
        self.written.set_result([])
        self._as_table, self._spent = schemas.TABLES.get(table), spent

    def is_busy(self) -> bool:
        return not self.written.done()

    def done(self) -> list[WrittenFile]:
        """What the last group completed."""
        reports, self.written = self.written.result(), Future()
        self.written.set_result([])
        return reports

    def write(self, rows: list[_Rows]) -> list[WrittenFile]:
        return list(self._spent.during(self._group(rows)))

    def closed(self) -> list[WrittenFile]:
        return list(self._spent.during(self.files.close()))

    def _group(self, rows: list[_Rows]) -> Iterator[WrittenFile]:
        if rows:
            group = pa.concat_tables(map(self._as_table, rows)) if self._as_table else rows
            yield from self.files.write(group)


class _CopyFn(beam.DoFn):
    def __init__(
        self,
        snapshot: Snapshot,
        tables: Sequence[str],
        about: Mapping[str, Any],
        made: str,
        encoding: str,
        alone: frozenset[str],
        spare: Sequence[str],
    ):
        self._snapshot, self._tables, self._about, self._made = snapshot, tables, about, made
        self._encoding, self._alone, self._spare = encoding, alone, spare

    def setup(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._files: dict[str, TableFiles] = {}

    def start_bundle(self):
        attempt, about = self._snapshot.attempt, self._about
        self._spent = Spent(names.COPY_MS)
        self._taken = Counter[str]()
        self._files = {
            table: TableFiles(attempt, table, about, self._made, self._spent, self._encoding)
            for table in self._tables
        }

    def process(self, group: Copies):
        yield from self._spent.during(self._copy(group))

    def _copy(self, group: Copies) -> Iterator[WrittenFile]:
        folder = group.file.rsplit("/", 2)[0]
        if folder in self._spare:
            self._taken[folder.rpartition("/")[2]] += len(group.rows)
        how = (whole_sentences, copied_sentences)
        yield from self._of_file(SENTENCES, group.file, group.rows, *how)
        if TOKENS in self._tables:
            for path, some in by_tokens_file(group.rows):
                yield from self._of_file(TOKENS, path, some, whole_tokens, copied_tokens)

    def _of_file(
        self, table: str, path: str, rows: pa.Table, whole: _Whole, copied: _Copied
    ) -> Iterator[WrittenFile]:
        """Copies of the rows of a file: of the whole file where it would be no other one."""
        files = self._files[table]
        if files.would_be(path, path in self._alone) and (file := whole(path, rows)):
            self._count(table, file.n, file.counts)
            yield from files.copy(file)
            return
        for some in self._ahead(copied(path, rows)):
            counts = schemas.sentence_counts(some) if table == SENTENCES else {}
            self._count(table, len(some), counts)
            yield from files.write(some)

    def _count(self, table: str, rows: int, counts: Mapping[str, int]) -> None:
        if table == SENTENCES:
            counters.count(names.DOCUMENTS, rows)
            counters.count(self._made, rows)
            counters.count(names.TOKENS, counts[names.TOKENS])
            counters.count(names.COPIED_TOKENS, counts[names.TOKENS])

    def _ahead(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same, of which the next one is read while one is written."""
        ahead = self._thread.submit(next, tables, None)
        while (rows := ahead.result()) is not None:
            ahead = self._thread.submit(next, tables, None)
            yield rows

    def finish_bundle(self):
        for report in self._spent.during(self._close()):
            yield stamped(report, OF_THE_RUN)
        for snapshot, n in self._taken.items():
            yield stamped(Count(f"{names.TAKEN}{snapshot}", n), OF_THE_RUN)

    def _close(self) -> Iterator[WrittenFile]:
        for files in self._files.values():
            yield from files.close()

    def teardown(self):
        self._thread.shutdown()
        for files in self._files.values():
            files.abort()
