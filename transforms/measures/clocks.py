"""What work takes: the time of a stage, and the memory of its process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TypeVar

from corpusvec.transforms.elements import Count
from corpusvec.transforms.measures.names import PEAK_MEMORY, check

_Value = TypeVar("_Value")


class Spent:
    """The milliseconds that a stage takes, as the count `name`, and the memory of its process.

    Stages that are fused run within each other: what comes out of one is worked on by the next
    before the first one goes on. So a stage's clock stands still while its outputs are out.
    """

    def __init__(self, name: str):
        self._name, self._seconds = check(name), 0.0
        self._since: float | None = None  # None while the clock stands still

    def during(self, outputs: Iterator[_Value]) -> Iterator[_Value]:
        """The outputs of a generator, whose own work is timed."""
        clock = time.perf_counter
        while True:
            self._since = clock()
            try:
                output = next(outputs)
            except StopIteration:
                return
            finally:
                self._seconds += clock() - self._since
                self._since = None
            yield output

    def counts(self) -> dict[str, int]:
        """What is new since the last call, also while the clock runs."""
        if self._since is not None:
            now = time.perf_counter()
            self._seconds, self._since = self._seconds + now - self._since, now
        milliseconds = round(1000 * self._seconds)
        self._seconds -= milliseconds / 1000
        return {self._name: milliseconds, PEAK_MEMORY: peak_memory()}

    def reports(self) -> Iterator[Count]:
        """The same as elements."""
        yield from (Count(name, n) for name, n in self.counts().items())


def peak_memory() -> int:
    """The most bytes that this process has held in memory so far."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):  # in kB
                    return int(line.split()[1]) * 1024
    except OSError:  # another system than Linux
        pass
    import resource

    # On Linux this is at least the peak of the process that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
