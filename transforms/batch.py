"""Windows -> Windows of like length."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.batches import cut_batches
from corpusvec.transforms.columns import Windows, joined_windows
from corpusvec.transforms.measures.beam_times import stamp_of, stamped
from corpusvec.transforms.models.capacities import THIS_PROCESS

# What is sorted at once: enough for little padding, little enough for memory. A bundle may be a
# whole partition, and most of its documents may be longer than what the model reads of them.
_WINDOWS, _SIZE, _CHARACTERS = 2048, 1 << 18, 1 << 24
_KEPT_BYTES = 128 << 20


@dataclass(kw_only=True, eq=False)
class BatchBySize(beam.PTransform):
    """`PCollection[Windows]` -> `PCollection[Windows]` of like length, within `budget` padded
    tokens each, or as many as a GPU wants; bytes for models that take strings. Without `padding`
    they are all as long; with it, they are padded to at most `longest`. `kept` is how many bytes of
    a token wait for the other windows of its document, once they are encoded. All windows of a
    document come together.
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
    as comes in: so reading and tokenizing never keep the encoder waiting for long.
    """

    def __init__(self, budget: int, padding: bool, longest: int | None, kept: int = 0):
        self._limits, self._kept = (budget, padding, longest), kept

    def start_bundle(self):
        self._waiting: list[Windows] = []
        self._ready: deque[Windows] = deque()
        self._windows = self._size = self._sent = 0  # that wait; of what went out since they began
        self._characters = self._cut = 0  # of its documents; the tokens of those in several windows

    def process(self, windows: Windows):
        sizes = windows.sizes
        self._waiting.append(windows)
        self._windows += len(windows)
        self._size += int(sizes.sum())
        self._characters += windows.documents.characters
        self._cut += int(sizes[windows.counts > 1].sum())
        while self._ready and self._sent < self._size:
            batch = self._ready.popleft()
            self._sent += int(batch.sizes.sum())
            yield _out(batch)
        if self._is_full():
            yield from self._send()
            self._sort()

    def finish_bundle(self):
        yield from self._send()
        self._sort()
        yield from self._send()

    def _is_full(self) -> bool:
        if self._characters >= _CHARACTERS or self._cut * self._kept >= _KEPT_BYTES:
            return True  # sorted by length, a document's last window comes long after its first
        if self._windows < _WINDOWS and self._size < _SIZE:
            return False
        # More, as batches are larger on a GPU.
        times = max(1, self._wanted() // self._limits[0])
        return self._windows >= times * _WINDOWS or self._size >= times * _SIZE

    def _wanted(self) -> int:
        """Padded tokens of a batch where the machine wants more, as far as that is known: only once
        the first batches have come to the model.
        """
        _, padding, _ = self._limits
        return THIS_PROCESS.tokens if padding else 0

    def _sort(self):
        if self._waiting:
            budget, padding, longest = self._limits
            windows, budget = joined_windows(self._waiting), max(budget, self._wanted())
            few = THIS_PROCESS.few_shapes
            self._ready.extend(cut_batches(windows, budget, padding, longest, few))
        self._waiting, self._windows, self._size, self._sent = [], 0, 0, 0
        self._characters = self._cut = 0

    def _send(self):
        while self._ready:
            yield _out(self._ready.popleft())


def _out(batch: Windows):
    return stamped(batch, stamp_of(batch.documents, int(batch.owners[0])))
