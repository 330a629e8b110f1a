"""The commands that look after an output's snapshots, and their flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from corpusvec.pipeline.flags.compare_models import add_swap_flags
from corpusvec.pipeline.flags.shared import add_json, add_output
from corpusvec.pipeline.flags.values import above_zero


class Command(NamedTuple):
    """A command of the program: what it is for, in few words and in more, its flags, and those it
    needs.

    `run` is a module of `commands` and a function in it, `plan:plan`: flags -> lines to say, or an
    exit code. Instead of it there may be `parts`, commands of its own.
    """

    help: str
    description: str
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    run: str = ""
    needs: Sequence[str] = ()
    parts: Mapping[str, Command] = {}


def add_list_flags(parser: argparse.ArgumentParser) -> None:
    """An output."""
    add_output(parser)
    add_json(parser)


def add_show_flags(parser: argparse.ArgumentParser) -> None:
    """An output, one of its snapshots, and in what form to tell."""
    add_output(parser)
    parser.add_argument(
        "snapshot", metavar="SNAPSHOT", nargs="?", help="its id (default: the one LATEST names)"
    )
    add_json(parser)


def add_diff_flags(parser: argparse.ArgumentParser) -> None:
    """An output and two of its snapshots."""
    add_output(parser)
    parser.add_argument(
        "old", metavar="OLD", nargs="?", help="id of a snapshot (default: the one before LATEST's)"
    )
    parser.add_argument(
        "new", metavar="NEW", nargs="?", help="id of another (default: the one LATEST names)"
    )
    add_json(parser)


def add_verify_flags(parser: argparse.ArgumentParser) -> None:
    """Those of `show`, and a model to try."""
    add_show_flags(parser)
    add_swap_flags(parser)


def add_publish_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and which of its snapshots."""
    add_output(parser)
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="its id, or its folder")


def add_rollback_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and where to go back to."""
    add_output(parser)
    parser.add_argument(
        "snapshot",
        metavar="SNAPSHOT",
        nargs="?",
        help="id of a published snapshot (default: the newest complete one before that of LATEST)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="do not check its files",
    )


def add_prune_flags(parser: argparse.ArgumentParser) -> None:
    """An output, and what of it is to stay."""
    add_output(parser)
    parser.add_argument(
        "--keep",
        type=above_zero,
        default=7,
        metavar="N",
        help="number of newest published snapshots that stay (default: 7)",
    )
    parser.add_argument("--dry_run", action="store_true", help="only show what would be removed")
    parser.add_argument(
        "--handed_over",
        action="store_true",
        help="also remove unfinished attempts of jobs handed over to a cluster; only if these jobs"
        " have ended",
    )


SNAPSHOTS: Mapping[str, Command] = {
    "list": Command(
        "list snapshots and unfinished attempts",
        "List snapshots, oldest first: when each was finished, what it contains, whether it is"
        " published; then running attempts, and what attempts left that ended early.",
        add_list_flags,
        run="snapshots:list_all",
    ),
    "show": Command(
        "show what a snapshot contains",
        "Show the settings, counts, columns and a few rows of a snapshot, as `inspect` does.",
        add_show_flags,
        run="snapshots:show",
    ),
    "diff": Command(
        "show what changed between two snapshots",
        "Show which documents were added, changed, removed or moved between two snapshots (default:"
        " the one that LATEST names, and the one before), and which settings differ.",
        add_diff_flags,
        run="snapshots:diff",
    ),
    "verify": Command(
        "check a snapshot's files, or compare its vectors with another model's",
        "Read every file of a snapshot again and check digests, rows, ids, tokens, vectors,"
        " fingerprints and counts. With --model, or --invariance, embed a sample of its documents"
        " again instead, and report what is the same and what changed. Nothing is written. Exit"
        " codes: 0 complete or compared, 1 damaged, 3 fewer neighbours kept than --min_neighbours.",
        add_verify_flags,
        run="snapshots:verify",
    ),
    "publish": Command(
        "publish a snapshot that its run did not publish",
        "Accept a finished snapshot, rejected records and all; nothing is embedded.",
        add_publish_flags,
        run="snapshots:publish",
    ),
    "rollback": Command(
        "go back to an earlier published snapshot",
        "Let LATEST name a snapshot that was published earlier and is not damaged: its files are"
        " read again. The next run of `embed` publishes as usual.",
        add_rollback_flags,
        run="snapshots:rollback",
    ),
    "prune": Command(
        "remove old snapshots and what killed runs left",
        "Remove snapshots older than the newest --keep, and the attempts of runs that ended early."
        " The snapshot that LATEST names stays, and so does whatever a run reads.",
        add_prune_flags,
        run="snapshots:prune",
    ),
}
