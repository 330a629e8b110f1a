"""`python -m benchmarks`: run the measurements, print and write their table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks import (
    encoding,
    machine,
    memory,
    planning,
    programs,
    rows,
    shapes,
    sizes,
    starting,
    tokenizing,
    whole_runs,
)
from benchmarks.plans import Plan

README = Path(__file__).with_name("README.md")
MARK = "<!-- measured -->"
GROUPS: Mapping[str, Callable[[Plan], list[rows.Row]]] = {
    "encode": encoding.measure,
    "saved": encoding.measure_saved,
    "whole": whole_runs.measure,
    "programs": programs.measure,
    "memory": memory.measure,
    "shapes": shapes.measure,
    "start": starting.measure,
    "tokenize": tokenizing.measure,
    "sizes": sizes.measure,
    "plan": planning.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all groups, or some of them; the table of all is kept in README.md."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    chosen = flags.only.split(",") if flags.only else list(GROUPS)
    if unknown := set(chosen) - set(GROUPS):
        parser.error(f"--only={flags.only}: {', '.join(sorted(unknown))} is none of the groups")
    about = f"{date.today().isoformat()}, {machine.describe(flags.peers)}"
    found = []
    for name in chosen:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            found += GROUPS[name](_plan(flags, Path(folder)))
    table = rows.markdown(found)
    print(f"{about}\n\n{table}")
    if not flags.only:
        text = README.read_text("utf-8")
        README.write_text(text[: text.index(MARK)] + f"{MARK}\n\n{about}\n\n{table}\n", "utf-8")
    return 0


def _plan(flags: argparse.Namespace, folder: Path) -> Plan:
    return Plan(
        model=flags.model,
        base=flags.base,
        peers=flags.peers,
        rounds=flags.rounds,
        size=flags.size,
        documents=flags.documents,
        batches=flags.batches,
        also=tuple(flags.also),
        folder=folder,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", type=_path, metavar="DIR", help="their virtual environment")
    parser.add_argument("--model", type=_folder, default="models/all-MiniLM-L6-v2")
    parser.add_argument(
        "--base", type=_folder, help="a BERT-base (default: one with random weights)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison (default: 5)")
    parser.add_argument(
        "--only",
        metavar="NAME,...",
        help=f"of {', '.join(GROUPS)}; prints the table and leaves README.md as it is",
    )
    parser.add_argument("--documents", type=int, default=2000, help="of the smaller memory run")
    parser.add_argument("--batches", type=int, default=shapes.BATCHES, help="of changing shapes")
    parser.add_argument("--also", action="append", default=[], help="another model for them")
    parser.add_argument("--size", type=float, default=1.0, help=argparse.SUPPRESS)
    return parser


def _path(text: str) -> Path:
    return Path(text).absolute()


def _folder(text: str) -> str:
    """Programs that are measured run elsewhere."""
    return str(_path(text))


if __name__ == "__main__":
    sys.exit(main())
