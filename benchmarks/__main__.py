"""`python -m benchmarks`: run the measurements, print and write their table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks import (
    encoding,
    families,
    gpu,
    large_file,
    machine,
    many_files,
    memory,
    null,
    planning,
    programs,
    reruns,
    rounding,
    rows,
    shapes,
    sharing,
    sizes,
    starting,
    tokenizing,
    whole_runs,
)
from benchmarks.plans import Plan
from benchmarks.races import ProgramFailed

README = Path(__file__).with_name("README.md")
MARK = "<!-- measured -->"
_BUSY = 0.7  # of a core, in the last minute
GROUPS: Mapping[str, Callable[[Plan], list[rows.Row]]] = {
    "encode": encoding.measure,
    "saved": encoding.measure_saved,
    "families": families.measure,
    "whole": whole_runs.measure,
    "programs": programs.measure,
    "rounding": rounding.measure,
    "memory": memory.measure,
    "files": many_files.measure,
    "shapes": shapes.measure,
    "start": starting.measure,
    "tokenize": tokenizing.measure,
    "sizes": sizes.measure,
    "plan": planning.measure,
    "flink": sharing.measure,
    "file": large_file.measure,
    "reruns": reruns.measure,
    "null": null.measure,
    "gpu": gpu.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all groups, or some of them; the table of all is kept in README.md."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    chosen = list(GROUPS) if flags.only is None else flags.only.split(",")
    if unknown := set(chosen) - set(GROUPS):
        names = ", ".join(sorted(unknown)) or "an empty name"
        parser.error(f"--only={flags.only}: {names} is none of the groups: {', '.join(GROUPS)}")
    try:
        about = f"{date.today().isoformat()}, {machine.describe(flags.peers)}"
        table = _measured(chosen, flags, about)
    except (OSError, ValueError, ProgramFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if flags.only is None:
        text = README.read_text("utf-8")
        README.write_text(text[: text.index(MARK)] + f"{MARK}\n\n{about}\n\n{table}\n", "utf-8")
    return 0


def _measured(chosen: Sequence[str], flags: argparse.Namespace, about: str) -> str:
    """The table, printed as it grows."""
    if os.getloadavg()[0] > _BUSY:
        print("warning: the machine is busy with something else", file=sys.stderr)
    table = [rows.head()]
    print(f"{about}\n\n{table[0]}", flush=True)
    for name in chosen:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            table.append(rows.body(GROUPS[name](_plan(flags, Path(folder)))))
        print(table[-1], flush=True)
    return "\n".join(table)


def _plan(flags: argparse.Namespace, folder: Path) -> Plan:
    return Plan(
        model=flags.model,
        base=flags.base,
        peers=flags.peers,
        openvino=flags.openvino,
        rounds=flags.rounds,
        size=flags.size,
        documents=flags.documents,
        batches=flags.batches,
        also=tuple(flags.also),
        folder=folder,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--peers", type=_path, metavar="DIR", help="the peers' virtual environment, see README.md"
    )
    parser.add_argument(
        "--openvino", type=_path, metavar="DIR", help="the same for `rounding`, see README.md"
    )
    parser.add_argument(
        "--model",
        type=_folder,
        metavar="FOLDER",
        default="models/all-MiniLM-L6-v2",
        help="the small model: one of Hugging Face's with WordPiece (default: %(default)s)",
    )
    parser.add_argument(
        "--base",
        type=_folder,
        metavar="FOLDER",
        help="a BERT-base (default: one with random weights)",
    )
    parser.add_argument(
        "--rounds",
        type=_above_zero,
        metavar="N",
        default=5,
        help="how often what is compared is run; `programs` at most twice, `memory`, `flink`,"
        " `reruns` and `null` three times, `shapes` and `sizes` once (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        metavar="NAME,...",
        help=f"of {', '.join(GROUPS)}; prints the table and leaves README.md as it is",
    )
    parser.add_argument(
        "--documents",
        type=_above_zero,
        metavar="N",
        default=2000,
        help="of the smaller run of `memory`; the other has ten times as many (default:"
        " %(default)s)",
    )
    parser.add_argument(
        "--batches",
        type=_above_zero,
        metavar="N",
        default=shapes.BATCHES,
        help="that `shapes` looks at, after some to warm up (default: %(default)s)",
    )
    parser.add_argument(
        "--also",
        type=_folder,
        metavar="FOLDER",
        action="append",
        default=[],
        help="a model for `shapes` beside the others; may be given several times",
    )
    parser.add_argument(
        "--size",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="so many times the texts, files or bytes of a group (default: %(default)s)",
    )
    return parser


def _above_zero(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _path(text: str) -> Path:
    return Path(text).absolute()


def _folder(text: str) -> str:
    """Programs that are measured run elsewhere."""
    if not _path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: is no folder")
    return str(_path(text))


if __name__ == "__main__":
    sys.exit(main())
