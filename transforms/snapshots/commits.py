"""A snapshot becomes one, whole or not at all; then LATEST names it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from corpusvec.transforms.snapshots.file_lists import LIST, put_beside
from corpusvec.transforms.snapshots.layouts import BEGUN, HANDED_OVER, MANIFEST, PUBLISHED, is_id
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.stores import data_of, forget_hand_over
from corpusvec.transforms.storage.files import exists, join, remove, write
from corpusvec.transforms.storage.stores import Refused, unserved


def new_id(now: datetime) -> str:
    """`20260102T030405.678Z-0a1b2c3d`: ids sort by the time at which their runs began."""
    utc = now.astimezone(timezone.utc)
    return f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03}Z-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a snapshot of an output folder is, or will be."""

    output: Output
    id: str

    @property
    def folder(self) -> str:
        return self.output.path("snapshots", self.id)

    @property
    def attempt(self) -> str:
        return self.output.store.attempt(self.id)

    def begin(self, tables: Sequence[str]) -> None:
        """Make the attempt folder. Raises `ValueError` or `Outage` where it cannot be written."""
        try:
            self.output.store.begin(self.id, tables)
        except (OSError, Refused, ValueError) as error:
            raise unserved(f"--output={self.output}: cannot be written ({error})", error) from error

    def note_hand_over(self) -> None:
        """Write down that nobody waits for this attempt's end: whoever began it is not to be asked
        whether it is dead. A commit takes the note away when the snapshot is whole.
        """
        write(join(self.attempt, HANDED_OVER), b"handed over\n")

    @property
    def is_handed_over(self) -> bool:
        """Whether its attempt has such a note."""
        return exists(join(self.attempt, HANDED_OVER))

    def abandon(self, keep: bool = False) -> bool:
        """Take away what an attempt left, as far as can be; a snapshot that is whole stays. With
        `keep` local files that are complete stay too, for the next run -> whether there are any.
        """
        return self.output.store.abandon(self.id, keep)

    def commit(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Make the snapshot of the files that the manifest names. Done twice it is as done once.

        Returns the manifest that counts.
        """
        attempt = self.attempt
        if exists(join(self.folder, MANIFEST)) and not exists(join(attempt, BEGUN)):
            forget_hand_over(self.folder)
            return self.output.manifest(self.id)
        reported, there = {file["path"] for file in manifest["files"]}, data_of(attempt)
        if missing := sorted(reported - there):
            raise RuntimeError(f"{attempt}/{missing[0]}: was written and is gone")
        # A list of an earlier try stays until it is written again: its manifest may be there.
        remove(*(join(attempt, path) for path in there - reported - {LIST}))
        stored = put_beside(attempt, manifest)
        content = json.dumps(stored, ensure_ascii=False, indent=1).encode()
        write(join(attempt, MANIFEST), content)
        self.output.store.finish(self.id)
        forget_hand_over(self.folder)
        return manifest

    def complete(self) -> None:
        """The last step of a commit on an object store, for a run that died before it."""
        remove(join(self.folder, BEGUN))
        forget_hand_over(self.folder)

    def publish(self) -> bool:
        """Let LATEST name this snapshot; False where it names a newer one already: it never moves
        backwards.
        """
        with self.output.store.sole_writer():
            named = self.output.latest_now()
            if named is not None and is_id(named) and named > self.id:
                return False
            self._let_latest_name_it(named)
        return True

    def publish_again(self) -> None:
        """Let LATEST name this snapshot though it names a newer one."""
        with self.output.store.sole_writer():
            self._let_latest_name_it(self.output.latest_now())

    def _let_latest_name_it(self, named: str | None) -> None:
        """What was named until now is written down, too: it may be older than such notes are.
        Raises `ValueError` where the snapshot is gone.
        """
        self.output.manifest_path(self.id)
        if named is not None and is_id(named) and named != self.id:
            self._note_published(named)
        self.output.store.name_latest(self.id)
        self._note_published(self.id)
        self.output.latest_now()

    def _note_published(self, one: str) -> None:
        if not exists(self.output.path(PUBLISHED, one)):
            self.output.store.note_published(one)
