"""Generator functions as stages that tell what time they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from transforms.measures.beam_times import OF_THE_RUN, stamped
from transforms.measures.clocks import Spent


class Timed(beam.DoFn):
    """`work(element, *side_inputs, *arguments)` -> what that yields, and among the `notes` its
    milliseconds as the count `name`.
    """

    def __init__(self, name: str, work: Callable[..., Iterator], *arguments: Any):
        self._name, self._work, self._arguments = name, work, arguments

    def start_bundle(self):
        self._spent = Spent(self._name)

    def process(self, element, *side_inputs):
        yield from self._spent.during(self._work(element, *side_inputs, *self._arguments))

    def finish_bundle(self):
        yield from (stamped(count, OF_THE_RUN, "notes") for count in self._spent.reports())
