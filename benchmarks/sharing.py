"""What a second TaskManager adds: the same lines on Flink with one and with two. Each has a core
to itself, for Java and its Python worker; what else the cluster runs may use both.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpora, observed_worker
from benchmarks.plans import ROOT, Plan
from benchmarks.races import race, ratios, run
from benchmarks.rows import Row, not_measured, rates, ratio
from corpusvec.pipeline.runners.workers import CORES
from corpusvec.transforms.models.cores import available

_TEXTS, _MEAN = 8000, 30
_FEWEST = 400  # of which each worker has several batches
_LEAST = 1.6
_MOST_ROUNDS = 3
_WHAT = "Flink, two TaskManagers ÷ one, a core each"


@dataclass(frozen=True, slots=True)
class Batch:
    """When it was given to the encoder, when it was encoded, and its tokens."""

    began: float
    ended: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Shared:
    """A run: the seconds of the whole program, and of each worker its batches."""

    seconds: float
    workers: Sequence[Sequence[Batch]]

    @property
    def rate(self) -> float:
        """Tokens a second from when the last worker has encoded its first batch, as graphs are
        prepared at their first call, until nothing is left: a worker that is done before the other
        counts as one that idles.
        """
        begin = max(min(batch.ended for batch in worker) for worker in self.workers)
        every = [batch for worker in self.workers for batch in worker]
        tokens = sum(batch.tokens for batch in every if batch.began >= begin)
        return tokens / (max(batch.ended for batch in every) - begin)


def measure(plan: Plan) -> list[Row]:
    """The model of the plan, on lines of mean 30 tokens; one and two TaskManagers in turns."""
    if lack := missing():
        return [not_measured(_WHAT, f"≥ {_LEAST:g}", lack)]
    corpus = corpora.make(plan.model, max(_FEWEST, plan.scaled(_TEXTS)), _MEAN)
    source = corpus.write_lines(plan.folder / "shared.txt")
    with cluster(plan.folder / "flink") as environment:
        runs = {
            f"{count}": lambda count=count: embed(plan, source, count, environment)
            for count in (1, 2)
        }
        found: Mapping[str, Sequence[Shared]] = race(runs, min(plan.rounds, _MOST_ROUNDS))
    return rows(found["1"], found["2"])


def rows(one: Sequence[Shared], two: Sequence[Shared]) -> list[Row]:
    """Of the rounds of one and of two."""
    speeds = ratios([run.rate for run in two], [run.rate for run in one])
    programs = ratios([run.seconds for run in one], [run.seconds for run in two])
    return [
        ratio(_WHAT, speeds, least=_LEAST),
        ratio(f"{_WHAT}, start-up included", programs),
        rates("Flink, one TaskManager", [run.rate for run in one], "tokens"),
        rates("Flink, two TaskManagers", [run.rate for run in two], "tokens"),
    ]


def missing() -> str:
    """What there is none of, empty where all is here."""
    if available() < 2:
        return "needs two cores"
    if not hasattr(os, "sched_setaffinity"):
        return "needs Linux, where a process can be kept to a core"
    return next((f"needs {name}" for name in ("java", "mvn") if not shutil.which(name)), "")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Mapping[str, str]]:
    """One of two TaskManagers, of our own -> the environment in which it is found."""
    environment = os.environ | {"CORPUSVEC_FLINK": str(folder), "PYTHON": sys.executable}
    command = str(ROOT / "deploy" / "flink" / "cluster.sh")
    run("cluster.sh up", [command, "up"], env=environment)
    try:
        processes = json.loads((folder / "processes.json").read_text())
        for number, core in enumerate(sorted(os.sched_getaffinity(0))[:2], 1):
            _keep_to(core, processes[f"taskmanager-{number}"]["pid"])
        yield environment
    finally:
        run("cluster.sh down", [command, "down"], env=environment)


def _keep_to(core: int, pid: int) -> None:
    """All threads of a process; those it starts, and its workers, inherit it."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


def embed(
    plan: Plan, source: Path, count: int, environment: Mapping[str, str], *, null: bool = False
) -> Shared:
    """On so many of two TaskManagers; with `null` the encoder takes no time."""
    notes, output = plan.folder / "notes", plan.folder / "out"
    for folder in (notes, output):
        shutil.rmtree(folder, ignore_errors=True)
    notes.mkdir()
    worker = {
        "command": str(observed_worker.write_program(plan.folder / "worker")),
        "env": {
            observed_worker.NOTES: str(notes),
            observed_worker.NULL: "1" if null else "",
            CORES: "1",
        },
    }
    command = [sys.executable, "-m", "pipeline", "embed", f"--model={plan.model}"]
    command += [f"--input={source}", f"--output={output}", "--runner=flink"]
    command += ["--vectors=vector=pooler"] if null else []
    command += [f"--parallelism={count}", f"--environment_config={json.dumps(worker)}"]
    started = time.perf_counter()
    run(f"embed on {count} of two TaskManagers", command, env=environment)
    seconds = time.perf_counter() - started
    said = [file.read_text().splitlines() for file in sorted(notes.iterdir())]
    return Shared(seconds, [[Batch(*json.loads(line)) for line in lines] for lines in said])
