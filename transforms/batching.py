"""Window -> list[Window]."""

from __future__ import annotations

from collections import deque
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
    tokens each; bytes for models that take strings. Without `padding` they are all as long; with
    it, they are padded to at most `longest`.
    """

    budget: int
    padding: bool = True
    longest: int | None = None

    def expand(self, windows):
        return windows | beam.ParDo(_BatchFn(self.budget, self.padding, self.longest))


class _BatchFn(beam.DoFn):
    """Sorts a buffer of windows at a time. Its batches go out while the next buffer fills, as much
    as comes in: one by one, reading and tokenizing never keep the encoder waiting for long.
    """

    def __init__(self, budget: int, padding: bool, longest: int | None):
        self._limits = budget, padding, longest

    def start_bundle(self):
        self._waiting: list[Window] = []
        self._ready: deque[list[Window]] = deque()
        self._size = self._sent = 0  # of what waits, and of what went out since it began to

    def process(self, window: Window):
        self._waiting.append(window)
        self._size += window.size
        if self._ready and self._sent < self._size:
            batch = self._ready.popleft()
            self._sent += sum(window.size for window in batch)
            yield stamped(batch, batch[0].stamp)
        if len(self._waiting) >= _WINDOWS or self._size >= _SIZE:
            yield from self._send()
            self._sort()

    def finish_bundle(self):
        yield from self._send()
        self._sort()
        yield from self._send()

    def _sort(self):
        self._ready.extend(cut_batches(self._waiting, *self._limits))
        self._waiting, self._size, self._sent = [], 0, 0

    def _send(self):
        while self._ready:
            batch = self._ready.popleft()
            yield stamped(batch, batch[0].stamp)
