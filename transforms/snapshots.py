"""The output folder: snapshots that are whole or not there, and LATEST, which names the newest one
published.

A run's files are born in its attempt folder. On a local disk that is `snapshots/.ID.attempt`, and
one rename makes it the snapshot; on an object store it is the snapshot's own folder, which counts
from the moment its manifest is there.
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

LATEST, MANIFEST = "LATEST", "manifest.json"
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
            if _remote(self.output)
            else _join(self.output, "snapshots", f".{self.id}.attempt")
        )

    def begin(self, tables: Sequence[str]) -> None:
        """Make the attempt folder. Raises `ValueError` where the output cannot be written."""
        try:
            for table in tables:
                if not _remote(self.output):
                    os.makedirs(_join(self.attempt, table))
            with create(_join(self.attempt, ".begun")) as stream:
                stream.write(b"")
            _remove(_join(self.attempt, ".begun"))
        except (OSError, BeamIOError, ValueError, ImportError) as error:
            raise ValueError(f"--output={self.output}: cannot be written ({error})") from error

    def abandon(self) -> None:
        """Take away what an attempt left, as far as can be; a snapshot that is whole stays."""
        if _remote(self.output):
            with contextlib.suppress(BeamIOError, OSError, ValueError):
                if not _exists(_join(self.folder, MANIFEST)):
                    FileSystems.delete([f"{self.folder}/"])
            return
        # In one step, like the commit's: whichever comes second finds nothing there.
        with contextlib.suppress(OSError):
            os.rename(self.attempt, f"{self.attempt}.abandoned")
        shutil.rmtree(f"{self.attempt}.abandoned", ignore_errors=True)

    def leftovers(self) -> list[str]:
        """Attempts of other runs in this output: still running, or killed."""
        if _remote(self.output) or not os.path.isdir(_join(self.output, "snapshots")):
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
        if _exists(_join(self.folder, MANIFEST)):
            return read_manifest(self.output, self.id)
        manifest = _manifest(self.id, files, counts, about)
        reported, there = {file.path for file in files}, set(_files_in(self.attempt))
        if missing := sorted(reported - there):
            raise RuntimeError(f"{self.attempt}/{missing[0]}: was written and is gone")
        for path in there - reported:
            _remove(_join(self.attempt, path))
        with create(_join(self.attempt, MANIFEST)) as stream:
            stream.write(json.dumps(manifest, ensure_ascii=False, indent=1).encode())
        if self.attempt != self.folder:
            os.rename(self.attempt, self.folder)
            _keep(os.path.dirname(self.folder))
        return manifest

    def publish(self) -> bool:
        """Let LATEST name this snapshot; False where it names a newer one already: it never moves
        backwards.
        """
        with _alone(self.output):
            published = latest(self.output)
            if published is not None and published > self.id:
                return False
            target = _join(self.output, LATEST)
            if _remote(self.output):
                with create(target) as stream:
                    stream.write(f"{self.id}\n".encode())
            else:
                with create(f"{target}.{self.id}") as stream:
                    stream.write(f"{self.id}\n".encode())
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
        matched = FileSystems.match([_join(output, "snapshots", "*", MANIFEST)])[0].metadata_list
    except BeamIOError:
        return []
    names = (match.path.replace("\\", "/").split("/")[-2] for match in matched)
    return sorted(name for name in names if _ID.fullmatch(name))


@contextlib.contextmanager
def _alone(output: str) -> Iterator[None]:
    """Only one process of this machine at a time; object stores have no such lock, there the last
    one wins.
    """
    if _remote(output):
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
        if _remote(path)
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
    if not _remote(folder):
        return [
            os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/")
            for where, _, names in os.walk(folder)
            for name in names
        ]
    matched = FileSystems.match([_join(folder, "**")])[0].metadata_list
    return [match.path[len(folder) + 1 :] for match in matched]


def _remote(path: str) -> bool:
    return "://" in path


def _exists(path: str) -> bool:
    return FileSystems.exists(path)


def _remove(path: str) -> None:
    if _remote(path):
        FileSystems.delete([path])
    elif os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.remove(path)


def _join(*parts: str) -> str:
    return "/".join(part.rstrip("/") for part in parts)
