"""Whole runs of `embed`, each in a process of its own that notes when what happened."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.races import run


@dataclass(frozen=True, slots=True)
class Observed:
    """A run that is done. Times are of one clock, in seconds: the process was started, the encoder
    was given its first batch, had encoded it, all was written. `later_tokens` are those whose
    encoding began after the first batch was encoded. `counts` are those of the run's own metrics,
    `MiB` is the most that it held at once.
    """

    started: float
    first_batch: float
    first_encoded: float
    ended: float
    later_tokens: int
    counts: Mapping[str, int]
    MiB: float

    @property
    def rate(self) -> float:
        """Tokens a second from the first batch on."""
        return self.counts["encoded_tokens"] / (self.ended - self.first_batch)

    @property
    def later_rate(self) -> float:
        """Tokens per second after the first batch: the first call of a graph prepares it."""
        return self.later_tokens / (self.ended - self.first_encoded)

    @property
    def whole_rate(self) -> float:
        """Tokens per second since the process started."""
        return self.counts["encoded_tokens"] / (self.ended - self.started)


def embed(model: str, source: Path, output: Path, *flags: str) -> Observed:
    """Embed a file; the output is left where it is, in the place of what was there. Raises
    `ProgramFailed`.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.observed", "embed", f"--model={model}"]
    command += [f"--input={source}", f"--output={output}", *flags]
    name = " ".join(["embed", f"--model={model}", *flags])
    started = time.time()
    said = json.loads(run(name, command).splitlines()[-1])
    return Observed(started=started, **said)


class _Noting:
    """An encoder that notes when its first batch begins and ends, and what is begun afterwards."""

    def __init__(self, encoder):
        self._encoder, self._lock = encoder, threading.Lock()
        self.noted: dict[str, float] = {"later_tokens": 0}

    def __getattr__(self, name: str):
        return getattr(self._encoder, name)

    def encode(self, windows):
        with self._lock:
            self.noted.setdefault("first_batch", time.time())
            if "first_encoded" in self.noted:
                self.noted["later_tokens"] += int(windows.sizes.sum())
        encoded = self._encoder.encode(windows)
        with self._lock:
            self.noted.setdefault("first_encoded", time.time())
        return encoded


def main() -> None:
    """The command of the arguments, then a line of JSON."""
    from corpusvec.transforms.models import kinds

    noted: dict[str, float] = {}
    load = kinds.load_encoder

    def load_noting(spec, wanted) -> _Noting:
        nonlocal noted
        encoder = _Noting(load(spec, wanted))
        noted = encoder.noted
        return encoder

    kinds.load_encoder = load_noting  # before anything imports it from there
    from corpusvec.pipeline.cli import main as command

    code = command(sys.argv[1:])
    noted["ended"] = time.time()
    from corpusvec.transforms.measures import counters

    print(json.dumps({**noted, "counts": counters.totals(), "MiB": machine.held("VmHWM")}))
    sys.exit(code)


if __name__ == "__main__":
    main()
