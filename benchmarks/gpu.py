"""On a GPU: our encoder beside PyTorch on the same card, what compiling takes, and the whole
program beside sentence-transformers. Where TensorFlow has no GPU, each row says so.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import corpora, programs
from benchmarks.encoding import python
from benchmarks.plans import NO_PEERS, Plan
from benchmarks.races import race, ratios, run, serving
from benchmarks.rows import Row, at_least, at_most, not_measured, rates, ratio

_TEXTS, _WINDOWS, _MEAN = 200_000, 65_536, 30
_ROUNDS = 2  # each takes minutes
_PRECISION = "bfloat16"
_NO_GPU = "TensorFlow has no GPU here"
_ENCODE = "GPU, encode only, BERT-base bfloat16 ÷ PyTorch"
_PADDING = "GPU, padding of batches, MiniLM"
_WHOLE = "GPU, whole program, MiniLM bfloat16 ÷ sentence-transformers"
_BUSY = "GPU, busy while the program encodes"
_TARGETS = {_ENCODE: "≥ 0.8", _PADDING: "≤ 0.06", _WHOLE: "≥ 4", _BUSY: "≥ 0.6"}
_COUNT = "from corpusvec.transforms.models.hardware import gpus; print(len(gpus()))"


def measure(plan: Plan) -> list[Row]:
    """The model of the plan, which is called MiniLM here, and a BERT-base."""
    if not int(run("TensorFlow", [sys.executable, "-c", _COUNT]).splitlines()[-1]):
        return [not_measured(what, target, _NO_GPU) for what, target in _TARGETS.items()]
    corpus = corpora.make(plan.model, plan.scaled(_WINDOWS), _MEAN)
    windows = corpus.write_windows(plan.folder / "windows.json")
    return [*_encoders(plan, windows), *_batches(plan, windows), *_whole(plan)]


def _encoders(plan: Plan, windows: Path) -> Iterator[Row]:
    models = {"MiniLM": plan.model, "BERT-base": plan.base_model()}
    for name, model in models.items():
        commands = {f"GPU, {name} {_PRECISION}": python("encode_ours", model, windows, _PRECISION)}
        if plan.peers:
            theirs = plan.peer("encode_torch.py", model, windows, _PRECISION, "cuda")
            commands[f"GPU, {name} {_PRECISION}, PyTorch"] = theirs
        with serving(commands) as servers:
            found = race({one: server.slice for one, server in servers.items()}, plan.rounds)
        yield from (rates(one, speeds, "tokens") for one, speeds in found.items())
        if name == "BERT-base":
            yield _against_pytorch(list(found.values()))


def _against_pytorch(found: Sequence[Sequence[float]]) -> Row:
    if len(found) < 2:
        return not_measured(_ENCODE, _TARGETS[_ENCODE], NO_PEERS)
    return ratio(_ENCODE, ratios(*found), least=0.8)


def _batches(plan: Plan, windows: Path) -> Iterator[Row]:
    """Of a process of its own, which says what was compiled."""
    command = python("gpu", plan.model, windows, _PRECISION)
    said = json.loads(run("our encoder", command).splitlines()[-1])
    share, seconds = said["padding"], said["seconds"]
    yield at_most(_PADDING, f"{share:.3f}", share, 0.06)
    took = f"{statistics.median(seconds):.1f} s" if seconds else "nothing was compiled"
    yield Row("GPU, shapes that XLA compiled, and what each took", f"{len(seconds)}; {took}")


def _whole(plan: Plan) -> Iterator[Row]:
    texts = plan.scaled(_TEXTS)
    lines = corpora.make(plan.model, texts, _MEAN).write_lines(plan.folder / "english.txt")
    ours, theirs = plan.folder / "out", plan.folder / "theirs"
    runs = {
        f"GPU, whole program, ours {_PRECISION}": programs.program(
            _PRECISION, ours, programs.ours(plan.model, lines, _PRECISION)
        )
    }
    if plan.peers:
        runs["GPU, whole program, sentence-transformers"] = programs.program(
            "sentence-transformers",
            theirs,
            lambda folder: plan.peer(
                "embed_sentence_transformers.py", plan.model, lines, folder, "cuda"
            ),
        )
    found = race(runs, min(plan.rounds, _ROUNDS))
    for name, times in found.items():
        yield Row(name, f"{texts / statistics.median(times):,.0f} lines/s")
    if plan.peers:
        yield ratio(_WHOLE, ratios(*reversed(found.values())), least=4)
    else:
        yield not_measured(_WHOLE, _TARGETS[_WHOLE], NO_PEERS)
    with _watched() as busy:
        next(iter(runs.values()))()
    yield at_least(_BUSY, f"{_mean(busy):.2f}", _mean(busy), 0.6)


@contextlib.contextmanager
def _watched() -> Iterator[list[float]]:
    """How busy the first card is, by the second, once the block has ended."""
    query = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    busy: list[float] = []
    with subprocess.Popen([*query, "--loop=1"], stdout=subprocess.PIPE, text=True) as program:
        try:
            yield busy
        finally:
            program.terminate()
            assert program.stdout is not None
            busy += [int(line) / 100 for line in program.stdout if line.strip().isdigit()]


def _mean(busy: Sequence[float]) -> float:
    """From the first second to the last in which there was anything to do."""
    at = [second for second, share in enumerate(busy) if share]
    return statistics.mean(busy[at[0] : at[-1] + 1]) if at else 0.0


def batches(model: str, windows: str, precision: str) -> dict[str, object]:
    """What batches hold of padding, and the seconds that each shape took to compile."""
    from benchmarks.encode_ours import loaded
    from corpusvec.transforms.batches import padded_length, padded_rows
    from corpusvec.transforms.models.capacities import THIS_PROCESS

    encoder, some, spec = loaded(model, windows, precision)
    few = THIS_PROCESS.few_shapes
    padded = sum(
        padded_rows(one, few) * padded_length(one, spec.longest_padded, few) for one in some
    )
    seconds = [
        took for graphs in encoder.graphs if graphs.compiled for took in graphs.compiled.seconds
    ]
    return {"padding": 1 - sum(int(one.sizes.sum()) for one in some) / padded, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(batches(*sys.argv[1:])))
