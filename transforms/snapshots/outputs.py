"""An output folder, opened once by a run or a command and handed down."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

from corpusvec.transforms.snapshots.claim_files import Claim
from corpusvec.transforms.snapshots.file_lists import with_files
from corpusvec.transforms.snapshots.layouts import LATEST, MANIFEST, PUBLISHED, is_id
from corpusvec.transforms.snapshots.stores import Store, store_of
from corpusvec.transforms.storage.files import exists, join, open_file, remove
from corpusvec.transforms.storage.stores import Refused, unserved

_LOG = logging.getLogger(__name__)
_Value = TypeVar("_Value")


class _ReadOnce(Generic[_Value]):
    """`functools.cached_property` without its lock. Before Python 3.12 all outputs share that: a
    store that does not answer would hold up the others.
    """

    def __init__(self, read: Callable[[Output], _Value]):
        self._read, self.__doc__ = read, read.__doc__

    def __set_name__(self, owner: type, name: str):
        self._name = name

    @overload
    def __get__(self, output: None, owner: type) -> _ReadOnce[_Value]: ...

    @overload
    def __get__(self, output: Output, owner: type) -> _Value: ...

    def __get__(self, output: Output | None, owner: type) -> _ReadOnce[_Value] | _Value:
        if output is None:
            return self
        found = output.__dict__[self._name] = self._read(output)
        return found


@dataclass(frozen=True)
class Output:
    """What is published in a folder is read once, when it is asked for first, and again by
    `latest_now`. A copy on a worker reads for itself.
    """

    folder: str

    def __str__(self) -> str:
        return self.folder

    def __reduce__(self) -> tuple[type[Output], tuple[str]]:
        return Output, (self.folder,)

    def path(self, *parts: str) -> str:
        """Of what is in it."""
        return join(self.folder, *parts)

    @cached_property
    def store(self) -> Store:
        """Local or remote."""
        return store_of(self.folder)

    @_ReadOnce
    def latest(self) -> str | None:
        """The id of the newest snapshot published, None where there is none; no id, see `is_id`,
        where the file is damaged.
        """
        if not exists(self.path(LATEST)):
            return None
        with open_file(self.path(LATEST)) as stream:
            return stream.read().decode(errors="replace").strip()

    def latest_now(self) -> str | None:
        """The same, read again: where it may have moved, and something depends on it. What is
        published is known as of now then.
        """
        for name, value in vars(Output).items():
            if isinstance(value, _ReadOnce):
                self.__dict__.pop(name, None)
        return self.latest

    @_ReadOnce
    def published(self) -> frozenset[str]:
        """The snapshots that LATEST names, or named once; those of earlier versions are not
        known.
        """
        noted = {path[-1] for path in self.store.found(PUBLISHED, "*")}
        return frozenset(filter(is_id, {*noted, self.latest or ""}))

    @_ReadOnce
    def published_manifest(self) -> dict[str, Any] | None:
        """That of the snapshot that LATEST names; where it cannot be read, that of the newest one
        that was published and can. None where there is none.
        """
        if (named := self.latest) is None:
            return None
        before = (one for one in self.published if one < named or not is_id(named))
        for one in (named, *sorted(before, reverse=True)):
            with contextlib.suppress(ValueError):
                manifest = self.manifest(one)
                if isinstance(manifest, dict) and {"id", "counts"} <= manifest.keys():
                    return manifest
        return None

    def manifest(self, one: str) -> dict[str, Any]:
        """That of a snapshot that is whole, with the list of its files. Raises `ValueError` where
        there is none, or its list is damaged.
        """
        with open_file(self.manifest_path(one)) as stream:
            manifest = json.loads(stream.read())
        return with_files(self.path("snapshots", one), manifest)

    def manifest_path(self, one: str) -> str:
        """Where it is. Raises `ValueError` where there is none."""
        path = self.path("snapshots", one, MANIFEST)
        if not is_id(one) or not exists(path):
            there = ", ".join(self.snapshot_ids()) or "none"
            raise ValueError(f"{self}: has no snapshot {one!r}; there are: {there}")
        return path

    def snapshot_ids(self) -> list[str]:
        """The snapshots that are whole, oldest first."""
        found = self.store.found("snapshots", "*", MANIFEST)
        return sorted(path[-2] for path in found if is_id(path[-2]))

    def leftovers(self, but: str = "none of them") -> list[str]:
        """What runs have begun here that is no snapshot, but that of the snapshot `but`."""
        return [name for name in self.store.leftovers() if but not in name]

    def forget_published(self, one: str) -> None:
        """Take away the note of a snapshot that is gone."""
        if exists(note := self.path(PUBLISHED, one)):
            remove(note)

    @contextlib.contextmanager
    def writing(
        self, wait: bool = False, say: Callable[[str], None] = _LOG.info
    ) -> Iterator[Claim]:
        """The claim to write; one run has it at a time. Where another one has it this one waits for
        it, or not.

        Raises `Busy`, and where the output cannot be written `ValueError` or `Outage`.
        """
        try:
            claim = self.store.claims.to_write(self.folder, wait, say)
        except (OSError, Refused) as error:
            raise unserved(f"--output={self}: cannot be written ({error})", error) from error
        try:
            yield claim
        finally:
            claim.free()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Claim | None]:
        """A claim on what is read; any number of processes may have one. None if the output does
        not exist or is not writable.
        """
        claim: Claim | None = None
        with contextlib.suppress(OSError, Refused):
            claim = self.store.claims.to_read(self.folder)
        try:
            yield claim
        finally:
            if claim:
                claim.free()
