"""From a sample to the whole, and from what a machine does in seconds to how long machines take:
arithmetic alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EFFICIENCY = 0.8  # of several workers: none has just its share, and texts travel between them
_NORMAL = 1.96  # standard errors to both sides, for 95 % of all samples


@dataclass(frozen=True, slots=True)
class Block:
    """Some bytes of the input, and what was counted in them."""

    bytes: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What there is in all. `margins` are relative, to both sides, of 95 % of all samples: 0 where
    all was read, None where one block says nothing of others. `scale` is the whole by the sample.
    """

    counts: Mapping[str, float]
    margins: Mapping[str, float | None]
    scale: float

    @property
    def whole(self) -> bool:
        """Whether all of it was read."""
        return self.scale == 1


def corpus(
    blocks: Sequence[Block], total_bytes: int, whole: bool, limit: int | None = None
) -> Corpus:
    """Counts go by bytes. With `limit` the blocks are the first ones, and no record behind it is in
    them.
    """
    read = sum(block.bytes for block in blocks)
    sampled: Counter[str] = Counter()
    for block in blocks:
        sampled.update(block.counts)
    # Nothing is known where the sample has no byte; it is all there is where it is larger.
    scale = 1.0 if whole or not read else max(1.0, total_bytes / read)
    if limit is not None and (records := sampled["records"] - sampled["cut"]):
        scale = max(1.0, min(scale, limit / records))
    exact = scale == 1
    return Corpus(
        counts={name: count * scale for name, count in sampled.items()},
        margins={name: 0.0 if exact else margin(blocks, name, 1 / scale) for name in sampled},
        scale=scale,
    )


def margin(blocks: Sequence[Block], name: str, share: float = 0.0) -> float | None:
    """How far the ratio of a count to bytes may be off, relatively, by how much it differs between
    blocks; `share` of all bytes are in them. None for a single block.

    Source: Cochran, Sampling Techniques, chapter 6 (variance of a ratio estimate).
    """
    total = sum(block.counts.get(name, 0) for block in blocks)
    n, read = len(blocks), sum(block.bytes for block in blocks)
    if n < 2 or not total or not read:
        return None
    ratio = total / read
    off = sum((block.counts.get(name, 0) - ratio * block.bytes) ** 2 for block in blocks)
    variance = (1 - min(share, 1)) * n * off / (n - 1)
    return _NORMAL * math.sqrt(variance) / total


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is made of, in seconds of this machine: `start` until the first batch is encoded;
    `encode` with all of its `cores`; `thread`, in which a process reads, tokenizes, pools and
    writes, `load` of it on the cores; `longest` to read the largest file.
    """

    start: float
    encode: float
    thread: float
    load: float
    longest: float
    cores: int
    gpu: bool = False

    def alone(self) -> float:
        """Seconds of a run on this machine, as it is."""
        return self.start + self._share(1, self.cores)

    def shared(self, workers: int, cores: int) -> float:
        """Of one on so many workers, each with so many cores like those of this machine, or with
        its GPU. A file is read by one worker.
        """
        if workers == 1:
            return self.start + self._share(1, cores)
        return self.start + max(self._share(workers, cores) / EFFICIENCY, self.longest)

    def _share(self, workers: int, cores: int) -> float:
        """Of a worker: its one thread may take longer than all of its cores together."""
        if self.gpu:
            return max(self.thread, self.encode) / workers
        every = (self.encode * self.cores + self.load) / cores
        return max(self.thread, every) / workers


def cost(seconds: float, workers: int, cores: int, price: float) -> float:
    """Of workers that are paid by the hour of a core."""
    return seconds / 3600 * workers * cores * price
