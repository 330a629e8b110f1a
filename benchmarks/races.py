"""Things measured in turns, so that what the machine does meanwhile falls on all of them alike."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.plans import ROOT

_TAIL = 30  # lines of what a program said before it failed


def race(runners: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Call all of them once a round, every other round in reverse -> what each gave, by round."""
    found: dict[str, list[Any]] = {name: [] for name in runners}
    order = list(runners)
    for _ in range(rounds):
        for name in order:
            found[name].append(runners[name]())
        order.reverse()
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """One for each round: rounds are not compared with each other."""
    return [a / b for a, b in zip(above, below, strict=True)]


class ProgramFailed(RuntimeError):
    """A program that was to be measured; the message has the end of its stderr."""


def run(name: str, command: Sequence[str], **options: Any) -> str:
    """A program from its start to its end -> its stdout. Raises `ProgramFailed`."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)
    if done.returncode:
        raise _failure(name, f"ended with {done.returncode}", done.stderr)
    return done.stdout


class Server:
    """A program that stays loaded and does a slice of its work whenever it is asked, see
    `peers/serving.py`. Raises `ProgramFailed` if it exits early.
    """

    def __init__(self, name: str, command: Sequence[str]):
        self._name = name
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the program)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
        )
        self._answer()  # it has loaded, and is warm

    def slice(self) -> float:
        """What it did in a second, in its own unit."""
        with contextlib.suppress(BrokenPipeError):  # the answer tells
            self._process.stdin.write("go\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        return self._answer()["rate"]

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:  # type: ignore[union-attr]
            if line.startswith("{"):  # libraries may say something there, too
                return json.loads(line)
        self._process.wait()
        self._said.seek(0)
        said = self._said.read()
        self.close()
        raise _failure(self._name, f"ended with {self._process.returncode}", said)

    def close(self) -> None:
        """It ends when nobody can ask it any more."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._said.close()


@contextlib.contextmanager
def serving(commands: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Server]]:
    """Programs that were started one after the other, until the block ends."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, command in commands.items():
            servers[name] = stack.enter_context(contextlib.closing(Server(name, command)))
        yield servers


def _failure(name: str, what: str, said: str) -> ProgramFailed:
    return ProgramFailed("\n".join([f"{name}: {what}", *said.splitlines()[-_TAIL:]]))
