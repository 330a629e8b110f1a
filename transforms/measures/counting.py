"""Elements -> how many there were."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from transforms.elements import Count
from transforms.measures.beam_times import OF_THE_RUN, stamped


@dataclass(kw_only=True, eq=False)
class CountElements(beam.PTransform):
    """Any elements -> `Count`s of `name`, one for each bundle."""

    name: str

    def expand(self, elements):
        return elements | beam.ParDo(_CountFn(self.name))


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
