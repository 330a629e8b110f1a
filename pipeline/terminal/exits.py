"""How a command ends: exit codes, and what is said."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from corpusvec.pipeline.terminal import logs

DONE, FAILED, WRONG_USAGE, NOT_PUBLISHED, INTERRUPTED = 0, 1, 2, 3, 130


def say(lines: Iterable[str | logs.Line]) -> None:
    """Print; a reader that has gone away does not make a run that is done a failed one."""
    try:
        for line in lines:
            logs.say(line, sys.stdout)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failed(message: str, code: int, event: str, **fields: str) -> int:
    """Say on stderr why -> the exit code."""
    logs.say(logs.Line(message, event, {"exit_code": code, **fields}, "error"))
    return code
