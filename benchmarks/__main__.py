"""`python -m benchmarks [--model=FOLDER] [--documents=N] [--batches=N] [--also=MODEL]`: run the
measurements, print and write their table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks import machine, memory, shapes

README = Path(__file__).with_name("README.md")
MARK = "<!-- measured -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", default="models/all-MiniLM-L6-v2")
    parser.add_argument("--documents", type=int, default=2000, help="the smaller of the two runs")
    parser.add_argument("--batches", type=int, default=shapes.BATCHES, help="of changing shapes")
    parser.add_argument("--also", action="append", default=[], help="another model for them")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = memory.measure(flags.model, flags.documents, Path(folder))
        rows += shapes.measure(flags.model, Path(folder), flags.batches, flags.also)
    table = "\n".join(
        ["| what | figure |", "|---|---|", *(f"| {what} | {found} |" for what, found in rows)]
    )
    about = f"{date.today().isoformat()}, {machine.describe()}"
    print(f"{about}\n\n{table}")
    text = README.read_text("utf-8")
    README.write_text(text[: text.index(MARK)] + f"{MARK}\n\n{about}\n\n{table}\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
