"""Files of an output folder, on a local disk and on object stores."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.storage.stores import is_remote

_CHUNK = 1 << 20  # bytes that are read at once


def create(path: str) -> BinaryIO:
    """A new file on any file system; on a local disk its bytes are there for good once it is
    closed.
    """
    return (
        FileSystems.create(path, "application/octet-stream")
        if is_remote(path)
        else _Lasting(path, "wb")
    )


def open_file(path: str) -> BinaryIO:
    """A file to read, at any place in it."""
    if is_remote(path):
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return open(path, "rb")


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
    return FileSystems.exists(path)


def remove(*paths: str) -> None:
    """Files of one file system; those that are gone already are no error."""
    if paths and is_remote(paths[0]):
        FileSystems.delete(list(paths))
        return
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def join(*parts: str) -> str:
    """A path, of folders with or without a slash at their ends."""
    return "/".join(part.rstrip("/") for part in parts)


def matching(*parts: str) -> list[str]:
    """The files of a pattern."""
    matched = FileSystems.match([join(*parts)])[0].metadata_list
    return [match.path.replace("\\", "/") for match in matched]
