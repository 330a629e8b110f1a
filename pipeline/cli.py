"""The command line: a function for each command. Heavy imports wait until they are needed."""

from __future__ import annotations

import argparse
import contextlib
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
from typing import TYPE_CHECKING

from pipeline import __version__, options
from pipeline.flags import COMMANDS, Command

if TYPE_CHECKING:
    from pipeline.embed import Job

DONE, FAILED, WRONG_USAGE, NOT_PUBLISHED, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command -> exit code. Errors are a sentence on stderr; `--verbose` shows where they
    come from.
    """
    arguments = options.joined_values(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # texts are shown, whatever the terminal can
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = _parser()
        if not arguments:
            raise options.UsageError(f"say what to do: {', '.join(COMMANDS)} (--help tells more)")
        known, rest = parser.parse_known_args(arguments)
        _quiet(verbose)
        return known.command(known, rest, arguments)
    except KeyboardInterrupt:
        print("interrupted; nothing was published", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if verbose:
            traceback.print_exc()
        expected = isinstance(error, ValueError | RuntimeError | OSError)
        where = "" if expected else f"{type(error).__name__}, a fault of this program: "
        print(f"corpusvec: {where}{error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, ValueError) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser(
        prog="corpusvec",
        description="Vectors of every text and token of a corpus, in Parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"corpusvec {__version__}")
    _add_commands(parser, COMMANDS)
    return parser


def _add_commands(parser: argparse.ArgumentParser, known: Mapping[str, Command]) -> None:
    run = {"embed": _embed, "plan": _plan, "inspect": _inspect, "export-model": _export}
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
            _add_commands(subparser, command.parts)
        elif name in run:
            subparser.set_defaults(command=run[name])
        else:
            subparser.set_defaults(command=_snapshots, action=name)


def _embed(flags: argparse.Namespace, rest: list[str], arguments: Sequence[str]) -> int:
    started = time.time()
    options.refuse_unknown(rest, flags, beam=True)
    options.refuse_incomplete(flags)
    options.refuse_twice(flags, arguments)
    from pipeline import job as jobs
    from pipeline.run import beam_arguments, check_runner, open_file_systems

    check_runner(flags)
    rest = beam_arguments(flags, rest)
    open_file_systems(rest)
    with contextlib.ExitStack() as held:
        with _interruptible():
            job = jobs.from_flags(flags, started, held)
        return _run_job(job, flags, rest, started)


def _run_job(job: Job, flags: argparse.Namespace, rest: list[str], started: float) -> int:
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
        manifest = read_manifest(snapshot.output, snapshot.id)
        remove_taken_up(job)
        _say(report.summary(snapshot, manifest, time.time() - started))
    except KeyboardInterrupt:
        if latest(snapshot.output) != snapshot.id:
            raise
        print(f"interrupted, after {snapshot.folder} was published", file=sys.stderr)
        return INTERRUPTED
    if latest(snapshot.output) == snapshot.id:
        return DONE
    reason = report.not_published(snapshot, manifest, job.limits)
    print(f"corpusvec: {reason}", file=sys.stderr)
    return NOT_PUBLISHED


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


def _say(lines: Iterable[str]) -> None:
    """Print; a reader that has gone away does not make a run that is done a failed one."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _quiet(verbose: bool) -> None:
    """Libraries' log lines and warnings are for developers."""
    if verbose:
        logging.basicConfig(level=logging.INFO)
        return
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
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
