"""Window -> list[Window]."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.batches import cut_batches
from corpusvec.transforms.elements import Window
from corpusvec.transforms.measures.beam_times import stamped

# What is sorted at once: enough for little padding, little enough for memory. A bundle may be a
# whole partition, and most of its documents may be longer than what the model reads of them.
_WINDOWS, _SIZE, _CHARACTERS = 2048, 1 << 18, 1 << 24
_KEPT_BYTES = 128 << 20


@dataclass(kw_only=True, eq=False)
class BatchBySize(beam.PTransform):
    """`PCollection[Window]` -> `PCollection[list[Window]]` of like length, within `budget` padded
    tokens each; bytes for models that take strings. Without `padding` they are all as long; with
    it, they are padded to at most `longest`. `kept` is how many bytes of a token wait for the other
    windows of its document, once they are encoded.
    """

    budget: int
    padding: bool = True
    longest: int | None = None
    kept: int = 0

    def expand(self, windows):
        limits = self.budget, self.padding, self.longest
        return windows | beam.ParDo(_BatchFn(*limits, kept=self.kept))


class _BatchFn(beam.DoFn):
    """Sorts a buffer of windows at a time. Its batches go out while the next buffer fills, as much
    as comes in: one by one, reading and tokenizing never keep the encoder waiting for long.
    """

    def __init__(self, budget: int, padding: bool, longest: int | None, kept: int = 0):
        self._limits, self._kept = (budget, padding, longest), kept

    def start_bundle(self):
        self._waiting: list[Window] = []
        self._ready: deque[list[Window]] = deque()
        self._size = self._sent = 0  # of what waits, and of what went out since it began to
        self._characters = self._cut = 0  # of its documents; the tokens of those in several windows

    def process(self, window: Window):
        self._waiting.append(window)
        self._size += window.size
        if window.index == 0:
            self._characters += window.document.characters
        if window.count > 1:
            self._cut += window.size
        if self._ready and self._sent < self._size:
            batch = self._ready.popleft()
            self._sent += sum(window.size for window in batch)
            yield stamped(batch, batch[0].stamp)
        if self._is_full():
            yield from self._send()
            self._sort()

    def finish_bundle(self):
        yield from self._send()
        self._sort()
        yield from self._send()

    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= _WINDOWS
            or self._size >= _SIZE
            or self._characters >= _CHARACTERS
            # Sorted by length, a document's last window comes long after its first.
            or self._cut * self._kept >= _KEPT_BYTES
        )

    def _sort(self):
        self._ready.extend(cut_batches(self._waiting, *self._limits))
        self._waiting, self._size, self._sent = [], 0, 0
        self._characters = self._cut = 0

    def _send(self):
        while self._ready:
            batch = self._ready.popleft()
            yield stamped(batch, batch[0].stamp)
