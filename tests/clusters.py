"""A Flink cluster of the tests, the program run on it, and what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.runners.flink import rest

ROOT = Path(__file__).resolve().parents[1]


def cluster_sh(
    *arguments: str, checkout: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(checkout / "deploy" / "flink" / "cluster.sh"), *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@dataclass(frozen=True)
class Cluster:
    folder: Path

    @property
    def about(self) -> dict[str, Any]:
        return json.loads((self.folder / "endpoint.json").read_text())

    def pid(self, name: str) -> int:
        return json.loads((self.folder / "processes.json").read_text())[name]["pid"]

    def jobs(self) -> dict[str, str]:
        """Names and states of the jobs of runs, those of checks left out; the newest comes last."""
        told = rest.ask(self.about["rest"], "/jobs/overview")["jobs"]
        told.sort(key=lambda job: job["start-time"])
        return {job["name"]: job["state"] for job in told if "-check-" not in job["name"]}

    def encoding(self, name: str) -> dict[str, dict[str, int]]:
        """Flink's metrics of the encoding, by TaskManager, of a job that has ended."""
        told = rest.ask(self.about["rest"], f"/jobs/{rest.job_id(self.about['rest'], name)}")
        (vertex,) = (v["id"] for v in told["vertices"] if "BatchBySize" in v["name"])
        deadline = time.monotonic() + 30
        while True:  # Flink shows what it knew some seconds ago
            path = f"/jobs/{told['jid']}/vertices/{vertex}"
            parts = rest.ask(self.about["rest"], path)["subtasks"]
            if all(part["metrics"]["read-records-complete"] for part in parts):
                return {part["taskmanager-id"]: part["metrics"] for part in parts}
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def cancel_all(self) -> None:
        for name in self.jobs():
            rest.cancel(self.about["rest"], name)


def commands_with(text: str) -> dict[int, str]:
    """Process ids and command lines, where `text` is in these; the ended ones are no more."""
    told = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,stat=,args="], text=True)
    rows = [line.split(None, 2) for line in told.splitlines()]
    return {int(pid): said for pid, stat, said in rows if stat[0] != "Z" and text in said}


def embedding(cluster: Cluster, model, source, output, *flags: str) -> subprocess.Popen:
    place = [f"--model={model}", f"--input={source}", f"--output={output}", *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "embed", *place],
        cwd=ROOT,
        env=os.environ | {"CORPUSVEC_FLINK": str(cluster.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def embed(*arguments) -> tuple[int, str]:
    """Exit code, and what was said on stderr."""
    process = embedding(*arguments)
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def latest(output: Path) -> Path:
    return output / "snapshots" / (output / "LATEST").read_text().strip()


def manifest(output: Path) -> dict[str, Any]:
    return json.loads((latest(output) / "manifest.json").read_text())


def table(output: Path, name: str) -> pa.Table:
    files = sorted((latest(output) / name).glob("*.parquet"))
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    order = [("id", "ascending")] + ([("position", "ascending")] if name == "tokens" else [])
    return rows.sort_by(order)


def rejected(output: Path) -> list[str]:
    files = latest(output).glob("rejected/*.jsonl")
    return sorted(line for file in files for line in file.read_text().splitlines())


_SAME = ("records", "documents", "rejected", "empty", "tokens", "windows")
WORK = ("models", "model_load_ms", "encode_ms", "batches", "padded_tokens", "encoded_tokens")


def counts(output: Path, names: tuple[str, ...] = _SAME) -> dict[str, int]:
    return {name: manifest(output)["counts"][name] for name in names}


def assert_alike(one: Path, other: Path) -> None:
    """Ids, sources, texts, tokens, rejected records and counts are the same, vectors within
    1e-5.
    """
    assert counts(one) == counts(other)
    assert rejected(one) == rejected(other)
    for name, vector in (("sentences", "vector"), ("tokens", "layer@-1")):
        ours, theirs = table(one, name), table(other, name)
        assert ours.drop_columns([vector]).equals(theirs.drop_columns([vector]))
        a, b = (np.stack(t[vector].to_numpy(zero_copy_only=False)) for t in (ours, theirs))
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def assert_every_text_once(output: Path, texts: int) -> None:
    """Of a run with token vectors; the files are those that the manifest names."""
    ids = table(output, "sentences")["id"].to_pylist()
    assert len(ids) == texts
    assert len(set(ids)) == len(ids)
    tokens = table(output, "tokens")
    assert len(tokens) == counts(output)["tokens"]
    assert len(set(zip(tokens["id"].to_pylist(), tokens["position"].to_pylist()))) == len(tokens)
    named = {latest(output) / file["path"] for file in manifest(output)["files"]}
    assert set(latest(output).glob("*/*")) == named


def assert_one_line(said: str, *parts: str) -> None:
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("corpusvec: ")
    for part in parts:
        assert part in said


def program(tmp_path: Path, *lines: str) -> str:
    """A worker program, as --environment_config names one."""
    file = tmp_path / "worker"
    file.write_text("\n".join((f"#!{sys.executable}", *lines, "")))
    file.chmod(0o755)
    return json.dumps({"command": str(file)})


def workers(cluster: Cluster) -> list[int]:
    return sorted(
        pid
        for name in ("taskmanager-1", "taskmanager-2")
        for pid in children(cluster.pid(name))
        if "corpusvec-worker" in Path(f"/proc/{pid}/cmdline").read_text()
    )


def children(parent: int) -> list[int]:
    told = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,stat="], text=True)
    rows = [line.split() for line in told.splitlines()]
    return [int(pid) for pid, of, stat in rows if int(of) == parent and stat[0] != "Z"]
