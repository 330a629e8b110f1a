"""What of a command line is refused before anything starts, and how it was typed."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

# What Beam's job server for Flink knows, and Beam itself passes on.
_FLINK = {
    *("--execution_mode_for_batch", "--number_of_execution_retries", "--execution_retry_delay"),
    *("--object_reuse", "--operator_chaining", "--disable_metrics", "--faster_copy"),
}
TYPED = "CORPUSVEC_TYPED"  # the environment variable
_NAME = "corpusvec"
# What is given without a flag.
_PLACES = {"place", "source", "target", "snapshot", "old", "new", "text"}


_NEEDED = {"input": "files to read", "output": "a folder", "model": "a model"}


class UsageError(ValueError):
    """A command line that asks for what cannot be."""


class Typed(argparse.Namespace):
    """The flags of a command line; beside them what it has for Beam, and the metrics of the run."""

    __slots__ = ("beam", "metrics")
    beam: list[str]
    metrics: Any


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would leave the program."""

    def error(self, message: str) -> NoReturn:
        if "ignored explicit argument" in message:
            flag = message.removeprefix("argument ").partition(":")[0]
            message = f"{flag} takes no value; write it alone, or omit it"
        elif "expected one argument" in message:
            flag = message.removeprefix("argument ").partition(":")[0]
            message = f"{flag} needs a value; one that begins with - goes after =: {flag}=-…"
        raise UsageError(f"{message} (see --help)")


def joined_values(arguments: Sequence[str]) -> list[str]:
    """`--layers -4:-1` -> `--layers=-4:-1`: argparse would take the value for a flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--\w+", joined[-1]) and re.match(r"-\d", argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def value_of(name: str, arguments: Sequence[str]) -> str | None:
    """What a flag is given on a command line that may be wrong elsewhere; None where it is not."""
    found = None
    for argument, following in zip(arguments, [*arguments[1:], None]):
        if argument == f"--{name}":
            found = following
        elif argument.startswith(f"--{name}="):
            found = argument.partition("=")[2]
    return found


def take_text(flags: Typed) -> None:
    """A text may stand behind flags, where argparse does not look for it."""
    if getattr(flags, "text", "") is None and flags.beam and not flags.beam[0].startswith("-"):
        flags.text = flags.beam.pop(0)


def refuse_unknown(flags: Typed, of_beam: Callable[[], set[str]]) -> None:
    """Raises `UsageError` for what is no flag of the command, nor one `of_beam`, naming the nearest
    one: Beam would drop it.
    """
    if not flags.beam:
        return  # Beam takes a second to import
    known = {f"--{name}" for name in vars(flags).keys() - _PLACES}
    known |= of_beam()
    known |= _FLINK if getattr(flags, "runner", "") == "flink" else set()
    value_may_follow = False
    for argument in flags.beam:
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


def refuse_contradictions(flags: argparse.Namespace) -> None:
    """Raises `UsageError` for flags of which one makes the other void."""
    if flags.full and flags.previous:
        raise UsageError("--full embeds everything again, --previous reuses: give one of them")


def refuse_incomplete(flags: argparse.Namespace, needs: Sequence[str]) -> None:
    """Raises `UsageError` where a flag that a command needs is missing or empty."""
    for name in needs:
        what = _NEEDED[name]
        if getattr(flags, name) is None:
            raise UsageError(f"--{name} is missing: {what} (--help lists all flags)")
        if not "".join(getattr(flags, name)).strip():
            raise UsageError(f"--{name}: is empty; expected {what}")


def refuse_twice(flags: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Raises `UsageError` where a flag that has one meaning is given twice."""
    names = [argument.split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    for name in names:
        if name != "--input" and name[2:] in vars(flags) and names.count(name) > 1:
            raise UsageError(f"{name} is given twice; give it once")


def program() -> str:
    """How this program was called, to be typed again: by its name, by a path, by `python -m`, or by
    a script that says so in `CORPUSVEC_TYPED`.
    """
    called = sys.argv[0]
    if typed := os.environ.get(TYPED):
        return shlex.quote(typed)
    folders = Path(__file__).parents[1:3]  # `python -m` takes pipeline and corpusvec
    if Path(called).resolve() in [(folder / "__main__.py").resolve() for folder in folders]:
        before = len(sys.orig_argv) - len(sys.argv) + 1  # what is Python's own
        return shlex.join(sys.orig_argv[:before])
    if os.path.basename(called) != _NAME or shutil.which(_NAME) == called:
        return _NAME
    return shlex.quote(called)


def command(*words: str) -> str:
    """A command of this program, to be typed."""
    return " ".join([program(), *map(shlex.quote, words)])


def as_typed(message: str) -> str:
    """A message of `transforms`, which does not know how this program was called."""
    return message.replace(f"`{_NAME} ", f"`{program()} ")
