"""On Flink the work is shared evenly, however the input comes, in few large pieces, and by workers
that each take their share of the cores.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from corpusvec.pipeline.runners.flink import presets, rest
from corpusvec.transforms.models.cores import available
from tests.clusters import counts, embed, latest, manifest, program
from tests.models import TEXTS

# A worker that tells, at the end of each bundle, what its process has counted.
TELLS = """
import json, os, sys
os.environ["WORKER_ID"] = next(word[5:] for word in sys.argv if word.startswith("--id="))
from corpusvec.transforms import encode
from corpusvec.transforms.measures import counters
finish = encode._EncodeFn.finish_bundle
def tell(stage):
    yield from finish(stage)
    told = counters.totals() | {{"streams": stage._loaded.encoder.streams}}
    with open({folder!r} + f"/{{os.getpid()}}.jsonl", "a") as file:
        print(json.dumps(told), file=file)
encode._EncodeFn.finish_bundle = tell
from corpusvec.pipeline.runners.workers import main
raise SystemExit(main())
"""


def texts(count: int) -> list[str]:
    return [f"{TEXTS[n % len(TEXTS)]} {n}" for n in range(count)]


def one_export(folder: Path) -> str:
    pages = [{"title": f"{n}", "lines": [f"{n}", text]} for n, text in enumerate(texts(4_000))]
    (folder / "notes.json").write_text(json.dumps({"name": "notes", "pages": pages}))
    return f"{folder}/notes.json"


def small_files(folder: Path) -> str:
    for n, text in enumerate(texts(10_000)):
        (folder / f"{n}.txt").write_text(text)
    return f"{folder}/*.txt"


def a_file_ten_times_the_others(folder: Path) -> str:
    for n in range(11):
        times = 2_000 if n == 3 else 200
        (folder / f"{n}.txt").write_text("\n".join(f"{text} in {n}" for text in texts(times)))
    return f"{folder}/*.txt"


SHAPES = {
    "one export": one_export,
    "10,000 small files": small_files,
    "a file ten times the others": a_file_ten_times_the_others,
}


@pytest.mark.flink
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_both_task_managers_encode_half_of_it(cluster, tiny, tmp_path, shape):
    """By Flink's own metrics, by the files, and by what the workers counted."""
    for name in ("in", "told"):
        (tmp_path / name).mkdir()
    source, output = shape(tmp_path / "in"), tmp_path / "out"
    worker = program(tmp_path, TELLS.format(folder=str(tmp_path / "told")))
    flags = ("--runner=flink", f"--environment_config={worker}")
    started = time.monotonic()
    code, said = embed(cluster, tiny, source, output, *flags)
    assert code == 0, said
    assert time.monotonic() - started < 120

    total = counts(output)
    metrics = cluster.encoding(f"corpusvec-{latest(output).name}")
    assert metrics.keys() == {"taskmanager-1", "taskmanager-2"}
    documents = [of["read-records"] for of in metrics.values()]
    assert sum(documents) == total["documents"]
    assert min(documents) >= 0.4 * total["documents"]
    # Reports of files and counts: vectors are not sent on.
    assert sum(of["write-records"] for of in metrics.values()) <= 50

    files = [file for file in manifest(output)["files"] if file["table"] == "sentences"]
    assert len(files) == 2  # one of each worker: bundles are whole partitions
    assert min(file["counts"]["tokens"] for file in files) >= 0.4 * total["tokens"]

    told = [file.read_text().splitlines() for file in (tmp_path / "told").iterdir()]
    workers = [json.loads(last) for *_, last in told]
    assert [one["models"] for one in workers] == [1, 1]
    assert [one["streams"] for one in workers] == [max(1, available() // 2)] * 2
    encoded = sum(one["encoded_tokens"] for one in workers)
    assert sum(one["padded_tokens"] for one in workers) <= 1.08 * encoded


@pytest.mark.flink
@pytest.mark.slow
def test_a_partition_is_larger_than_all_memory_of_its_task_manager(cluster, tiny, tmp_path):
    """Its heap is of 512 MiB. Beam's own queue for what a worker gives out filled it."""
    source, output, lines = tmp_path / "large.txt", tmp_path / "out", 7_000
    long = [(f"{text} " * 5_000)[:100_000] + "\n" for text in TEXTS]
    with source.open("w") as file:
        file.writelines(long[n % len(long)] for n in range(lines))
    assert source.stat().st_size > 650 << 20
    flags = ("--runner=flink", "--parallelism=1", "--long_text=truncate")
    code, said = embed(cluster, tiny, source, output, *flags)
    assert code == 0, said
    assert "begins again" not in said
    assert counts(output)["documents"] == lines


@pytest.mark.flink
@pytest.mark.slow
def test_texts_that_are_alike_fit_into_its_memory(cluster, tiny, tmp_path):
    """Flink holds a group of them as one."""
    source, output, lines, others = tmp_path / "alike.txt", tmp_path / "out", 1_600_000, 100
    with source.open("w") as file:
        for n in range(others):
            file.write(f"{TEXTS[0]} {n}\n" + f"{TEXTS[1]}\n\n" * (lines // others // 2))
    flags = ("--runner=flink", "--parallelism=1")
    code, said = embed(cluster, tiny, source, output, *flags)
    assert code == 0, said
    assert "begins again" not in said
    found = counts(output, ("documents", "empty", "embedded"))
    assert (found["documents"], found["empty"]) == (others + lines // 2, lines // 2)
    assert found["embedded"] == others + 1


MACHINES = {
    "one machine, two TaskManagers": ([("a", 8), ("a", 8)], 1, 4),
    "one machine, more TaskManagers than cores": ([("a", 2)] * 3, 1, 1),
    "a machine each": ([("a", 8), ("b", 16)], 1, 0),
    "a machine each, two workers": ([("a", 8), ("b", 16)], 2, 4),
    "as many workers as Beam thinks best": ([("a", 8)], 0, 1),
    "machines of two sizes": ([("a", 8), ("b", 16), ("b", 16), ("b", 16)], 1, 5),
}


@pytest.mark.parametrize(("machines", "each", "share"), MACHINES.values(), ids=MACHINES)
def test_no_two_workers_of_a_machine_take_all_of_its_cores(monkeypatch, machines, each, share):
    managers = [
        {"path": f"pekko.tcp://flink@{host}:6122/user/rpc/x", "hardware": {"cpuCores": cores}}
        for host, cores in machines
    ]
    monkeypatch.setattr(rest, "ask", lambda address, path: {"taskmanagers": managers})
    assert presets._share("jobmanager:8081", each) == share
