"""The output folder: snapshots that are whole or not there, and LATEST, which names the newest one
published.

A run's files are born in its attempt folder. On a local disk that is `snapshots/.ID.attempt`, and
one rename makes it the snapshot; on an object store it is the snapshot's own folder, which counts
from the moment its manifest is there. There `.begun` is the attempt's licence to become a snapshot:
who abandons it takes that away first.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, BinaryIO

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from transforms.elements import Count, WrittenFile
from transforms.schemas import REJECTED, SENTENCES
from transforms.stores import Refused, ask, is_remote

LATEST, MANIFEST = "LATEST", "manifest.json"
_BEGUN = ".begun"
FORMAT_VERSION = 1
_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")


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
        return _join(self.output, "snapshots", self.id)

    @property
    def attempt(self) -> str:
        return (
            self.folder
            if is_remote(self.output)
            else _join(self.output, "snapshots", f".{self.id}.attempt")
        )

    def begin(self, tables: Sequence[str]) -> None:
        """Make the attempt folder. Raises `ValueError` where the output cannot be written."""
        try:
            for table in tables:
                if not is_remote(self.output):
                    os.makedirs(_join(self.attempt, table))
            ask(self.output, lambda: _write(_join(self.attempt, _BEGUN), b"begun\n"))
            if not is_remote(self.output):
                _remove(_join(self.attempt, _BEGUN))
        except (OSError, Refused, ValueError) as error:
            raise ValueError(f"--output={self.output}: cannot be written ({error})") from error

    def abandon(self) -> None:
        """Take away what an attempt left, as far as can be; a snapshot that is whole stays."""
        if is_remote(self.output):
            with contextlib.suppress(Refused):
                ask(self.output, self._abandon_remote)
            return
        # In one step, like the commit's: whichever comes second finds nothing there.
        with contextlib.suppress(OSError):
            os.rename(self.attempt, f"{self.attempt}.abandoned")
        shutil.rmtree(f"{self.attempt}.abandoned", ignore_errors=True)

    def _abandon_remote(self) -> None:
        """The licence first: a commit that has not written its manifest by then takes it back."""
        _remove(_join(self.attempt, _BEGUN))
        if not _exists(_join(self.folder, MANIFEST)):
            _remove(*(_join(self.attempt, path) for path in _files_in(self.attempt)))

    def leftovers(self) -> list[str]:
        """Attempts of other runs in this output: still running, or killed."""
        if is_remote(self.output):
            begun = _matching(self.output, "snapshots", "*", _BEGUN)
            return sorted(name for path in begun if (name := path.split("/")[-2]) != self.id)
        if not os.path.isdir(_join(self.output, "snapshots")):
            return []
        names = os.listdir(_join(self.output, "snapshots"))
        return sorted(name for name in names if name.startswith(".") and self.id not in name)

    def commit(
        self, files: Sequence[WrittenFile], counts: Sequence[Count], about: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make the snapshot of the files reported. Done twice it is as done once.

        Raises `RuntimeError` where the records read are not all accounted for. Returns the
        manifest.
        """
        licence = _join(self.attempt, _BEGUN)
        if _exists(_join(self.folder, MANIFEST)) and not _exists(licence):
            return read_manifest(self.output, self.id)
        manifest = _manifest(self.id, files, counts, about)
        reported = {file.path for file in files}
        self._check_there(reported)
        _remove(*(_join(self.attempt, path) for path in set(_files_in(self.attempt)) - reported))
        content = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        _write(_join(self.attempt, MANIFEST), content)
        if self.attempt != self.folder:
            os.rename(self.attempt, self.folder)
            _keep(os.path.dirname(self.folder))
            return manifest
        if not _exists(licence):
            _remove(_join(self.attempt, MANIFEST))
            raise RuntimeError(f"{self.attempt}: was abandoned while it was committed")
        _remove(licence)
        return manifest

    def _check_there(self, reported: set[str]) -> None:
        if missing := sorted(reported - set(_files_in(self.attempt))):
            raise RuntimeError(f"{self.attempt}/{missing[0]}: was written and is gone")

    def publish(self) -> bool:
        """Let LATEST name this snapshot; False where it names a newer one already: it never moves
        backwards.
        """
        with _alone(self.output):
            published = latest(self.output)
            if published is not None and published > self.id:
                return False
            target = _join(self.output, LATEST)
            if is_remote(self.output):
                _write(target, f"{self.id}\n".encode())
            else:
                _write(f"{target}.{self.id}", f"{self.id}\n".encode())
                os.replace(f"{target}.{self.id}", target)
                _keep(self.output)
        return True


def _manifest(
    snapshot_id: str,
    files: Sequence[WrittenFile],
    counts: Sequence[Count],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    for count in counts:
        totals[count.name] += count.n
    for file in files:
        totals.update(file.counts)
    totals["documents"] = sum(file.rows for file in files if file.table == SENTENCES)
    totals["rejected"] = sum(file.rows for file in files if file.table == REJECTED)
    accounted = totals["documents"] + totals["rejected"] + totals["empty"]
    if accounted != totals["records"]:
        raise RuntimeError(
            f"{totals['records']} records were read, but documents ({totals['documents']}),"
            f" rejected ({totals['rejected']}) and empty ({totals['empty']}) are {accounted};"
            " nothing is published"
        )
    names = ("records", "documents", "rejected", "empty", "tokens", "windows")
    return {
        "format_version": FORMAT_VERSION,
        "id": snapshot_id,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "counts": {name: totals[name] for name in names} | dict(sorted(totals.items())),
        **about,
        "files": [asdict(file) for file in sorted(files, key=lambda file: file.path)],
    }


def latest(output: str) -> str | None:
    """The id of the newest snapshot published, None where there is none."""
    if not _exists(_join(output, LATEST)):
        return None
    with FileSystems.open(_join(output, LATEST)) as stream:
        return stream.read().decode().strip()


def read_manifest(output: str, snapshot_id: str) -> dict[str, Any]:
    """The manifest of a snapshot that is whole. Raises `ValueError` where there is none."""
    path = _join(Snapshot(output, snapshot_id).folder, MANIFEST)
    if not _ID.fullmatch(snapshot_id) or not _exists(path):
        there = ", ".join(snapshot_ids(output)) or "none"
        raise ValueError(f"{output}: has no snapshot {snapshot_id!r}; there are: {there}")
    with FileSystems.open(path) as stream:
        return json.loads(stream.read())


def snapshot_ids(output: str) -> list[str]:
    """The snapshots that are whole, oldest first."""
    try:
        found = _matching(output, "snapshots", "*", MANIFEST)
    except BeamIOError:
        return []
    return sorted(name for path in found if _ID.fullmatch(name := path.split("/")[-2]))


def _matching(*parts: str) -> list[str]:
    """The files of a pattern."""
    matched = FileSystems.match([_join(*parts)])[0].metadata_list
    return [match.path.replace("\\", "/") for match in matched]


@contextlib.contextmanager
def _alone(output: str) -> Iterator[None]:
    """Only one process of this machine at a time; object stores have no such lock, there the last
    one wins.
    """
    if is_remote(output):
        yield
        return
    import fcntl

    with open(_join(output, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def create(path: str) -> BinaryIO:
    """A new file on any file system; on a local disk its bytes are there for good once it is
    closed.
    """
    return (
        FileSystems.create(path, "application/octet-stream")
        if is_remote(path)
        else _Lasting(path, "wb")
    )


class _Lasting(io.FileIO):
    """A local file that is on the disk when it is closed."""

    def close(self) -> None:
        if not self.closed:
            os.fsync(self.fileno())
        super().close()


def _keep(folder: str) -> None:
    """Names that were changed in a local folder are there for good."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _files_in(folder: str) -> list[str]:
    """All files of an attempt, as paths in it."""
    if not is_remote(folder):
        return [
            os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/")
            for where, _, names in os.walk(folder)
            for name in names
        ]
    paths = [path[len(folder) + 1 :] for path in _matching(folder, "**")]
    return [path for path in paths if path not in (MANIFEST, _BEGUN)]


def _write(path: str, content: bytes) -> None:
    with create(path) as stream:
        stream.write(content)


def _exists(path: str) -> bool:
    return FileSystems.exists(path)


def _remove(*paths: str) -> None:
    if paths and is_remote(paths[0]):
        FileSystems.delete(list(paths))
        return
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def _join(*parts: str) -> str:
    return "/".join(part.rstrip("/") for part in parts)
