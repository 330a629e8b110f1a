"""The flags of `push`."""

from __future__ import annotations

import argparse
import re

from corpusvec.pipeline.flags.shared import add_json, add_output

_NAME = re.compile(r"\w[\w-]*(\.\w[\w-]*)?")


def _table(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} has other characters than letters, digits, _, -"
        )
    return text


def add_push_flags(parser: argparse.ArgumentParser) -> None:
    """An output, a store, and what of the one goes where in the other."""
    add_output(parser)
    parser.add_argument(
        "target",
        metavar="STORE",
        help="lance://FOLDER, or postgresql://USER@HOST/DATABASE with pgvector",
    )
    parser.add_argument(
        "--table",
        type=_table,
        default="documents",
        metavar="NAME",
        help="the table, which is made if it is not there; in PostgreSQL also SCHEMA.NAME"
        " (default: documents)",
    )
    parser.add_argument(
        "--column",
        metavar="NAME[,NAME]",
        help="columns of vectors (default: all of the snapshot's sentences)",
    )
    parser.add_argument(
        "--snapshot", metavar="ID", help="the snapshot to push (default: the one LATEST names)"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the rows of a table that has another output, another recipe or other columns",
    )
    add_json(parser)
