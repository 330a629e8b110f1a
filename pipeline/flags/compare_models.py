"""The flags of `verify` that embed a sample again: with another model, or with the snapshot's."""

from __future__ import annotations

import argparse
import re

from corpusvec.pipeline.flags.embed import EMBED_FLAGS
from corpusvec.pipeline.flags.values import above_zero, share

SAMPLE = 1000
# Flags of `embed` that count instead of what the snapshot was made with.
SETTINGS = (
    *("tokenizer", "do_lower_case", "signature", "output_key", "model_cache", "refresh_model"),
    *("layers", "vectors", "normalize", "dimensions", "mask_special", "prompt"),
    *("max_seq_length", "long_text", "window_overlap", "precision", "vector_dtype"),
    "vector_ranges",
)
_SWITCHES = ("normalize", "mask_special")  # that a snapshot may have on, and a trial off
_TOLD = {"layers": "token vectors to test in batches, too; empty for none"}
_OF_EMBED = re.compile(r" \(default: .*\)$")  # a default here is what the snapshot was made with


def add_swap_flags(parser: argparse.ArgumentParser) -> None:
    """Which model to try, on how much, and what of the snapshot's settings to change."""
    group = parser.add_argument_group("before a model is changed")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help="embed a sample of the snapshot's documents with this one, and compare",
    )
    group.add_argument(
        "--invariance",
        action="store_true",
        help="test whether the snapshot's own model gives a text the same vectors alone and"
        " beside others; --model always tests this",
    )
    group.add_argument(
        "--sample",
        type=above_zero,
        metavar="N",
        help=f"number of documents to take, from all over the snapshot (default: {SAMPLE:,})",
    )
    group.add_argument(
        "--min_neighbours",
        type=share,
        metavar="SHARE",
        help="exit with code 3 if less than this share of the 10 nearest neighbours remains",
    )
    group = parser.add_argument_group("settings that differ from those of the snapshot")
    every = {name: how for flags in EMBED_FLAGS.values() for name, how in flags.items()}
    for name in SETTINGS:
        told = _OF_EMBED.sub("", _TOLD.get(name, every[name]["help"]))
        how = every[name] | {"default": None, "help": told}
        if name in _SWITCHES:
            how["action"] = argparse.BooleanOptionalAction
        group.add_argument(f"--{name}", **how)


def embeds(flags: argparse.Namespace) -> bool:
    """Whether a sample is to be embedded. Raises `ValueError` for flags that would change
    nothing.
    """
    if flags.model is not None and not flags.model.strip():
        raise ValueError("--model: is empty; expected a model")
    if flags.min_neighbours is not None and flags.model is None:
        raise ValueError("--min_neighbours: needs --model; give both flags or neither")
    if flags.model is None and not flags.invariance:
        for name in ("sample", *SETTINGS):
            if getattr(flags, name) is not None:
                raise ValueError(
                    f"--{name}: needs --model or --invariance; give one of them, or omit the flag"
                )
        return False
    return True
