"""Rows as PostgreSQL's binary COPY takes them, with pgvector's types: no number becomes text."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.pipeline.pushes.stores import BITS

_HEAD, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_NUL, _INSTEAD = "\0", "\ufffd"  # PostgreSQL's texts cannot hold U+0000
_JSON_NUL = "\\u0000"
_AT_ONCE = 1000  # rows


def type_of(field: pa.Field) -> str:
    """The type of a column, as PostgreSQL writes it."""
    if pa.types.is_fixed_size_list(field.type):
        if bits := _bits(field):
            return f"bit({bits})"
        half = field.type.value_type == pa.float16()
        return f"{'halfvec' if half else 'vector'}({field.type.list_size})"
    if field.name == "metadata":
        return "jsonb"
    if field.type == pa.int64():
        return "bigint"
    return "bytea" if pa.types.is_fixed_size_binary(field.type) else "text"


def _bits(field: pa.Field) -> int:
    """Of a vector of bits how many; 0 for others."""
    return int((field.metadata or {}).get(BITS, 0))


def binary(rows: pa.Table) -> Iterator[bytes]:
    """All of a COPY's data."""
    yield _HEAD
    width = struct.pack(">h", rows.num_columns)
    for start in range(0, len(rows), _AT_ONCE):
        part = rows.slice(start, _AT_ONCE).combine_chunks()
        columns = [_values(field, part[field.name]) for field in rows.schema]
        yield b"".join(width + b"".join(row) for row in zip(*columns))
    yield _END


def with_nul(rows: pa.Table) -> int:
    """How many rows have a character that becomes another."""
    found = pa.array([False] * len(rows))
    for field in rows.schema:
        if field.type == pa.string():
            sought = _JSON_NUL if type_of(field) == "jsonb" else _NUL
            there = pc.match_substring(rows[field.name].combine_chunks(), sought)
            found = pc.or_(found, there.fill_null(False))
    return pc.sum(found).as_py() or 0


def _values(field: pa.Field, column: pa.ChunkedArray) -> Iterator[bytes]:
    """Each value of a column with its length before it."""
    kind = type_of(field)
    if pa.types.is_fixed_size_list(field.type):
        yield from _vectors(column, field)
        return
    for value in column.to_pylist():
        if value is None:
            yield _NULL
            continue
        if kind == "bigint":
            value = value.to_bytes(8, "big", signed=True)
        elif kind == "text":
            value = value.replace(_NUL, _INSTEAD).encode()
        elif kind == "jsonb":
            value = b"\x01" + _storable(value).encode()  # the version of the form
        yield struct.pack(">i", len(value)) + value


def _storable(metadata: str) -> str:
    if _JSON_NUL not in metadata:
        return metadata
    values = {
        name.replace(_NUL, _INSTEAD): value.replace(_NUL, _INSTEAD)
        for name, value in json.loads(metadata).items()
    }
    return json.dumps(values, ensure_ascii=False)


def _vectors(column: pa.ChunkedArray, field: pa.Field) -> Iterator[bytes]:
    """pgvector's form: the dimensions and a zero, then the numbers, high bytes first. Bits are as
    PostgreSQL has them: how many, then the bytes.
    """
    width, bits = field.type.list_size, _bits(field)
    flat = pa.concat_arrays(column.chunks).flatten().to_numpy(zero_copy_only=False)
    numbers = flat.reshape(-1, width)  # [N, D], of bits [N, D / 8]
    if bits:
        head = struct.pack(">ii", 4 + width, bits)
        yield from (head + row.tobytes() for row in numbers)
        return
    ordered = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder(">"))
    head = struct.pack(">ihh", 4 + ordered.itemsize * width, width, 0)
    yield from (head + row.tobytes() for row in ordered)
