"""How far a run on this machine is: a line that moves on a terminal, a log line every ten seconds
elsewhere.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

from corpusvec.pipeline.terminal.formats import clock
from corpusvec.pipeline.terminal.logs import Line, say
from corpusvec.pipeline.terminal.pace import Left, Pace
from corpusvec.transforms.measures import counters, names

_SEEN_SECONDS, _LOG_SECONDS = 0.5, 10.0


class Progress:
    """A context that shows progress while its block runs. `size` is the bytes of all inputs, 0
    where unknown.
    """

    def __init__(self, size: int, limit: int | None = None, stream: TextIO | None = None):
        self._pace = Pace(size, limit)
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        counters.reset()
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self._thread.join()
        if self._moving:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _show(self) -> None:
        """Look often, also where little is said: a model is there when it was seen."""
        started = said = time.monotonic()
        while not self._ended.wait(min(_SEEN_SECONDS, _LOG_SECONDS)):
            totals, now = counters.totals(), time.monotonic()
            self._pace.see(totals, now)
            left, seconds = self._pace.left(), self._pace.seconds
            line = progress_line(totals, newly_counted(totals) / seconds if seconds else None, left)
            if self._moving:
                self._stream.write(f"\r\033[K{line}")
                self._stream.flush()
            elif now - said >= _LOG_SECONDS:
                said = now
                fields: dict[str, Any] = {"seconds": round(now - started, 3), **totals}
                if left:
                    fields["seconds_left"] = round(left.seconds)
                say(Line(line, "progress", fields), self._stream)


def newly_counted(totals: Mapping[str, int]) -> int:
    """The tokens whose vectors were made and not copied; bytes of models that take strings."""
    tokens = totals.get(names.TOKENS, 0) - totals.get(names.COPIED_TOKENS, 0)
    return totals.get(names.ENCODED_BYTES, 0) or tokens


def progress_line(totals: Mapping[str, int], speed: float | None, left: Left | None) -> str:
    """Documents and tokens, counted as in the final report, how many of these are made in a second,
    and the time left, where that is known. Models that take strings get bytes.
    """
    records = totals.get(names.RECORDS, 0)
    if not totals.get(names.MODELS):  # where nothing is new no model will be
        return f"{records:,} records read, no model loaded yet"
    if newly_counted(totals) <= 0:
        return f"{records:,} records read, first batch encoding"
    copied = [
        f"{totals[name]:,} {name}" for name in (names.REUSED, names.REPEATED) if totals.get(name)
    ]
    of_these = f" ({', '.join(copied)})" if copied else ""
    unit = "bytes" if totals.get(names.ENCODED_BYTES) else "tokens"
    counted = totals.get(names.ENCODED_BYTES) or totals.get(names.TOKENS, 0)
    parts = [f"{totals.get(names.DOCUMENTS, 0):,} documents{of_these}", f"{counted:,} {unit}"]
    if speed is not None:
        parts.append(f"{speed:,.0f} {unit}/s")
    if left:
        parts += [f"{left.share:.0%}", f"{clock(left.seconds)} left"]
    return ", ".join(parts)
