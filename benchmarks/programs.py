"""Whole programs that turn a text file into Parquet, each from the start of its process to its end:
ours, Beam's MLTransform, and sentence-transformers.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import corpora, machine
from benchmarks.plans import NO_PEERS, Plan
from benchmarks.races import race, ratios, run
from benchmarks.rows import Row, not_measured, ratio

_TEXTS, _MEAN = 20_000, 30
_MOST_ROUNDS = 2  # each takes minutes
_MLTRANSFORM, _SENTENCE_TRANSFORMERS = "MLTransform", "sentence-transformers"
_LARGE = "1024"  # texts per batch of MLTransform


def measure(plan: Plan) -> list[Row]:
    """The model of the plan, on lines of mean 30 tokens."""
    lines = corpora.make(plan.model, plan.scaled(_TEXTS), _MEAN).write_lines(
        plan.folder / "english.txt"
    )
    programs = {
        precision: program(precision, plan.folder / "out", ours(plan.model, lines, precision))
        for precision in ("float32", "bfloat16")
        if precision == "float32" or machine.has_bfloat16()
    }
    if plan.peers:
        programs |= _peers(plan, lines)
    found = race(programs, min(plan.rounds, _MOST_ROUNDS))
    return [*_rows(found), *_speeds(found, plan.scaled(_TEXTS))]


def ours(model: str, lines: Path, precision: str) -> Callable[[Path], list[str]]:
    """Our command, for a folder that it writes into."""
    command = [sys.executable, "-m", "pipeline", "embed", f"--model={model}", f"--input={lines}"]
    return lambda folder: [*command, f"--precision={precision}", f"--output={folder / 'out'}"]


def _peers(plan: Plan, lines: Path) -> dict[str, Callable[[], float]]:
    def with_script(script: str, *more: str) -> Callable[[Path], list[str]]:
        return lambda folder: plan.peer(script, plan.model, lines, folder, *more)

    commands = {
        _MLTRANSFORM: with_script("embed_mltransform.py"),
        f"{_MLTRANSFORM}, {_LARGE} texts at once": with_script("embed_mltransform.py", _LARGE),
        _SENTENCE_TRANSFORMERS: with_script("embed_sentence_transformers.py"),
    }
    return {
        name: program(name, plan.folder / "theirs", command) for name, command in commands.items()
    }


def program(
    name: str, folder: Path, command: Callable[[Path], Sequence[str]]
) -> Callable[[], float]:
    """What runs a program, which writes into a folder, and gives its seconds."""

    def seconds() -> float:
        folder.mkdir()
        started = time.perf_counter()
        run(name, command(folder), env=os.environ | {"HF_HUB_OFFLINE": "1"})
        took = time.perf_counter() - started
        shutil.rmtree(folder)
        return took

    return seconds


def _targets(precision: str) -> dict[str, float]:
    if precision == "float32":
        return {_MLTRANSFORM: 2, _SENTENCE_TRANSFORMERS: 1.7}
    if machine.has_amx():
        return {_MLTRANSFORM: 7, _SENTENCE_TRANSFORMERS: 4}
    return {_MLTRANSFORM: 2, _SENTENCE_TRANSFORMERS: 1.6}


def _rows(found: Mapping[str, Sequence[float]]) -> list[Row]:
    rows = []
    for precision in ("float32", "bfloat16"):
        for peer, least in _targets(precision).items():
            what = f"whole program, {precision} ÷ {peer} in float32"
            theirs = _best([times for name, times in found.items() if name.startswith(peer)])
            if precision in found and theirs:
                rows.append(ratio(what, ratios(theirs, found[precision]), least=least))
            else:
                why = NO_PEERS if precision in found else machine.NO_BFLOAT16
                rows.append(not_measured(what, f"≥ {least:g}", why))
    return rows


def _best(settings: Sequence[Sequence[float]]) -> Sequence[float] | None:
    """A peer is measured by the setting with which it is fastest."""
    return min(settings, key=statistics.median, default=None)


def _speeds(found: Mapping[str, Sequence[float]], texts: int) -> list[Row]:
    def named(name: str) -> str:
        return f"ours {name}" if name.endswith(("32", "16")) else name

    return [
        Row(f"whole program, {named(name)}", f"{texts / statistics.median(times):,.0f} lines/s")
        for name, times in found.items()
    ]
