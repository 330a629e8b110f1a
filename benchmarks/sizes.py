"""Bytes of token vectors, ours and those of the program that BERT came with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import corpora, observed
from benchmarks.plans import Plan
from benchmarks.rows import Row, at_most

_TEXTS = 200
_LAYERS = (-1, -2, -3, -4)
_MOST = {"float32": 0.40, "float16": 0.20}


def measure(plan: Plan) -> list[Row]:
    """Four layers of the same texts, in both types that we write."""
    source = corpora.make(plan.model, plan.scaled(_TEXTS)).write_lines(plan.folder / "sizes.txt")
    ours, theirs = {}, 0
    for dtype in _MOST:
        output = plan.folder / f"sizes-{dtype}"
        layers = ",".join(map(str, _LAYERS))
        observed.embed(plan.model, source, output, f"--layers={layers}", f"--vector_dtype={dtype}")
        files = sorted(output.glob("snapshots/*/tokens/*.parquet"))
        ours[dtype] = sum(file.stat().st_size for file in files)
        if dtype == "float32":
            theirs = sum(len(line) for file in files for line in json_lines(file))
    return [
        at_most(
            f"bytes of token vectors, {dtype} ÷ JSON of the same values",
            f"{ours[dtype] / theirs:.3f} ({ours[dtype] / 1e6:,.1f} ÷ {theirs / 1e6:,.1f} MB)",
            ours[dtype] / theirs,
            most,
        )
        for dtype, most in _MOST.items()
    ]


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
