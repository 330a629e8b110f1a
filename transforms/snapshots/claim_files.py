"""Claims on an output folder: which run writes there now, and which snapshots somebody reads.

A claim is a file in OUTPUT/running/ with a line of JSON about its holder.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

FOLDER, WRITER = "running", "writer"  # of an output; the claim of the run that writes there


class Busy(RuntimeError):
    """An output where a run is under way; the message says which."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a claim. `run` is the id of the snapshot that is made; `reads` names folders in
    `snapshots/`, and is None as long as nobody knows which.
    """

    token: str
    host: str
    pid: int
    since: str
    run: str | None = None
    reads: tuple[str, ...] | None = None

    def __str__(self) -> str:
        who = f"host {self.host}, process {self.pid}, since {self.since}"
        return f"{self.run or 'a run'} ({who})"

    def line(self, **more: Any) -> bytes:
        """As it stands in the file, with what else there is to say."""
        return json.dumps(asdict(self) | more).encode() + b"\n"


class Claim(Protocol):
    """A claim of this process. `waited`: for another one's end."""

    waited: bool

    def tell(self, run: str, reads: Sequence[str]) -> None:
        """Let others know what is made, and what is read for it."""

    def free(self) -> None:
        """Give it back."""


def this_process() -> Holder:
    """A new holder."""
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Holder(secrets.token_hex(8), socket.gethostname(), os.getpid(), since)


def holder_of(content: bytes) -> Holder:
    """Of a claim, which may be half written just now."""
    try:
        said = json.loads(content)
        reads = None if said["reads"] is None else tuple(said["reads"])
        who = {name: said[name] for name in ("token", "host", "pid", "since", "run")}
        return Holder(**who, reads=reads)
    except (ValueError, KeyError, TypeError):
        return Holder("", "unknown", 0, "just now")


def busy(output: str, holder: Holder) -> Busy:
    """The error of a run that does not wait."""
    return Busy(
        f"--output={output}: {holder} is running there; run again when it is done, or wait for it"
        " with --if_running=wait"
    )


def waiting(holder: Holder) -> str:
    """What a run says that waits."""
    return f"waiting for {holder} to end"
