"""Files on a local disk and in object stores, which are reached through Beam's file systems."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from typing import Any, BinaryIO, NamedTuple

from corpusvec.transforms.storage.globs import read_state
from corpusvec.transforms.storage.s3_clients import share_clients
from corpusvec.transforms.storage.stores import is_remote

_CHUNK = 1 << 20  # bytes that are read at once


class FileState(NamedTuple):
    """A file: its size in bytes as it is stored, and when it was last written, in seconds since
    1970 (0: unknown).
    """

    path: str
    size: int
    written: float


def create(path: str) -> BinaryIO:
    """A new file on any file system; on a local disk its bytes are there for good once it is
    closed.
    """
    if is_remote(path):
        return _file_systems().create(path, "application/octet-stream")
    return _Lasting(path, "wb")


def open_file(path: str) -> BinaryIO:
    """A file to read, at any place in it."""
    if not is_remote(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes

    return _file_systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def size_and_digest(path: str) -> tuple[int, str]:
    """The bytes that a file has, and their SHA-256; reads all of it."""
    size, digest = 0, hashlib.sha256()
    with open_file(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


class _Lasting(io.FileIO):
    """A local file that is on the disk when it is closed."""

    def close(self) -> None:
        if not self.closed:
            os.fsync(self.fileno())
        super().close()


def keep(folder: str) -> None:
    """Names that were changed in a local folder are there for good."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def files_in(folder: str) -> list[str]:
    """All files of a folder and of those in it, as paths in it."""
    if not is_remote(folder):
        return [
            os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/")
            for where, _, names in os.walk(folder)
            for name in names
        ]
    return [path[len(folder) + 1 :] for path in matching(folder, "**")]


def write(path: str, content: bytes) -> None:
    """A whole file."""
    with create(path) as stream:
        stream.write(content)


def exists(path: str) -> bool:
    """Whether a file is there, or a local folder."""
    return _file_systems().exists(path) if is_remote(path) else os.path.exists(path)


def remove(*paths: str) -> None:
    """Files of one file system; those that are gone already are no error."""
    if paths and is_remote(paths[0]):
        _file_systems().delete(list(paths))
        return
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def join(*parts: str) -> str:
    """A path, of folders with or without a slash at their ends."""
    return "/".join(part.rstrip("/") for part in parts)


def matching(*parts: str) -> list[str]:
    """The files of a pattern."""
    return [file.path for file in listed(join(*parts))]


def listed(pattern: str) -> list[FileState]:
    """The files of a pattern, in the order in which the file system gives them."""
    return [
        FileState(file.path, file.size_in_bytes, file.last_updated_in_seconds)
        for file in _file_systems().match([pattern])[0].metadata_list
    ]


def state(path: str) -> FileState:
    """Of one file. Raises `ValueError` for what is none, `OSError` for what is not there."""
    if not is_remote(path):
        return FileState(path, *read_state(path))
    found = _file_systems().get_filesystem(path).metadata(path)
    return FileState(path, found.size_in_bytes, found.last_updated_in_seconds)


def version(path: str) -> str:
    """What a store tells one content of an object from another by: S3's ETag, Google's checksum.
    Empty where sizes and times are fine enough: on disks, a local one or Hadoop's.
    """
    if not is_remote(path) or path.lower().startswith("hdfs:"):
        return ""
    return str(_file_systems().checksum(path))


def as_expression(pattern: str) -> str:
    """A glob as a regular expression, by the rules of Beam's file systems."""
    from apache_beam.io.filesystem import FileSystem

    return FileSystem.translate_pattern(pattern)


def _file_systems() -> Any:
    """Beam's; it takes a second to import."""
    from apache_beam.io.filesystems import FileSystems

    share_clients()
    return FileSystems
