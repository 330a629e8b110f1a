"""Everything but the model: the program with an encoder that takes no time, beside the tokenizer's
library alone.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpora
from benchmarks.plans import Plan
from benchmarks.races import race, ratios, run
from benchmarks.rows import Row, at_least, at_most, rates, ratio, ratio_at_most
from benchmarks.tokenizing import word_piece

_TEXTS, _MEAN, _TOGETHER, _PAGE = 200_000, 30, 512, 20
_MOST_ROUNDS = 3
_VECTORS = "--vectors=vector=pooler"  # which are ready too: pooling is the model's
_WHOLE, _JSONL, _LINES = "text", "JSONL with ids and three fields of metadata", "Scrapbox by line"
_TOKENS, _LIBRARY = "token vectors of one layer", "the library"
_LEAST: Mapping[str, float] = {_WHOLE: 0.7, _JSONL: 0.8, _LINES: 0.6}
_MOST_OWN, _MOST_MEMORY, _LEAST_AGAIN = 15, 1.10, 60_000


def measure(plan: Plan) -> list[Row]:
    """Lines of mean 30 tokens; runs from the first record to the end."""
    lines = corpora.make(plan.model, plan.scaled(_TEXTS), _MEAN).lines
    inputs = _inputs(plan.folder, lines)
    runs: dict[str, Callable[[], float]] = {
        name: functools.partial(_rate, plan, source, len(lines), *flags)
        for name, (source, *flags) in inputs.items()
    }
    runs[_LIBRARY] = functools.partial(_library, plan.model, lines[: plan.scaled(_TEXTS // 4)])
    found = race(runs, min(plan.rounds, _MOST_ROUNDS))
    whole = found[_WHOLE]
    rows = [
        ratio(
            "whole program, null encoder ÷ the tokenizers library alone",
            ratios(whole, found[_LIBRARY]),
            least=_LEAST[_WHOLE],
        )
    ]
    for name in (_JSONL, _LINES):
        what = f"null encoder, {name} ÷ lines of text"
        rows.append(ratio(what, ratios(found[name], whole), least=_LEAST[name]))
    rows += [rates(f"null encoder, {name}", speeds, "lines") for name, speeds in found.items()]
    return [*rows, *_own_work(plan, lines), *_again(plan, lines)]


def _inputs(folder: Path, lines: Sequence[str]) -> dict[str, tuple]:
    """The same texts in several formats, and the flags of each."""
    text, jsonl, export = (folder / name for name in ("lines.txt", "lines.jsonl", "lines.json"))
    _write(text, lines)
    fields = {"title": "a title", "author": "somebody", "year": 1999}
    _write(
        jsonl,
        [json.dumps({"id": f"doc-{n}", "text": line, **fields}) for n, line in enumerate(lines)],
    )
    pages = [
        {"title": f"page {n}", "updated": 2, "lines": [f"page {n}", *lines[n : n + _PAGE - 1]]}
        for n in range(0, len(lines), _PAGE)
    ]
    export.write_text(json.dumps({"name": "p", "pages": pages}), "utf-8")
    return {
        _WHOLE: (text, _VECTORS),
        _JSONL: (jsonl, _VECTORS),
        _LINES: (export, _VECTORS, "--unit=line"),
        _TOKENS: (text, _VECTORS, "--layers=-1"),
    }


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds from the first record to the end, those of all cores together, those of all cores
    for the whole program, those of the run's own thread, and MiB at most.
    """

    wall: float
    cpu: float
    program: float
    own: float
    MiB: float


def embed(plan: Plan, source: Path | str, *flags: str) -> Took:
    """Into `out` of the plan's folder, which stays."""
    command = [sys.executable, "-m", "benchmarks.null_run", "embed", f"--model={plan.model}"]
    ready = [flag for flag in flags if flag == "--ready-ids"]
    command[3:3] = ready
    command += [f"--input={source}", f"--output={plan.folder / 'out'}"]
    command += [flag for flag in flags if flag not in ready]
    return Took(**json.loads(run("null", command).splitlines()[-1]))


def _rate(plan: Plan, source: Path, lines: int, *flags: str) -> float:
    """Lines a second, into a new output."""
    shutil.rmtree(plan.folder / "out", ignore_errors=True)
    return lines / embed(plan, source, *flags).wall


def _library(model: str, lines: Sequence[str]) -> float:
    """Lines a second of the library alone, in batches on all cores."""
    library = word_piece(model)
    started = time.perf_counter()
    for start in range(0, len(lines), _TOGETHER):
        library(lines[start : start + _TOGETHER])
    return len(lines) / (time.perf_counter() - started)


def _own_work(plan: Plan, lines: Sequence[str]) -> list[Row]:
    """What a document takes beside tokenizer and encoder, and memory, beyond a tenth of them."""
    few = lines[: len(lines) // 10]
    took = []
    for some in (few, lines):
        shutil.rmtree(plan.folder / "out", ignore_errors=True)
        source = _write(plan.folder / "ready.txt", some)
        took.append(embed(plan, source, "--ready-ids", _VECTORS))
    own, every = (
        1e6 * (getattr(took[1], of) - getattr(took[0], of)) / (len(lines) - len(few))
        for of in ("own", "cpu")
    )
    return [
        at_most("own thread's work for a document", f"{own:.1f} µs", own, _MOST_OWN, " µs"),
        Row("the same with the threads that tokenize, encode and write", f"{every:.1f} µs"),
        ratio_at_most(
            "null encoder: peak memory ÷ that of a tenth of the lines",
            [took[1].MiB / took[0].MiB],
            _MOST_MEMORY,
        ),
    ]


def _again(plan: Plan, lines: Sequence[str]) -> list[Row]:
    """Runs on an output that has a snapshot."""
    shutil.rmtree(plan.folder / "out", ignore_errors=True)
    edited = [
        f"{line} {line.split()[0]}" if n % 100 == 50 else line for n, line in enumerate(lines)
    ]
    source = _write(plan.folder / "again.txt", lines)
    embed(plan, source, _VECTORS)
    nothing = len(lines) / embed(plan, source, _VECTORS).wall
    changed = len(lines) / embed(plan, _write(source, edited), _VECTORS).wall
    return [
        at_least(f"null encoder, {what}", f"{rate:,.0f} lines/s", rate, _LEAST_AGAIN)
        for what, rate in (("nothing changed", nothing), ("1 % changed", changed))
    ]
