"""A peer that rounds the weights to eight bits: how fast it is, and how near its vectors are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import corpora, machine, programs
from benchmarks.plans import Plan
from benchmarks.races import race, ratios, run
from benchmarks.rows import Row, not_measured, ratio

_TEXTS, _FEW, _MEAN = 20_000, 1_000, 30
_MOST_ROUNDS = 2  # each takes minutes
_PEER = "sentence-transformers, OpenVINO, int8 weights"
_Command = Callable[[Path, Path], list[str]]  # of a file of lines and a folder to write into


def measure(plan: Plan) -> list[Row]:
    """Whole programs on lines of mean 30 tokens, and the vectors of some beside float32's."""
    if plan.openvino is None:
        return [not_measured(f"whole program, float32 ÷ {_PEER}", "", "needs --openvino=DIR")]
    peer, made = replace(plan, peers=plan.openvino).peer, plan.folder / "int8"
    run("OpenVINO's export", peer("export_openvino.py", plan.model, made))
    commands: dict[str, _Command] = {
        precision: lambda lines, folder, precision=precision: programs.ours(
            plan.model, lines, precision
        )(folder)
        for precision in ("float32", "bfloat16")
        if precision == "float32" or machine.has_bfloat16()
    }
    commands[_PEER] = lambda lines, folder: peer(
        "embed_sentence_transformers.py", made, lines, folder, "cpu", "openvino"
    )
    texts = corpora.make(plan.model, plan.scaled(_TEXTS), _MEAN)
    lines = texts.write_lines(plan.folder / "lines.txt")
    found = race(
        {
            name: programs.program(
                name, plan.folder / "out", lambda folder, of=command: of(lines, folder)
            )
            for name, command in commands.items()
        },
        min(plan.rounds, _MOST_ROUNDS),
    )
    rows = [
        ratio(f"whole program, {name} ÷ {_PEER}", ratios(found[_PEER], times))
        for name, times in found.items()
        if name != _PEER
    ]
    return [*rows, *_near(plan, commands, texts.lines[:_FEW])]


def _near(plan: Plan, commands: Mapping[str, _Command], texts: Sequence[str]) -> list[Row]:
    """Cosines of the vectors of a text with those of float32."""
    lines = corpora.Corpus(texts, []).write_lines(plan.folder / "few.txt")
    vectors = {}
    for name, command in commands.items():
        folder = plan.folder / "few" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        run(name, command(lines, folder))
        vectors[name] = _vectors(folder, texts)
    rows = []
    for name in [name for name in vectors if name != "float32"]:
        cosines = (vectors[name] * vectors["float32"]).sum(axis=1)
        figure = f"{cosines.mean():.4f}; {cosines.min():.4f}"
        rows.append(Row(f"{name}: cosine with float32, mean; lowest", figure))
    return rows


def _vectors(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """[N, D] of length 1, in the order of the texts."""
    found: dict[str, np.ndarray] = {}
    for path in folder.rglob("*.parquet"):
        if {"text", "vector"} <= set(pq.read_schema(path).names):
            table = pq.read_table(path, columns=["text", "vector"])
            found.update(zip(table["text"].to_pylist(), table["vector"].to_numpy()))
    rows = np.stack([found[text] for text in texts]).astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
