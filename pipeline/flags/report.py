"""The flags of `report`."""

from __future__ import annotations

import argparse

from corpusvec.pipeline.flags.shared import add_across, add_output, add_passages, add_vectors
from corpusvec.pipeline.flags.snapshots import Command

LANGUAGES = ("en", "ja")
FILE = "report.html"


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """An output, where the report goes, and in which language it is."""
    add_output(parser)
    parser.add_argument(
        "--file", default=FILE, metavar="PATH", help=f"the file to write (default: {FILE})"
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help="language of the report (default: the one that the reader's browser asks for)",
    )
    add_vectors(parser)
    add_across(parser)
    add_passages(parser, " suggestion", "")


REPORT = Command(
    "write a page with suggested links, a map and what changed",
    "Write one HTML file to look at: suggested links with the passages that speak for them, a map"
    " of all documents, what the corpus is, and what changed since the snapshot before. It works"
    " from the disk, without a server or a network.",
    add_report_flags,
    run="report:report",
)
