"""The command line: a command is read, checked, imported and run. Heavy imports wait until then."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence

from corpusvec.pipeline import __version__
from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.snapshots import Command
from corpusvec.pipeline.runners.allocators import share_heap
from corpusvec.pipeline.runners.options import beam_flags, open_file_systems
from corpusvec.pipeline.terminal import logs
from corpusvec.pipeline.terminal.exits import (
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    failed,
    say,
)
from corpusvec.pipeline.terminal.metrics_files import MetricsFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command -> exit code. Errors are a sentence on stderr; `--verbose` shows where they
    come from.
    """
    share_heap()
    arguments = parsing.joined_values(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # texts are shown, whatever the terminal can
            stream.reconfigure(errors="backslashreplace")
    of_embed = arguments if arguments[:1] == ["embed"] else []
    metrics = MetricsFile(of_embed)
    with logs.written(parsing.value_of("log_format", of_embed) == "json"):
        code = _ended(arguments, metrics)
        metrics.write(code)
    return code


def _ended(arguments: Sequence[str], metrics: MetricsFile) -> int:
    verbose = "--verbose" in arguments
    try:
        parser = _parser()
        if not arguments:
            raise parsing.UsageError(f"the command is missing: {', '.join(COMMANDS)} (see --help)")
        flags, beam = parser.parse_known_args(arguments, parsing.Typed())
        flags.beam, flags.metrics = beam, metrics
        _quiet(verbose)
        return _run(flags, arguments)
    except KeyboardInterrupt:
        return failed("interrupted; nothing was published", INTERRUPTED, "interrupted")
    except Exception as error:
        expected = isinstance(error, ValueError | RuntimeError | OSError)
        where = "" if expected else f"{type(error).__name__}, a fault of this program: "
        code = WRONG_USAGE if isinstance(error, ValueError) else FAILED
        told = {"traceback": traceback.format_exc()} if verbose else {}
        message = parsing.as_typed(str(error))
        return failed(f"corpusvec: {where}{message}", code, "error", **told)


def _parser() -> argparse.ArgumentParser:
    parser = parsing.Parser(
        prog=parsing.program(),
        description="Vectors of every text and token of a corpus, in Parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"corpusvec {__version__}")
    _add_commands(parser, COMMANDS)
    return parser


def _add_commands(parser: argparse.ArgumentParser, known: Mapping[str, Command]) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in known.items():
        subparser = commands.add_parser(
            name,
            help=command.help,
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_flags(subparser)
        if command.parts:
            _add_commands(subparser, command.parts)
        else:
            subparser.set_defaults(command=command)


def _run(flags: parsing.Typed, arguments: Sequence[str]) -> int:
    """Run the command of a line, once its flags are known to be good -> exit code."""
    command = vars(flags).pop("command")
    parsing.take_text(flags)
    parsing.refuse_unknown(flags, beam_flags)
    parsing.refuse_incomplete(flags, command.needs)
    parsing.refuse_twice(flags, arguments)
    module, _, name = command.run.partition(":")
    run = getattr(importlib.import_module(f"corpusvec.pipeline.commands.{module}"), name)
    if flags.beam:  # Beam takes a second to import
        open_file_systems(flags.beam)
    ended = run(flags)
    if isinstance(ended, int):
        return ended
    say(ended or ())
    return DONE


def _not_of_s3(record: logging.LogRecord) -> bool:
    """Beam logs failed uploads to S3 by the root's name; they become the run's one sentence."""
    return not record.pathname.endswith("s3io.py")


def _quiet(verbose: bool) -> None:
    """Libraries' log lines and warnings are for developers."""
    logging.basicConfig()
    logging.getLogger().setLevel(logging.INFO if verbose else logging.ERROR)
    if verbose:
        return
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_of_s3)
    warnings.simplefilter("ignore")
