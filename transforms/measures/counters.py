"""Counters that every stage uses: Beam's, for the runner's own monitor, and this process's totals,
for the progress line.

What the final report needs does not depend on either, because runners lose metrics: it travels as
elements (`Count`) and in the files' reports.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Iterator

from corpusvec.transforms.elements import Count
from corpusvec.transforms.measures.names import check

_lock = threading.Lock()
_totals: Counter[str] = Counter()


def count(name: str, n: int = 1) -> None:
    """Add `n` to the counter `name`. Raises `ValueError` for a name that is not declared."""
    _counter(name).inc(n)
    with _lock:
        _totals[name] += n


@functools.cache  # making one costs more than counting with it
def _counter(name: str):
    from apache_beam.metrics import Metrics

    return Metrics.counter("corpusvec", check(name))


def totals() -> Counter[str]:
    """What this process has counted since `reset`."""
    with _lock:
        return Counter(_totals)


def reset() -> None:
    """Start a new run in this process."""
    with _lock:
        _totals.clear()


class Tally:
    """What a bundle counts: in the counters, and as `Count`s, outputs of the bundle, so that one
    that is done again counts once.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to the counter `name`."""
        count(name, n)
        self._counts[name] += n

    def reports(self) -> Iterator[Count]:
        """The counts so far; from now on they begin at 0."""
        counts, self._counts = self._counts, Counter()
        yield from (Count(name, n) for name, n in counts.items())
