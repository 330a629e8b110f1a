"""What is said of a job on Flink while it runs, by a JobManager that answers as it likes."""

from __future__ import annotations

import base64
import io
import json
import socket
import sys
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from corpusvec.pipeline.runners.flink import failures, rest, watches
from corpusvec.pipeline.runners.flink.watches import Watch, watched
from corpusvec.pipeline.terminal import logs
from tests.servers import Site, serving

NAME = "corpusvec-20260102T030405.678Z-0a1b2c3d"
LOST = (
    "org.apache.flink.runtime.jobmaster.JobMasterException: TaskManager with id"
    " taskmanager-2(127.0.0.1:4242 ) is no longer reachable.\n\tat java.base/a.b(C.java:1)"
)
GONE = "org.apache.flink.util.FlinkException: the slot was taken away\n\tat a.b(C.java:1)"
FULL = (
    "java.lang.RuntimeError: Error received from SDK harness for instruction 7: Traceback\n"
    "OSError: the store is away\n\tat a.b(C.java:1)"
)


def encoded(n: int) -> str:
    """A number as Beam writes it."""
    parts = []
    while n > 127:
        parts.append(n & 127 | 128)
        n >>= 7
    return base64.b64encode(bytes([*parts, n])).decode()


def counter(name: str, n: int, step: str = "s", namespace: str = "corpusvec") -> dict:
    labels = {"PTRANSFORM": step, "NAMESPACE": namespace, "NAME": name}
    return {"urn": "beam:metric:user:sum_int64:v1", "payload": encoded(n), "labels": labels}


class JobManager(Site):
    """One job on two TaskManagers."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, object] = {}
        self.there("taskmanager-1", "taskmanager-2")
        self.job()
        self.failed()
        self.counted()
        self.runs()

    def says(self, path: str, body: object) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        self.answers[path] = lambda handler: send(handler, content)

    def there(self, *names: str) -> None:
        self.says("/taskmanagers", {"taskmanagers": [{"id": name} for name in names]})

    def job(self) -> None:
        self.says("/jobs/overview", {"jobs": [{"name": NAME, "jid": "j", "start-time": 1}]})

    def failed(self, *failures: tuple[int, str]) -> None:
        """The newest first, as Flink has them."""
        where = {FULL: "taskmanager-1", GONE: "taskmanager-2"}
        entries = [
            {"timestamp": at, "stacktrace": told, "taskManagerId": where.get(told)}
            for at, told in failures[::-1]
        ]
        self.says("/jobs/j/exceptions", {"exceptionHistory": {"entries": entries}})

    def counted(self, *counters: dict) -> None:
        value = json.dumps({"metrics": {"attempted": list(counters)}})
        beams = {"name": "__metricscontainers", "type": "MetricsAccumulator", "value": value}
        other = {"name": "another", "type": "LongCounter", "value": "7"}
        self.says("/jobs/j/accumulators", {"user-task-accumulators": [other, beams]})

    def runs(
        self,
        states: str = "",
        state: str = "RUNNING",
        attempt: int = 0,
        steps: int = 1,
        **counted: int,
    ) -> None:
        """A part that runs, on workers of these states; the counters are of the running ones."""
        vertices = [{"id": "v", "status": "RUNNING"}, {"id": "w", "status": "CREATED"}]
        self.says("/jobs/j", {"state": state, "vertices": vertices if states else vertices[1:]})
        names = {"R": "RUNNING", "F": "FINISHED", "C": "CREATED"}
        parts = [
            {"subtask": n, "status": names[state], "attempt": attempt}
            for n, state in enumerate(states)
        ]
        self.says("/jobs/j/vertices/v", {"subtasks": parts})
        running = ",".join(str(n) for n, state in enumerate(states) if state == "R")

        def answer(handler) -> None:
            query = parse_qs(urlsplit(handler.path).query)
            found = [
                {"id": f"Map_(at_[{step}]).corpusvec_{name}"}
                for step in range(steps)
                for name in counted
            ]
            if query:
                assert query["subtasks"] == [running]
                assert query["get"] == [",".join(one["id"] for one in found)]
                found = [
                    one | {"sum": float(n)} for one, n in zip(found, [*counted.values()] * steps)
                ]
            else:
                found.append({"id": "Map_(at_[2]).numRecordsIn"})
            send(handler, json.dumps(found).encode())

        self.answers["/jobs/j/vertices/v/subtasks/metrics"] = answer


def send(handler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def manager() -> Iterator[JobManager]:
    with serving(JobManager()) as site:
        assert isinstance(site, JobManager)
        yield site


def watching(manager: Site) -> Watch:
    return Watch(manager.address.removeprefix("http://"), NAME, "/logs")


def said(told: Watch, now: float = 0.0) -> list[str]:
    return [line.message for line in told.lines(now)]


def test_progress_has_the_counts_of_all_steps_and_workers_and_the_form_of_a_local_run(manager):
    told = watching(manager)
    assert said(told) == ["0 records read, no model loaded yet"]
    ours = [counter("records", 5_000), counter("models", 1)]
    manager.counted(*ours, counter("records", 10**6, namespace="other"))
    assert said(told, 10.0) == ["5,000 records read, first batch encoding"]
    manager.counted(*ours, counter("documents", 100), counter("tokens", 1_000))
    assert said(told, 20.0) == ["100 documents, 1,000 tokens"]  # since when, nobody knows
    copied = [counter(name, 70, "copy") for name in ("tokens", "copied_tokens")]
    copied += [counter("documents", 8, "copy"), counter("reused", 8)]
    manager.counted(*ours, counter("documents", 200), counter("tokens", 3_000), *copied)
    (line,) = told.lines(30.0)
    assert line.message == "208 documents (8 reused), 3,070 tokens, 200 tokens/s"
    assert (line.event, line.level) == ("progress", "info")
    assert {"records": 5_000, "documents": 208, "tokens": 3_070}.items() <= line.fields.items()


def test_what_runs_counts_beside_what_is_done(manager):
    """Of the worker that is done Beam has the counters, though Flink still shows its own."""
    told = watching(manager)
    manager.counted(counter("records", 900), counter("models", 1), counter("tokens", 50))
    manager.runs("RFC", documents=30, tokens=200, models=1)
    (line,) = told.lines(0.0)
    assert line.message == "30 documents, 250 tokens"
    assert line.fields["models"] == 2
    manager.runs("F", documents=30)
    assert said(watching(manager)) == ["0 documents, 50 tokens"]


def test_steps_of_a_vertex_that_count_the_same_are_summed(manager):
    """As where what is embedded and what is copied is fused."""
    told = watching(manager)
    manager.runs("R", steps=2, documents=30, tokens=200, models=1)
    (line,) = told.lines(0.0)
    assert line.message == "60 documents, 400 tokens"


@pytest.mark.parametrize("told", [LOST, GONE], ids=["by its name", "by where it was"])
def test_a_lost_task_manager_is_said_once(manager, told):
    watch = watching(manager)
    said(watch)
    manager.there("taskmanager-1")
    manager.failed((5, told))
    (line, _) = watch.lines(10.0)
    assert line.message.startswith("the TaskManager taskmanager-2 is lost; ")
    assert (line.event, line.level) == ("task_manager_lost", "warning")
    assert line.fields == {"task_manager": "taskmanager-2"}
    assert len(said(watch, 20.0)) == 1
    manager.there("taskmanager-1", "taskmanager-2")
    assert len(said(watch, 30.0)) == 1
    manager.failed((5, LOST), (35, LOST))  # and again, back before anybody looked
    assert "taskmanager-2 is lost" in said(watch, 40.0)[0]


def test_a_task_manager_that_has_done_its_work_may_go(manager):
    """Kubernetes takes away what idles; what fails elsewhere has nothing to do with it."""
    watch = watching(manager)
    said(watch)
    manager.there("taskmanager-1")
    assert len(said(watch, 10.0)) == 1
    manager.failed((5, FULL))
    failed, _ = said(watch, 20.0)
    assert failed.startswith("a part of the job failed")


def test_of_a_stage_that_begins_again_it_is_said_why(manager):
    told = watching(manager)
    manager.failed((5, FULL))
    again, _ = told.lines(0.0)
    assert again.message == (
        "a part of the job failed, and its stage begins again: OSError: the store is away"
    )
    assert again.event == "stage_again"
    assert len(said(told, 10.0)) == 1
    manager.failed((5, FULL), (15, FULL))
    assert len(said(told, 20.0)) == 2


@pytest.mark.parametrize("state", ["FAILING", "FAILED", "CANCELLING"])
def test_of_a_job_that_is_over_no_stage_begins_again(manager, state):
    told = watching(manager)
    manager.runs(state=state)
    manager.failed((5, FULL))
    assert said(told) == ["0 records read, no model loaded yet"]
    manager.runs(state="RESTARTING")
    assert "begins again" in said(told)[0]


def test_of_what_would_always_fail_the_end_tells(manager):
    told = watching(manager)
    lasting = FULL.replace("OSError", "corpusvec.transforms.documents.streams.BrokenInput")
    manager.failed((5, lasting))
    assert said(told) == ["0 records read, no model loaded yet"]


def test_of_a_file_that_the_user_must_mend_no_other_try_is_made(manager):
    """By no scheduler: exit code 2 is that of a `ValueError`."""
    address = manager.address.removeprefix("http://")
    for kind, mends in (("BrokenInput", True), ("ChangedInput", False), ("OSError", False)):
        manager.failed((5, FULL.replace("OSError", f"corpusvec.transforms.{kind}")))
        error = failures.failed(address, NAME, RuntimeError("the job failed"), "/logs")
        assert str(error).endswith("the store is away")
        assert isinstance(error, ValueError) == mends


def test_counts_begin_anew_where_a_stage_does_and_tokens_a_second_too(manager):
    """Flink shows what the lost worker counted until the next one counts."""
    told, models = watching(manager), counter("models", 1)
    for now, states, attempt, tokens, end in (
        (10.0, "RR", 0, 1_000, "1,000 tokens"),
        (20.0, "RR", 0, 5_000, "5,000 tokens, 400 tokens/s"),
        (30.0, "FR", 0, 0, "5,000 tokens, 200 tokens/s"),  # its counters are on their way
        (40.0, "CC", 1, 5_000, ""),
        (50.0, "RR", 1, 5_000, ""),
        (60.0, "RR", 1, 200, "200 tokens"),
        (70.0, "RR", 1, 1_200, "1,200 tokens, 100 tokens/s"),
    ):
        manager.counted(models)
        manager.runs(states, attempt=attempt, tokens=tokens)
        expected = f"0 documents, {end}" if end else "0 records read, first batch encoding"
        assert said(told, now) == [expected], now


ODD = {
    "no JSON": b"<html>",
    "nothing": b"",
    "another object": {"jobs": 7},
    "a list": [1, 2],
    "null": None,
    "text for a number": {"user-task-accumulators": "x", "exceptionHistory": "y"},
    "a value that failed": {
        "user-task-accumulators": [{"name": "__metricscontainers", "value": "(null)"}],
        "exceptionHistory": {"entries": [{"timestamp": None, "stacktrace": None}] * 2},
        "taskmanagers": [{}],
    },
}
PATHS = ["/jobs/overview", "/jobs/j/exceptions", "/taskmanagers", "/jobs/j/accumulators"]
PATHS += ["/jobs/j", "/jobs/j/vertices/v", "/jobs/j/vertices/v/subtasks/metrics"]


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", PATHS)
def test_an_odd_answer_breaks_nothing_and_is_over_when_it_is(manager, path, body):
    """And what other pages tell is said."""
    told = watching(manager)
    manager.counted(counter("records", 70))
    manager.runs("R", documents=7)
    answers = dict(manager.answers)
    manager.says(path, body)
    lines = said(told)
    if path in ("/taskmanagers", "/jobs/j/exceptions"):
        assert lines
    assert set(lines) <= {"70 records read, no model loaded yet"}
    manager.answers = answers
    assert len(said(told)) == 1


def test_no_answer_breaks_nothing(manager):
    told = watching(manager)
    manager.answers = {}  # 404
    assert said(told) == []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        assert said(Watch(f"127.0.0.1:{taken.getsockname()[1]}", NAME, "/logs")) == []


def test_a_run_does_not_wait_for_a_job_manager_that_takes_long(manager, monkeypatch, capsys):
    monkeypatch.setattr(watches, "_SECONDS", 0.01)
    manager.answers = dict.fromkeys(PATHS, manager.stalled)
    with watched(manager.address.removeprefix("http://"), NAME, "/logs"):
        deadline = time.monotonic() + 5
        while not manager.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
    assert manager.asked
    assert time.monotonic() - began < 3
    assert capsys.readouterr().err == ""


def test_each_line_is_an_object_where_that_is_asked_for(manager, monkeypatch):
    monkeypatch.setattr(watches, "_SECONDS", 0.01)
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    manager.failed((5, LOST))
    manager.counted(counter("records", 70))
    with logs.written(True), watched(manager.address.removeprefix("http://"), NAME, "/logs"):
        deadline = time.monotonic() + 5
        while log.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    lost, progress, *_ = map(json.loads, log.getvalue().splitlines())
    assert lost.items() >= {"event": "task_manager_lost", "level": "warning"}.items()
    assert progress.items() >= {"event": "progress", "records": 70}.items()


def test_a_job_that_ended_just_now_is_not_cancelled(manager):
    """Flink's answers are some seconds old, but for those to what it is to do."""
    manager.runs(state="RUNNING")
    page = manager.answers["/jobs/j"]
    manager.answers["/jobs/j"] = lambda handler: (
        handler.send_error(409) if handler.command == "PATCH" else page(handler)
    )
    assert not rest.cancel(manager.address.removeprefix("http://"), NAME)
