"""Claims on an output of an object store, where there are no locks: their holder writes them again
every few seconds. A claim is alive if it changes while it is watched, so no clock has to be right.
"""

from __future__ import annotations

import contextlib
import logging
import threading
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
from corpusvec.transforms.storage.files import exists, join, matching, open_file, remove, write
from corpusvec.transforms.storage.stores import ask

_LOG = logging.getLogger(__name__)
BEAT_SECONDS, DEAD_SECONDS = 5.0, 30.0  # a claim is written so often; one that was not is dead
SETTLE_SECONDS = 2.0  # until all who began at once have written: the last one's claim counts


class Beating:
    """A claim that is written, and from `start` on again and again, by a thread."""

    def __init__(self, output: str, name: str, holder: Holder):
        self.waited = False
        self._path, self._holder, self._beats = join(output, FOLDER, name), holder, 0
        self._alone, self._ended = threading.Lock(), threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def start(self) -> None:
        """Let it be seen that its holder lives."""
        self._thread.start()

    def _write(self) -> None:
        with self._alone:
            self._beats += 1
            write(self._path, self._holder.line(beat=self._beats))

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(Exception):  # the store may answer the next time
                holder = self.owner()
                if holder is not None and holder.token != self._holder.token:
                    self._ended.set()
                    _LOG.error(
                        "%s considered this run dead and writes there too; both snapshots will be"
                        " complete, and LATEST names the one that began later",
                        holder,
                    )
                    return
                self._write()

    def owner(self) -> Holder | None:
        """Whose claim it is now."""
        content = _content(self._path)
        return None if content is None else holder_of(content)

    def tell(self, run: str, reads: Sequence[str]) -> None:
        self._holder = replace(self._holder, run=run, reads=tuple(reads))
        self._write()

    def free(self) -> None:
        self._ended.set()
        self._thread.join(BEAT_SECONDS)
        with contextlib.suppress(Exception):  # the run is done; what is left here is soon dead
            holder = self.owner()
            if holder is not None and holder.token == self._holder.token:
                remove(self._path)


def to_write(output: str, wait: bool, say: Callable[[str], None]) -> Beating:
    """The claim of the run that writes."""
    path, told = join(output, FOLDER, WRITER), ""
    while True:
        if (content := ask(output, lambda: _content(path))) is not None:
            found = holder_of(content)
            if found.token != told:
                say(f"looking whether {found} is alive, {DEAD_SECONDS:g} seconds at most")
            if holder := beating(output, WRITER).get(WRITER):
                if not wait:
                    raise busy(output, holder)
                if holder.token != told:
                    told = holder.token
                    say(waiting(holder))
                continue
        holder = this_process()
        claim = ask(output, lambda: Beating(output, WRITER, holder))  # noqa: B023
        time.sleep(SETTLE_SECONDS)
        owner = ask(output, claim.owner)
        if owner is not None and owner.token == holder.token:
            claim.waited = bool(told)
            claim.start()
            return claim


def to_read(output: str) -> Beating:
    """A claim of one of any number."""
    holder = this_process()
    claim = ask(output, lambda: Beating(output, f"reader-{holder.token}", holder))
    claim.start()
    return claim


def living(output: str) -> list[Holder]:
    """Those whose claims change."""
    return list(beating(output).values())


def beating(output: str, only: str = "") -> dict[str, Holder]:
    """The claims that change while one looks, by their names; or `only` that one."""
    before = now = _contents(output, only)
    alive: set[str] = set()
    until = time.monotonic() + DEAD_SECONDS
    while now.keys() - alive and time.monotonic() < until:
        time.sleep(min(BEAT_SECONDS, DEAD_SECONDS) / 4)
        now = _contents(output, only)
        alive |= {name for name in now if now[name] != before.get(name)}
    return {name: holder_of(now[name]) for name in sorted(alive & now.keys())}


def remove_dead(output: str) -> None:
    """Take away those that do not change."""
    before = _contents(output)
    for name in before.keys() - beating(output).keys():
        if _contents(output, name).get(name) == before[name]:
            remove(join(output, FOLDER, name))


def _contents(output: str, only: str = "") -> dict[str, bytes]:
    def read() -> dict[str, bytes | None]:
        # Of all there are, for to ask for one that is just given back is an error.
        paths = {name_of(path): path for path in matching(output, FOLDER, "*")}
        return {name: _content(path) for name, path in paths.items() if only in ("", name)}

    found = ask(output, read)
    return {name: content for name, content in found.items() if content is not None}


def _content(path: str) -> bytes | None:
    """Of an object; None where it is not there."""
    if not exists(path):
        return None
    try:
        with open_file(path) as stream:
            return stream.read()
    except Exception:
        if exists(path):
            raise
        return None  # its holder has just given it back


def name_of(path: str) -> str:
    """The claim's, of its path."""
    return path.rpartition("/")[2]
