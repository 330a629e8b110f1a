"""What a store of vectors is to a push: one table, and rows that wait beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from corpusvec.transforms.storage.digests import as_keys
from corpusvec.transforms.storage.stores import Outage

BITS = b"bits"  # in the metadata of a field of bytes: how many of their bits are of the vector
WIDTH = 16  # bytes of a row's digest
LOCK_SECONDS = 30.0  # a push that was killed may hold its table for as long as the server works
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a table has: which snapshot of which output, and of what recipe. `run` and
    `configuration` are the manifest's.
    """

    output: str
    snapshot: str
    run: Mapping[str, Any]
    configuration: Mapping[str, Any]

    def as_json(self) -> str:
        """For the store to keep; `from_json` reads it."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Pushed:
        """What was kept."""
        return cls(**json.loads(text))


class KnownRows(NamedTuple):
    """Rows that a store has: by what the store finds each again, and its digest."""

    places: Sequence[Any]
    digests: np.ndarray  # [N, 2] uint64, see `digests.as_keys`

    @classmethod
    def of(cls, places: Sequence[Any], digests: Iterable[bytes | None]) -> KnownRows:
        """Rows of someone else have no digest, or one that is none."""
        whole = ((digest or b"")[:WIDTH].ljust(WIDTH, b"\0") for digest in digests)
        return cls(places, as_keys(b"".join(whole)))


class Store(Protocol):
    """A table that one push has for itself. Rows first wait where no reader sees them, and stay
    there if the push is interrupted; then they come into the table with all else that changes, in
    one step. Raises `ValueError` for what a user must correct, `Outage` for what may pass.
    """

    def held(self) -> Pushed | None:
        """What the last push left, None where there is no table."""

    def lack(self, schema: pa.Schema) -> str:
        """Why the table cannot have rows of this schema; empty where it can."""

    def rows(self) -> Iterator[KnownRows]:
        """Those of the table."""

    def waiting(self, schema: pa.Schema) -> Iterator[KnownRows]:
        """Those that wait since an interrupted push; those of another schema are forgotten."""

    def remove_waiting(self, places: Sequence[Any]) -> None:
        """Some of them."""

    def add_waiting(self, rows: pa.Table) -> None:
        """More of them, there for good."""

    def publish(self, stale: Sequence[Any], pushed: Pushed, recreate: bool) -> None:
        """In one step: take away the rows at the places `stale`, or with `recreate` make the table
        again, and put all that wait in.
        """

    def forget_waiting(self) -> None:
        """All of them."""

    def advice(self, schema: pa.Schema) -> Iterator[str]:
        """What is to be told at the end, such as how to make an index."""


def locked(take: Callable[[], Any], table: str) -> Any:
    """What `take` returns when it is not None. Raises `Outage` where it is None for long."""
    began = time.monotonic()
    while (lock := take()) is None:
        if time.monotonic() - began > LOCK_SECONDS:
            raise Outage(f"{table}: another push writes into it; run again when it has ended")
        time.sleep(_POLL_SECONDS)
    return lock


def needs(package: str, scheme: str, extra: str) -> ValueError:
    """What to raise where a store's own library is not there."""
    return ValueError(
        f"{scheme}:// needs the package {package}, which is not installed:"
        f" pip install 'corpusvec[{extra}]'"
    )
