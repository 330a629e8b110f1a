"""The flags of each command: what they mean, and what is refused before anything starts."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

# The formats, named here too so that `--help` need not import what reads them.
INPUT_FORMATS = ("auto", "scrapbox", "text", "pairs", "jsonl")
_EPILOG = """\
Beam's own options are accepted beside these, as --runner's.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but not published, 130 interrupted.
"""


class UsageError(ValueError):
    """A command line that asks for what cannot be."""


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would leave the program."""

    def error(self, message: str) -> NoReturn:
        if "ignored explicit argument" in message:
            flag = message.removeprefix("argument ").partition(":")[0]
            message = f"{flag} takes no value; write it alone, or leave it away"
        raise UsageError(f"{message} (--help tells more)")


def _count(text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _above_zero(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


_FLAGS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "what to read": {
        "input": {
            "action": "append",
            "metavar": "PATTERN[,PATTERN]",
            "help": "files or globs, on any file system that Beam knows; .gz, .bz2 and .zst are"
            " read as they are",
        },
        "input_format": {
            "choices": INPUT_FORMATS,
            "default": "auto",
            "help": "auto: .json is a Scrapbox export, .txt text (a document a line), .jsonl and"
            " .ndjson JSON lines",
        },
        "unit": {
            "choices": ("page", "line"),
            "default": "page",
            "help": "what of a Scrapbox export is a document (default: page)",
        },
        "scrapbox_markup": {
            "choices": ("strip", "keep"),
            "default": "strip",
            "help": "turn Scrapbox notation into readable text for the model (default: strip)",
        },
        "id_root": {
            "metavar": "FOLDER",
            "help": "ids of lines hold their file's path from here (default: from the folder before"
            " the pattern's first wildcard)",
        },
        "limit": {
            "type": _above_zero,
            "metavar": "N",
            "help": "only the first N records, for a trial",
        },
    },
    "what to write": {
        "output": {"metavar": "FOLDER", "help": "where snapshots go"},
        "max_rejected": {
            "type": _count,
            "default": 0,
            "metavar": "N",
            "help": "with more bad records than this the snapshot is not published (default: 0)",
        },
        "vector_dtype": {
            "choices": ("float32", "float16"),
            "default": "float32",
            "help": "type of the vectors in the files (default: float32)",
        },
    },
    "which model": {
        "model": {
            "metavar": "MODEL",
            "help": "a folder (Hugging Face, TensorFlow 1 checkpoint, SavedModel, TF1 Hub module),"
            " an archive of one, or a handle: https://…, gs://…, s3://…, hf://owner/name",
        },
        "tokenizer": {
            "default": "",
            "metavar": "PATH",
            "help": "folder or file of the tokenizer, where the model's folder has none",
        },
        "do_lower_case": {
            "choices": ("auto", "true", "false"),
            "default": "auto",
            "help": "auto: what the model says, else what its original program does",
        },
        "signature": {
            "default": "",
            "metavar": "NAME",
            "help": "which function of a SavedModel or TF1 Hub module to call (default: the one"
            " that `inspect` names)",
        },
        "output_key": {
            "default": "",
            "metavar": "KEY",
            "help": "which of its outputs is the sentence vector (default: the one that `inspect`"
            " names)",
        },
        "model_cache": {
            "metavar": "FOLDER",
            "help": "where models that are named by a handle are kept (default: TFHUB_CACHE_DIR,"
            " else a folder in the system's temporary one)",
        },
        "refresh_model": {
            "action": "store_true",
            "help": "fetch such a model again, whatever is kept of it",
        },
        "precision": {
            "choices": ("float32", "bfloat16"),
            "default": "float32",
            "help": "of the arithmetic (default: float32)",
        },
    },
    "which vectors": {
        "layers": {
            "metavar": "N[,N]",
            "help": "write token vectors of these layers: -1 is the last, 0 the embedding output;"
            " some models' have names, as elmo (default: no token table)",
        },
        "vectors": {
            "metavar": "COLUMN[,COLUMN]",
            "help": "sentence vectors, each [NAME=]POOLING@LAYER,"
            " [NAME=]POOLING@FROM:TO[/concat|sum|mean], [NAME=]pooler, or [NAME=]output@KEY for an"
            " output of the model's own; poolings: cls, sep, first, last, mean, max, mean_max,"
            " mean_sqrt, weighted_mean (default: what the model's files say, else vector=mean@-2)",
        },
        "normalize": {"action": "store_true", "help": "make every sentence vector's length 1"},
        "mask_special": {
            "action": "store_true",
            "help": "leave [CLS] and [SEP] out of mean, max and the like",
        },
        "prompt": {
            "metavar": "TEXT",
            "help": "put before every document, as in 'query: '; or the name of one of the model's"
            " own prompts",
        },
    },
    "long texts": {
        "max_seq_length": {
            "type": _above_zero,
            "metavar": "N",
            "help": "tokens that the model sees at once, special ones included (default: what the"
            " model's files say)",
        },
        "long_text": {
            "choices": ("window", "truncate", "error"),
            "default": "window",
            "help": "cut longer texts into windows, so that nothing is lost; truncate them, as the"
            " original programs do; or reject them (default: window)",
        },
        "window_overlap": {
            "type": _count,
            "metavar": "N",
            "help": "tokens that neighbouring windows share (default: a quarter of a window, 64 at"
            " most)",
        },
    },
    "the run": {
        "runner": {
            "default": "local",
            "help": "local (this machine, this process), or any Beam runner by its name (default:"
            " local)",
        },
        "verbose": {
            "action": "store_true",
            "help": "show tracebacks and the libraries' own log lines",
        },
    },
}


def add_embed_flags(parser: argparse.ArgumentParser) -> None:
    """All flags of `embed`, in the order in which a run uses them."""
    parser.epilog = _EPILOG
    for title, flags in _FLAGS.items():
        group = parser.add_argument_group(title)
        for name, arguments in flags.items():
            group.add_argument(f"--{name}", **arguments)


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Flags that another command shares with `embed`."""
    every = {name: arguments for flags in _FLAGS.values() for name, arguments in flags.items()}
    for name in names:
        parser.add_argument(f"--{name}", **every[name])


def add_inspect_flags(parser: argparse.ArgumentParser) -> None:
    """A model or an output folder, how the model is to be read, and in what form to tell."""
    parser.add_argument("place", metavar="MODEL_OR_OUTPUT")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add(parser, "tokenizer", "do_lower_case", "signature", "output_key")
    _add(parser, "model_cache", "refresh_model", "verbose")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """What to make a SavedModel of, and in which form."""
    parser.add_argument("source", metavar="SOURCE", help="a BERT, or a text file of word vectors")
    parser.add_argument("target", metavar="TARGET", help="a folder, or an archive .tar.gz")
    parser.add_argument(
        "--strings",
        action="store_true",
        help="take raw strings and give sentence vectors, tokenizer inside (needs tensorflow-text)",
    )
    parser.add_argument(
        "--archive",
        action="store_true",
        help="write TARGET.tar.gz beside it, the same bytes each time, for a handle to point to",
    )
    parser.add_argument(
        "--oov_buckets",
        type=_count,
        default=1,
        metavar="N",
        help="rows for words that are not in the file of word vectors (default: 1)",
    )
    _add(parser, "vectors", "normalize", "tokenizer", "do_lower_case")
    _add(parser, "model_cache", "refresh_model", "verbose")


def joined_values(arguments: Sequence[str]) -> list[str]:
    """`--layers -1,-2` -> `--layers=-1,-2`: argparse would take the value for a flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--\w+", joined[-1]) and re.match(r"-\d", argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def refuse_unknown(rest: Sequence[str], own: Iterable[str]) -> None:
    """Raises `UsageError` for what neither corpusvec nor Beam knows, naming the nearest flag: Beam
    would drop it.
    """
    if not rest:
        return  # Beam takes a second to import
    known = {*own, *beam_flags()}
    value_may_follow = False
    for argument in rest:
        name = argument.split("=", 1)[0]
        if name in known:
            value_may_follow = "=" not in argument
        elif argument.startswith("-"):
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise UsageError(f"{name}: no such option{hint} (--help lists them)")
        elif value_may_follow:
            value_may_follow = False
        else:
            raise UsageError(
                f"{argument!r}: belongs to no option; several files are given with commas, and"
                " values with spaces or wildcards in quotes"
            )


def refuse_incomplete(flags: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Raises `UsageError` where a flag is missing, empty, or given twice with two meanings."""
    for name, what in (("input", "files to read"), ("output", "a folder"), ("model", "a model")):
        if getattr(flags, name) is None:
            raise UsageError(f"--{name} is missing: {what} (--help lists all flags)")
        if not "".join(getattr(flags, name)).strip():
            raise UsageError(f"--{name}: is empty, {what} was looked for")
    names = [argument.split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    for name in names:
        if name != "--input" and name[2:] in vars(flags) and names.count(name) > 1:
            raise UsageError(f"{name} is given twice; give it once")


def beam_flags() -> set[str]:
    """The names of Beam's own options, of all that are installed."""
    from apache_beam.options.pipeline_options import PipelineOptions

    flags: set[str] = set()
    classes = [PipelineOptions]
    while classes:
        current = classes.pop()
        classes += current.__subclasses__()
        if "_add_argparse_args" in vars(current):
            parser = argparse.ArgumentParser(
                add_help=False, allow_abbrev=False, conflict_handler="resolve"
            )
            current._add_argparse_args(parser)
            flags |= {name for action in parser._actions for name in action.option_strings}
    return flags
