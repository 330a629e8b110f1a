"""The command line: a function for each command. Heavy imports wait until they are needed."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import logging
import os
import signal
import sys
import textwrap
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline import __version__, logs, options
from pipeline.flags import COMMANDS, Command
from pipeline.metrics_file import MetricsFile
from pipeline.swap_flags import embeds

if TYPE_CHECKING:
    from pipeline.embed import Job

DONE, FAILED, WRONG_USAGE, NOT_PUBLISHED, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command -> exit code. Errors are a sentence on stderr; `--verbose` shows where they
    come from.
    """
    arguments = options.joined_values(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # texts are shown, whatever the terminal can
            stream.reconfigure(errors="backslashreplace")
    of_embed = arguments if arguments[:1] == ["embed"] else []
    metrics = MetricsFile(of_embed)
    with logs.written(options.value_of("log_format", of_embed) == "json"):
        code = _ended(arguments, metrics)
        metrics.write(code)
    return code


def _ended(arguments: Sequence[str], metrics: MetricsFile) -> int:
    verbose = "--verbose" in arguments
    try:
        parser = _parser(metrics)
        if not arguments:
            raise options.UsageError(f"say what to do: {', '.join(COMMANDS)} (--help tells more)")
        known, rest = parser.parse_known_args(arguments)
        _quiet(verbose)
        return known.command(known, rest, arguments)
    except KeyboardInterrupt:
        return _failed("interrupted; nothing was published", INTERRUPTED, "interrupted")
    except Exception as error:
        expected = isinstance(error, ValueError | RuntimeError | OSError)
        where = "" if expected else f"{type(error).__name__}, a fault of this program: "
        code = WRONG_USAGE if isinstance(error, ValueError) else FAILED
        told = {"traceback": traceback.format_exc()} if verbose else {}
        return _failed(f"corpusvec: {where}{error}", code, "error", **told)


def _failed(message: str, code: int, event: str, **fields: str) -> int:
    logs.say(logs.Line(message, event, {"exit_code": code, **fields}, "error"))
    return code


def _parser(metrics: MetricsFile) -> argparse.ArgumentParser:
    parser = options.Parser(
        prog="corpusvec",
        description="Vectors of every text and token of a corpus, in Parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"corpusvec {__version__}")
    run = {
        "embed": functools.partial(_embed, metrics),
        "plan": _plan,
        "inspect": _inspect,
        "export-model": _export,
        "verify": _verify,
    }
    _add_commands(parser, COMMANDS, run)
    return parser


def _add_commands(
    parser: argparse.ArgumentParser, known: Mapping[str, Command], run: Mapping[str, Any]
) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in known.items():
        subparser = commands.add_parser(
            name,
            help=command.help,
            description=textwrap.fill(command.description, 79),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_flags(subparser)
        if command.parts:
            _add_commands(subparser, command.parts, {})
        elif name in run:
            subparser.set_defaults(command=run[name])
        else:
            subparser.set_defaults(command=_snapshots, action=name)


def _embed(
    metrics: MetricsFile, flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]
) -> int:
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_incomplete(flags)
    options.refuse_twice(flags, arguments)
    from pipeline import job as jobs
    from pipeline.run import beam_arguments, check_runner, open_file_systems

    check_runner(flags)
    rest = beam_arguments(flags, rest)
    metrics.check(rest)
    open_file_systems(rest)
    with contextlib.ExitStack() as held:
        with _interruptible():
            job = jobs.from_flags(flags, metrics.started, held)
        return _run_job(job, flags, rest, metrics)


def _run_job(job: Job, flags: argparse.Namespace, rest: list[str], metrics: MetricsFile) -> int:
    from pipeline import report
    from pipeline.pruning import remove_taken_up
    from pipeline.run import run
    from transforms.schemas import CHANGES, REJECTED
    from transforms.snapshots import latest, read_manifest

    snapshot, ended = job.snapshot, True
    try:
        with _interruptible():
            try:
                snapshot.begin([*job.tables, REJECTED, CHANGES])
                ended = run(job, flags, rest)
            finally:
                if ended:
                    snapshot.abandon()
        if not ended:
            _say([f"handed over; {snapshot.folder} will be there when the job is done"])
            return DONE
        metrics.manifest = manifest = read_manifest(snapshot.output, snapshot.id)
        remove_taken_up(job)
        _say(report.summary(snapshot, manifest, time.time() - metrics.started))
    except KeyboardInterrupt:
        if latest(snapshot.output) != snapshot.id:
            raise
        told = f"interrupted, after {snapshot.folder} was published"
        return _failed(told, INTERRUPTED, "interrupted", snapshot=snapshot.id)
    if latest(snapshot.output) == snapshot.id:
        return DONE
    reason = report.not_published(snapshot, manifest, job.limits)
    return _failed(f"corpusvec: {reason}", NOT_PUBLISHED, "not_published", snapshot=snapshot.id)


def _plan(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    started = time.time()
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_incomplete(flags, output=False)
    options.refuse_twice(flags, arguments)
    from pipeline.plan import plan
    from pipeline.run import check_runner, open_file_systems

    check_runner(flags)
    open_file_systems(rest)
    _say(plan(flags, started))
    return DONE


def _snapshots(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_twice(flags, arguments)
    from pipeline import snapshot_commands
    from pipeline.run import open_file_systems

    open_file_systems(rest)
    lines, whole = snapshot_commands.run(flags)
    _say(lines)
    return DONE if whole else FAILED


def _verify(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    if not embeds(flags):
        flags.action = "verify"
        return _snapshots(flags, rest, arguments)
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_twice(flags, arguments)
    from pipeline.model_swap import compare_models, said

    _reach_stores(rest)
    report = compare_models(flags)
    _say(said(report, flags.json))
    if report.enough is False:
        print(f"corpusvec: {report.verdict[-1]}", file=sys.stderr)
        return NOT_PUBLISHED
    return DONE


def _inspect(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_twice(flags, arguments)
    from pipeline.inspection import inspect

    _reach_stores(rest)
    _say(inspect(flags))
    return DONE


def _export(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_twice(flags, arguments)
    from pipeline.export_model import export_model
    from transforms.encoders.signatures import check_whole
    from transforms.handles import local_model

    _reach_stores(rest)
    asked = vars(flags)
    names = ("target", "strings", "archive", "vectors", "normalize", "oov_buckets")
    settings = {name: asked[name] for name in (*names, "tokenizer", "do_lower_case")}
    source = local_model(flags.source, flags.model_cache, flags.refresh_model, check_whole)
    _say(export_model(source, **settings))
    return DONE


def _reach_stores(beam_arguments: Sequence[str]) -> None:
    """Beam takes a second to import: only where something is said."""
    if beam_arguments:
        from pipeline.run import open_file_systems

        open_file_systems(beam_arguments)


def _say(lines: Iterable[str | logs.Line]) -> None:
    """Print; a reader that has gone away does not make a run that is done a failed one."""
    try:
        for line in lines:
            logs.say(line, sys.stdout)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _quiet(verbose: bool) -> None:
    """Libraries' log lines and warnings are for developers."""
    logging.basicConfig()
    logging.getLogger().setLevel(logging.INFO if verbose else logging.ERROR)
    if verbose:
        return
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C, and a scheduler's SIGTERM, end the block with `KeyboardInterrupt`, also where Beam
    wraps it in its own.
    """
    interrupted = False

    def interrupt(signum, frame):
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever presses twice means it
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    except Exception as error:
        if interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
