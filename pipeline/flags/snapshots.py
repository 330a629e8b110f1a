"""The commands that look after an output's snapshots, and their flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

from corpusvec.pipeline.flags.compare_models import add_swap_flags
from corpusvec.pipeline.flags.values import above_zero


class Command(NamedTuple):
    """A command of the program: what it is for, in few words and in more, and its flags, or its
    parts.
    """

    help: str
    description: str
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    parts: Mapping[str, Command] = {}  # commands of its own


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="the --output of `embed`")
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def add_list_flags(parser: argparse.ArgumentParser) -> None:
    """An output."""
    _output(parser)
    _json(parser)


def add_show_flags(parser: argparse.ArgumentParser) -> None:
    """An output, one of its snapshots, and in what form to tell."""
    _output(parser)
    parser.add_argument(
        "snapshot", metavar="SNAPSHOT", nargs="?", help="its id (default: the one LATEST names)"
    )
    _json(parser)


def add_diff_flags(parser: argparse.ArgumentParser) -> None:
    """An output and two of its snapshots."""
    _output(parser)
    parser.add_argument(
        "old", metavar="OLD", nargs="?", help="id of a snapshot (default: the one before LATEST's)"
    )
    parser.add_argument(
        "new", metavar="NEW", nargs="?", help="id of another (default: the one LATEST names)"
    )
    _json(parser)


def add_verify_flags(parser: argparse.ArgumentParser) -> None:
    """Those of `show`, and a model to try."""
    add_show_flags(parser)
    add_swap_flags(parser)


def add_publish_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and which of its snapshots."""
    _output(parser)
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="its id, or its folder")


def add_rollback_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and where to go back to."""
    _output(parser)
    parser.add_argument(
        "snapshot",
        metavar="SNAPSHOT",
        nargs="?",
        help="id of one that was published (default: the newest whole one published before"
        " LATEST's)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="do not read its files to see whether they are as they were written",
    )


def add_prune_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and what of it is to stay."""
    _output(parser)
    parser.add_argument(
        "--keep",
        type=above_zero,
        default=7,
        metavar="N",
        help="so many of the newest published snapshots stay (default: 7)",
    )
    parser.add_argument("--dry_run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--handed_over",
        action="store_true",
        help="remove unfinished attempts of jobs handed over to a cluster, too: only if these have"
        " ended",
    )


SNAPSHOTS: Mapping[str, Command] = {
    "list": Command(
        "a line for each snapshot, and for each attempt that is not finished",
        "A line for each snapshot, oldest first: when it was finished, what it has, whether it is"
        " published; then runs that are under way, and what others left that ended early.",
        add_list_flags,
    ),
    "show": Command(
        "what a snapshot holds",
        "What `inspect` shows of a snapshot: settings, counts, columns, a few rows.",
        add_show_flags,
    ),
    "diff": Command(
        "what changed between two snapshots",
        "Which documents were added, changed, removed or moved between two snapshots (without their"
        " ids: the one that LATEST names, and the one before), and which settings differ.",
        add_diff_flags,
    ),
    "verify": Command(
        "check a snapshot's files, or compare its vectors with another model's",
        "Read every file of a snapshot again and check digests, rows, ids, tokens, vectors,"
        " fingerprints and counts. With --model, or --invariance, embed a sample of its documents"
        " again instead, and say what is the same and what changed. Nothing is written. Exit codes:"
        " 0 whole or compared, 1 damaged, 3 where less is kept than --min_neighbours.",
        add_verify_flags,
    ),
    "publish": Command(
        "let LATEST name a snapshot that was not published",
        "Accept a finished snapshot, rejected records and all; nothing is embedded.",
        add_publish_flags,
    ),
    "rollback": Command(
        "let LATEST name an earlier published snapshot again",
        "Let LATEST name a snapshot that was published earlier, and none that is damaged: its files"
        " are read again. The next run of `embed` publishes as usual.",
        add_rollback_flags,
    ),
    "prune": Command(
        "remove old snapshots, and what killed runs left",
        "Remove the snapshots older than the newest that are to be kept, and the attempts of runs"
        " that ended early. What LATEST names stays, as does what a run reads.",
        add_prune_flags,
    ),
}
