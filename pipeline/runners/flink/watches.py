"""What is said of a job on Flink while it runs: how far it is, and what begins again; and when it
is given up.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from corpusvec.pipeline.runners.flink import rest
from corpusvec.pipeline.runners.flink.counters import Counters
from corpusvec.pipeline.runners.flink.failures import is_permanent, sentence
from corpusvec.pipeline.terminal.logs import Line, say
from corpusvec.pipeline.terminal.progress import newly_counted, progress_line

_SECONDS = 10.0
# Progress is a courtesy: whatever a JobManager says or does not say, the run goes on.
_NO_ANSWER = (OSError, ValueError, LookupError, TypeError, AttributeError)
_LOST = re.compile(r"TaskManager with id '?(?P<id>[^\s'(]+)'?[^\n]*(?:reachable|timed out)")


@contextlib.contextmanager
def _meanwhile(
    seconds: float, look: Callable[[threading.Event], None], wait: float | None = None
) -> Iterator[None]:
    """Meanwhile another thread looks every so many `seconds`, until the event is set. At the end
    this one waits for it, `wait` seconds at most.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            look(ended)

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(wait)


def no_longer_than_useful(address: str, job: str) -> AbstractContextManager[None]:
    """Meanwhile the job is cancelled when it fails as it always will: Flink, which knows nothing of
    disks and models, would do all of the stage again, several times.
    """

    def look(ended: threading.Event) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if is_permanent(rest.cause(address, job)):
                rest.cancel(address, job)
                ended.set()

    return _meanwhile(1.0, look)


def watched(address: str, job: str, logs: str) -> AbstractContextManager[None]:
    """Meanwhile what the cluster tells of the job is said every few seconds."""
    told = Watch(address, job, logs)

    def look(ended: threading.Event) -> None:
        for line in told.lines(time.monotonic()):
            if not ended.is_set():
                say(line)

    return _meanwhile(_SECONDS, look, wait=1.0)  # a JobManager may take long to say nothing


class Watch:
    """What is new of a job, by its name."""

    def __init__(self, address: str, job: str, logs: str):
        self._address, self._name, self._logs = address, job, logs
        self._job: str | None = None
        self._started = time.monotonic()
        self._failed = 0  # when the last failure that was told was, by the JobManager's clock
        self._there: set[str] = set()  # TaskManagers
        self._gone: set[str] = set()  # a cluster may also take away one whose work is done
        self._lost: set[str] = set()  # those whose loss was told
        self._counters: Counters | None = None
        self._first: tuple[float, int] | None = None

    def lines(self, now: float) -> Iterator[Line]:
        """None of what nobody answers."""
        for part in (self._task_managers, self._failures, self._progress):
            try:
                yield from list(part(now))
            except _NO_ANSWER:
                continue

    def _failures(self, now: float) -> Iterator[Line]:
        self._job = self._job or rest.job_id(self._address, self._name)
        if self._job is None:
            return
        new = [one for one in rest.failures(self._address, self._job) if one.at > self._failed]
        if not new or not rest.goes_on(self._address, self._job):
            return
        self._failed = new[-1].at
        for _, told, task_manager in new:
            if lost := _LOST.search(told):
                yield from self._say_lost(lost["id"])
            elif task_manager in self._gone:
                yield from self._say_lost(task_manager)
            elif not is_permanent(told):  # of what does, the end of the run tells
                why = sentence(told, self._logs)
                said = f"a part of the job failed, and its stage begins again: {why}"
                yield Line(said, "stage_again", {"why": why}, "warning")

    def _task_managers(self, now: float) -> Iterator[Line]:
        there = rest.task_managers(self._address)
        self._gone = (self._gone | self._there) - there
        self._lost -= there  # it is back, and may be lost again
        self._there = there
        yield from ()

    def _say_lost(self, name: str) -> Iterator[Line]:
        if name not in self._lost:
            self._lost.add(name)
            yield Line(
                f"the TaskManager {name} is lost; the stage that it was at begins again",
                "task_manager_lost",
                {"task_manager": name},
                "warning",
            )

    def _progress(self, now: float) -> Iterator[Line]:
        if self._job is None:
            return
        self._counters = self._counters or Counters(self._address, self._job)
        totals = self._counters.totals()
        fields = {"seconds": round(now - self._started, 3), **totals}
        line = progress_line(totals, self._speed(totals, now), None)
        yield Line(line, "progress", fields)

    def _speed(self, totals: Counter[str], now: float) -> float | None:
        """Since something was made for the first time: what a stage made that begins again is
        gone.
        """
        n = newly_counted(totals)
        if self._first is None or n < self._first[1]:
            self._first = (now, n) if n else None
            return None
        at, before = self._first
        return (n - before) / (now - at) if now > at else None
