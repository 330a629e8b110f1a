"""Peak memory of a whole local run, for N documents and for ten times as many: it streams if both
are alike.
"""

from __future__ import annotations

import functools
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import observed
from benchmarks.plans import Plan
from benchmarks.races import race
from benchmarks.rows import Row, at_most

_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]
_KINDS = {"sentence vectors": (), "one layer of token vectors": ("--layers=-1",)}
_MOST = 1.15
_MOST_ROUNDS = 3  # what a run peaks at differs by a twentieth


def write_lines(path: Path, documents: int, seed: int = 1) -> Path:
    """A text file of random words, 3 to 40 a line, the same for the same arguments."""
    chance = random.Random(seed)
    with path.open("w") as stream:
        for _ in range(documents):
            words = ("".join(chance.choices(_SYLLABLES, k=2)) for _ in range(chance.randint(3, 40)))
            stream.write(" ".join(words) + "\n")
    return path


def measure(plan: Plan) -> list[Row]:
    """With sentence vectors alone, and with token vectors."""
    documents = plan.scaled(plan.documents)
    sources = [write_lines(plan.folder / f"{n}.txt", n) for n in (documents, 10 * documents)]
    rows = []
    for kind, flags in _KINDS.items():
        runs = {source.name: functools.partial(_peak, plan, source, flags) for source in sources}
        found = race(runs, min(plan.rounds, _MOST_ROUNDS))
        few, many = (statistics.median(found[source.name]) for source in sources)
        what = f"peak memory, {kind}: {documents:,} documents; {10 * documents:,}; ratio"
        figure = f"{few:,.0f} MiB; {many:,.0f} MiB; {many / few:.2f}"
        rows.append(at_most(what, figure, many / few, _MOST))
    return rows


def _peak(plan: Plan, source: Path, flags: Sequence[str]) -> float:
    """MiB."""
    return observed.embed(plan.model, source, plan.folder / "out", *flags).MiB
