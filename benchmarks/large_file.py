"""One large file of text on Flink, with one TaskManager and with two: blocks of it are counted and
read by both. The encoder takes no time, so that reading, shuffling and writing are what is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import corpora, sharing
from benchmarks.plans import Plan
from benchmarks.rows import Row, not_measured, rates, ratio

_BYTES, _MEAN = 128 << 20, 100  # of the file; tokens of a line
_LINES = 5_000  # that differ in more than their number
_LEAST = 1.6
_WHAT = "Flink, one file, null encoder, two TaskManagers ÷ one, a core each"


def measure(plan: Plan) -> list[Row]:
    """The first round of each alone: they take minutes."""
    if lack := sharing.missing():
        return [not_measured(_WHAT, f"≥ {_LEAST:g}", lack)]
    source = _write(plan, plan.scaled(_BYTES))
    with sharing.cluster(plan.folder / "flink") as environment:
        one, two = (sharing.embed(plan, source, count, environment, null=True) for count in (1, 2))
    return rows(source.stat().st_size, one, two)


def rows(size: int, one: sharing.Shared, two: sharing.Shared) -> list[Row]:
    """Of a file of `size` bytes, from its first block to the last batch of its texts."""
    speeds = [size / 1e3 / _seconds(run.workers) for run in (one, two)]
    return [
        ratio(f"{_WHAT}, {size >> 20:,} MiB", [speeds[1] / speeds[0]], least=_LEAST),
        ratio("the same, start-up included", [one.seconds / two.seconds]),
        rates("Flink, one file, one TaskManager", speeds[:1], "kB"),
        rates("Flink, one file, two TaskManagers", speeds[1:], "kB"),
    ]


def _seconds(workers: Sequence[Sequence[sharing.Batch]]) -> float:
    every = [batch for worker in workers for batch in worker]
    return max(batch.ended for batch in every) - min(batch.began for batch in every)


def _write(plan: Plan, size: int) -> Path:
    """Lines of which no two are alike."""
    lines = corpora.make(plan.model, _LINES, _MEAN).lines
    path = plan.folder / "large.txt"
    with path.open("w") as stream:
        number = 0
        while stream.tell() < size:
            stream.write("".join(f"{number + at} {line}\n" for at, line in enumerate(lines)))
            number += len(lines)
    return path
