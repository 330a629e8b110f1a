"""The flags of `report`."""

from __future__ import annotations

import argparse

from corpusvec.pipeline.flags.snapshots import Command
from corpusvec.pipeline.flags.values import count

LANGUAGES = ("en", "ja")
FILE = "report.html"


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """An output, where the report goes, and in which language it is."""
    parser.add_argument("output", metavar="OUTPUT", help="the --output of `embed`")
    parser.add_argument(
        "--file", default=FILE, metavar="PATH", help=f"the file to write (default: {FILE})"
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help="language of the report (default: the one that the reader's browser asks for)",
    )
    parser.add_argument("--snapshot", metavar="ID", help="its snapshot (default: LATEST's)")
    parser.add_argument(
        "--column", metavar="NAME", help="column of vectors to compare (default: vector)"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="the present place of the snapshot's model (default: where it was)",
    )
    parser.add_argument(
        "--passages",
        type=count,
        metavar="N",
        help="how many pairs of passages to show with each suggestion (default: 3; 0 for more than"
        " 2,000 documents); 0 needs no model",
    )
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)


REPORT = Command(
    "write a page with suggested links, a map and what changed",
    "Write one HTML file to look at: suggested links with the passages that speak for them, a map"
    " of all documents, what the corpus is, and what changed since the snapshot before. It works"
    " from the disk, without a server or a network.",
    add_report_flags,
)
