"""Counters that every stage uses: Beam's, for the runner's own monitor, and this process's totals,
for the progress line.

What the final report needs does not depend on either: it travels as elements (`Count`) and in the
files' reports.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter

from apache_beam.metrics import Metrics

_lock = threading.Lock()
_totals: Counter[str] = Counter()


def count(name: str, n: int = 1) -> None:
    """Add `n` to the counter `name`."""
    _counter(name).inc(n)
    with _lock:
        _totals[name] += n


@functools.cache  # making one costs more than counting with it
def _counter(name: str):
    return Metrics.counter("corpusvec", name)


def totals() -> Counter[str]:
    """What this process has counted since `reset`."""
    with _lock:
        return Counter(_totals)


def reset() -> None:
    """Start a new run in this process."""
    with _lock:
        _totals.clear()
