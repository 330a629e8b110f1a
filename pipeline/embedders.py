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

from corpusvec.pipeline.settings import Recipe, Settings, takes
from corpusvec.transforms.batches import batch_budget, cut_batches
from corpusvec.transforms.elements import (
    HALVED,
    Document,
    Failure,
    SentenceVector,
    TokenVectors,
    Window,
    to_document,
)
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import load_encoder, tokens_at_once
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.tokens.tokenizers import Tokenizer, load_tokenizer
from corpusvec.transforms.tokens.windows import (
    EMPTY,
    EmptyText,
    TextTooLong,
    UnwantedPair,
    WindowPlan,
    cut_each,
)
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Overflow, WindowPart

_TOGETHER = 256  # documents whose windows are in memory at once
Vectors = tuple[SentenceVector, TokenVectors | None] | Failure
_Parts = list[tuple[int, int, WindowPart | Failure]]  # document, how many windows it has, its part


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
        self._model = LoadedModel(Settings(**settings).resolve())

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
        """The like for each column of `vectors`, by its name."""
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
        self._recipe = recipe
        self.encoder = load_encoder(recipe.spec, recipe.wanted)
        self.at_once = tokens_at_once() if recipe.spec.padding else 0
        self.seconds = 0.0

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        spec = self._recipe.spec.tokenizer
        return load_tokenizer(spec) if spec else None

    def warm_up(self, documents: Sequence[Document]) -> None:
        """Encode a batch of them: what a first call takes is of the process, not of a text."""
        cut = [one for one in self.cut(documents[:_TOGETHER]) if not isinstance(one, Failure)]
        if batches := self.batches([window for one in cut for window in one]):
            encode_each(self.encoder, batches[0])

    def embed(self, documents: Sequence[Document]) -> list[SentenceVector | Failure]:
        """For each document its vectors, without those of tokens, or why there are none.

        Raises `BrokenModel`.
        """
        made = DocumentVectors(replace(self._recipe.vectors, token_layers=()))
        found: dict[int, SentenceVector | Failure] = {}
        for start in range(0, len(documents), _TOGETHER):
            windows: list[Window] = []
            some = documents[start : start + _TOGETHER]
            for place, one in enumerate(self.cut(some), start):
                if isinstance(one, Failure):
                    found[place] = one
                else:
                    windows += [replace(window, stamp=place) for window in one]
            for place, vectors in self.pooled(self.batches(windows), made):
                found[place] = vectors if isinstance(vectors, Failure) else vectors[0]
        return [found[place] for place in range(len(documents))]

    def cut(self, documents: Sequence[Document]) -> Iterator[list[Window] | Failure]:
        """The windows of each document."""
        return cut(documents, self._tokenizer, self._recipe.windows)

    def batches(self, windows: Iterable[Window]) -> list[list[Window]]:
        """As a run cuts them."""
        spec = self._recipe.spec
        budget = max(batch_budget(spec), self.at_once)
        return list(cut_batches(windows, budget, spec.padding, spec.longest_padded))

    def pooled(
        self, batches: Sequence[list[Window]], made: DocumentVectors
    ) -> Iterator[tuple[int, Vectors]]:
        """The vectors of documents, which are numbered by their windows' stamps; windows without a
        stamp are company for the others.
        """
        waiting = Gathering()
        with ThreadPoolExecutor(self.encoder.streams) as threads:
            done = threads.map(lambda batch: self._parts(batch, made), batches)
            for parts, seconds in done:
                self.seconds += seconds
                for place, count, part in parts:
                    whole = waiting.add(place, count, part)
                    if whole is not None:
                        yield place, _finished(whole, made)
        waiting.check_empty()

    def _parts(self, batch: list[Window], made: DocumentVectors) -> tuple[_Parts, float]:
        """Pooled in the same thread: what the layers of all batches hold is too much."""
        started = time.perf_counter()
        found = encode_each(self.encoder, batch)
        seconds = time.perf_counter() - started
        parts: _Parts = []
        for one in found:
            if one.window.stamp is not None:
                part = one.failure or made.part(one)
                parts.append((one.window.stamp, one.window.count, part))
        return parts, seconds


def cut(
    documents: Sequence[Document], tokenizer: Tokenizer | None, plan: WindowPlan
) -> Iterator[list[Window] | Failure]:
    """The windows of each document, or why there are none; `EMPTY` is no fault of the document."""
    waiting = [(document, None) for document in documents]
    for document, windows in zip(documents, cut_each(waiting, tokenizer, plan)):
        try:
            yield list(windows())
        except EmptyText:
            yield failure_of("tokenize", document, EMPTY)
        except (TextTooLong, UnwantedPair) as error:
            yield failure_of("tokenize", document, str(error))


def _finished(whole: list[WindowPart] | Failure, made: DocumentVectors) -> Vectors:
    if isinstance(whole, Failure):
        return whole
    try:
        return made.finish(whole)
    except Overflow as error:
        return failure_of("pool", whole[0].document, str(error))
