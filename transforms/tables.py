"""Files of the output's tables: rows in, and at the end a report of what is in the file."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from transforms import schemas
from transforms.elements import WrittenFile
from transforms.snapshots import create
from transforms.stores import reason


class BrokenOutput(RuntimeError):
    """A disk that cannot be written; the message names the file and says what to do."""


def broken(path: str, error: Exception) -> BrokenOutput:
    """What to raise where a disk or a store fails."""
    why = f"{path}: cannot be written ({reason(path, error)})"
    return BrokenOutput(f"{why}; make room, or choose another --output")


def open_table(folder: str, table: str, name: str, about: Mapping[str, Any]) -> TableFile:
    """A new file of `table` in `folder`: Parquet, or JSON lines for rejected records."""
    if table == schemas.REJECTED:
        return _Lines(folder, table, f"{table}/{name}.jsonl", about)
    return _Parquet(folder, table, f"{table}/{name}.parquet", about)


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


class TableFile(ABC):
    """A file of a table, open."""

    def __init__(self, folder: str, table: str, path: str, about: Mapping[str, Any]):
        self._table, self._path, self._about = table, path, about
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
    def write(self, rows: Sequence[Any]) -> None:
        """Append rows, as one group."""

    def abort(self) -> None:
        """Let go of a file that nobody will report."""
        self._stream.close()


class _Lines(TableFile):
    def write(self, rows: Sequence[Any]) -> None:
        self._stream.write(b"".join(map(schemas.rejected_line, rows)))
        self._rows += len(rows)


class _Parquet(TableFile):
    _writer: pq.ParquetWriter | None = None

    def write(self, rows: Sequence[Any]) -> None:
        table = schemas.with_metadata(schemas.TABLES[self._table](rows), self._about)
        if self._writer is None:
            options = schemas.parquet_options(table.schema)
            self._writer = pq.ParquetWriter(self._stream, table.schema, **options)
        self._writer.write_table(table, row_group_size=len(table))
        self._rows += len(table)
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
