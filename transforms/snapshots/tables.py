"""Files of the output's tables: rows in, and at the end reports of what is in the files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.transforms.elements import Failure, WrittenFile
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.snapshots import schemas
from corpusvec.transforms.snapshots.attempts import is_taken_up, note_complete
from corpusvec.transforms.storage.files import create, open_file
from corpusvec.transforms.storage.stores import reason

FILE_BYTES = 256 << 20  # a file that has so many is closed
_CHUNK = 1 << 20  # bytes that are copied at once
_PATIENCE, _SHARE = 30.0, 0.1  # seconds, and of the time gone by: so long after the one before it


def is_full(file: WrittenFile) -> bool:
    """Whether nothing more would be written into it."""
    return file.bytes >= FILE_BYTES


def first_rows(path: str, n: int, columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """At most `n` rows of a file that has some. By itself Arrow fetches all row groups."""
    with open_file(path) as stream:
        file = pq.ParquetFile(stream, pre_buffer=False)
        return next(file.iter_batches(n, columns=columns, use_threads=False))


class BrokenOutput(RuntimeError):
    """A disk that cannot be written; the message names the file and says what to do."""


def broken(path: str, error: Exception) -> BrokenOutput:
    """What to raise where a disk or a store fails."""
    why = f"{path}: cannot be written ({reason(path, error)})"
    return BrokenOutput(
        f"{why}; make room (`corpusvec snapshots prune` removes old snapshots), or choose another"
        " --output"
    )


class _Hashed:
    """A stream that knows the digest and the number of the bytes written to it."""

    def __init__(self, path: str):
        self._path, self.digest, self.bytes = path, hashlib.sha256(), 0
        self.closed = False
        with self._named():
            self._stream = create(path)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if reason(self._path, error) is None:
                raise
            raise broken(self._path, error) from error

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.bytes += len(view)
        with self._named():
            while len(view):  # a raw file may take less than all
                view = view[self._stream.write(view) or len(view) :]
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self._named():
                self._stream.close()


class Whole(NamedTuple):
    """A file with `n` rows of an earlier snapshot, of which all are copied as they stand; `counts`
    are sums over them.
    """

    path: str
    n: int
    counts: Mapping[str, int]


class _TableFile(ABC):
    """A file of a table, open."""

    def __init__(self, folder: str, table: str, path: str):
        self._table, self._path = table, path
        self._stream = _Hashed(f"{folder}/{path}")
        self._rows, self._counts = 0, Counter[str]()

    def size(self) -> int:
        return self._stream.bytes

    def close(self) -> WrittenFile:
        self._stream.close()
        digest = self._stream.digest.hexdigest()
        return WrittenFile(
            self._table, self._path, self._rows, self._stream.bytes, digest, dict(self._counts)
        )

    @abstractmethod
    def write(self, rows: Any) -> None:
        """Append rows, as one group."""

    def abort(self) -> None:
        """Let go of a file that nobody will report."""
        self._stream.close()


class _Lines(_TableFile):
    def write(self, rows: Sequence[Failure]) -> None:
        self._stream.write(b"".join(map(schemas.rejected_line, rows)))
        self._rows += len(rows)


class _Parquet(_TableFile):
    _writer: pq.ParquetWriter | None = None

    def __init__(self, folder: str, table: str, path: str, encoding: str):
        super().__init__(folder, table, path)
        self._encoding = encoding

    def write(self, rows: pa.Table) -> None:
        if self._writer is None:
            options = schemas.parquet_options(rows.schema, self._encoding)
            self._writer = pq.ParquetWriter(self._stream, rows.schema, **options)
        # Rows of another run may have their columns in another order.
        rows = rows.select(self._writer.schema.names)
        if len(rows):  # Hugging Face `datasets` cannot read a group without a row
            self._writer.write_table(rows, row_group_size=len(rows))
        self._rows += len(rows)
        if self._table == schemas.SENTENCES:
            self._counts.update(schemas.sentence_counts(rows))

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.is_open = False  # or it writes its end into a closed file when it is freed
        super().abort()

    def close(self) -> WrittenFile:
        if self._writer is not None:
            self._writer.close()
        return super().close()


class _Copied(_TableFile):
    """A file of another snapshot, byte for byte."""

    def write(self, rows: Whole) -> None:
        with open_file(rows.path) as stream:
            while chunk := stream.read(_CHUNK):
                self._stream.write(chunk)
        self._rows, self._counts = rows.n, Counter(rows.counts)


class TableFiles:
    """The files of `table` that a bundle writes into a folder, one after the other: Parquet with
    `about` in each file's metadata and vectors in `encoding`, or JSON lines for rejected records.
    `made` is how documents are counted: as `embedded`, `reused` or `repeated`. Each file reports
    what was `spent` since the one before it.

    On a local disk each complete file is noted, so that the next run can use it if this one is
    killed. So a file is also closed after half a minute, or a tenth of the time elapsed if longer.
    """

    def __init__(
        self,
        folder: str,
        table: str,
        about: Mapping[str, Any],
        made: str = "",
        spent: Spent | None = None,
        encoding: str = schemas.PLAIN,
    ):
        self._folder, self._table, self._about, self._made = folder, table, about, made
        self._spent, self._encoding = spent, encoding
        self._is_taken_up = is_taken_up(folder)
        self._began = time.monotonic()
        self._since: float | None = None  # when the oldest row came that is in no complete file
        self._name, self._count = secrets.token_hex(4), 0
        self._file: _TableFile | None = None

    def write(self, rows: pa.Table | Sequence[Failure]) -> Iterator[WrittenFile]:
        """Append rows, as one group; gives out the file if that completes it."""
        if isinstance(rows, pa.Table):
            rows = rows.replace_schema_metadata(schemas.file_metadata(self._about))
        if self._file is None:
            self._file = self._open()
        self._file.write(rows)
        if self.is_overdue() or self._file.size() >= FILE_BYTES:
            yield from self.close()

    def is_overdue(self, waiting: bool = False) -> bool:
        """Whether rows have waited for long enough to be in a complete file: those of the open
        file, and with `waiting` those that are written next.
        """
        if not self._is_taken_up:
            return False
        if self._file is None and not waiting:
            self._since = None
            return False
        now = time.monotonic()
        since = self._since = self._since or now
        return now - since > max(_PATIENCE, (now - self._began) * _SHARE)

    def would_be(self, path: str, alone: bool) -> bool:
        """Whether a file that is there is full, or `alone` in not being so, and as its rows would
        be written now.
        """
        with open_file(path) as stream:
            if not alone and stream.seek(0, os.SEEK_END) < FILE_BYTES:
                return False
            return schemas.is_as_written(pq.read_metadata(stream), self._about, self._encoding)

    def copy(self, whole: Whole) -> Iterator[WrittenFile]:
        """A file as it is, beside the one that is open."""
        file = _Copied(self._folder, self._table, f"{self._next()}.parquet")
        with contextlib.closing(file):
            file.write(whole)
            yield self._closed(file)

    def _next(self) -> str:
        """The path of one more file, without its suffix."""
        self._count += 1
        return f"{self._table}/{self._name}-{self._count - 1:05}"

    def _open(self) -> _TableFile:
        path = self._next()
        if self._table == schemas.REJECTED:
            return _Lines(self._folder, self._table, f"{path}.jsonl")
        return _Parquet(self._folder, self._table, f"{path}.parquet", self._encoding)

    def close(self) -> Iterator[WrittenFile]:
        """The file that is open, complete."""
        self._since = None
        if self._file is not None:
            file, self._file = self._file, None
            yield self._closed(file)

    def _closed(self, file: _TableFile) -> WrittenFile:
        report = file.close()
        if self._table == schemas.SENTENCES:
            report = replace(report, counts={**report.counts, self._made: report.rows})
        note_complete(self._folder, report, self._about)
        return replace(report, work=self._spent.counts()) if self._spent else report

    def abort(self) -> None:
        """Let go of what nobody will report."""
        if self._file is not None:
            self._file.abort()
