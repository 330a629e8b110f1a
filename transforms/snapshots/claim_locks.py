"""Claims on an output of a local disk: their files are locked for as long as their holder lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from corpusvec.transforms.snapshots.claim_files import (
    FOLDER,
    WRITER,
    Holder,
    busy,
    holder_of,
    this_process,
    waiting,
)
from corpusvec.transforms.storage.files import join
from corpusvec.transforms.storage.locks import free, try_for

_TRIES = 100
_PROBE_SECONDS, _POLL_SECONDS = 1.0, 0.1  # whoever only looks has the lock for a moment


def to_write(output: str, wait: bool, say: Callable[[str], None]) -> _Locked:
    """The lock of the run that writes."""
    began, told = time.monotonic(), ""
    while True:
        try:
            claim = _Locked(output, WRITER, this_process())
        except BlockingIOError:
            if time.monotonic() - began > _PROBE_SECONDS:
                holder = _said(join(output, FOLDER, WRITER))
                if not wait:
                    raise busy(output, holder) from None
                if holder.token and told != holder.token:
                    told = holder.token
                    say(waiting(holder))
            time.sleep(_POLL_SECONDS)
        else:
            claim.waited = bool(told)
            return claim


def to_read(output: str) -> _Locked | None:
    """A lock that nobody else wants."""
    holder = this_process()
    return _Locked(output, f"reader-{holder.token}", holder) if os.path.isdir(output) else None


def living(output: str) -> list[Holder]:
    """Those whose files are locked."""
    return [_said(path) for path in _files(output) if not _is_free(path)]


def remove_dead(output: str) -> None:
    """Take away the files that nobody has locked."""
    for path in _files(output):
        with contextlib.suppress(OSError):
            if (lock := try_for(path)) is not None:
                free(path, lock)
    with contextlib.suppress(OSError):
        os.rmdir(join(output, FOLDER))


class _Locked:
    def __init__(self, output: str, name: str, holder: Holder):
        """Raises `BlockingIOError` where another process has it, OSError where nobody can."""
        self.waited, self._missing = False, [] if os.path.isdir(output) else [output]
        self._path, self._holder = join(output, FOLDER, name), holder
        for left in reversed(range(_TRIES)):  # others take away folders that are empty
            try:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                lock = try_for(self._path)
                break
            except (FileNotFoundError, FileExistsError):
                if not left:
                    raise
        if lock is None:
            raise BlockingIOError(self._path)
        self._lock = lock
        self._write()

    def _write(self) -> None:
        content = self._holder.line()
        os.pwrite(self._lock, content, 0)
        os.ftruncate(self._lock, len(content))

    def tell(self, run: str, reads: Sequence[str]) -> None:
        self._holder = replace(self._holder, run=run, reads=tuple(reads))
        self._write()

    def free(self) -> None:
        free(self._path, self._lock)
        with contextlib.suppress(OSError):
            # An output where nothing was written is as it was before.
            for folder in (os.path.dirname(self._path), *self._missing):
                os.rmdir(folder)


def _files(output: str) -> list[str]:
    folder = join(output, FOLDER)
    return [join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []


def _is_free(path: str) -> bool:
    """Whether nobody has the lock."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _said(path: str) -> Holder:
    try:
        with open(path, "rb") as file:
            return holder_of(file.read())
    except FileNotFoundError:
        return holder_of(b"")
