"""The processor's cores."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """How many this process may use: those it is bound to, and no more than its container's share
    of time is worth.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    bound = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(bound, *(math.ceil(quota) for quota in _quotas()), bound))


def share() -> int:
    """How many this process is to use: CORPUSVEC_CORES, where it is set because other workers share
    the machine; else all that are available.
    """
    told = os.environ.get("CORPUSVEC_CORES", "")
    return min(available(), int(told)) if told.isdecimal() and int(told) else available()


def _quotas(root: Path = _GROUPS, own: str | None = None) -> Iterator[float]:
    """The cores that Linux' control groups allow, of this process and of all that it is in.

    Source: Documentation/admin-guide/cgroup-v2.rst of Linux, `cpu.max`; and of version 1
    scheduler/sched-bwc.rst.
    """
    with contextlib.suppress(OSError):
        own = Path("/proc/self/cgroup").read_text("utf-8") if own is None else own
        for _, controllers, group in (line.split(":", 2) for line in own.splitlines()):
            if controllers and "cpu" not in controllers.split(","):
                continue
            folder = root / controllers / group.strip("/")
            for place in (folder, *folder.parents):
                if not place.is_relative_to(root):
                    break
                yield from _limit(place)


def _limit(folder: Path) -> Iterator[float]:
    """Of one group; none where it has none."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if (said := folder / "cpu.max").is_file():
            quota, period = said.read_text("utf-8").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((folder / name).read_text("utf-8") for name in names)
        if float(quota) > 0:  # ValueError: `max`; -1 is none in version 1
            yield float(quota) / float(period)
