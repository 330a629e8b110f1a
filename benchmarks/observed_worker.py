"""A worker of Flink that notes what it encodes, and when, in a file of the folder `NOTES`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

NOTES = "CORPUSVEC_NOTES"


class _Noting:
    """An encoder that writes a line for each batch: when it began and ended, and its tokens."""

    def __init__(self, encoder):
        self._encoder = encoder
        self._file = (Path(os.environ[NOTES]) / f"{os.getpid()}.jsonl").open("a", buffering=1)

    def __getattr__(self, name: str):
        return getattr(self._encoder, name)

    def encode(self, windows):
        began = time.time()
        encoded = self._encoder.encode(windows)
        line = json.dumps([began, time.time(), int(windows.sizes.sum())])
        self._file.write(f"{line}\n")
        return encoded


def main() -> int:
    """What `corpusvec-worker` does."""
    from corpusvec.transforms.models import kinds

    load = kinds.load_encoder
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
