"""Window -> list[Window]."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from transforms.batches import cut_batches
from transforms.elements import Window
from transforms.stamps import stamped

# What is sorted at once: enough for little padding, little enough for memory.
_WINDOWS, _SIZE = 2048, 1 << 18


@dataclass(kw_only=True, eq=False)
class BatchBySize(beam.PTransform):
    """`PCollection[Window]` -> `PCollection[list[Window]]` of like length, within `budget` padded
    tokens each; bytes for models that take strings. Without `padding` they are all as long.
    """

    budget: int
    padding: bool = True

    def expand(self, windows):
        return windows | beam.ParDo(_BatchFn(self.budget, self.padding))


class _BatchFn(beam.DoFn):
    def __init__(self, budget: int, padding: bool):
        self._budget, self._padding = budget, padding

    def start_bundle(self):
        self._waiting: list[Window] = []
        self._size = 0

    def process(self, window: Window):
        self._waiting.append(window)
        self._size += window.size
        if len(self._waiting) >= _WINDOWS or self._size >= _SIZE:
            yield from self._flush()

    def finish_bundle(self):
        yield from self._flush()

    def _flush(self):
        waiting, self._waiting, self._size = self._waiting, [], 0
        for batch in cut_batches(waiting, self._budget, self._padding):
            yield stamped(batch, batch[0].stamp)
