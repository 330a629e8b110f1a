"""Nights after the first: runs on an output that has a snapshot, beside the run that made it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import corpora
from benchmarks.plans import Plan
from benchmarks.races import run
from benchmarks.rows import Row, ratio_at_most

_PAGES, _MEAN = 10_000, 50
_MOST_ROUNDS = 3
_NOTHING, _CHANGED, _TOKENS, _MEMORY = 0.03, 0.05, 0.30, 1.15
_PROGRAM = """
import sys
from corpusvec.pipeline.cli import main
code = main(sys.argv[1:])
from benchmarks.machine import held
print(held("VmHWM"))
sys.exit(code)
"""
_KINDS = {"sentence vectors": (), "one layer of token vectors": ("--layers=-1",)}


def measure(plan: Plan) -> list[Row]:
    """With sentence vectors alone, and with token vectors; times beyond those of one page."""
    pages = plan.scaled(_PAGES)
    return [row for kind, flags in _KINDS.items() for row in _rows(plan, pages, kind, flags)]


def _rows(plan: Plan, pages: int, kind: str, flags: Sequence[str]) -> list[Row]:
    lines = list(corpora.make(plan.model, pages, _MEAN).lines)
    edited = [
        f"{line} {line.split()[0]}" if n % 100 == 50 else line for n, line in enumerate(lines)
    ]
    nothing, changed, memory = [], [], []
    for _ in range(min(plan.rounds, _MOST_ROUNDS)):
        one = _nights(plan, flags, [lines[:1], lines[:1]])
        all_ = _nights(plan, flags, [lines, lines, edited])
        few = _nights(plan, flags, [lines[: pages // 10], lines[: pages // 10]])
        first = all_[0].seconds - one[0].seconds
        nothing.append((all_[1].seconds - one[1].seconds) / first)
        # Where something is embedded a model is loaded, as on the first night.
        changed.append((all_[2].seconds - one[0].seconds) / first)
        memory.append(all_[1].MiB / few[1].MiB)
    of_first = f"{pages:,} pages, {kind}, beyond start-up ÷ the first run's"
    limits = (_TOKENS, _TOKENS) if flags else (_NOTHING, _CHANGED)
    return [
        ratio_at_most(f"second run, nothing changed: {of_first}", nothing, limits[0]),
        ratio_at_most(f"second run, 1 % changed: {of_first}", changed, limits[1]),
        ratio_at_most(
            f"second run, {kind}: peak memory ÷ that of a tenth of the pages", memory, _MEMORY
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Night:
    seconds: float
    MiB: float


def _nights(plan: Plan, flags: Sequence[str], inputs: Sequence[Sequence[str]]) -> list[_Night]:
    """Runs on one output, one after the other; each has its input."""
    source, output = plan.folder / "pages.txt", plan.folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    place = [f"--model={plan.model}", f"--input={source}", f"--output={output}"]
    command = [sys.executable, "-c", _PROGRAM, "embed", *place, *flags]
    found = []
    for lines in inputs:
        source.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        started = time.perf_counter()
        said = run("embed", command)
        found.append(_Night(time.perf_counter() - started, float(said.splitlines()[-1])))
    return found
