"""What the program says: lines for people, or with `--log_format=json` an object on each line, for
programs that gather logs.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, TextIO

_PROGRAM = "corpusvec: "
# How lines begin that say what they are -> level.
_KINDS: Mapping[str, str] = {"note": "info", "warning": "warning", "rejected": "warning"}


class Line(NamedTuple):
    """A line, and what it tells as fields: those of its object beside `time`."""

    message: str
    event: str
    fields: Mapping[str, Any] = {}
    level: str = "info"


def say(line: str | Line, stream: TextIO | None = None) -> None:
    """To stderr, or another stream. A field `traceback` is for people, too."""
    stream = stream or sys.stderr
    if isinstance(stream, _Objects):
        stream.put(line if isinstance(line, Line) else _understood(line))
        return
    if isinstance(line, Line):
        line = line.fields.get("traceback", "") + line.message
    print(line, file=stream, flush=True)


@contextlib.contextmanager
def written(as_json: bool) -> Iterator[None]:
    """In the block all that Python code prints, logs and warns of is said in this form."""
    if not as_json:
        yield
        return
    streams, hook, records = (sys.stdout, sys.stderr), threading.excepthook, _Records()
    sys.stdout, sys.stderr = objects = tuple(map(_Objects, streams))  # type: ignore[assignment]
    threading.excepthook = _of_thread
    logging.getLogger().addHandler(records)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(records)
        threading.excepthook = hook
        for stream in objects:
            stream.end()
        sys.stdout, sys.stderr = streams


def _understood(line: str) -> Line:
    """A line as it is printed, which may say what it is."""
    text = line.removeprefix(_PROGRAM)
    kind, colon, rest = text.partition(": ")
    if colon and kind in _KINDS:
        return Line(rest, kind, level=_KINDS[kind])
    return Line(text, "message")


class _Objects(io.TextIOBase):
    """A stream whose lines become objects on another one."""

    def __init__(self, stream: TextIO):
        self._stream, self._begun, self._lock = stream, "", threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                shown = line.rstrip().rpartition("\r")[2]  # of a line that is drawn again and again
                if shown:
                    self.put(_understood(shown))
        return len(text)

    def put(self, line: Line) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        said = {"time": now.replace("+00:00", "Z"), "level": line.level, "event": line.event}
        said |= {"message": line.message.removeprefix(_PROGRAM), **line.fields}
        with self._lock:  # ASCII alone: a stream that cannot write a letter would write no JSON
            self._stream.write(json.dumps(said, default=str) + "\n")
            self._stream.flush()

    def end(self) -> None:
        """What was begun is a line, too."""
        if self._begun:
            with contextlib.suppress(OSError, ValueError):
                self.write("\n")

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class _Records(logging.Handler):
    """Log records of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        say(Line(record.getMessage(), "log", fields, record.levelname.lower()))


def _of_thread(unhandled: threading.ExceptHookArgs) -> None:
    """An error that ended a thread."""
    told = traceback.format_exception(*unhandled[:3])
    say(Line(told[-1].strip(), "log", {"traceback": "".join(told)}, "error"))
