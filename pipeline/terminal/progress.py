"""How far a run on this machine is: a line that moves on a terminal, a log line every ten seconds
elsewhere.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from pipeline.terminal.formats import clock
from pipeline.terminal.logs import Line, say
from transforms.measures import counters
from transforms.snapshots.manifests import REPEATED, REUSED

_TERMINAL_SECONDS, _LOG_SECONDS = 0.5, 10.0


class Progress:
    """A context that shows progress while its block runs. `size` is the bytes of all inputs, 0
    where unknown.
    """

    def __init__(self, size: int, limit: int | None = None, stream: TextIO | None = None):
        self._size, self._limit = size, limit
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
        loaded, started = None, time.monotonic()
        while not self._ended.wait(_TERMINAL_SECONDS if self._moving else _LOG_SECONDS):
            totals, now = counters.totals(), time.monotonic()
            if loaded is None and totals["models"]:
                loaded = now - _TERMINAL_SECONDS
            seconds = 0.0 if loaded is None else now - loaded
            line = progress_line(totals, seconds, self._size, self._limit)
            if self._moving:
                self._stream.write(f"\r\033[K{line}")
                self._stream.flush()
            else:
                fields = {"seconds": round(now - started, 3), **totals}
                say(Line(line, "progress", fields), self._stream)


def progress_line(totals: Mapping[str, int], seconds: float, size: int, limit: int | None) -> str:
    """Documents, tokens a second since the model is there (`seconds`, 0 before), and the time left,
    guessed from how much of the input is encoded. Models that take strings get bytes.
    """
    documents = totals.get("documents", 0)
    unit = "bytes" if totals.get("encoded_bytes") else "tokens"
    tokens = totals.get(f"encoded_{unit}", 0)
    records = totals.get("records", 0)
    if not seconds:  # where nothing is new no model will be
        return f"{records:,} records read, no model loaded yet"
    if not tokens:
        return f"{records:,} records read, first batch encoding"
    share = totals.get("bytes_read", 0) / size if size else 0.0
    if limit:
        share = max(share, records / limit)
    share *= tokens / max(tokens, totals.get("read_tokens", 0))  # what is read waits for its batch
    copied = [f"{totals[name]:,} {name}" for name in (REUSED, REPEATED) if totals.get(name)]
    of_these = f" ({', '.join(copied)})" if copied else ""
    parts = [
        f"{documents:,} documents{of_these}",
        f"{tokens:,} {unit}",
        f"{tokens / seconds:,.0f} {unit}/s",
    ]
    if 0 < share <= 1:
        parts += [f"{share:.0%}", f"{clock(seconds * (1 - share) / share)} left"]
    return ", ".join(parts)
