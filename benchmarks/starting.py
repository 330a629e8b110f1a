"""How long it takes until the first batch is encoded."""

from __future__ import annotations

import statistics

from benchmarks import corpora, observed
from benchmarks.plans import Plan
from benchmarks.rows import Row, at_most

_TEXTS = 2000
_MOST = 8


def measure(plan: Plan) -> list[Row]:
    """From the start of the process, with Python's imports and the loading of the model."""
    source = corpora.make(plan.model, plan.scaled(_TEXTS)).write_lines(plan.folder / "start.txt")
    runs = [observed.embed(plan.model, source, plan.folder / "out") for _ in range(plan.rounds)]
    seconds = [run.first_encoded - run.started for run in runs]
    middle = statistics.median(seconds)
    figure = f"{middle:.1f} s ({min(seconds):.1f}–{max(seconds):.1f})"
    return [at_most("start to first batch encoded", figure, middle, _MOST, " s")]
