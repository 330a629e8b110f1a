"""The flags of the commands that find documents: `related`, `search`, `evaluate`, `mcp`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

from corpusvec.pipeline.flags.shared import (
    add_across,
    add_json,
    add_output,
    add_passages,
    add_vectors,
)
from corpusvec.pipeline.flags.values import above_zero, share


class Form(NamedTuple):
    """A form of what `related` finds, and the function that makes it, by its module in `pipeline`:
    bytes to print, or to write where it is no `text`; or where it makes `files` lines that say
    which. `suggests` is false for one that shows documents alone.
    """

    make: str
    text: bool = True
    files: bool = False
    suggests: bool = True


FORMS: Mapping[str, Form] = {
    "table": Form("links.formats:as_table"),
    "csv": Form("links.formats:as_csv"),
    "json": Form("links.formats:as_json"),
    "parquet": Form("links.formats:as_parquet", text=False),
    "scrapbox": Form("reports.exchanges:as_scrapbox", files=True),
    "userscript": Form("reports.exchanges:as_userscript", files=True),
    "projector": Form("reports.exchanges:as_projector", files=True, suggests=False),
}
WAYS = ("hybrid", "vectors", "lexical")


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--top", type=above_zero, default=10, metavar="N", help="how many to find (default: 10)"
    )


def _ways(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--by",
        choices=WAYS,
        help=f"what is compared: vectors, words, or both by their ranks (default: {default})",
    )


def _forms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=FORMS, default="table", help="form of the list (default: table)"
    )
    parser.add_argument("--file", metavar="PATH", help="write it there instead of printing it")
    parser.add_argument(
        "--public",
        metavar="PROJECT[,PROJECT]",
        help="projects that files of --format=scrapbox and userscript for another project may"
        " name (default: none)",
    )


def _verdicts(parser: argparse.ArgumentParser) -> None:
    for name in ("accept", "dismiss"):
        parser.add_argument(
            f"--{name}",
            metavar="ID",
            help=f"{name} this suggestion for the document of --of: it does not come again",
        )
    parser.add_argument(
        "--choices",
        metavar="FILE",
        help="accept and dismiss what was chosen in a report, which gives this file",
    )


def add_related_flags(parser: argparse.ArgumentParser) -> None:
    """Of which documents to find which others, and in what form to tell."""
    add_output(parser)
    add_vectors(parser)
    parser.add_argument("--of", metavar="ID", help="of one document, by id or title")
    _top(parser)
    _ways(parser, "hybrid where documents have links, else vectors")
    _chosen(parser)
    add_passages(parser, "", " at once")
    _forms(parser)
    _verdicts(parser)


def _chosen(parser: argparse.ArgumentParser) -> None:
    """Which documents may be suggested."""
    parser.add_argument(
        "--links",
        choices=("exclude", "only", "keep"),
        default="exclude",
        help="leave out documents that are linked, or two links away; only the linked ones; or keep"
        " all (default: exclude)",
    )
    parser.add_argument("--orphans", action="store_true", help="documents without links first")
    parser.add_argument(
        "--far", action="store_true", help="suggest what is the most links away first"
    )
    add_across(parser)
    parser.add_argument(
        "--skip", metavar="PATTERN", help="no titles in which this regular expression is found"
    )
    parser.add_argument(
        "--above",
        type=share,
        metavar="COSINE",
        help="list pairs that are at least as near as this, such as 0.97 for near-duplicates",
    )


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """What to look for, and in what form to tell."""
    add_output(parser)
    add_vectors(parser)
    parser.add_argument(
        "text", metavar="TEXT", nargs="?", help="what to look for (default: a query on each line)"
    )
    parser.add_argument("--file", metavar="PATH", help="search with the passages of this draft")
    _top(parser)
    _ways(parser, "hybrid if it can be")
    add_json(parser)


def add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """Of which output, or with which pairs."""
    add_output(parser)
    add_vectors(parser)
    parser.add_argument(
        "--pairs",
        metavar="FILE",
        help="compare scores of a file with the model's: `A ||| B`, a TAB and a score on each line",
    )
    add_json(parser)


def add_mcp_flags(parser: argparse.ArgumentParser) -> None:
    """Which output to serve."""
    add_output(parser)
    add_vectors(parser)
