"""Vectors and failures -> files, and the files -> a snapshot."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms import schemas
from transforms.elements import Count, Failure, SentenceVector, TokenVectors, WrittenFile
from transforms.snapshots import Snapshot
from transforms.stamps import OF_THE_RUN, stamped
from transforms.tables import TableFile, broken, open_table

_GROUP_BYTES = 6 << 20  # of a row group, in memory
FILE_BYTES = 256 << 20  # a file that has so many is closed


@dataclass(kw_only=True, eq=False)
class WriteTable(beam.PTransform):
    """`SentenceVector`s or `TokenVectors` -> Parquet files of `table` in the snapshot's attempt, as
    `WrittenFile`s.

    `about` goes into every file's metadata.
    """

    snapshot: Snapshot
    table: str
    about: Mapping[str, Any]

    def expand(self, rows):
        return rows | beam.ParDo(_WriteFn(self.snapshot, self.table, self.about))


@dataclass(kw_only=True, eq=False)
class WriteRejected(beam.PTransform):
    """`Failure`s -> JSON lines in the snapshot's attempt, as `WrittenFile`s."""

    snapshot: Snapshot

    def expand(self, failures):
        return failures | beam.ParDo(_WriteFn(self.snapshot, schemas.REJECTED, {}))


@dataclass(kw_only=True, eq=False)
class CommitSnapshot(beam.PTransform):
    """`WrittenFile`s and `Count`s of the whole run -> the manifest of the snapshot, after it is
    made of them.

    It is published where at most `max_rejected` records were rejected and it has a document at all.
    """

    snapshot: Snapshot
    about: Mapping[str, Any]
    max_rejected: int = 0

    def expand(self, reports):
        always = reports.pipeline | "Once" >> beam.Create([Count("records", 0)], reshuffle=False)
        return (
            (reports, always)
            | beam.Flatten()
            | beam.WithKeys(None)
            | beam.GroupByKey()
            | beam.Values()
            | beam.Map(_commit, self.snapshot, self.about, self.max_rejected)
        )


def _commit(
    reports: Sequence[WrittenFile | Count],
    snapshot: Snapshot,
    about: Mapping[str, Any],
    max_rejected: int,
) -> dict[str, Any]:
    reports = list(reports)
    files = [report for report in reports if isinstance(report, WrittenFile)]
    counts = [report for report in reports if isinstance(report, Count)]
    try:
        manifest = snapshot.commit(files, counts, about)
        if manifest["counts"]["documents"] and manifest["counts"]["rejected"] <= max_rejected:
            snapshot.publish()
    except OSError as error:
        raise broken(snapshot.folder, error) from error
    return manifest


class _WriteFn(beam.DoFn):
    """Files belong to a bundle: one that is done again leaves files that nobody reports, and no row
    twice.
    """

    def __init__(self, snapshot: Snapshot, table: str, about: Mapping[str, Any]):
        self._snapshot, self._table, self._about = snapshot, table, about

    def start_bundle(self):
        self._rows: list[SentenceVector | TokenVectors | Failure] = []
        self._bytes = 0
        self._file: TableFile | None = None
        self._name, self._count = secrets.token_hex(4), 0

    def process(self, row: SentenceVector | TokenVectors | Failure):
        self._rows.append(row)
        self._bytes += schemas.size_of(row)
        if self._bytes >= _GROUP_BYTES:
            yield from self._write_group()

    def finish_bundle(self):
        for report in [*self._write_group(), *self._close()]:
            yield stamped(report, OF_THE_RUN)

    def teardown(self):
        if self._file is not None:
            self._file.abort()

    def _write_group(self):
        if not self._rows:
            return
        if self._file is None:
            name = f"{self._name}-{self._count:05}"
            self._file = open_table(self._snapshot.attempt, self._table, name, self._about)
            self._count += 1
        self._file.write(self._rows)
        self._rows, self._bytes = [], 0
        if self._file.size() >= FILE_BYTES:
            yield from self._close()

    def _close(self):
        if self._file is not None:
            file, self._file = self._file, None
            yield file.close()
