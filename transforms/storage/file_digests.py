"""SHA-256 of files."""

from __future__ import annotations

import functools
import hashlib
import os

from corpusvec.transforms.storage.files import size_and_digest
from corpusvec.transforms.storage.stores import is_remote


def sha256(path: str) -> str:
    """Of a file; of a local one once in a process while its size and times stay the same."""
    if is_remote(path):
        return size_and_digest(path)[1]
    about = os.stat(path)
    return _sha256(path, about.st_ino, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=10_000)
def _sha256(path: str, inode: int, size: int, mtime: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
