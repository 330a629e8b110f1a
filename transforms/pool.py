"""Encoded -> SentenceVector, and TokenVectors where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.elements import Encoded, Failure
from corpusvec.transforms.measures import counters
from corpusvec.transforms.measures.beam_times import Stamp, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.models.placements import Origin, on_this_machine
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Overflow, VectorPlan


@dataclass(kw_only=True, eq=False)
class Pool(beam.PTransform):
    """`PCollection[Encoded]` -> `sentences`, `tokens`, `failures` and `counts`, of the milliseconds
    it took; a document's windows arrive in one bundle.
    """

    plan: VectorPlan
    origin: Origin | None = None

    def expand(self, encoded):
        return encoded | beam.ParDo(_PoolFn(self.plan, self.origin)).with_outputs(
            "tokens", "failures", "counts", main="sentences"
        )


class _PoolFn(beam.DoFn):
    def __init__(self, plan: VectorPlan, origin: Origin | None):
        self._plan, self._origin = plan, origin

    def setup(self):
        self._vectors = DocumentVectors(on_this_machine(self._plan, self._origin))

    def start_bundle(self):
        self._gathering = Gathering()
        self._spent = Spent("pool_ms")
        self._stamp: Stamp | None = None  # of any window of the bundle: counts go where it does

    def process(self, encoded: Encoded):
        self._stamp = encoded.window.stamp
        yield from self._spent.during(self._outputs(encoded))

    def _outputs(self, encoded: Encoded) -> Iterator:
        window = encoded.window
        part = encoded.failure or self._vectors.part(encoded)
        parts = self._gathering.add(window.stamp.key, window.count, part)
        if parts is None:
            return
        if not isinstance(parts, Failure):
            try:
                sentence, tokens = self._vectors.finish(parts)
            except Overflow as error:
                parts = failure_of("pool", window.document, str(error))
        if isinstance(parts, Failure):
            yield stamped(parts, window.stamp, "failures")
            return
        counters.count("documents")
        counters.count("tokens", sentence.n_tokens or 0)
        counters.count("unknown_tokens", sentence.n_unknown or 0)
        yield stamped(sentence, window.stamp)
        if tokens is not None:
            yield stamped(tokens, window.stamp, "tokens")

    def finish_bundle(self):
        self._gathering.check_empty()
        if self._stamp:
            for report in self._spent.reports():
                yield stamped(report, self._stamp, "counts")
