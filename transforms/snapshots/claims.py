"""Claims on an output folder: which run writes there now, and which snapshots somebody reads.

A claim is a file in OUTPUT/running/ with a line of JSON about its holder. On a local disk it is
locked for as long as its process lives; see `beats` for object stores.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from corpusvec.transforms.snapshots import heartbeats
from corpusvec.transforms.snapshots.claim_files import (
    FOLDER,
    WRITER,
    Claim,
    Holder,
    busy,
    holder_of,
    this_process,
    waiting,
)
from corpusvec.transforms.storage.files import join
from corpusvec.transforms.storage.locks import free, try_for
from corpusvec.transforms.storage.stores import Refused, ask, is_remote, unserved

_LOG = logging.getLogger(__name__)
_PROBE_SECONDS, _POLL_SECONDS = 1.0, 0.1  # whoever only looks has the lock for a moment


@contextlib.contextmanager
def writing(
    output: str, wait: bool = False, say: Callable[[str], None] = _LOG.info
) -> Iterator[Claim]:
    """The claim to write into an output; one run has it at a time. Where another one has it this
    one waits for it, or not.

    Raises `Busy`, and where the output cannot be written `ValueError` or `Outage`.
    """
    missing = not is_remote(output) and not os.path.isdir(output)
    take = heartbeats.take if is_remote(output) else _take_locked
    try:
        claim = take(output, wait, say)
    except (OSError, Refused) as error:
        raise unserved(f"--output={output}: cannot be written ({error})", error) from error
    try:
        yield claim
    finally:
        claim.free()
        if missing:
            with contextlib.suppress(OSError):
                os.rmdir(output)  # nothing was written: as it was before


@contextlib.contextmanager
def reading(output: str) -> Iterator[Claim | None]:
    """A claim on what is read in an output; any number of processes may have one. None if the
    output does not exist or is not writable.
    """
    claim: Claim | None = None
    with contextlib.suppress(OSError, Refused):
        holder = this_process()
        name = f"reader-{holder.token}"
        if is_remote(output):
            beating = ask(output, lambda: heartbeats.Beating(output, name, holder))
            beating.start()
            claim = beating
        elif os.path.isdir(output):
            claim = _Locked(output, name, holder)
    try:
        yield claim
    finally:
        if claim:
            claim.free()


def living(output: str) -> list[Holder]:
    """Those who have a claim. On an object store it takes some seconds to know, where there are
    any.
    """
    if is_remote(output):
        return list(heartbeats.beating(output).values())
    return [_said(path) for path in _files(output) if not _is_free(path)]


def remove_dead(output: str) -> None:
    """Take away the claims of processes that ended without giving them back."""
    if is_remote(output):
        heartbeats.remove_dead(output)
        return
    for path in _files(output):
        with contextlib.suppress(OSError):
            if (lock := try_for(path)) is not None:
                free(path, lock)
    with contextlib.suppress(OSError):
        os.rmdir(join(output, FOLDER))


class _Locked:
    def __init__(self, output: str, name: str, holder: Holder):
        """Raises `BlockingIOError` where another process has it, OSError where nobody can."""
        self.waited = False
        self._path, self._holder = join(output, FOLDER, name), holder
        lock = None
        while lock is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # others take away a folder that is empty
                if (lock := try_for(self._path)) is None:
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
            os.rmdir(os.path.dirname(self._path))


def _take_locked(output: str, wait: bool, say: Callable[[str], None]) -> _Locked:
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
