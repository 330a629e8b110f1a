"""Locks between the processes of one machine, which their holder's death frees."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable

PATIENCE_SECONDS = 3.0  # to wait for another process without a word
_POLL_SECONDS = 0.1


def wait_for(path: str, waiting: Callable[[], None]) -> int:
    """The lock of this name; `waiting` is called once if it takes long. Raises OSError."""
    began, told = time.monotonic(), False
    while (lock := try_for(path)) is None:
        if not told and time.monotonic() - began > PATIENCE_SECONDS:
            told = True
            waiting()
        time.sleep(_POLL_SECONDS)
    return lock


def try_for(path: str) -> int | None:
    """The lock, None where another has it. Raises OSError."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have taken the file away: nobody else would see a lock on that.
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    os.close(lock)
    return None


def free(path: str, lock: int) -> None:
    """Give it back, and take its file away."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    os.close(lock)
