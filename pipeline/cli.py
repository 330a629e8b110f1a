"""The command line: a function for each command. Heavy imports wait until they are needed."""

from __future__ import annotations

import argparse
import functools
import io
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence

from corpusvec.pipeline import __version__
from corpusvec.pipeline.commands.embed import embed
from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.compare_models import embeds
from corpusvec.pipeline.flags.snapshots import Command
from corpusvec.pipeline.runners.options import beam_flags, check_runner, open_file_systems
from corpusvec.pipeline.terminal import logs
from corpusvec.pipeline.terminal.exits import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_PUBLISHED,
    WRONG_USAGE,
    failed,
    say,
)
from corpusvec.pipeline.terminal.metrics_files import MetricsFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command -> exit code. Errors are a sentence on stderr; `--verbose` shows where they
    come from.
    """
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
        parser = _parser(metrics)
        if not arguments:
            raise parsing.UsageError(f"the command is missing: {', '.join(COMMANDS)} (see --help)")
        known, rest = parser.parse_known_args(arguments)
        _quiet(verbose)
        return known.command(known, rest, arguments)
    except KeyboardInterrupt:
        return failed("interrupted; nothing was published", INTERRUPTED, "interrupted")
    except Exception as error:
        expected = isinstance(error, ValueError | RuntimeError | OSError)
        where = "" if expected else f"{type(error).__name__}, a fault of this program: "
        code = WRONG_USAGE if isinstance(error, ValueError) else FAILED
        told = {"traceback": traceback.format_exc()} if verbose else {}
        message = parsing.as_typed(str(error))
        return failed(f"corpusvec: {where}{message}", code, "error", **told)


def _parser(metrics: MetricsFile) -> argparse.ArgumentParser:
    parser = parsing.Parser(
        prog=parsing.program(),
        description="Vectors of every text and token of a corpus, in Parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"corpusvec {__version__}")
    own: dict[str, Callable[..., int]] = {
        "embed": functools.partial(embed, metrics),
        "plan": _plan,
        "inspect": _inspect,
        "export-model": _export,
        "report": _report,
        "verify": _verify,
        "push": _push,
        **{
            name: functools.partial(_links, name)
            for name in ("related", "search", "evaluate", "mcp")
        },
    }
    _add_commands(parser, COMMANDS, own)
    return parser


def _add_commands(
    parser: argparse.ArgumentParser,
    known: Mapping[str, Command],
    own: Mapping[str, Callable[..., int]],
) -> None:
    """Those that are not their `own` are of snapshots."""
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
            _add_commands(subparser, command.parts, {"verify": _verify})
        elif name in own:
            subparser.set_defaults(command=own[name])
        else:
            subparser.set_defaults(command=_snapshots, action=name)


def _check(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> None:
    """Raises `UsageError` for flags that nobody knows, and for those that are there twice."""
    parsing.refuse_unknown(rest, flags, beam_flags)
    parsing.refuse_twice(flags, arguments)


def _plan(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    started = time.time()
    parsing.refuse_unknown(rest, flags, beam_flags)
    parsing.refuse_incomplete(flags, output=False)
    parsing.refuse_twice(flags, arguments)
    from corpusvec.pipeline.commands.plan import plan

    check_runner(flags)
    open_file_systems(rest)
    say(plan(flags, started))
    return DONE


def _report(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands.report import report

    _reach_stores(rest)
    say(report(flags))
    return DONE


def _snapshots(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands import snapshots

    open_file_systems(rest)
    lines, whole = snapshots.run(flags)
    say(lines)
    return DONE if whole else FAILED


def _verify(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    """The files, or with a model the vectors."""
    if not embeds(flags):
        flags.action = "verify"
        return _snapshots(flags, rest, arguments)
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands.compare_models import compare_models, lines

    _reach_stores(rest)
    report = compare_models(flags)
    say(lines(report, flags.json))
    if report.enough is False:
        return failed(f"corpusvec: {report.verdict[-1]}", NOT_PUBLISHED, "not_enough")
    return DONE


def _links(name: str, flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    """The commands that find documents."""
    if name == "search" and flags.text is None and rest and not rest[0].startswith("-"):
        flags.text = rest.pop(0)  # a text behind flags
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands import links

    _reach_stores(rest)
    links.COMMANDS[name](flags)
    return DONE


def _inspect(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands.inspect import inspect

    _reach_stores(rest)
    say(inspect(flags))
    return DONE


def _export(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands.export_model import export_model
    from corpusvec.transforms.models.kinds import check_whole
    from corpusvec.transforms.models.sources.handles import local_model

    _reach_stores(rest)
    asked = vars(flags)
    names = ("target", "strings", "archive", "vectors", "normalize", "oov_buckets")
    settings = {name: asked[name] for name in (*names, "tokenizer", "do_lower_case")}
    source = local_model(flags.source, flags.model_cache, flags.refresh_model, check_whole)
    say(export_model(source, **settings))
    return DONE


def _push(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    _check(flags, rest, arguments)
    from corpusvec.pipeline.commands.push import push

    _reach_stores(rest)
    say(push(flags))
    return DONE


def _reach_stores(beam_arguments: Sequence[str]) -> None:
    """Beam takes a second to import: only where something is said."""
    if beam_arguments:
        open_file_systems(beam_arguments)


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
