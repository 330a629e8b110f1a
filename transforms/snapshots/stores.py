"""What an output on a local disk and one on an object store do in different ways: the steps of a
commit, claims, what is listed and what is removed.

A run's files are born in its attempt folder. On a local disk that is `snapshots/.ID.attempt`, and
one rename makes it the snapshot; on an object store it is the snapshot's own folder, which counts
from the moment its manifest is there. There `.begun` is the attempt's licence to become a snapshot:
who abandons it takes that away first.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from corpusvec.transforms.snapshots import claim_locks, heartbeats
from corpusvec.transforms.snapshots.attempts import REPORTS, any_complete, forget_complete
from corpusvec.transforms.snapshots.claim_files import Claim, Holder
from corpusvec.transforms.snapshots.layouts import (
    BEGUN,
    ENDED,
    HANDED_OVER,
    LATEST,
    LEFT,
    MANIFEST,
    PUBLISHED,
    is_id,
)
from corpusvec.transforms.storage.files import exists, files_in, join, keep, matching, remove, write
from corpusvec.transforms.storage.locks import free, wait_for
from corpusvec.transforms.storage.stores import Refused, ask, is_remote, unserved

_REMOVED = ".removed"  # the end of a local folder's name that is being removed


class Claims(Protocol):
    """Claims on an output: locks of local files, or heartbeats."""

    def to_write(self, output: str, wait: bool, say: Callable[[str], None]) -> Claim:
        """That of the run that writes. Raises `Busy`, OSError or `Refused`."""

    def to_read(self, output: str) -> Claim | None:
        """One of any number; None where the output is not there. Raises OSError or `Refused`."""

    def living(self, output: str) -> list[Holder]:
        """Those who have a claim. With heartbeats it takes some seconds, where there are any."""

    def remove_dead(self, output: str) -> None:
        """Take away the claims of processes that ended without giving them back."""


class Store(Protocol):
    """A kind of place of outputs. `one` is the id of a snapshot."""

    claims: Claims

    def attempt(self, one: str) -> str:
        """The folder in which the files of a snapshot are born."""

    def begin(self, one: str, tables: Sequence[str]) -> None:
        """Make the attempt folder. Raises OSError or `Refused`."""

    def finish(self, one: str) -> None:
        """Make a snapshot of an attempt that has its manifest. Raises where it was abandoned."""

    def abandon(self, one: str, keep: bool) -> bool:
        """Take away what an attempt left; with `keep` not what the next run can use -> whether
        there is any.
        """

    def name_latest(self, one: str) -> None:
        """Replace LATEST."""

    def note_published(self, one: str) -> None:
        """Write down that LATEST names a snapshot, or named it once."""

    def sole_writer(self) -> contextlib.AbstractContextManager[object]:
        """A lock that is held briefly while the output is inspected or LATEST moves. Object stores
        have no such lock; there the last writer wins.
        """

    def found(self, folder: str, *pattern: str) -> Iterator[list[str]]:
        """The files of a pattern in a folder, which need not be there, by the parts of their paths.
        What cannot be listed is an error: nobody shall take it for what is not there.
        """

    def leftovers(self) -> list[str]:
        """What runs have begun that is no snapshot: still running, killed, or half removed."""

    def names(self) -> set[str]:
        """Those of snapshots, attempts and what is left of them."""

    def scattered(self, unknown: Collection[str]) -> Iterator[str]:
        """What is neither a snapshot nor an attempt, of `unknown` names or elsewhere."""

    def take_away(self, name: str) -> list[str]:
        """Remove a snapshot or a leftover -> hidden folders, which are still to be removed."""


class LocalStore:
    """Renames and locks make each step whole."""

    claims: Claims = claim_locks

    def __init__(self, folder: str):
        self._output, self._folder = folder, join(folder, "snapshots")

    def attempt(self, one: str) -> str:
        return join(self._folder, f".{one}.attempt")

    def begin(self, one: str, tables: Sequence[str]) -> None:
        for name in (*tables, REPORTS):
            os.makedirs(join(self.attempt(one), name))
        tried = join(self.attempt(one), BEGUN)
        write(tried, b"begun\n")
        remove(tried)

    def finish(self, one: str) -> None:
        forget_complete(self.attempt(one))
        os.rename(self.attempt(one), join(self._folder, one))
        keep(self._folder)

    def abandon(self, one: str, keep: bool) -> bool:
        ended = f"{self.attempt(one)}{ENDED}"
        # In one step, like the commit's: whichever comes second finds nothing there.
        with contextlib.suppress(OSError):
            os.rename(self.attempt(one), ended)
        if keep and any_complete(ended):
            return True
        shutil.rmtree(ended, ignore_errors=True)
        return False

    def name_latest(self, one: str) -> None:
        target = join(self._output, LATEST)
        write(f"{target}.{one}", f"{one}\n".encode())
        os.replace(f"{target}.{one}", target)
        keep(self._output)

    def note_published(self, one: str) -> None:
        os.makedirs(join(self._output, PUBLISHED), exist_ok=True)
        write(join(self._output, PUBLISHED, one), b"\n")

    @contextlib.contextmanager
    def sole_writer(self) -> Iterator[None]:
        path = join(self._output, ".lock")
        lock = wait_for(path, lambda: None)
        try:
            yield
        finally:
            free(path, lock)

    def found(self, folder: str, *pattern: str) -> Iterator[list[str]]:
        place = join(self._output, folder)
        names = os.listdir(place) if os.path.isdir(place) else []
        paths = (join(place, one, *pattern[1:]) for one in fnmatch.filter(names, pattern[0]))
        return (path.split("/") for path in paths if os.path.exists(path))

    def leftovers(self) -> list[str]:
        names = (path[-1] for path in self.found("snapshots", ".*"))
        return sorted(filter(LEFT.fullmatch, names))

    def names(self) -> set[str]:
        return {path[-1] for path in self.found("snapshots", "*")}

    def scattered(self, unknown: Collection[str]) -> Iterator[str]:
        for name in sorted(os.listdir(self._output)):  # a LATEST that was not put in its place
            if name.startswith(f"{LATEST}.") and is_id(name.removeprefix(f"{LATEST}.")):
                yield name

    def take_away(self, name: str) -> list[str]:
        if name.startswith(f"{LATEST}."):
            remove(join(self._output, name))
            return []
        hidden = join(self._folder, f".{name.removesuffix(_REMOVED).removeprefix('.')}{_REMOVED}")
        with contextlib.suppress(FileNotFoundError):  # its run has just abandoned it
            os.rename(join(self._folder, name), hidden)
        return [hidden]


class ObjectStore:
    """There is neither a rename nor a lock: what makes a snapshot of files is written last, and
    taken away first.
    """

    claims: Claims = heartbeats

    def __init__(self, folder: str):
        self._output, self._folder = folder, join(folder, "snapshots")

    def attempt(self, one: str) -> str:
        return join(self._folder, one)

    def begin(self, one: str, tables: Sequence[str]) -> None:
        ask(self._output, lambda: write(join(self.attempt(one), BEGUN), b"begun\n"))

    def finish(self, one: str) -> None:
        licence = join(self.attempt(one), BEGUN)
        if not exists(licence):
            remove(join(self.attempt(one), MANIFEST))
            raise RuntimeError(f"{self.attempt(one)}: was abandoned while it was committed")
        remove(licence)

    def abandon(self, one: str, keep: bool) -> bool:
        with contextlib.suppress(Refused):
            ask(self._output, lambda: self._abandon(self.attempt(one)))
        return False

    def _abandon(self, attempt: str) -> None:
        """The licence first: a commit that has not written its manifest by then takes it back."""
        remove(join(attempt, BEGUN))
        if not exists(join(attempt, MANIFEST)):
            remove(*(join(attempt, path) for path in data_of(attempt)))
            forget_hand_over(attempt)

    def name_latest(self, one: str) -> None:
        write(join(self._output, LATEST), f"{one}\n".encode())

    def note_published(self, one: str) -> None:
        write(join(self._output, PUBLISHED, one), b"\n")

    def sole_writer(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def found(self, folder: str, *pattern: str) -> Iterator[list[str]]:
        place = join(self._output, folder)
        try:
            paths = ask(self._output, lambda: matching(place, *pattern))
        except Refused as error:
            raise unserved(f"{place}: cannot be listed ({error})", error) from error
        return (path.split("/") for path in paths)

    def leftovers(self) -> list[str]:
        return sorted(path[-2] for path in self.found("snapshots", "*", BEGUN))

    def names(self) -> set[str]:
        paths = (path.split("/") for path in files_in(self._folder))
        return {path[0] for path in paths if len(path) > 1}

    def scattered(self, unknown: Collection[str]) -> Iterator[str]:
        yield from sorted(filter(is_id, unknown))  # files of one that is half removed

    def take_away(self, name: str) -> list[str]:
        folder = join(self._folder, name)
        there = files_in(folder)
        first = [path for path in there if path in (MANIFEST, BEGUN)]
        remove(*(join(folder, path) for path in first))
        remove(*(join(folder, path) for path in there if path not in first))
        return []


def store_of(output: str) -> Store:
    """The kind of place where an output is."""
    return ObjectStore(output) if is_remote(output) else LocalStore(output)


def data_of(attempt: str) -> set[str]:
    """The files of an attempt, as paths in it; reports of what is complete stay to the end."""
    others = (MANIFEST, BEGUN, HANDED_OVER, REPORTS)
    return {path for path in files_in(attempt) if path.split("/")[0] not in others}


def forget_hand_over(folder: str) -> None:
    """Not before the snapshot is whole: until then others would take its attempt for dead."""
    if exists(note := join(folder, HANDED_OVER)):
        remove(note)
