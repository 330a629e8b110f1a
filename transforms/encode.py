"""Windows -> Parts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.utils.shared import Shared

from corpusvec.transforms.batches import padded_length, padded_rows
from corpusvec.transforms.columns import Windows
from corpusvec.transforms.elements import Count
from corpusvec.transforms.measures import counters, names
from corpusvec.transforms.measures.beam_times import Stamp, stamp_of, stamped
from corpusvec.transforms.measures.clocks import peak_memory
from corpusvec.transforms.models.capacities import THIS_PROCESS
from corpusvec.transforms.models.devices import say_if_slower
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import Encoder, load_encoder
from corpusvec.transforms.models.placements import Origin, on_this_machine
from corpusvec.transforms.specs import ModelSpec, VectorPlan, Wanted
from corpusvec.transforms.vectors.documents import DocumentVectors, Parts, joined_parts

_BYTES = 2 << 20  # of vectors that are given out at once
_SECONDS = 1.0  # that what is done waits for more: a run whose model is slow may end early


@dataclass(kw_only=True, eq=False)
class Encode(beam.PTransform):
    """`PCollection[Windows]`, batches of like length -> `parts`, what documents need of each
    window by the `plan`, and `counts`: of the models loaded (once a process) and the milliseconds
    it took; of batches, what they held with padding and without, and the milliseconds of encoding
    them, all streams together; of the memory of the process.
    """

    model: ModelSpec
    wanted: Wanted
    plan: VectorPlan
    origin: Origin | None = None

    def expand(self, batches):
        encode = _EncodeFn(self.model, self.wanted, self.plan, self.origin)
        return batches | beam.ParDo(encode).with_outputs("counts", main="parts")


class _Loaded:
    """A model and the threads that call it. A class of its own because Beam shares it by weak
    reference.
    """

    def __init__(self, encoder: Encoder, vectors: DocumentVectors, milliseconds: int):
        self.encoder, self.vectors = encoder, vectors
        self.threads = ThreadPoolExecutor(encoder.streams, thread_name_prefix="encode")
        self._loads = [milliseconds]

    def loads(self) -> list[int]:
        """Milliseconds of loading that no bundle has counted yet."""
        loads, self._loads = self._loads, []
        return loads

    def encode(self, batch: Windows) -> tuple[list[Parts], float]:
        """What documents need of it, pooled here: what layers of all tokens hold is too much to
        wait. And the seconds of the model.
        """
        started = time.monotonic()
        found = encode_each(self.encoder, batch)
        seconds = time.monotonic() - started
        return [self.vectors.parts(encoded) for encoded in found], seconds


class _EncodeFn(beam.DoFn):
    """Keeps several batches in flight, whatever the runner does with threads: while they are
    encoded, this thread sorts what comes next and writes what is done.
    """

    def __init__(self, model: ModelSpec, wanted: Wanted, plan: VectorPlan, origin: Origin | None):
        self._model, self._wanted, self._plan, self._origin = model, wanted, plan, origin
        self._shared = Shared()

    def setup(self):
        self._loaded: _Loaded | None = None

    def _ready(self) -> _Loaded:
        """The model, loaded when the first batch comes: a run may have nothing to encode."""
        loaded = self._shared.acquire(self._load)
        self._limit = 2 * loaded.encoder.streams + 1
        return loaded

    def _load(self) -> _Loaded:
        started = time.monotonic()
        encoder = load_encoder(on_this_machine(self._model, self._origin), self._wanted)
        seconds = time.monotonic() - started
        say_if_slower(self._wanted.precision)
        vectors = DocumentVectors(on_this_machine(self._plan, self._origin))
        return _Loaded(encoder, vectors, int(1000 * seconds))

    def start_bundle(self):
        self._done: list[Parts] = []
        self._held = 0  # bytes of them
        self._since = 0.0  # when the first of them came
        self._tally = counters.Tally()
        self._seconds = 0.0
        self._stamp: Stamp | None = None  # of any window of the bundle: counts go where it does
        self._in_flight: deque[tuple[Windows, Future[tuple[list[Parts], float]]]] = deque()

    def process(self, batch: Windows):
        loaded = self._loaded = self._loaded or self._ready()
        for milliseconds in loaded.loads():
            self._tally.count(names.MODELS)
            self._tally.count(names.MODEL_LOAD_MS, milliseconds)
        self._tally.count(names.BATCHES)
        if self._model.tokenizer:
            few = THIS_PROCESS.few_shapes
            length = padded_length(batch, self._model.longest_padded, few)
            self._tally.count(names.PADDED_TOKENS, padded_rows(batch, few) * length)
        self._in_flight.append((batch, loaded.threads.submit(loaded.encode, batch)))
        if len(self._in_flight) > self._limit:
            yield from self._oldest()

    def finish_bundle(self):
        while self._in_flight:
            yield from self._oldest()
        if self._stamp:
            yield from self._give_out()
            self._tally.count(names.ENCODE_MS, int(1000 * self._seconds))
            for report in self._tally.reports():
                yield stamped(report, self._stamp, "counts")
            yield stamped(Count(names.PEAK_MEMORY, peak_memory()), self._stamp, "counts")

    def _oldest(self) -> Iterator:
        batch, future = self._in_flight.popleft()
        found, seconds = future.result()
        self._seconds += seconds
        unit = names.ENCODED_TOKENS if self._model.tokenizer else names.ENCODED_BYTES
        self._tally.count(unit, int(batch.sizes.sum()))
        self._stamp = stamp_of(batch.documents, int(batch.owners[0]))
        for parts in found:
            if self._done and parts.windows.documents is not self._done[0].windows.documents:
                yield from self._give_out()
            if not self._done:
                self._since = time.monotonic()
            self._done.append(parts)
            self._held += parts.nbytes
            waited = time.monotonic() - self._since
            if self._held >= _BYTES or waited >= _SECONDS or parts.failures:
                yield from self._give_out()

    def _give_out(self) -> Iterator:
        """What is done; small batches together, for what follows takes many at once."""
        done, self._done, self._held = self._done, [], 0
        assert self._stamp is not None
        if done and done[-1].failures:
            yield stamped(done.pop(), self._stamp)
        if done:
            yield stamped(joined_parts(done), self._stamp)
