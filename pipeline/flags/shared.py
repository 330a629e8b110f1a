"""Flags that several commands have."""

from __future__ import annotations

import argparse

from corpusvec.pipeline.flags.values import count


def add_output(parser: argparse.ArgumentParser) -> None:
    """Which output a command is about."""
    parser.add_argument("output", metavar="OUTPUT", help="the --output of `embed`")
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)


def add_json(parser: argparse.ArgumentParser) -> None:
    """In what form to tell."""
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def add_vectors(parser: argparse.ArgumentParser) -> None:
    """Which vectors of an output are compared, and with which model."""
    parser.add_argument("--snapshot", metavar="ID", help="its snapshot (default: LATEST's)")
    parser.add_argument(
        "--column", metavar="NAME", help="column of vectors to compare (default: vector)"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="the present place of the snapshot's model (default: where it was)",
    )


def add_across(parser: argparse.ArgumentParser) -> None:
    """With which other outputs."""
    parser.add_argument(
        "--across", metavar="OUTPUT[,OUTPUT]", help="join other outputs of the same recipe"
    )
    parser.add_argument(
        "--not_within", action="store_true", help="nothing from a document's own project or file"
    )


def add_passages(parser: argparse.ArgumentParser, where: str, many: str) -> None:
    """How many pairs of passages to show."""
    parser.add_argument(
        "--passages",
        type=count,
        metavar="N",
        help=f"how many pairs of passages to show with each{where} (default: 3; 0 for more than"
        f" 2,000 documents{many}); 0 needs no model",
    )
