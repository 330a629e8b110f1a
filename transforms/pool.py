"""Parts -> Sentences, and TokenRows where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.measures import counters, names
from corpusvec.transforms.measures.beam_times import Stamp, stamp_of, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.models.placements import Origin, on_this_machine
from corpusvec.transforms.specs import VectorPlan
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Parts


@dataclass(kw_only=True, eq=False)
class Pool(beam.PTransform):
    """`PCollection[Parts]` -> `sentences`, `tokens`, `failures` and `counts`, of the milliseconds
    it took; a document's windows arrive in one bundle.
    """

    plan: VectorPlan
    origin: Origin | None = None

    def expand(self, parts):
        return parts | beam.ParDo(_PoolFn(self.plan, self.origin)).with_outputs(
            "tokens", "failures", "counts", main="sentences"
        )


class _PoolFn(beam.DoFn):
    def __init__(self, plan: VectorPlan, origin: Origin | None):
        self._plan, self._origin = plan, origin

    def setup(self):
        self._vectors = DocumentVectors(on_this_machine(self._plan, self._origin))

    def start_bundle(self):
        self._gathering = Gathering()
        self._spent = Spent(names.POOL_MS)
        self._stamp: Stamp | None = None  # of any window of the bundle: counts go where it does

    def process(self, parts: Parts):
        windows = parts.windows
        self._stamp = stamp_of(windows.documents, int(windows.owners[0]))
        yield from self._spent.during(self._outputs(parts))

    def _outputs(self, parts: Parts) -> Iterator:
        documents = parts.windows.documents
        whole, failures = self._gathering.add(parts)
        for row, failure in failures:
            yield stamped(failure, stamp_of(documents, row), "failures")
        if whole is None:
            return
        made = self._vectors.finish(whole)
        for row, why in made.failures.items():
            failure = failure_of("pool", made.documents[row], why)
            yield stamped(failure, stamp_of(made.documents, row), "failures")
        sentences = made.sentences
        if not len(sentences):
            return
        counters.count(names.DOCUMENTS, len(sentences))
        for name, numbers in (
            (names.TOKENS, sentences.n_tokens),
            (names.UNKNOWN_TOKENS, sentences.n_unknown),
        ):
            counters.count(name, 0 if numbers is None else int(numbers.sum()))
        stamp = stamp_of(sentences.documents, 0)
        yield stamped(sentences, stamp)
        if made.tokens is not None:
            yield stamped(made.tokens, stamp, "tokens")

    def finish_bundle(self):
        self._gathering.check_empty()
        if self._stamp:
            for report in self._spent.reports():
                yield stamped(report, self._stamp, "counts")
