"""list[Window] -> Encoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.utils.shared import Shared

from transforms import metrics
from transforms.batches import padded_length
from transforms.elements import Encoded, Window
from transforms.encoders import Encoder, load_encoder, tokens_at_once
from transforms.encoders.isolation import encode_each
from transforms.origins import Origin, here
from transforms.specs import ModelSpec, Wanted
from transforms.stamps import stamped


@dataclass(kw_only=True, eq=False)
class Encode(beam.PTransform):
    """`PCollection[list[Window]]` -> `PCollection[Encoded]`, one for each window. The model is
    loaded once a process.
    """

    model: ModelSpec
    wanted: Wanted
    origin: Origin | None = None

    def expand(self, batches):
        return batches | beam.ParDo(_EncodeFn(self.model, self.wanted, self.origin))


class _Loaded:
    """A model and the threads that call it. A class of its own because Beam shares it by weak
    reference.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.threads = ThreadPoolExecutor(encoder.streams, thread_name_prefix="encode")


class _EncodeFn(beam.DoFn):
    """Keeps several batches in flight, whatever the runner does with threads: while they are
    encoded, this thread tokenizes what comes next and writes what is done.
    """

    def __init__(self, model: ModelSpec, wanted: Wanted, origin: Origin | None):
        self._model, self._wanted, self._origin = model, wanted, origin
        self._shared = Shared()

    def setup(self):
        self._loaded = self._shared.acquire(self._load)
        self._limit = 2 * self._loaded.encoder.streams + 1
        self._size = tokens_at_once() if self._model.padding else 0

    def _load(self) -> _Loaded:
        started = time.monotonic()
        loaded = _Loaded(load_encoder(here(self._model, self._origin), self._wanted))
        metrics.count("models")
        metrics.count("model_load_ms", int(1000 * (time.monotonic() - started)))
        return loaded

    def start_bundle(self):
        self._in_flight: deque[Future[list[Encoded]]] = deque()
        self._together: list[Window] = []

    def process(self, batch: list[Window]):
        if self._together and self._padded(self._together + batch) > self._size:
            yield from self._submit()
        self._together += batch
        if self._padded(self._together) >= self._size:
            yield from self._submit()

    def finish_bundle(self):
        if self._together:
            yield from self._submit()
        while self._in_flight:
            yield from self._oldest()

    def _submit(self) -> Iterator:
        batch, self._together = self._together, []
        metrics.count("batches")
        metrics.count("padded_tokens", self._padded(batch))
        loaded = self._loaded
        self._in_flight.append(loaded.threads.submit(encode_each, loaded.encoder, batch))
        if len(self._in_flight) > self._limit:
            yield from self._oldest()

    def _oldest(self) -> Iterator:
        found = self._in_flight.popleft().result()
        metrics.count("texts", sum(not len(encoded.window) for encoded in found))
        metrics.count("encoded_tokens", sum(encoded.window.size for encoded in found))
        for encoded in found:
            yield stamped(encoded, encoded.window.stamp)

    def _padded(self, batch: list[Window]) -> int:
        return len(batch) * padded_length(batch, self._model.longest_padded)
