"""A worker of Flink that notes what it counts and encodes, and when, in a file of folder `NOTES`.
With `NULL` its encoder takes no time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

NOTES, NULL = "CORPUSVEC_NOTES", "CORPUSVEC_NULL"


def _note(began: float, tokens: int) -> None:
    """When something began and ended, and how many tokens it had."""
    with (Path(os.environ[NOTES]) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(f"{json.dumps([began, time.time(), tokens])}\n")


class _Noting:
    """An encoder that notes each batch."""

    def __init__(self, encoder):
        self._encoder = encoder

    def __getattr__(self, name: str):
        return getattr(self._encoder, name)

    def encode(self, windows):
        began = time.time()
        encoded = self._encoder.encode(windows)
        _note(began, int(windows.sizes.sum()))
        return encoded


def main() -> int:
    """What `corpusvec-worker` does."""
    from benchmarks.null_run import NullEncoder
    from corpusvec.transforms import read
    from corpusvec.transforms.models import kinds

    load = NullEncoder if os.environ.get(NULL) else kinds.load_encoder
    count = read.count_lines

    def counted(block, reading):
        _note(time.time(), 0)
        return count(block, reading)

    read.count_lines = counted
    # Before anything imports it from there.
    kinds.load_encoder = lambda spec, wanted: _Noting(load(spec, wanted))
    from corpusvec.pipeline.runners.workers import main as work

    return work()


def write_program(path: Path) -> Path:
    """A file that a TaskManager can start."""
    root = str(Path(__file__).resolve().parents[1])
    lines = (
        f"#!{sys.executable}",
        "import sys",
        f"sys.path.insert(0, {root!r})",
        "from benchmarks.observed_worker import main",
        "sys.exit(main())",
    )
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o755)
    return path
