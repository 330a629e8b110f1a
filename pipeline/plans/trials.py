"""A part of a run, tried for a few seconds: some windows encoded as a run does it, their vectors
pooled and stored, to nowhere.
"""

from __future__ import annotations

import io
import itertools
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.plans.samples import Clock
from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.elements import Document, Encoded, SentenceVector, TokenVectors, Window
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.snapshots.schemas import (
    PLAIN,
    parquet_options,
    sentence_table,
    token_table,
)
from corpusvec.transforms.vectors.documents import DocumentVectors, Overflow, VectorPlan

_SECONDS, _FIRST_SECONDS = 5.0, 1.0
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
    `size` of them in `seconds`. `texts` is of a document without vectors, `vectors` of a window's,
    `tokens` of a token with its own.
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


def try_out(recipe: Recipe, windows: Sequence[Window], encoding: str = PLAIN) -> Speeds:
    """`encoding` is that of the vectors in files.

    Raises `BrokenModel` where the model fails on everything, `ValueError` where it gives none of
    these windows a vector.
    """
    chosen = _within_size(windows)
    started = time.perf_counter()
    model = LoadedModel(recipe)
    loaded = time.perf_counter() - started
    encoder, batches = model.encoder, model.batches(chosen)
    random.Random(0).shuffle(batches)
    with ThreadPoolExecutor(encoder.streams) as threads:
        first, encoded = _warm_up(encoder, batches, threads)
        vectors, tokens = _stored(recipe.vectors, encoded, encoding)
        rate, size, seconds = _rate(encoder, batches, threads)
    usual = sum(window.size for window in batches[0]) * encoder.streams / rate
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
    )


def _within_size(windows: Sequence[Window]) -> list[Window]:
    """As many as a run sorts at once; a window at least."""
    sizes = itertools.accumulate(window.size for window in windows)
    few = sum(1 for _ in itertools.takewhile(lambda size: size <= _SIZE, sizes))
    return list(windows[: max(1, few)])


def _warm_up(
    encoder: Encoder, batches: Sequence[list[Window]], threads: ThreadPoolExecutor
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
    encoder: Encoder, batches: Sequence[list[Window]], threads: ThreadPoolExecutor
) -> tuple[float, int, float]:
    """Tokens a second of all streams together, each until the time is over or nothing is left; the
    tokens, and the seconds.
    """
    work = iter([*batches] * _ROUNDS)
    started = time.perf_counter()

    def stream(_: int) -> tuple[int, float]:
        size = 0
        while time.perf_counter() - started < _SECONDS and (batch := next(work, None)):
            encode_each(encoder, batch)
            size += sum(window.size for window in batch)
        return size, time.perf_counter() - started

    done = list(threads.map(stream, range(encoder.streams)))
    rate = sum(size / seconds for size, seconds in done)
    return rate, sum(size for size, _ in done), max(seconds for _, seconds in done)


def _stored(plan: VectorPlan, encoded: Sequence[Encoded], encoding: str) -> tuple[Stored, Stored]:
    """Of a window's vectors and of a token's, each window as if it were a document without a
    text.
    """
    vectors, clock = DocumentVectors(plan), Clock()
    sentences: list[SentenceVector] = []
    tokens: list[TokenVectors] = []
    for one in encoded:
        if one.failure is not None:
            continue
        nameless = replace(one.window.document, text="", pair=None, metadata={})
        window = replace(one.window, document=nameless, index=0, count=1)
        with clock.running():
            try:
                sentence, own = vectors.finish([vectors.part(replace(one, window=window))])
            except Overflow:
                continue
        sentences.append(sentence)
        tokens += [] if own is None else [own]
    if not sentences:
        raise ValueError("--model: gave no vector to any document of the sample; see `embed`")
    pooling = clock.cpu / len(sentences)
    names = list(sentences[0].vectors)
    kept = _kept(lambda: sentence_table(sentences).select(names), len(sentences), encoding)
    of_window = Stored(kept.bytes, kept.seconds + pooling)
    if not tokens:
        return of_window, Stored(0, 0)
    rows = sum(len(own.tokens) for own in tokens)
    return of_window, _kept(lambda: token_table(tokens), rows, encoding)


def _texts(windows: Sequence[Window]) -> Stored:
    """Of a document without vectors; those of first windows are each as likely as any other."""
    documents = [window.document for window in windows if window.index == 0]
    rows = [_without_vectors(document) for document in documents or [windows[0].document]]
    return _kept(lambda: sentence_table(rows), len(rows))


def _without_vectors(document: Document) -> SentenceVector:
    return SentenceVector(document, {}, n_tokens=0, n_windows=1, n_dropped=0, n_unknown=0)


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
