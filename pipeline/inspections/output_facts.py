"""What `inspect` tells of an output folder: the fields here are the keys of `inspect --json`.

What is not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """A snapshot of the folder. `published` is null where nobody knows: formats before 2 did not
    write it down.
    """

    id: str
    finished: str
    documents: int
    rejected: int
    is_latest: bool
    published: bool | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column of a table; `width` is the length of its vectors, null where it has none."""

    name: str
    type: str
    width: int | None


@dataclass(frozen=True, slots=True)
class TableReport:
    """A table of a snapshot; `columns` as the schema of its first file says."""

    files: int
    rows: int
    bytes: int
    columns: tuple[ColumnType, ...]


@dataclass(frozen=True, slots=True)
class VectorStart:
    """The first numbers of a vector, and its width."""

    start: tuple[float | None, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of sentences, its text shortened."""

    id: str
    text: str
    vectors: Mapping[str, VectorStart]


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """A snapshot from its manifest and its files. `run` is what decided the vectors,
    `configuration` the flags as they were given.
    """

    id: str
    folder: str
    started: str | None
    finished: str | None
    counts: Mapping[str, int]
    model_kind: str | None
    model_digest: str | None
    fingerprint: str | None
    run: Mapping[str, Any]
    configuration: Mapping[str, Any]
    versions: Mapping[str, str]
    files: int
    bytes: int
    tables: Mapping[str, TableReport]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """An output folder. `path` is null where a snapshot lies outside of one; `latest` is the id in
    LATEST. `snapshots` are those that are whole, oldest first, `unfinished` the names of attempts
    (running or killed). `same_fingerprint`: all were made alike. `snapshot` is the one named, else
    LATEST's, else the newest.
    """

    what: str = "output"
    path: str | None
    latest: str | None = None
    snapshots: tuple[SnapshotLine, ...] = ()
    unfinished: tuple[str, ...] = ()
    same_fingerprint: bool | None = None
    snapshot: SnapshotReport | None = None
    notes: tuple[str, ...] = ()
