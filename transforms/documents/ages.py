"""How old an input is: an export by what it says itself, other files by when they were written.

Each export counts for itself, so that one of several which is not made any more is noticed. All
other files count together by the newest of them: most of a growing corpus is old, and rightly so.
The input is as old as the oldest of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from corpusvec.transforms.elements import Dated

_YEAR_3000 = 32_503_680_000  # what is later is not in seconds
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


@dataclass(slots=True)
class Dates:
    """What an export says of its time, in seconds since 1970: when it was made, and when the newest
    of its pages was edited; None where it does not say.
    """

    exported: float | None = None
    updated: float | None = None

    def see_page(self, updated: Any) -> None:
        """What a page says."""
        if (seconds := as_seconds(updated)) is not None:
            self.updated = max(seconds, self.updated or seconds)


def as_seconds(value: Any) -> float | None:
    """A time of JSON; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return float(value) if 0 < value < _YEAR_3000 else None


def dated(path: str, written: float, dates: Dates) -> Dated | None:
    """The time of a file that was `written` then (0: nobody knows)."""
    if dates.exported is not None:
        return Dated(path, dates.exported, True)
    newest = max(written, dates.updated or 0.0)
    return Dated(path, newest, False) if newest else None


def reduced(parts: Iterable[Dated]) -> list[Dated]:
    """The parts that count: the oldest export, and the newest of the other files."""
    exports: list[Dated] = []
    others: list[Dated] = []
    for part in parts:  # there may be millions
        if part.exported:
            exports = [min((*exports, part), key=_by_time)]
        else:
            others = [max((*others, part), key=_by_time)]
    return [*exports, *others]


def described(parts: Iterable[Dated], now: datetime) -> dict[str, Any]:
    """For a manifest: the time of the input, what it was taken from, and its age at `now`."""
    found = min(reduced(parts), key=_by_time, default=None)
    if found is None:
        return {}
    time = datetime.fromtimestamp(found.seconds, timezone.utc)
    what = "exported" if found.exported else "written"
    return {
        "time": time.isoformat(timespec="seconds"),
        "time_of": {"source": found.source, "what": what},
        "age_seconds": max(0, round((now - time).total_seconds())),
    }


def age_text(about: Mapping[str, Any]) -> str:
    """`notes.json was exported 2026-01-02 03:04 UTC, 5 days before the run`; empty where nobody
    knows.
    """
    if "age_seconds" not in about:
        return ""
    of, time = about["time_of"], datetime.fromisoformat(about["time"])
    name = of["source"].rpartition("/")[2]
    before = f"{in_words(about['age_seconds'])} before the run"
    return f"{name} was {of['what']} {time:%Y-%m-%d %H:%M} UTC, {before}"


def in_words(seconds: float) -> str:
    """`3 days`, `36 hours`, `1 minute`: in the largest unit of which it is two, or exactly one;
    rounded down.
    """
    for unit, size in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return _counted(int(seconds // size), unit)
    return _counted(int(seconds), "second")


def _counted(n: int, unit: str) -> str:
    return f"{n:,} {unit}{'' if n == 1 else 's'}"


def _by_time(part: Dated) -> tuple[float, str]:
    return part.seconds, part.source
