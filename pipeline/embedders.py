"""A loaded model, and the vectors that it gives to some documents, made as a run makes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.batches import batch_budget, cut_batches
from corpusvec.transforms.elements import Document, Failure, SentenceVector, TokenVectors, Window
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import load_encoder, tokens_at_once
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import EmptyText, TextTooLong, UnwantedPair, cut_each
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Overflow, WindowPart

_TOGETHER = 256  # documents whose windows are in memory at once
Vectors = tuple[SentenceVector, TokenVectors | None] | Failure
_Parts = list[tuple[int, int, WindowPart | Failure]]  # document, how many windows it has, its part


class LoadedModel:
    """The model of a recipe. `seconds` are those of its calls in `embed`, all streams together."""

    def __init__(self, recipe: Recipe):
        self._recipe, spec = recipe, recipe.spec
        self._tokenizer = load_tokenizer(spec.tokenizer) if spec.tokenizer else None
        self._encoder = load_encoder(spec, recipe.wanted)
        self._at_once = tokens_at_once() if spec.padding else 0
        self._warm = False
        self.seconds = 0.0

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
            batches = self.batches(windows)
            if batches and not self._warm:  # what a first call takes is of the process, not of text
                encode_each(self._encoder, batches[0])
                self._warm = True
            for place, vectors in self.pooled(batches, made):
                found[place] = vectors if isinstance(vectors, Failure) else vectors[0]
        return [found[place] for place in range(len(documents))]

    def cut(self, documents: Sequence[Document]) -> Iterator[list[Window] | Failure]:
        """The windows of each document."""
        waiting = [(document, None) for document in documents]
        plan = self._recipe.windows
        for document, windows in zip(documents, cut_each(waiting, self._tokenizer, plan)):
            try:
                yield list(windows())
            except EmptyText:
                yield failure_of("tokenize", document, "no token of its own")
            except (TextTooLong, UnwantedPair) as error:
                yield failure_of("tokenize", document, str(error))

    def batches(self, windows: Iterable[Window]) -> list[list[Window]]:
        """As a run cuts them."""
        spec = self._recipe.spec
        budget = max(batch_budget(spec), self._at_once)
        return list(cut_batches(windows, budget, spec.padding, spec.longest_padded))

    def pooled(
        self, batches: Sequence[list[Window]], made: DocumentVectors
    ) -> Iterator[tuple[int, Vectors]]:
        """The vectors of documents, which are numbered by their windows' stamps; windows without a
        stamp are company for the others.
        """
        waiting = Gathering()
        with ThreadPoolExecutor(self._encoder.streams) as threads:
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
        found = encode_each(self._encoder, batch)
        seconds = time.perf_counter() - started
        parts: _Parts = []
        for one in found:
            if one.window.stamp is not None:
                part = one.failure or made.part(one)
                parts.append((one.window.stamp, one.window.count, part))
        return parts, seconds


def _finished(whole: list[WindowPart] | Failure, made: DocumentVectors) -> Vectors:
    if isinstance(whole, Failure):
        return whole
    try:
        return made.finish(whole)
    except Overflow as error:
        return failure_of("pool", whole[0].document, str(error))
