"""Ranges for int8 vectors, before a run: those of earlier snapshots, so that all snapshots of an
output have the same; otherwise they are measured on documents of the input.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.columns import Documents
from corpusvec.transforms.documents.formats import Reading, reader_for
from corpusvec.transforms.documents.inputs import InputFile, open_input
from corpusvec.transforms.elements import Document, SentenceVector
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.recipes import differences
from corpusvec.transforms.specs import Ranges
from corpusvec.transforms.tokens.chunks import ChunkPlan, cut_chunks
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.vectors.quantizations import quantization_in, ranges_of

_DOCUMENTS = 1000
FEW = 100  # sentence-transformers warns of fewer
_MOST_SNAPSHOTS = 10  # whose manifests are read


def settled(
    recipe: Recipe,
    outputs: Sequence[Output],
    files: Sequence[InputFile],
    reading: Reading,
    limit: int | None,
    chunks: ChunkPlan | None = None,
) -> Recipe:
    """The recipe with its ranges; `outputs` are those whose rows the run may reuse. Raises as
    `measured_ranges` does.
    """
    if not recipe.lacks_ranges:
        return recipe
    if ranges := _earlier(outputs, recipe.describe(reading.markup)):
        return recipe.with_ranges(ranges)
    ranges, note = measured_ranges(recipe, files, reading, limit, chunks)
    return replace(recipe.with_ranges(ranges), notes=(*recipe.notes, note))


def _earlier(outputs: Sequence[Output], run: Mapping[str, Any]) -> dict[str, Ranges] | None:
    """The ranges of the first output that has a snapshot of this recipe: of its published snapshot,
    else of the newest one. `run` describes the recipe without ranges.
    """
    asked = json.loads(json.dumps(run))
    for output in outputs:
        newest = output.snapshot_ids()[: -_MOST_SNAPSHOTS - 1 : -1]
        for one in (output.latest, *newest):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                made = output.manifest(one or "")["run"]
                if {*differences(made, asked | {"quantization": None})} <= {"quantization"}:
                    stored = {name: quantization_in(made, name) for name in made["quantization"]}
                    return {name: how.ranges for name, how in stored.items() if how and how.ranges}
    return None


def measured_ranges(
    recipe: Recipe,
    files: Sequence[InputFile],
    reading: Reading,
    limit: int | None,
    chunks: ChunkPlan | None = None,
) -> tuple[dict[str, Ranges], str]:
    """The ranges of a sample of the input, and a note about them. Raises `ValueError` if the sample
    is too small, `BrokenModel` if the model fails on everything.
    """
    documents = _sample(files, reading, limit)
    if chunks and recipe.spec.tokenizer:
        tokenizer = load_tokenizer(recipe.spec.tokenizer)
        cut = cut_chunks(Documents.of(documents), tokenizer, chunks).documents
        documents = [cut[at] for at in _evenly(len(cut), _DOCUMENTS)]
    rows = LoadedModel(recipe.in_float32()).embed(documents) if documents else []
    made = [row.vectors for row in rows if isinstance(row, SentenceVector)]
    # Of vectors that are all alike the ranges have no width, and all others would be one vector.
    if (n := len({b"".join(one[name].tobytes() for name in one) for one in made})) < 2:
        raise ValueError(
            "--vector_dtype=int8: ranges are measured on two different vectors at least, and the"
            f" first records of the input have {n}; give ranges with --vector_ranges"
        )
    note = f"--vector_dtype=int8: ranges measured on {len(made):,} documents"
    if len(made) < FEW:
        note += f"; those of {FEW} or more hold better for others"
    return {name: ranges_of(np.stack([one[name] for one in made])) for name in made[0]}, note


def _sample(files: Sequence[InputFile], reading: Reading, limit: int | None) -> list[Document]:
    """The first documents of files from all over the input, the same number from each file; with a
    limit only documents within it.
    """
    if limit is not None:
        records = (document for file in files for document in _documents(file, reading))
        return list(islice(records, min(limit, _DOCUMENTS)))
    chosen = [files[at] for at in _evenly(len(files), _DOCUMENTS)]
    quota = -(-_DOCUMENTS // len(chosen))
    while True:
        found = [list(islice(_documents(file, reading), quota)) for file in chosen]
        if sum(map(len, found)) >= _DOCUMENTS or all(len(some) < quota for some in found):
            break
        quota *= 2
    every = [document for some in found for document in some]
    return [every[at] for at in _evenly(len(every), _DOCUMENTS)]


def _evenly(length: int, count: int) -> list[int]:
    """`count` evenly spaced places among `length`, or all."""
    return (
        [place * length // count for place in range(count)] if length > count else [*range(length)]
    )


def _documents(file: InputFile, reading: Reading) -> Iterator[Document]:
    read = reader_for(file.path, reading)
    with closing(read(lambda: open_input(file.opened), file.path, file.name)) as records:  # type: ignore[type-var]
        for some in records:
            yield from some.documents
