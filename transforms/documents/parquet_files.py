"""Parquet: one document for each row, a row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.transforms.columns import Records, Row, gathered
from corpusvec.transforms.documents.formats import ALL_FIELDS, Fields, Open
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.documents.tables import Columns, Table, columns_of
from corpusvec.transforms.elements import Failure

_ROWS = 1024  # of a row group that are made Python objects at once


def read_parquet(
    open_: Open,
    source: str,
    name: str,
    fields: Fields = ALL_FIELDS,
    groups: Iterable[int] | None = None,
    skipped: int = 0,
) -> Iterator[Records]:
    """One document for each row, its id `name:row`, from 1, where no column has it. Columns of
    simple types that are nothing else are metadata; others are if `fields` names them, as JSON. Of
    `groups` of rows alone, `skipped` rows are before them.

    Raises: BrokenInput for a damaged file, and for one without the columns.
    """
    with closing(open_()) as stream, _reading(source):
        if not stream.seekable():
            raise BrokenInput(
                f"{source}: Parquet is read from its end, so the file cannot be compressed as a"
                " whole; unpack it first"
            )
        file = pq.ParquetFile(stream)
        columns = columns_of(_simple(file.schema_arrow, fields), fields, source)
        _check_types(file.schema_arrow, columns, source)
        table = Table(source, name, columns, {name: at for at, name in enumerate(columns.all)})
        for batch in _batches(file, columns, groups):
            rows = zip(*(_values(batch.column(column)) for column in columns.all), strict=True)
            numbered = enumerate(rows, skipped + 1)
            yield from gathered(_record(table, number, values) for number, values in numbered)
            skipped += len(batch)


def group_sizes(stream: BinaryIO, source: str) -> list[tuple[int, int]]:
    """The rows and bytes of each row group. Raises: BrokenInput for a damaged file."""
    with _reading(source):
        about = pq.ParquetFile(stream).metadata
        groups = [about.row_group(group) for group in range(about.num_row_groups)]
        return [(group.num_rows, group.total_byte_size) for group in groups]


def _batches(
    file: pq.ParquetFile, columns: Columns, groups: Iterable[int] | None
) -> Iterator[pa.RecordBatch]:
    for group in range(file.num_row_groups) if groups is None else groups:
        yield from file.iter_batches(
            _ROWS, row_groups=[group], columns=list(columns.all), use_threads=False
        )


@contextmanager
def _reading(source: str) -> Iterator[None]:
    """Names the file where Arrow cannot read it."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and not _is_damage(error):
            raise
        what = str(error).strip().partition("\n")[0].rstrip(".")
        raise BrokenInput(
            f"{source}: the file is damaged or no Parquet ({what}); write it again or leave it out"
            " of --input"
        ) from error


def _is_damage(error: OSError) -> bool:
    """Arrow calls damage OSError, too. Where storage fails, the error has a number, a cause, or
    another class.
    """
    return type(error) is OSError and error.errno is None and error.__cause__ is None


def _simple(schema: pa.Schema, fields: Fields) -> Sequence[str]:
    """The columns that may be used: all that have a simple type or are named."""
    named = {fields.text, fields.id or "id", fields.pair or "pair", *(fields.metadata or ())}
    return [field.name for field in schema if field.name in named or _is_simple(field.type)]


def _is_simple(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_simple(kind.value_type)
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    """Old writers do not say which bytes are text."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary)
    return any(is_one(kind) for is_one in (*tests, types.is_large_binary))


def _check_types(schema: pa.Schema, columns: Columns, source: str) -> None:
    for flag, column in (("text", columns.text), ("pair", columns.pair)):
        if column is not None and not _is_text(kind := schema.field(column).type):
            raise BrokenInput(
                f"{source}: the column `{column}` has the type {kind}, not string; name another"
                f" with --{flag}_column"
            )


def _values(column: pa.Array) -> list[Any]:
    """As strings; null is None, and bytes that are not UTF-8 stay bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _is_text(column.type):
        if _is_simple(column.type):
            return column.cast(pa.string()).to_pylist()
        return [None if value is None else _json(value) for value in column.to_pylist()]
    try:
        return column.cast(pa.large_string()).to_pylist()
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _record(table: Table, number: int, values: Sequence[Any]) -> Row | Failure:
    if bytes in map(type, values):
        bad = next(name for name, at in table.places.items() if isinstance(values[at], bytes))
        return table.failure(number, f"`{bad}` is not UTF-8")
    return table.record(number, values)
