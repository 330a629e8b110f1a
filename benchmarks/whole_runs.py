"""Whole runs against the encoder alone: what reading, tokenizing, pooling and writing cost."""

from __future__ import annotations

import functools
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import corpora, encode_ours, observed
from benchmarks.encoding import python
from benchmarks.observed import Observed
from benchmarks.plans import Plan
from benchmarks.races import race, ratios, serving
from benchmarks.rows import Row, at_most, rates, ratio

_TEXTS = 1024
_KINDS = {"sentence vectors": (), "four layers of token vectors": ("-1,-2,-3,-4",)}
_LEAST = {"sentence vectors": 0.95, "four layers of token vectors": 0.80}
_MOST_PADDING = 1.08
_MOST_GIB = 2.5


def measure(plan: Plan) -> list[Row]:
    """BERT-base in float32: runs of the two kinds, each beside the encoder alone on the very
    windows that the run makes of its lines, computing the same layers.
    """
    base = plan.base_model()
    corpus = corpora.make(base, plan.scaled(_TEXTS))
    lines = corpus.write_lines(plan.folder / "lines.txt")
    windows = corpus.write_windows(plan.folder / "windows.json")
    rows: list[Row] = []
    every: list[Observed] = []
    for kind, layers in _KINDS.items():
        command = python("encode_ours", base, windows, "float32", *layers)
        whole = functools.partial(_embed, base, lines, plan.folder / "out", layers)
        with serving({"alone": command}) as servers:
            found = race({"alone": servers["alone"].slice, "whole": whole}, plan.rounds)
        every += found["whole"]
        rows += _rows(kind, found["alone"], found["whole"])
    return [*rows, *_of_all(every)]


def _embed(base: str, lines: Path, output: Path, layers: Sequence[str]) -> Observed:
    asked = [f"--layers={some}" for some in layers]
    try:
        return observed.embed(base, lines, output, f"--vectors={encode_ours.VECTORS}", *asked)
    finally:
        shutil.rmtree(output, ignore_errors=True)  # token vectors are large


def _rows(kind: str, alone: Sequence[float], runs: Sequence[Observed]) -> list[Row]:
    from_first = ratios([run.rate for run in runs], alone)
    later = ratios([run.later_rate for run in runs], alone)
    started = ratios([run.whole_rate for run in runs], alone)
    first = statistics.median(run.first_encoded - run.first_batch for run in runs)
    what = f"whole run ÷ encode only, {kind}"
    return [
        ratio(what, from_first, least=_LEAST[kind]),
        ratio(f"{what}, once the first batch is encoded ({first:.1f} s)", later),
        ratio(f"{what}, start-up included, {runs[0].counts['documents']:,} texts", started),
        rates(f"whole run, {kind}", [run.rate for run in runs], "tokens"),
    ]


def _of_all(runs: Sequence[Observed]) -> list[Row]:
    padded, real = (runs[0].counts[name] for name in ("padded_tokens", "encoded_tokens"))
    largest = max(run.MiB for run in runs) / 1024
    middle = statistics.median(run.MiB for run in runs) / 1024
    return [
        at_most("padded ÷ real tokens", f"{padded / real:.3f}", padded / real, _MOST_PADDING),
        at_most(
            "peak memory of a run of BERT-base, float32",
            f"{largest:.2f} GiB (median {middle:.2f})",
            largest,
            _MOST_GIB,
            " GiB",
        ),
    ]
