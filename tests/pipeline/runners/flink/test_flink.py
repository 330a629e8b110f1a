"""The same run on a Flink cluster of this machine, and what is said where a piece is missing.

The cluster is one of the tests' own; where a test run was killed, `cluster.sh down` with its folder
in CORPUSVEC_FLINK takes it down.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpusvec.transforms.snapshots.outputs import Output
from tests import stores
from tests.clusters import (
    ROOT,
    WORK,
    Cluster,
    assert_alike,
    assert_every_text_once,
    assert_one_line,
    cluster_sh,
    commands_with,
    counts,
    embed,
    embedding,
    program,
    table,
    workers,
)
from tests.formats import write_each
from tests.models import TEXTS, numbered

_NAMES = ("notes.json", "lines.txt", "records.jsonl")
EXAMPLES = ",".join(f"examples/{name}" for name in _NAMES)  # as seen from the client alone

pytestmark = pytest.mark.flink


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """The examples, texts of many windows, ids that come twice, and each format."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = [f"{text} {n}" for n, text in enumerate(TEXTS * 40)] + [" ".join(TEXTS * 9), ""]
    (folder / "more.txt").write_text("\n".join(lines))
    twice = [{"id": f"twice-{n % 20}", "text": f"{n} in the garden"} for n in range(40)]
    (folder / "twice.jsonl").write_text("".join(json.dumps(record) + "\n" for record in twice))
    each = write_each(folder / "each")
    return f"{EXAMPLES},{folder}/more.txt,{folder}/twice.jsonl,{each}/**"


FLAGS = ("--layers=-1", "--max_rejected=20")


@pytest.fixture(scope="module")
def local(cluster, corpus, tiny, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("local")
    code, said = embed(cluster, tiny, corpus, output, *FLAGS)
    assert code == 0, said
    assert counts(output)["rejected"] == 20
    assert counts(output)["windows"] > counts(output)["documents"]
    return output


@pytest.mark.parametrize("parallelism", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_result_is_that_of_the_local_run(cluster, corpus, tiny, local, tmp_path, parallelism):
    flags = (*FLAGS, "--runner=flink", f"--parallelism={parallelism}")
    code, said = embed(cluster, tiny, corpus, tmp_path, *flags)
    assert code == 0, said
    assert f"running on Flink, http://{cluster.about['rest']}" in said
    assert_alike(tmp_path, local)
    work = counts(tmp_path, WORK)
    assert min(work.values()) > 0
    assert work["models"] <= parallelism
    assert work["padded_tokens"] >= work["encoded_tokens"]


@pytest.mark.slow
def test_pairs_are_those_of_the_local_run(cluster, tiny, tmp_path):
    source = tmp_path / "pairs.txt"
    source.write_text("".join(f"{text} ||| {TEXTS[0]} {n}\n" for n, text in enumerate(TEXTS)))
    pairs = ("--input_format=pairs", "--layers=-1")
    for name, *flags in (("here",), ("there", "--runner=flink")):
        code, said = embed(cluster, tiny, source, tmp_path / name, *pairs, *flags)
        assert code == 0, said
    assert_alike(tmp_path / "there", tmp_path / "here")
    assert all(table(tmp_path / "there", "sentences")["pair"].to_pylist())


@pytest.mark.slow
def test_a_night_after_embeds_only_what_is_new(cluster, tiny, tmp_path):
    """And gives what a local run gives; where nothing is new no model is loaded."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    texts = {f"d{n}": text for n, text in enumerate(numbered(20))}

    def night(output: Path, *flags: str) -> dict[str, int]:
        lines = [json.dumps({"id": id_, "text": text}) for id_, text in texts.items()]
        source.write_text("\n".join(lines))
        code, said = embed(cluster, tiny, source, output, "--layers=-1", *flags)
        assert code == 0, said
        return counts(output, ("documents", "embedded", "reused"))

    assert night(output) == {"documents": 280, "embedded": 280, "reused": 0}
    texts["moved"] = texts.pop("d3")
    texts["d5"] = texts["d6"] = "one that nobody has seen"
    flags = ("--runner=flink", "--parallelism=2")
    # One of the two that are alike repeats the other.
    assert night(output, *flags) == {"documents": 280, "embedded": 1, "reused": 278}
    night(tmp_path / "other")
    assert_alike(output, tmp_path / "other")
    assert night(output, *flags) == {"documents": 280, "embedded": 0, "reused": 280}
    assert_alike(output, tmp_path / "other")
    assert "models" not in Output(str(output)).published_manifest["counts"]


@pytest.mark.slow
def test_a_cluster_named_by_its_address_gets_a_job_server(cluster, corpus, tiny, local, tmp_path):
    """And with all slots taken by default, both TaskManagers have a part."""
    flags = (*FLAGS, "--runner=flink", f"--flink_master={cluster.about['rest']}")
    code, said = embed(cluster, tiny, corpus, tmp_path, *flags)
    assert code == 0, said
    assert_alike(tmp_path, local)
    assert not commands_with("corpusvec-flink-")
    folder = tmp_path / "snapshots" / (tmp_path / "LATEST").read_text().strip()
    assert len(list(folder.glob("sentences/*.parquet"))) == 2


@pytest.mark.slow
def test_a_store_that_workers_cannot_reach_is_one_line(cluster, tiny, tmp_path, monkeypatch):
    """In a time that is bounded, though the client can."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    there = {"AWS_ENDPOINT_URL": nowhere, "AWS_ENDPOINT_URL_S3": nowhere}
    with stores.reachable("s3", tmp_path) as environment:
        bucket = stores.new_bucket("s3", environment, monkeypatch)
        source = bucket.upload(ROOT / "examples" / "lines.txt", "in.txt")
        flags = ("--runner=flink", f"--environment_config={json.dumps({'env': there})}")
        code, said = embed(cluster, tiny, source, f"{bucket.address}/out", *flags)
        assert code == 1
        assert_one_line(said, f"{source}: a worker on Flink cannot reach it (", "cluster.sh up")


@pytest.mark.slow
def test_a_job_that_is_handed_over_goes_on_alone(cluster, corpus, tiny, local, tmp_path):
    """Also where its job server ends with the client."""
    for number, place in enumerate(([], [f"--flink_master={cluster.about['rest']}"])):
        output = tmp_path / str(number)
        flags = (*FLAGS, "--runner=flink", *place, "--no_wait_until_finish")
        code, said = embed(cluster, tiny, corpus, output, *flags)
        assert code == 0, said
        assert not commands_with("corpusvec-flink-")
        deadline = time.monotonic() + 240
        while not (output / "LATEST").exists():
            assert time.monotonic() < deadline, cluster.jobs()
            time.sleep(0.5)
        assert_alike(output, local)


OTHER_VERSION = (
    "import corpusvec.pipeline.runners.workers as start",
    "start.versions = lambda: 'Beam 2.70 and Python 3.12'",
    "raise SystemExit(start.main())",
)
WORKERS = {
    "another version": (OTHER_VERSION, ["has Beam 2.70 and Python 3.12, the client Beam 2."]),
    "ends at once": (("raise SystemExit(3)",), ["a worker ended with code 3", "workers.log"]),
    "hangs": (("import time", "time.sleep(600)"), ["no worker on Flink answered within 15 s"]),
}


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] if name != "another version" else [])
        for name, case in WORKERS.items()
    ],
)
def test_a_worker_that_does_not_work_is_one_line(cluster, tiny, tmp_path, lines, parts):
    flags = ("--runner=flink", f"--environment_config={program(tmp_path, *lines)}")
    started = time.monotonic()
    output, seconds = tmp_path / "out", 15 if "600" in lines[-1] else 60
    code, said = embed(cluster, tiny, EXAMPLES, output, *flags, f"--start_timeout={seconds}")
    assert code == 1
    assert_one_line(said, *parts)
    assert time.monotonic() - started < 75
    assert not list((output / "snapshots").iterdir())
    assert "RUNNING" not in cluster.jobs().values()


def test_a_worker_program_that_is_not_there_is_one_line(cluster, tiny, tmp_path):
    flags = ("--runner=flink", '--environment_config={"command": "/nowhere/worker"}')
    code, said = embed(cluster, tiny, EXAMPLES, tmp_path / "out", *flags)
    assert code == 1
    assert_one_line(said, "/nowhere/worker", "No such file", "--environment_config")


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_a_cluster_that_is_not_there_is_one_line(tiny, tmp_path):
    nowhere = Cluster(tmp_path)
    code, said = embed(nowhere, tiny, EXAMPLES, tmp_path / "out", "--runner=flink")
    assert code == 2
    assert_one_line(said, "no cluster is up", "cluster.sh up", "--flink_master")
    (tmp_path / "endpoint.json").write_text(json.dumps({"rest": f"127.0.0.1:{closed_port()}"}))
    code, said = embed(nowhere, tiny, EXAMPLES, tmp_path / "out", "--runner=flink")
    assert code == 1
    assert_one_line(said, "no JobManager answers at 127.0.0.1:")
    assert not (tmp_path / "out").exists()


def test_more_slots_than_there_are_is_one_line(cluster, tiny, tmp_path):
    flags = ("--runner=flink", "--parallelism=5")
    code, said = embed(cluster, tiny, EXAMPLES, tmp_path / "out", *flags)
    assert code == 2
    assert_one_line(said, "--parallelism=5", "of the 2 slots")


def test_an_environment_that_is_no_json_is_one_line(cluster, tiny, tmp_path):
    flags = ("--runner=flink", "--environment_config=worker")
    code, said = embed(cluster, tiny, EXAMPLES, tmp_path / "out", *flags)
    assert code == 2
    assert_one_line(said, "--environment_config=worker: is no JSON")


@pytest.fixture
def long_run(cluster, tiny, tmp_path) -> Iterator[subprocess.Popen]:
    """A run of many texts, when documents are being written; its output is `out`."""
    source, output = tmp_path / "a.txt", tmp_path / "out"
    source.write_text("\n".join(f"{text} {n}" for n, text in enumerate(TEXTS * 10_000)))
    process = embedding(cluster, tiny, source, output, "--runner=flink", "--layers=-1")
    deadline = time.monotonic() + 120
    while not any(file.stat().st_size for file in output.glob("snapshots/.*/tokens/*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()
    cluster.cancel_all()  # the job would go on, and have the slots


@pytest.mark.slow
def test_every_listener_is_on_the_loopback_interface(cluster, long_run):
    if not shutil.which("ss"):
        pytest.skip("ss is not here")
    own = {cluster.pid(name) for name in ("jobmanager", "taskmanager-1", "jobserver")}
    told = subprocess.check_output(["ss", "-ltnpH"], text=True).splitlines()
    listening = [line for line in told if any(f"pid={pid}," in line for pid in own)]
    assert len(listening) > 8  # Flink's, the job server's, and those for Python workers
    assert all("127.0.0.1]:" in line or " 127.0.0.1:" in line for line in listening), listening


@pytest.mark.slow
def test_progress_is_said_while_a_bundle_is_at_work(cluster, long_run, tmp_path):
    """Which is all of a worker's share: documents and tokens grow, up to those of the report."""
    _, said = long_run.communicate(timeout=240)
    assert long_run.returncode == 0, said
    total = counts(tmp_path / "out")
    assert re.search(rf"^{total['records']:,} records read, ", said, re.MULTILINE), said
    found = re.findall(r"^([\d,]+) documents, ([\d,]+) tokens", said, re.MULTILINE)
    made = [tuple(int(n.replace(",", "")) for n in line) for line in found]
    assert made == sorted(made)
    assert made[0] < (total["documents"], total["tokens"]), said
    assert made[-1] <= (total["documents"], total["tokens"])
    assert 0 < made[0][0] < made[0][1]


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(cluster, long_run, tmp_path):
    os.kill(workers(cluster)[-1], signal.SIGKILL)
    _, said = long_run.communicate(timeout=240)
    assert long_run.returncode == 0, said
    assert_every_text_once(tmp_path / "out", 10_000 * len(TEXTS))


@pytest.mark.slow
def test_a_killed_task_manager_that_returns_loses_and_doubles_nothing(cluster, long_run, tmp_path):
    os.kill(cluster.pid("taskmanager-2"), signal.SIGKILL)
    broken = cluster_sh("status", CORPUSVEC_FLINK=str(cluster.folder))
    assert broken.stderr.startswith("cluster.sh: taskmanager-2: ended")
    mended = cluster_sh("up", CORPUSVEC_FLINK=str(cluster.folder))
    assert "had lost taskmanager-2" in mended.stdout, mended
    _, said = long_run.communicate(timeout=240)
    assert long_run.returncode == 0, said
    lost = "the TaskManager taskmanager-2 is lost; the stage that it was at begins again\n"
    assert said.count(lost) == 1
    assert_every_text_once(tmp_path / "out", 10_000 * len(TEXTS))


@pytest.mark.slow
def test_an_interrupted_client_cancels_its_job(cluster, long_run, tmp_path):
    os.kill(long_run.pid, signal.SIGINT)
    _, said = long_run.communicate(timeout=60)
    assert long_run.returncode == 130, said
    assert "on Flink was cancelled" in said
    assert said.endswith("interrupted; nothing was published\n")
    assert set(cluster.jobs().values()) <= {"CANCELED", "FINISHED", "FAILED"}
    assert not list((tmp_path / "out" / "snapshots").iterdir())


@pytest.mark.slow
def test_a_killed_client_leaves_a_job_that_ends_whole(cluster, long_run, tmp_path):
    long_run.kill()
    deadline = time.monotonic() + 240
    while not (tmp_path / "out" / "LATEST").exists():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert_every_text_once(tmp_path / "out", 10_000 * len(TEXTS))


@pytest.mark.slow
def test_a_job_server_that_died_is_one_line_and_up_starts_it_again(cluster, tiny, tmp_path):
    os.kill(cluster.pid("jobserver"), signal.SIGKILL)
    code, said = embed(cluster, tiny, EXAMPLES, tmp_path / "out", "--runner=flink")
    assert code == 1
    assert_one_line(said, "no job server answers at 127.0.0.1:", "cluster.sh up")
    mended = cluster_sh("up", CORPUSVEC_FLINK=str(cluster.folder))
    assert "had lost jobserver" in mended.stdout, mended
    code, said = embed(cluster, tiny, EXAMPLES, tmp_path / "out", "--runner=flink")
    assert code == 0, said
