"""Bytes of token vectors, ours and those of the program that BERT came with; and the time that it
takes to write and read ours.
"""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpora, observed
from benchmarks.plans import Plan
from benchmarks.rows import Row, at_most
from corpusvec.transforms.snapshots.schemas import BYTE_STREAM_SPLIT, PLAIN, parquet_options

_TEXTS = 200
_LAYERS = (-1, -2, -3, -4)
_MOST = {"float32": 0.40, "float16": 0.20}
_ENCODINGS = (PLAIN, BYTE_STREAM_SPLIT)
_TIMES = 5


def measure(plan: Plan) -> list[Row]:
    """Four layers of the same texts, in both types that we write, and each in both encodings."""
    source = corpora.make(plan.model, plan.scaled(_TEXTS)).write_lines(plan.folder / "sizes.txt")
    layers = ",".join(map(str, _LAYERS))
    tables = {}
    for dtype in _MOST:
        output = plan.folder / f"sizes-{dtype}"
        observed.embed(plan.model, source, output, f"--layers={layers}", f"--vector_dtype={dtype}")
        tables[dtype] = sorted(output.glob("snapshots/*/tokens/*.parquet"))
    theirs = sum(len(line) for file in tables["float32"] for line in json_lines(file))
    return [
        row
        for dtype, files in tables.items()
        for encoding in _ENCODINGS
        for row in _stored(pq.read_table(files), dtype, encoding, theirs)
    ]


def _stored(table: pa.Table, dtype: str, encoding: str, theirs: int) -> Iterator[Row]:
    """Of one type in one encoding: its bytes against `theirs`, and its time."""
    file = io.BytesIO()

    def write() -> None:
        file.seek(0)
        pq.write_table(table, file, **parquet_options(table.schema, encoding))

    written = _seconds(write)
    read = _seconds(lambda: pq.read_table(io.BytesIO(file.getvalue()), use_threads=False))
    size, each = len(file.getvalue()), 1e6 / len(table) / len(_LAYERS)
    yield at_most(
        f"bytes of token vectors, {dtype}, {encoding} ÷ JSON of the same values",
        f"{size / theirs:.3f} ({size / 1e6:,.1f} ÷ {theirs / 1e6:,.1f} MB)",
        size / theirs,
        _MOST[dtype],
    )
    figure = f"{written * each:.1f} and {read * each:.1f} µs"
    yield Row(f"a token's vector of one layer, {dtype}, {encoding}, to write and to read", figure)


def _seconds(work: Callable[[], object]) -> float:
    """Of one core, the least of some times."""
    taken = []
    for _ in range(_TIMES):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def json_lines(file: Path, layers: Sequence[int] = _LAYERS) -> Iterator[str]:
    """A token table as the original writes it, a line with its end for each document.

    Source: google-research/bert, extract_features.py, main.
    """
    documents = itertools.groupby(_tokens(file, layers), key=lambda row: row["id"])
    for number, (_, rows) in enumerate(documents):
        features = [{"token": row["token"], "layers": _values(row, layers)} for row in rows]
        yield json.dumps({"linex_index": number, "features": features}) + "\n"


def _values(row: dict[str, Any], layers: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"index": layer, "values": [round(value, 6) for value in row[f"layer@{layer}"]]}
        for layer in layers
    ]


def _tokens(file: Path, layers: Sequence[int]) -> Iterator[dict[str, Any]]:
    columns = ["id", "token", *(f"layer@{layer}" for layer in layers)]
    for batch in pq.ParquetFile(file).iter_batches(batch_size=256, columns=columns):
        yield from batch.to_pylist()
