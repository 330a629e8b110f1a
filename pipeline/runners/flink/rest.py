"""What a JobManager says over HTTP."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_SECONDS = 5.0
_ON_THE_WAY = 2.0  # for which a job that was sent may be unknown
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
    try:
        ask(address, f"/jobs/{job}", "PATCH")
    except HTTPError as error:
        if error.code != HTTPStatus.CONFLICT:
            raise
        return False  # it has ended; Flink's answers are some seconds old
    deadline = time.monotonic() + seconds
    while _state(address, job) not in _ENDED:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _state(address: str, job: str) -> str:
    return ask(address, f"/jobs/{job}")["state"]


def goes_on(address: str, job: str) -> bool:
    """Whether a job runs, or will again."""
    return _state(address, job) not in {*_ENDED, "FAILING", "CANCELLING"}


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


class Failure(NamedTuple):
    """When, by the JobManager's clock, what it says, and the TaskManager that it was on; empty
    where nobody knows.
    """

    at: int
    told: str
    task_manager: str


def failures(address: str, job: str) -> list[Failure]:
    """What has failed of a job, oldest first."""
    history = ask(address, f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
    return sorted(
        Failure(one["timestamp"], one["stacktrace"], one.get("taskManagerId") or "")
        for one in history
    )
