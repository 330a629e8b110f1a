"""What runs that ended early have left in a local output folder: files that are complete, each with
a report beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.snapshots.file_lists import IN_MANIFEST
from corpusvec.transforms.snapshots.schemas import CHANGES, REJECTED, SENTENCES
from corpusvec.transforms.storage.files import write

REPORTS = "complete"  # the folder of an attempt where reports are


def is_taken_up(attempt: str) -> bool:
    """Whether the next run uses what an attempt that ends early has completed; on object stores no
    run does.
    """
    return os.path.isdir(os.path.join(attempt, REPORTS))


def note_complete(attempt: str, file: WrittenFile, about: Mapping[str, Any]) -> None:
    """Write down that a file of an attempt is complete, where the next run can use it."""
    if file.table in (REJECTED, CHANGES) or not is_taken_up(attempt):
        return
    said = {"format": IN_MANIFEST, "run": about["fingerprint"], "file": asdict(file)}
    path = f"{attempt}/{REPORTS}/{file.path.replace('/', '-')}.json"
    with contextlib.suppress(FileNotFoundError):  # its run has abandoned the attempt
        write(path, json.dumps(said).encode())


def any_complete(attempt: str) -> bool:
    """Whether an attempt has complete files that are of use: tokens alone are not."""
    return any(Path(attempt, REPORTS).glob(f"{SENTENCES}-*.json"))


def forget_complete(attempt: str) -> None:
    """Take the reports away, and where they are."""
    shutil.rmtree(Path(attempt, REPORTS), ignore_errors=True)


def complete_files(attempt: str, fingerprint: str) -> tuple[WrittenFile, ...]:
    """The complete files of an attempt that was of a run like this one."""
    found = []
    for path in sorted(Path(attempt, REPORTS).glob("*.json")):
        try:
            said = json.loads(path.read_bytes())
        except (OSError, ValueError):  # the run was killed just then
            continue
        if (said["format"], said["run"]) == (IN_MANIFEST, fingerprint):
            found.append(WrittenFile(**said["file"]))
    return tuple(found)
