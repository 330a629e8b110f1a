"""Files that are written for a reader: named before any work is done, and whole or as they were."""

from __future__ import annotations

import os
from pathlib import Path

from corpusvec.pipeline.flags.parsing import UsageError


def checked(name: str) -> Path:
    """Where a file goes. Raises `UsageError` where it cannot."""
    file = Path(os.path.expanduser(name))
    if "://" in name:
        raise UsageError(f"--file={name}: is not on this machine; write it here and copy it")
    if not name or file.is_dir():
        raise UsageError(f"--file={name}: is a folder; name a file in it")
    if not file.parent.is_dir():
        raise UsageError(f"--file={name}: there is no folder {file.parent}; make it first")
    return file


def write(file: Path, text: str) -> None:
    """All of it, or the file stays as it was. Raises `RuntimeError`."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_text(text, "utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RuntimeError(f"--file={file}: cannot be written ({error.strerror})") from error
