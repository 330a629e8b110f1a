"""Why a run failed, in one sentence, wherever it ran."""

from __future__ import annotations

import re

_LAST_LINE = re.compile(r"^(?P<kind>[\w.]+): (?P<message>.*)$")

# Errors whose messages are sentences for a user.
_SPEAKING = (
    *("BrokenInput", "ChangedInput", "BrokenModel", "BrokenOutput", "Outage", "NoGpu"),
    *("ValueError", "RuntimeError"),
)
_LASTING = ("BrokenInput", "NoGpu")

_WHILE = re.compile(r"\s*\[while running '(?P<stage>[^']*)'\]")


class RunFailed(RuntimeError):
    """A run that ended without a snapshot; the message is for a user."""


class InputFailed(RunFailed, ValueError):
    """One that ends so again until the user corrects a file or a flag."""


class OutOfSight(RunFailed):
    """A run whose job may go on without this process."""


def run_failed(error: BaseException) -> RunFailed:
    """What to raise for an error that Beam carried over from a worker."""
    kind, _ = kind_and_message(error)
    return (InputFailed if kind in _LASTING else RunFailed)(explanation(error))


def explanation(error: BaseException) -> str:
    """One sentence of an error that Beam carried over from a worker."""
    kind, message = kind_and_message(error)
    return message if kind in _SPEAKING else f"{kind}: {message}"


def kind_and_message(error: BaseException) -> tuple[str, str]:
    """What an error is; its text may be that of a traceback, which tells of another."""
    lines = [line for line in _WHILE.sub("", str(error)).splitlines() if line.strip()]
    kind, message = type(error).__name__, lines[-1] if lines else "no message"
    if len(lines) > 1 and (match := _LAST_LINE.match(message)):
        kind, message = match["kind"].rsplit(".", 1)[-1], match["message"]
    return kind, message
