"""Window -> list[Window]."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from transforms.batches import cut_batches
from transforms.elements import Window
from transforms.stamps import stamped

_WINDOWS, _TOKENS = (
    2048,
    1 << 18,
)  # what is sorted at once: enough for little padding, little enough for memory


@dataclass(kw_only=True, eq=False)
class BatchByTokens(beam.PTransform):
    """`PCollection[Window]` -> `PCollection[list[Window]]` of like length, within `budget` padded
    tokens each.
    """

    budget: int = 1024

    def expand(self, windows):
        return windows | beam.ParDo(_BatchFn(self.budget))


class _BatchFn(beam.DoFn):
    def __init__(self, budget: int):
        self._budget = budget

    def start_bundle(self):
        self._waiting: list[Window] = []
        self._tokens = 0

    def process(self, window: Window):
        self._waiting.append(window)
        self._tokens += len(window)
        if len(self._waiting) >= _WINDOWS or self._tokens >= _TOKENS:
            yield from self._flush()

    def finish_bundle(self):
        yield from self._flush()

    def _flush(self):
        waiting, self._waiting, self._tokens = self._waiting, [], 0
        for batch in cut_batches(waiting, self._budget):
            yield stamped(batch, batch[0].stamp)
