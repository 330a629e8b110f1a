"""What the program says: lines for people, or with `--log_format=json` an object on each line, for
programs that gather logs. The library logs; its records become such lines here.
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
_NAMED = ("note", "warning", "rejected")  # events that the line for people names, too
# Level of a record of the library -> event and level of its line. The run goes on.
_OWN = {"INFO": ("message", "info"), "WARNING": ("note", "info"), "ERROR": ("warning", "warning")}


class Line(NamedTuple):
    """A line, and what it tells as fields: those of its object beside `time`."""

    message: str
    event: str = "message"
    fields: Mapping[str, Any] = {}
    level: str = "info"

    def __str__(self) -> str:
        """For people, who also read a field `traceback`."""
        named = f"{self.event}: " if self.event in _NAMED else ""
        return f"{self.fields.get('traceback', '')}{named}{self.message}"

    def as_json(self) -> str:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        said = {"time": now.replace("+00:00", "Z"), "level": self.level, "event": self.event}
        said |= {"message": self.message.removeprefix(_PROGRAM), **self.fields}
        return json.dumps(said, default=str)  # ASCII alone: each stream can write that


def warning(message: str) -> Line:
    return Line(message, "warning", level="warning")


def say(line: str | Line, stream: TextIO | None = None) -> None:
    """To stderr, or another stream."""
    stream = stream or sys.stderr
    if isinstance(stream, _Objects):
        stream.put(line if isinstance(line, Line) else Line(line))
    else:
        print(line, file=stream, flush=True)


@contextlib.contextmanager
def written(as_json: bool) -> Iterator[None]:
    """In the block the library's records are said in this form, and as JSON all that Python code
    prints, logs and warns of.
    """
    library, records = logging.getLogger("corpusvec"), _Records()
    before = library.level, library.handlers, library.propagate
    library.handlers, library.propagate = [records], False
    library.setLevel(logging.INFO)
    try:
        with _objects(records) if as_json else contextlib.nullcontext():
            yield
    finally:
        level, library.handlers, library.propagate = before
        library.setLevel(level)


@contextlib.contextmanager
def _objects(records: logging.Handler) -> Iterator[None]:
    streams, hook = (sys.stdout, sys.stderr), threading.excepthook
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


class _Records(logging.Handler):
    """Log records, those of other libraries as what they are."""

    def emit(self, record: logging.LogRecord) -> None:
        message, level = record.getMessage(), record.levelname
        if record.name.startswith("corpusvec.") and level in _OWN:
            event, level = _OWN[level]
            say(Line(message, event, level=level))
            return
        fields = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        say(Line(message, "log", fields, level.lower()))


class _Objects(io.TextIOBase):
    """A stream on which what libraries print becomes objects, one for each line, on another one."""

    def __init__(self, stream: TextIO):
        self._stream, self._begun, self._lock = stream, "", threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                shown = line.rstrip().rpartition("\r")[2]  # of a line that is drawn again and again
                if shown:
                    self.put(Line(shown))
        return len(text)

    def put(self, line: Line) -> None:
        with self._lock:
            self._stream.write(line.as_json() + "\n")
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


def _of_thread(unhandled: threading.ExceptHookArgs) -> None:
    """An error that ended a thread."""
    told = traceback.format_exception(*unhandled[:3])
    say(Line(told[-1].strip(), "log", {"traceback": "".join(told)}, "error"))
