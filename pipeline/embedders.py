"""Texts -> vectors without Beam, made as a run makes them: for programs of one's own, and for
commands that look at some documents.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from corpusvec.pipeline.settings import Recipe, Settings, complete, takes
from corpusvec.transforms.batches import batch_budget, cut_batches
from corpusvec.transforms.columns import Documents, Windows
from corpusvec.transforms.elements import (
    HALVED,
    Document,
    Failure,
    SentenceVector,
    TokenVectors,
    to_document,
)
from corpusvec.transforms.models.capacities import THIS_PROCESS
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import load_encoder
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.tokens.tokenizers import Tokenizer, load_tokenizer
from corpusvec.transforms.tokens.windows import EMPTY, Cut, cut
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Parts

_TOGETHER = 256  # documents whose windows are in memory at once
Vectors = tuple[SentenceVector, TokenVectors | None] | Failure


class Embedder:
    """Texts -> vectors, in this process and without Beam. Making an embedder loads the model, once.

    Settings are those of `corpusvec.Embed` and of `corpusvec embed`, and a text gets the vectors
    that it has there. So a question finds the texts of a corpus that lie nearest to it:

        import numpy as np
        import pyarrow.parquet as pq
        from pathlib import Path

        output = Path("out")
        snapshot = output / "snapshots" / (output / "LATEST").read_text().strip()
        corpus = pq.read_table(snapshot / "sentences", columns=["id", "vector"])
        vectors = np.array(corpus["vector"].to_pylist())  # [N, D]

        embedder = corpusvec.Embedder(model="models/all-MiniLM-L6-v2")
        question = embedder.embed(["When are tomatoes ripe?"])[0]  # [D]
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(question)
        cosines = vectors @ question / lengths
        print(corpus["id"][int(cosines.argmax())])

    A model with a prompt for questions gets it by its name: `Embedder(model=…, prompt="query")`.
    One embedder may be called from several threads.

    Raises `ValueError`, when it is made, for settings that the model cannot meet.
    """

    @takes(Settings)
    def __init__(self, **settings: Any):
        if (layers := settings.get("layers")) is not None:
            raise ValueError(
                f"layers={layers!r}: an Embedder gives no vectors of tokens; corpusvec.Embed does"
            )
        self._model = LoadedModel(complete(Settings(**settings).resolve()))

    def embed(self, texts: Iterable[str | tuple[str, str] | Document]) -> np.ndarray:
        """The vectors of strings, `(id, text)` or `Document`s: [N, D], in the order of the texts.

        Raises `ValueError` for a text that gets no vector, and says which: a blank one has no
        tokens. With several columns in `vectors` see `embed_columns`.
        """
        columns = self.embed_columns(texts)
        if len(columns) > 1:
            raise ValueError(
                f"embed: gives one column, and there are {', '.join(columns)}; call embed_columns"
            )
        return next(iter(columns.values()))

    def embed_columns(
        self, texts: Iterable[str | tuple[str, str] | Document]
    ) -> dict[str, np.ndarray]:
        """As `embed`, for each column of `vectors` by its name."""
        if isinstance(texts, str):
            raise TypeError(f"texts is a string; for one text, give a list of it: [{texts!r:.40}]")
        documents = [to_document(text) for text in texts]
        for place, document in enumerate(documents):
            if not document.is_unicode:
                raise _refused(place, document, HALVED)
        found = []
        rows = self._model.embed(documents or [to_document("a")])  # no text at all has a width too
        for place, row in enumerate(rows):
            if isinstance(row, Failure):
                raise _refused(place, documents[place], row.error)
            found.append(row.vectors)
        return {
            name: np.stack([vectors[name] for vectors in found])[: len(documents)]
            for name in found[0]
        }


def _refused(place: int, document: Document, error: str) -> ValueError:
    return ValueError(f"texts[{place}], {document.text!r:.60}: {error}")


class LoadedModel:
    """The model of a recipe. `seconds` are those of its calls in `embed`, all streams together."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.encoder = load_encoder(recipe.spec, recipe.wanted)
        self.at_once = THIS_PROCESS.tokens if recipe.spec.padding else 0
        self.seconds = 0.0

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        spec = self.recipe.spec.tokenizer
        return load_tokenizer(spec) if spec else None

    def warm_up(self, documents: Sequence[Document]) -> None:
        """Encode a batch of them: what a first call takes is of the process, not of a text."""
        if batches := self.batches(self.cut(documents[:_TOGETHER]).windows):
            encode_each(self.encoder, batches[0])

    def embed(self, documents: Sequence[Document]) -> list[SentenceVector | Failure]:
        """For each document its vectors, without those of tokens, or why there are none.

        Raises `BrokenModel`.
        """
        made = DocumentVectors(replace(self.recipe.vectors, token_layers=()))
        found: dict[int, SentenceVector | Failure] = {}
        for start in range(0, len(documents), _TOGETHER):
            cut = self.cut(documents[start : start + _TOGETHER])
            for row, failure in without_windows(cut):
                found[start + row] = failure
            for row, vectors in self.pooled(self.batches(cut.windows), made):
                found[start + row] = vectors if isinstance(vectors, Failure) else vectors[0]
        return [found[place] for place in range(len(documents))]

    def cut(self, documents: Sequence[Document]) -> Cut:
        """The windows of documents."""
        return cut(Documents.of(documents), self._tokenizer, self.recipe.windows)

    def batches(self, windows: Windows) -> list[Windows]:
        """As a run cuts them."""
        spec = self.recipe.spec
        budget = max(batch_budget(spec), self.at_once)
        few = THIS_PROCESS.few_shapes
        return list(cut_batches(windows, budget, spec.padding, spec.longest_padded, few))

    def pooled(
        self, batches: Sequence[Windows], made: DocumentVectors, company: int = 0
    ) -> Iterator[tuple[int, Vectors]]:
        """The vectors of documents, by their rows. The last `company` windows of each batch are
        there for the others.
        """
        waiting = Gathering()
        with ThreadPoolExecutor(self.encoder.streams) as threads:
            done = threads.map(lambda batch: self._parts(batch, made, company), batches)
            for parts, seconds in done:
                self.seconds += seconds
                for some in parts:
                    yield from _finished(*waiting.add(some), made)
        waiting.check_empty()

    def _parts(
        self, batch: Windows, made: DocumentVectors, company: int
    ) -> tuple[list[Parts], float]:
        """Pooled in the same thread: what the layers of all batches hold is too much."""
        started = time.perf_counter()
        found = encode_each(self.encoder, batch)
        seconds = time.perf_counter() - started
        parts = [made.parts(encoded) for encoded in found]
        return _first(parts, len(batch) - company) if company else parts, seconds


def _first(parts: Sequence[Parts], n: int) -> list[Parts]:
    """Those of the first `n` windows."""
    found = []
    for some in parts:
        found.append(some.take(np.arange(min(n, len(some.windows)))))
        n -= len(found[-1].windows)
    return [some for some in found if len(some.windows)]


def without_windows(found: Cut) -> list[tuple[int, Failure]]:
    """Documents without any, by their rows, and why; `EMPTY` is no fault of the document."""
    why = [*((row, EMPTY) for row in found.empty), *found.refused]
    documents = found.windows.documents
    return [(row, failure_of("tokenize", documents[row], error)) for row, error in why]


def _finished(
    whole: Parts | None, failures: Sequence[tuple[int, Failure]], made: DocumentVectors
) -> Iterator[tuple[int, Vectors]]:
    yield from failures
    if whole is None:
        return
    windows = whole.windows
    owners = windows.owners[windows.indices == 0].tolist()
    found = made.finish(whole)
    for row, error in found.failures.items():
        yield owners[row], failure_of("pool", found.documents[row], error)
    good = [owner for row, owner in enumerate(owners) if row not in found.failures]
    tokens = [None] * len(good) if found.tokens is None else found.tokens
    yield from zip(good, zip(found.sentences, tokens))
