"""Encode only: our encoder, PyTorch and ONNX Runtime on the same windows, and what the machine's
matrix products would allow.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import corpora, machine
from benchmarks.plans import NO_PEERS, Plan
from benchmarks.races import race, ratios, run, serving
from benchmarks.rows import Row, not_measured, rates, ratio

_TEXTS = 512
_PRECISIONS = ("float32", "bfloat16")
_LEAST_OF_LIMIT = {"float32": 0.80, "bfloat16": 0.75}
# Theirs, ours, and how many times as fast ours should be.
_PEERS = {
    "PyTorch + transformers float32": ("float32", 1.1),
    "PyTorch + transformers bfloat16": ("bfloat16", 1.3),
    "ONNX Runtime float32": ("float32", 1.3),
}
_LEAST_BFLOAT16 = 1.6


def measure(plan: Plan) -> list[Row]:
    """Our own BERT against the limit of the machine and against the peers."""
    base = plan.base_model()
    corpus = corpora.make(base, plan.scaled(_TEXTS))
    windows = corpus.write_windows(plan.folder / "windows.json")
    precisions = [p for p in _PRECISIONS if p == "float32" or machine.has_bfloat16()]
    commands = {f"limit {p}": python("limit", p) for p in precisions}
    commands |= {f"ours {p}": python("encode_ours", base, windows, p) for p in precisions}
    if plan.peers:
        commands |= _peers(plan, base, windows, precisions)
    with serving(commands) as servers:
        found = race({name: server.slice for name, server in servers.items()}, plan.rounds)
    return [*_limits(found, gflop_per_token(base)), *_others(found), *_speeds(found)]


def _peers(plan: Plan, base: str, windows: Path, precisions: Sequence[str]) -> dict[str, list[str]]:
    exported = plan.folder / "onnx"
    exported.mkdir(exist_ok=True)
    commands = {
        f"PyTorch + transformers {p}": plan.peer("encode_torch.py", base, windows, p)
        for p in precisions
    }
    onnx = plan.peer("encode_onnx.py", base, windows, exported)
    return commands | {"ONNX Runtime float32": onnx}


def _limits(found: Mapping[str, Sequence[float]], gflop: float) -> list[Row]:
    rows = []
    for precision, least in _LEAST_OF_LIMIT.items():
        what = f"encode only, {precision} ÷ {precision} matmul limit"
        if f"ours {precision}" not in found:
            rows.append(not_measured(what, f"≥ {least:g}", machine.NO_BFLOAT16))
            continue
        reached = [gflop * rate for rate in found[f"ours {precision}"]]
        rows.append(ratio(what, ratios(reached, found[f"limit {precision}"]), least=least))
    return rows


def _others(found: Mapping[str, Sequence[float]]) -> list[Row]:
    rows = []
    for peer, (precision, least) in _PEERS.items():
        what = f"encode only, {precision} ÷ {peer}"
        if peer in found:
            rows.append(ratio(what, ratios(found[f"ours {precision}"], found[peer]), least=least))
        else:
            why = NO_PEERS if f"ours {precision}" in found else machine.NO_BFLOAT16
            rows.append(not_measured(what, f"≥ {least:g}", why))
    return rows


def _speeds(found: Mapping[str, Sequence[float]]) -> list[Row]:
    return [
        rates(name, speeds, "GFLOP" if name.startswith("limit") else "tokens")
        for name, speeds in found.items()
    ]


def measure_saved(plan: Plan) -> list[Row]:
    """A float32 SavedModel in bfloat16 against itself."""
    what = "SavedModel with --precision=bfloat16 ÷ its float32"
    if not machine.has_bfloat16():
        return [not_measured(what, f"≥ {_LEAST_BFLOAT16:g}", machine.NO_BFLOAT16)]
    base = plan.base_model()
    saved = plan.folder / "saved"
    run("export-model", [sys.executable, "-m", "pipeline", "export-model", base, str(saved)])
    windows = corpora.make(base, plan.scaled(_TEXTS)).write_windows(plan.folder / "windows.json")
    commands = {
        f"SavedModel {p}": python("encode_ours", saved, windows, p) for p in reversed(_PRECISIONS)
    }
    with serving(commands) as servers:
        found = race({name: server.slice for name, server in servers.items()}, plan.rounds)
    return [ratio(what, ratios(*found.values()), least=_LEAST_BFLOAT16), *_speeds(found)]


def python(module: str, *arguments: str | Path) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def gflop_per_token(model: str) -> float:
    """Of the dense layers of a model; the products inside the attention are not counted, as they
    depend on the length.
    """
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.models.transformers.weights import shapes

    config = Settings(model=model).describe_model()[0].transformer
    if config is None:
        raise ValueError(f"--base={model}: none of those that the forward pass runs")
    kernels = (
        shape
        for name, shape in shapes(config, pooler=False).items()
        if name.startswith("encoder/layer_") and name.endswith("/kernel")
    )
    return 2 * sum(math.prod(shape) for shape in kernels) / 1e9
