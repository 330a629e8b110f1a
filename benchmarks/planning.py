"""What `plan` says a run takes, against the run."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import corpora
from benchmarks.plans import Plan
from benchmarks.races import race, ratios, run
from benchmarks.rows import Row, within

_TEXTS, _MEAN = 8000, 30
_KINDS: Mapping[str, Sequence[str]] = {
    "sentence vectors": (),
    "one layer of token vectors": ("--layers=-1",),
}
_MOST_ROUNDS = 3
_PART = 0.25


class Took(NamedTuple):
    """A run, or a plan of one: seconds, and bytes of all tables."""

    seconds: float
    bytes: int


def measure(plan: Plan) -> list[Row]:
    """The model of the plan, on lines of mean 30 tokens; plan and run in turns."""
    corpus = corpora.make(plan.model, plan.scaled(_TEXTS), _MEAN)
    source = corpus.write_lines(plan.folder / "planned.txt")
    rows = []
    for kind, layers in _KINDS.items():
        flags = [f"--model={plan.model}", f"--input={source}", *layers]
        programs = {
            "plan": lambda flags=flags: _planned(flags),
            "run": lambda flags=flags: _done(flags, plan.folder / "out"),
        }
        found = race(programs, min(plan.rounds, _MOST_ROUNDS))
        rows += _rows(kind, found["plan"], found["run"])
    return rows


def _command(name: str, flags: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pipeline", name, *flags]


def _planned(flags: Sequence[str]) -> Took:
    said: dict[str, Any] = json.loads(run("plan", _command("plan", [*flags, "--json"])))
    return Took(said["runs"][0]["seconds"], sum(said["bytes"].values()))


def _done(flags: Sequence[str], output: Path) -> Took:
    started = time.perf_counter()
    run("embed", _command("embed", [*flags, f"--output={output}"]))
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in output.glob("snapshots/*/*/*.parquet"))
    shutil.rmtree(output)
    return Took(seconds, size)


def _rows(kind: str, planned: Sequence[Took], done: Sequence[Took]) -> list[Row]:
    seconds, sizes = ([getattr(one, name) for one in planned] for name in Took._fields)
    true_seconds, true_sizes = ([getattr(one, name) for one in done] for name in Took._fields)
    return [
        within(f"planned ÷ real time, {kind}", ratios(seconds, true_seconds), _PART),
        within(f"planned ÷ real bytes, {kind}", ratios(sizes, true_sizes), _PART),
    ]
