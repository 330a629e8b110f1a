"""The output folder: snapshots that are whole or not there, and LATEST, which names the newest one
published.

A run's files are born in its attempt folder. On a local disk that is `snapshots/.ID.attempt`, and
one rename makes it the snapshot; on an object store it is the snapshot's own folder, which counts
from the moment its manifest is there. There `.begun` is the attempt's licence to become a snapshot:
who abandons it takes that away first.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from corpusvec.transforms.snapshots.attempts import REPORTS, any_complete, forget_complete
from corpusvec.transforms.snapshots.file_lists import LIST, put_beside
from corpusvec.transforms.snapshots.layouts import (
    BEGUN,
    ENDED,
    LATEST,
    MANIFEST,
    PUBLISHED,
    is_id,
    latest,
    manifest_path,
    read_manifest,
)
from corpusvec.transforms.storage.files import exists, files_in, join, keep, remove, write
from corpusvec.transforms.storage.locks import free, wait_for
from corpusvec.transforms.storage.stores import Refused, ask, is_remote, unserved

_HANDED_OVER = ".handed_over"


def new_id(now: datetime) -> str:
    """`20260102T030405.678Z-0a1b2c3d`: ids sort by the time at which their runs began."""
    utc = now.astimezone(timezone.utc)
    return f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03}Z-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a snapshot of an output folder is, or will be."""

    output: str
    id: str

    @property
    def folder(self) -> str:
        return join(self.output, "snapshots", self.id)

    @property
    def attempt(self) -> str:
        return (
            self.folder
            if is_remote(self.output)
            else join(self.output, "snapshots", f".{self.id}.attempt")
        )

    def begin(self, tables: Sequence[str]) -> None:
        """Make the attempt folder. Raises `ValueError` or `Outage` where it cannot be written."""
        try:
            for name in (*tables, REPORTS):
                if not is_remote(self.output):
                    os.makedirs(join(self.attempt, name))
            ask(self.output, lambda: write(join(self.attempt, BEGUN), b"begun\n"))
            if not is_remote(self.output):
                remove(join(self.attempt, BEGUN))
        except (OSError, Refused, ValueError) as error:
            raise unserved(f"--output={self.output}: cannot be written ({error})", error) from error

    def note_hand_over(self) -> None:
        """Write down that nobody waits for this attempt's end: whoever began it is not to be asked
        whether it is dead. A commit takes the note away when the snapshot is whole.
        """
        write(join(self.attempt, _HANDED_OVER), b"handed over\n")

    @property
    def is_handed_over(self) -> bool:
        """Whether its attempt has such a note."""
        return exists(join(self.attempt, _HANDED_OVER))

    def abandon(self, keep: bool = False) -> bool:
        """Take away what an attempt left, as far as can be; a snapshot that is whole stays. With
        `keep` local files that are complete stay too, for the next run -> whether there are any.
        """
        if is_remote(self.output):
            with contextlib.suppress(Refused):
                ask(self.output, self._abandon_remote)
            return False
        # In one step, like the commit's: whichever comes second finds nothing there.
        with contextlib.suppress(OSError):
            os.rename(self.attempt, f"{self.attempt}{ENDED}")
        if keep and any_complete(f"{self.attempt}{ENDED}"):
            return True
        shutil.rmtree(f"{self.attempt}{ENDED}", ignore_errors=True)
        return False

    def _abandon_remote(self) -> None:
        """The licence first: a commit that has not written its manifest by then takes it back."""
        remove(join(self.attempt, BEGUN))
        if not exists(join(self.folder, MANIFEST)):
            remove(*(join(self.attempt, path) for path in self._data()))
            self._forget_hand_over()

    def commit(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Make the snapshot of the files that the manifest names. Done twice it is as done once.

        Returns the manifest that counts.
        """
        licence = join(self.attempt, BEGUN)
        if exists(join(self.folder, MANIFEST)) and not exists(licence):
            self._forget_hand_over()
            return read_manifest(self.output, self.id)
        reported = {file["path"] for file in manifest["files"]}
        self._check_there(reported)
        # A list of an earlier try stays until it is written again: its manifest may be there.
        remove(*(join(self.attempt, path) for path in self._data() - reported - {LIST}))
        stored = put_beside(self.attempt, manifest)
        content = json.dumps(stored, ensure_ascii=False, indent=1).encode()
        write(join(self.attempt, MANIFEST), content)
        if self.attempt != self.folder:
            forget_complete(self.attempt)
            os.rename(self.attempt, self.folder)
            keep(os.path.dirname(self.folder))
            self._forget_hand_over()
            return manifest
        if not exists(licence):
            remove(join(self.attempt, MANIFEST))
            raise RuntimeError(f"{self.attempt}: was abandoned while it was committed")
        self.complete()
        return manifest

    def complete(self) -> None:
        """The last step of a commit on an object store, for a run that died before it, too."""
        remove(join(self.folder, BEGUN))
        self._forget_hand_over()

    def _forget_hand_over(self) -> None:
        """Not before the snapshot is whole: until then others would take its attempt for dead."""
        if exists(note := join(self.folder, _HANDED_OVER)):
            remove(note)

    def remove_remote(self) -> None:
        """Take it from an object store: first what makes it a snapshot, or would."""
        there = files_in(self.folder)
        first = [path for path in there if path in (MANIFEST, BEGUN)]
        remove(*(join(self.folder, path) for path in first))
        remove(*(join(self.folder, path) for path in there if path not in first))

    def _data(self) -> set[str]:
        """The files of the attempt, as paths in it; reports of what is complete stay to the end."""
        others = (MANIFEST, BEGUN, _HANDED_OVER, REPORTS)
        return {path for path in files_in(self.attempt) if path.split("/")[0] not in others}

    def _check_there(self, reported: set[str]) -> None:
        if missing := sorted(reported - self._data()):
            raise RuntimeError(f"{self.attempt}/{missing[0]}: was written and is gone")

    def publish(self) -> bool:
        """Let LATEST name this snapshot; False where it names a newer one already: it never moves
        backwards.
        """
        with sole_writer(self.output):
            named = latest(self.output)
            if named is not None and is_id(named) and named > self.id:
                return False
            self._let_latest_name_it(named)
        return True

    def publish_again(self) -> None:
        """Let LATEST name this snapshot though it names a newer one."""
        with sole_writer(self.output):
            self._let_latest_name_it(latest(self.output))

    def _let_latest_name_it(self, named: str | None) -> None:
        """What was named until now is written down, too: it may be older than such notes are.
        Raises `ValueError` where the snapshot is gone.
        """
        manifest_path(self.output, self.id)
        if named is not None and is_id(named) and named != self.id:
            _note_published(self.output, named)
        target = join(self.output, LATEST)
        if is_remote(self.output):
            write(target, f"{self.id}\n".encode())
        else:
            write(f"{target}.{self.id}", f"{self.id}\n".encode())
            os.replace(f"{target}.{self.id}", target)
            keep(self.output)
        _note_published(self.output, self.id)


def _note_published(output: str, snapshot_id: str) -> None:
    note = join(output, PUBLISHED, snapshot_id)
    if not exists(note):
        if not is_remote(output):
            os.makedirs(os.path.dirname(note), exist_ok=True)
        write(note, b"\n")


def forget_published(output: str, snapshot_id: str) -> None:
    """Take away the note of a snapshot that is gone."""
    note = join(output, PUBLISHED, snapshot_id)
    if exists(note):
        remove(note)


@contextlib.contextmanager
def sole_writer(output: str) -> Iterator[None]:
    """For a moment, while it is looked at what is there or LATEST moves: only one process at a
    time. Object stores have no such lock, there the last one wins.
    """
    if is_remote(output):
        yield
        return
    path = join(output, ".lock")
    lock = wait_for(path, lambda: None)
    try:
        yield
    finally:
        free(path, lock)
