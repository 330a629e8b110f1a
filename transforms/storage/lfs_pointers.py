"""Git LFS pointers: small texts that stand in a checkout where a large file was not fetched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_START = b"version https://git-lfs.github.com/spec/"
_LARGEST = 1024  # bytes, by the specification of Git LFS
POINTER = "is a Git LFS pointer, not the file that it stands for; fetch it with: git lfs pull"


def is_pointer(start: bytes) -> bool:
    """Whether a file that begins with `start` is a pointer: longer ones are something else."""
    return start.startswith(_START) and len(start) <= _LARGEST


def refuse_blamed(problem: str, *places: Path) -> None:
    """Raises `ValueError` where a pointer explains a problem: a file in a folder, or beside a file,
    whose name, or the part of it before the first dot, is in what is said.
    """
    for file in (file for place in places for file in _pointers(place)):
        if file.name in problem or f"{file.name.split('.')[0]}." in problem:
            raise ValueError(f"{file}: {POINTER}")


def _pointers(place: Path) -> Iterator[Path]:
    """Those of a model's folder, whose files are in it and in folders in it, or beside a file."""
    folder, patterns = (place, ("*", "*/*")) if place.is_dir() else (place.parent, ("*",))
    for pattern in patterns:
        with contextlib.suppress(OSError):  # of what must not be looked at
            for file in sorted(folder.glob(pattern)):
                small = file.is_file() and file.stat().st_size <= _LARGEST
                if small and is_pointer(file.read_bytes()):
                    yield file
