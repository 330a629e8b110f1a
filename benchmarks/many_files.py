"""As many files as documents: what each takes does not grow with their number."""

from __future__ import annotations

from pathlib import Path

from benchmarks import observed
from benchmarks.memory import write_lines
from benchmarks.plans import Plan
from benchmarks.rows import Row, at_least, at_most

_FILES = 10_000
_A_FOLDER = 1_000  # files
_MOST, _LEAST = 1.25, 0.9


def measure(plan: Plan) -> list[Row]:
    """Files of one line each: so many, and ten times as many."""
    few = plan.scaled(_FILES)
    runs = []
    for n in (few, 10 * few):
        pattern = _write(plan.folder / f"{n} files", n) / "*" / "*.txt"
        runs.append(observed.embed(plan.model, pattern, plan.folder / "out"))
    less, more = (run.MiB for run in runs)
    slower, faster = (run.counts["documents"] / (run.ended - run.started) for run in runs)
    what = f"{few:,} files of one line; {10 * few:,}"
    return [
        at_most(
            f"{what}: peak memory; ratio",
            f"{less:,.0f} MiB; {more:,.0f} MiB; {more / less:.2f}",
            more / less,
            _MOST,
        ),
        at_least(
            f"{what}: files a second, from the start of the process to its end; ratio",
            f"{slower:,.0f}; {faster:,.0f}; {faster / slower:.2f}",
            faster / slower,
            _LEAST,
        ),
    ]


def _write(folder: Path, n: int) -> Path:
    lines = write_lines(folder.with_suffix(".lines"), n).read_text().splitlines()
    for number, line in enumerate(lines):
        path = folder / f"{number // _A_FOLDER}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{line}\n")
    return folder
