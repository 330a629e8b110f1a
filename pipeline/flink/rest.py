"""What a JobManager says over HTTP."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

_SECONDS = 5.0
_ON_THE_WAY = 2.0  # for which a job that was sent may be unknown
_BEAM = "__metricscontainers"  # what Beam calls all of its metrics
_COUNTER = "beam:metric:user:sum_int64:v1"
_OURS = ".corpusvec_"  # in Flink's names of them
_ENDED = {"FINISHED", "CANCELED", "FAILED"}


def ask(address: str, path: str, method: str = "GET") -> Any:
    """The answer of `HOST:PORT`, an object. Raises `OSError` or `ValueError` where there is
    none.
    """
    opener = build_opener(ProxyHandler({}))  # a cluster is never behind the proxy of a browser
    try:
        request = Request(f"http://{address}{path}", method=method)
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read() or b"{}")
    except HTTPException as error:
        raise ValueError(f"{address}: does not speak HTTP") from error


def overview(address: str) -> dict[str, Any] | None:
    """TaskManagers and slots; None where no JobManager answers."""
    try:
        told = ask(address, "/overview")
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and "taskmanagers" in told else None


def workers_of_hosts(address: str) -> list[tuple[int, int]]:
    """Of each machine that has TaskManagers: its cores, and how many it has."""
    hosts: dict[str, list[int]] = {}
    for manager in ask(address, "/taskmanagers")["taskmanagers"]:
        host = manager["path"].rpartition("@")[2].partition("/")[0].rpartition(":")[0]
        hosts.setdefault(host, []).append(manager["hardware"]["cpuCores"])
    return [(max(cores), len(cores)) for cores in hosts.values()]


def job_id(address: str, name: str) -> str | None:
    """The newest job of this name."""
    jobs = [job for job in ask(address, "/jobs/overview")["jobs"] if job["name"] == name]
    return max(jobs, key=lambda job: job["start-time"])["jid"] if jobs else None


def awaited_job(address: str, name: str, seconds: float) -> str | None:
    """The newest job of this name, which may be on its way; None where none comes in time. Raises
    `OSError` where the JobManager is gone; one that takes in a job may not answer for a while.
    """
    deadline = time.monotonic() + seconds
    while True:
        last = time.monotonic() > deadline
        try:
            if (job := job_id(address, name)) is not None:
                return job
        except OSError:
            if last:
                raise
        if last:
            return None
        time.sleep(0.2)


def cancel(address: str, name: str, seconds: float = 20.0) -> bool:
    """Cancel the job of this name, if it runs, and wait for its end -> whether it was running and
    has ended. Raises `OSError` where the JobManager is gone.
    """
    job = awaited_job(address, name, _ON_THE_WAY)
    if job is None or _state(address, job) in _ENDED:
        return False
    ask(address, f"/jobs/{job}", "PATCH")
    deadline = time.monotonic() + seconds
    while _state(address, job) not in _ENDED:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _state(address: str, job: str) -> str:
    return ask(address, f"/jobs/{job}")["state"]


def cause(address: str, name: str) -> str:
    """Why the job of this name failed, with Java's stack traces and Python's tracebacks; empty
    where it did not.
    """
    job = job_id(address, name)
    if job is None:
        return ""
    history = ask(address, f"/jobs/{job}/exceptions").get("exceptionHistory", {})
    entries = history.get("entries", [])
    return str(entries[0].get("stacktrace", "")) if entries else ""


def task_managers(address: str) -> set[str]:
    """The ids of those that are there."""
    return {manager["id"] for manager in ask(address, "/taskmanagers")["taskmanagers"]}


def counters(address: str, job: str) -> Counter[str]:
    """corpusvec's own counters of a job: of its parts that are done, as Beam has them, and of those
    that run, as they were some seconds ago. What failed is not among them.
    """
    totals = _of_done(address, job)
    for vertex in ask(address, f"/jobs/{job}")["vertices"]:
        if vertex["status"] == "RUNNING":
            totals += _of_running(address, f"/jobs/{job}/vertices/{vertex['id']}")
    return totals


def _of_done(address: str, job: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    path = f"/jobs/{job}/accumulators?includeSerializedValue=false"
    for told in ask(address, path)["user-task-accumulators"]:
        if told["name"] == _BEAM:
            for one in json.loads(told["value"])["metrics"]["attempted"]:
                labels = one.get("labels", {})
                if one["urn"] == _COUNTER and labels.get("NAMESPACE") == "corpusvec":
                    totals[labels["NAME"]] += _number(one.get("payload", ""))
    return totals


def _of_running(address: str, vertex: str) -> Counter[str]:
    """Flink keeps what it was told of a part that is done by now; Beam has it, too."""
    path, parts = f"{vertex}/subtasks/metrics", ask(address, vertex)["subtasks"]
    running = [str(part["subtask"]) for part in parts if part["status"] == "RUNNING"]
    names = [one["id"] for one in ask(address, path) if _OURS in one["id"]]
    if not (running and names):
        return Counter()
    query = {"get": ",".join(names), "subtasks": ",".join(running), "agg": "sum"}
    found = ask(address, f"{path}?{urlencode(query)}")
    return Counter({one["id"].rpartition(_OURS)[2]: int(one["sum"]) for one in found})


def _number(payload: str) -> int:
    """Of Beam's encoding: seven bits a byte, the lowest first, in Base64."""
    return sum((byte & 127) << 7 * n for n, byte in enumerate(base64.b64decode(payload)))


def failures(address: str, job: str) -> list[tuple[int, str, str]]:
    """What has failed of a job, oldest first: when, by the JobManager's clock, what it says, and
    the TaskManager, empty where it is none.
    """
    history = ask(address, f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
    found = [
        (one["timestamp"], one["stacktrace"], one.get("taskManagerId") or "") for one in history
    ]
    return sorted(found)
