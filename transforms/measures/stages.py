"""Generator functions as stages that tell what time they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from corpusvec.transforms.elements import Count
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.measures.names import check


class Timed(beam.DoFn):
    """`work(element, *side_inputs, *arguments)` -> what that yields, and among the `notes` its
    milliseconds as the count `name`.
    """

    def __init__(self, name: str, work: Callable[..., Iterator], *arguments: Any):
        self._name, self._work, self._arguments = check(name), work, arguments

    def start_bundle(self):
        self._spent = Spent(self._name)

    def process(self, element, *side_inputs):
        yield from self._spent.during(self._work(element, *side_inputs, *self._arguments))

    def finish_bundle(self):
        yield from (stamped(count, OF_THE_RUN, "notes") for count in self._spent.reports())


@dataclass(kw_only=True, eq=False)
class CountElements(beam.PTransform):
    """Any elements -> `Count`s of `name`, one for each bundle."""

    name: str

    def expand(self, elements):
        return elements | beam.ParDo(_CountFn(check(self.name)))


class _CountFn(beam.DoFn):
    def __init__(self, name: str):
        self._name = name

    def start_bundle(self):
        self._n = 0

    def process(self, element):
        self._n += 1

    def finish_bundle(self):
        if self._n:
            yield stamped(Count(self._name, self._n), OF_THE_RUN)
