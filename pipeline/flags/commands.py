"""The commands, and their flags beside those of `embed`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from corpusvec.pipeline.flags.embed import EMBED_FLAGS, add_embed_flags
from corpusvec.pipeline.flags.links import (
    add_evaluate_flags,
    add_mcp_flags,
    add_related_flags,
    add_search_flags,
)
from corpusvec.pipeline.flags.push import add_push_flags
from corpusvec.pipeline.flags.report import REPORT
from corpusvec.pipeline.flags.shared import add_json
from corpusvec.pipeline.flags.snapshots import SNAPSHOTS, Command
from corpusvec.pipeline.flags.values import above_zero, count, numbers, price


def add_plan_flags(parser: argparse.ArgumentParser) -> None:
    """Those of `embed`, of which one word is changed, and what machines to plan for."""
    add_embed_flags(parser)
    group = parser.add_argument_group("the plan")
    group.add_argument(
        "--workers",
        type=numbers,
        metavar="N[,N]",
        help="numbers of machines to plan for (default: 1,10,100)",
    )
    group.add_argument(
        "--cores",
        type=above_zero,
        metavar="N",
        help="number of cores of each machine (default: as many as this machine)",
    )
    group.add_argument("--price", type=price, metavar="X", help="price of a core for an hour")
    group.add_argument("--json", action="store_true", help="as JSON, for programs")


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Flags that another command shares with `embed`."""
    every = {name: how for flags in EMBED_FLAGS.values() for name, how in flags.items()}
    for name in names:
        parser.add_argument(f"--{name}", **every[name])


def add_inspect_flags(parser: argparse.ArgumentParser) -> None:
    """A model or an output folder, how the model is to be read, and in what form to tell."""
    parser.add_argument("place", metavar="MODEL_OR_OUTPUT")
    add_json(parser)
    _add(parser, "tokenizer", "do_lower_case", "signature", "output_key")
    _add(parser, "model_cache", "refresh_model", "verbose")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """What to make a SavedModel of, and in which form."""
    parser.add_argument("source", metavar="SOURCE", help="a BERT, or a text file of word vectors")
    parser.add_argument("target", metavar="TARGET", help="a folder, or an archive .tar.gz")
    parser.add_argument(
        "--strings",
        action="store_true",
        help="take strings and give sentence vectors, tokenizer inside (needs tensorflow-text)",
    )
    parser.add_argument(
        "--archive",
        action="store_true",
        help="also write TARGET.tar.gz, with the same bytes each time, for a handle to point to",
    )
    parser.add_argument(
        "--oov_buckets",
        type=count,
        default=1,
        metavar="N",
        help="number of rows for words that are not in the file of word vectors (default: 1)",
    )
    _add(parser, "vectors", "normalize", "tokenizer", "do_lower_case")
    _add(parser, "model_cache", "refresh_model", "verbose")


COMMANDS: Mapping[str, Command] = {
    "embed": Command(
        "embed a corpus",
        "Embed a corpus: read, tokenize, encode, and write vectors to Parquet.",
        add_embed_flags,
        run="embed:embed",
        needs=("input", "output", "model"),
    ),
    "plan": Command(
        "estimate what embedding a corpus takes",
        "Read and tokenize a sample, encode for a few seconds, and estimate what `embed` with the"
        " same flags would read and write, and how long it would take. Nothing is written; omit"
        " --output if you like.",
        add_plan_flags,
        run="plan:plan",
        needs=("input", "model"),
    ),
    "report": REPORT,
    "inspect": Command(
        "show what a model, or an output folder, holds",
        "Show what is inside a model, and how it would be run; or what an output of `embed` holds.",
        add_inspect_flags,
        run="inspect:inspect",
    ),
    "related": Command(
        "find the documents nearest to each, and why",
        "For each document of an output, find those nearest to it that it is not linked with, and"
        " show the passages of both that are near.",
        add_related_flags,
        run="links:related",
    ),
    "search": Command(
        "find documents by a text",
        "Find the documents of an output that are nearest to a text in meaning and words. Without a"
        " text, each line that is typed is one.",
        add_search_flags,
        run="links:search",
    ),
    "evaluate": Command(
        "measure how many of a corpus's own links are found",
        "Mask the words of the links between documents, and measure how many of the linked"
        " documents are among the ten nearest: by vectors, by words, and by both. Or compare the"
        " scores of a file of pairs with the model's.",
        add_evaluate_flags,
        run="links:evaluate",
    ),
    "mcp": Command(
        "serve an output to assistants",
        "Serve search, related and get over the Model Context Protocol, on stdin and stdout.",
        add_mcp_flags,
        run="links:mcp",
    ),
    "export-model": Command(
        "make a SavedModel of a BERT, or of a file of word vectors",
        "Make a TensorFlow 2 SavedModel of a BERT, or a lookup table of a text file of word"
        " vectors.",
        add_export_flags,
        run="export_model:run",
    ),
    "snapshots": Command(
        "manage the snapshots of an output",
        "List the snapshots of an output, show, compare and check them, choose which one LATEST"
        " names, and remove old ones.",
        parts=SNAPSHOTS,
    ),
    "verify": SNAPSHOTS["verify"],
    "publish": SNAPSHOTS["publish"],
    "push": Command(
        "bring a snapshot's documents and vectors into LanceDB or PostgreSQL",
        "Bring a table of a store to a snapshot, in one step: documents that are new or changed are"
        " written, those that are gone are removed, all others stay. After a push that was"
        " interrupted only what is missing is sent.",
        add_push_flags,
        run="push:push",
    ),
}
