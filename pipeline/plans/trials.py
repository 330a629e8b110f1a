"""A part of a run, tried for a few seconds: some windows encoded as a run does it, their vectors
pooled and stored, to nowhere.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.plans.samples import Clock
from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.columns import Documents, Encoded, Sentences, Windows
from corpusvec.transforms.elements import Document
from corpusvec.transforms.measures.clocks import peak_memory
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.snapshots.schemas import (
    PLAIN,
    parquet_options,
    sentence_table,
    token_table,
)
from corpusvec.transforms.specs import VectorPlan
from corpusvec.transforms.vectors.documents import DocumentVectors

_SECONDS, _FIRST_SECONDS, _OTHER_SECONDS = 5.0, 1.0, 2.0
_CHOICES = ("float32", "bfloat16")  # of a processor
_SIZE = 1 << 18  # of all windows: what a run sorts at once
_ROUNDS = 3  # of all batches, where there are few


@dataclass(frozen=True, slots=True)
class Stored:
    """What it takes to make rows of a table, and to store them: bytes, and seconds of one thread,
    for each of them.
    """

    bytes: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """What the machine does: in `start` seconds it loads the model and encodes a first batch, and
    then `rate` tokens a second (bytes, where the model takes strings), all its streams busy, by
    `size` of them in `seconds`, with at most `memory` bytes. `texts` is of a document without
    vectors, `vectors` of a window's, `tokens` of a token with its own. `by_precision` has the rates
    of the number types among which the processor leaves a choice.
    """

    start: float
    rate: float
    size: int
    seconds: float
    streams: int
    gpu: bool
    texts: Stored
    vectors: Stored
    tokens: Stored
    memory: int
    by_precision: Mapping[str, float]


def try_out(recipe: Recipe, windows: Windows, encoding: str = PLAIN) -> Speeds:
    """`encoding` is that of the vectors in files.

    Raises `BrokenModel` where the model fails on everything, `ValueError` where it gives none of
    these windows a vector.
    """
    chosen = _within_size(windows)
    started = time.perf_counter()
    model = LoadedModel(recipe)
    loaded = time.perf_counter() - started
    encoder, batches = model.encoder, _shuffled(model, chosen)
    with ThreadPoolExecutor(encoder.streams) as threads:
        first, encoded = _warm_up(encoder, batches, threads)
        vectors, tokens = _stored(recipe.vectors, encoded, encoding)
        rate, size, seconds = _rate(encoder, batches, threads, _SECONDS)
    usual = int(batches[0].sizes.sum()) * encoder.streams / rate
    memory = peak_memory()  # before there is a second model
    return Speeds(
        start=loaded + max(0.0, first - usual),
        rate=rate,
        size=size,
        seconds=seconds,
        streams=encoder.streams,
        gpu=bool(model.at_once),
        texts=_texts(chosen),
        vectors=vectors,
        tokens=tokens,
        memory=memory,
        by_precision=_other_precisions(recipe, chosen, rate),
    )


def _shuffled(model: LoadedModel, windows: Windows) -> list[Windows]:
    batches = model.batches(windows)
    random.Random(0).shuffle(batches)
    return batches


def _other_precisions(recipe: Recipe, windows: Windows, rate: float) -> dict[str, float]:
    """The rates with float32 and with bfloat16, where the processor has that; with the recipe's it
    is known.
    """
    asked = recipe.wanted.precision
    if recipe.spec.kind == "static" or asked not in _CHOICES or not _has_choice():
        return {}
    rates = {asked: rate}
    for other in _CHOICES:
        if other not in rates:
            wanted = replace(recipe.wanted, precision=other)
            model = LoadedModel(replace(recipe, wanted=wanted))
            batches = _shuffled(model, windows)
            with ThreadPoolExecutor(model.encoder.streams) as threads:
                _warm_up(model.encoder, batches, threads)
                rates[other], _, _ = _rate(model.encoder, batches, threads, _OTHER_SECONDS)
    return rates


def _has_choice() -> bool:
    from corpusvec.transforms.models.hardware import may_gain_by_bfloat16

    return may_gain_by_bfloat16()


def _within_size(windows: Windows) -> Windows:
    """As many as a run sorts at once; a window at least."""
    few = int(np.searchsorted(np.cumsum(windows.sizes), _SIZE, side="right"))
    return windows.take(slice(max(1, few)))


def _warm_up(
    encoder: Encoder, batches: Sequence[Windows], threads: ThreadPoolExecutor
) -> tuple[float, list[Encoded]]:
    """Seconds of the first batch, and what came out of it and of those that a second allows; each
    stream has had one then, if there are so many.
    """
    started = time.perf_counter()
    encoded = encode_each(encoder, batches[0])
    first = time.perf_counter() - started
    for at in range(1, len(batches), encoder.streams):
        few = batches[at : at + encoder.streams]
        for found in threads.map(lambda batch: encode_each(encoder, batch), few):
            encoded += found
        if time.perf_counter() - started - first > _FIRST_SECONDS:
            break
    return first, encoded


def _rate(
    encoder: Encoder, batches: Sequence[Windows], threads: ThreadPoolExecutor, most: float
) -> tuple[float, int, float]:
    """Tokens a second of all streams together, each until the time is over or nothing is left; the
    tokens, and the seconds.
    """
    work = iter([*batches] * _ROUNDS)
    started = time.perf_counter()

    def stream(_: int) -> tuple[int, float]:
        size = 0
        while time.perf_counter() - started < most and (batch := next(work, None)):
            encode_each(encoder, batch)
            size += int(batch.sizes.sum())
        return size, time.perf_counter() - started

    done = list(threads.map(stream, range(encoder.streams)))
    rate = sum(size / seconds for size, seconds in done)
    return rate, sum(size for size, _ in done), max(seconds for _, seconds in done)


def _stored(plan: VectorPlan, encoded: Sequence[Encoded], encoding: str) -> tuple[Stored, Stored]:
    """Of a window's vectors and of a token's, each window as if it were a document without a
    text.
    """
    vectors, clock, made = DocumentVectors(plan), Clock(), []
    for one in map(_nameless, encoded):
        with clock.running():
            parts = vectors.parts(one)
            good = [row for row in range(len(one)) if row not in one.failures]
            if good:
                made.append(vectors.finish(parts.take(np.array(good))))
    made = [one for one in made if len(one.sentences)]
    rows = sum(len(one.sentences) for one in made)
    if not rows:
        raise ValueError("--model: gave no vector to any document of the sample; see `embed`")
    names = list(made[0].sentences.vectors)

    def sentences() -> pa.Table:
        return pa.concat_tables(sentence_table(one.sentences).select(names) for one in made)

    kept = _kept(sentences, rows, encoding)
    of_window = Stored(kept.bytes, kept.seconds + clock.cpu / rows)
    tokens = [one.tokens for one in made if one.tokens is not None]
    if not tokens:
        return of_window, Stored(0, 0)
    n = sum(len(own.segments) for own in tokens)
    return of_window, _kept(lambda: pa.concat_tables(map(token_table, tokens)), n, encoding)


def _nameless(encoded: Encoded) -> Encoded:
    """Each window as a document of its own, without a text."""
    windows, owners = encoded.windows, encoded.windows.owners
    ids = [windows.documents.ids[at] for at in owners.tolist()]
    whole = replace(
        windows,
        documents=Documents.of([Document(one, "") for one in ids]),
        unknown=None if windows.unknown is None else windows.unknown[owners],
        dropped=windows.dropped[owners],
        skipped=windows.skipped[owners],
        texts=windows.texts and [windows.texts[at] for at in owners.tolist()],
        owners=np.arange(len(windows)),
        indices=np.zeros_like(owners),
        counts=np.ones_like(owners),
    )
    return replace(encoded, windows=whole)


def _texts(windows: Windows) -> Stored:
    """Of a document without vectors; those of first windows are each as likely as any other."""
    first = windows.owners[windows.indices == 0]
    documents = windows.documents.take(first if len(first) else windows.owners[:1])
    none = np.zeros(len(documents), np.int64)
    rows = Sentences(documents, {}, none, none + 1, none, none)
    return _kept(lambda: sentence_table(rows), len(rows))


def _kept(make: Callable[[], pa.Table], rows: int, encoding: str = PLAIN) -> Stored:
    """A table's columns as they are in a file, without what the file has once."""
    clock, stream = Clock(), io.BytesIO()
    with clock.running():
        table = make()
        pq.write_table(table, stream, **parquet_options(table.schema, encoding))
    groups = pq.ParquetFile(stream).metadata
    size = sum(
        groups.row_group(group).column(column).total_compressed_size
        for group in range(groups.num_row_groups)
        for column in range(groups.num_columns)
    )
    return Stored(size / rows, clock.cpu / rows)
