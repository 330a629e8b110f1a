"""Git LFS pointers: small texts that stand in a checkout where a large file was not fetched."""

from __future__ import annotations

from pathlib import Path

_START = b"version https://git-lfs.github.com/spec/"


def is_pointer(start: bytes) -> bool:
    """Whether a file that begins so is a pointer; its first 40 bytes tell."""
    return start.startswith(_START)


def refuse_pointer(file: Path) -> None:
    """Raises `ValueError` where a file is a pointer."""
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_START))
    except OSError:  # whoever reads the file says so
        return
    if is_pointer(start):
        raise ValueError(
            f"{file}: is a Git LFS pointer, not the file that it stands for; fetch it with: git lfs"
            " pull"
        )
