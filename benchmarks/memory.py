"""Peak memory of a whole local run, for N documents and for ten times as many: it streams if both
are alike.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]


def write_lines(path: Path, documents: int, seed: int = 1) -> Path:
    """A text file of random words, 3 to 40 a line, the same for the same arguments."""
    chance = random.Random(seed)
    with path.open("w") as stream:
        for _ in range(documents):
            words = ("".join(chance.choices(_SYLLABLES, k=2)) for _ in range(chance.randint(3, 40)))
            stream.write(" ".join(words) + "\n")
    return path


_CHILD = """
import json, resource, sys
from pipeline.cli import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "KiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def peak(model: str, source: Path, output: Path, *flags: str) -> float:
    """MiB that a run in a process of its own held at its highest."""
    command = [sys.executable, "-c", _CHILD, "embed", f"--model={model}", f"--input={source}"]
    command += [f"--output={output}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    if said["code"] != 0:
        raise RuntimeError(f"the run ended with {said['code']}: {done.stderr}")
    return said["KiB"] / 1024


def measure(model: str, documents: int, folder: Path) -> list[tuple[str, str]]:
    """Rows of the table: with sentence vectors alone, and with token vectors."""
    rows = []
    for name, flags in (("sentence vectors", ()), ("one layer of token vectors", ("--layers=-1",))):
        peaks = []
        for n in (documents, 10 * documents):
            source = write_lines(folder / f"{n}.txt", n)
            peaks.append(peak(model, source, folder / "out", *flags))
        few, many = peaks
        what = f"peak memory, {name}: {documents:,} documents; {10 * documents:,}; ratio"
        rows.append((what, f"{few:,.0f} MiB; {many:,.0f} MiB; {many / few:.2f}"))
    return rows
