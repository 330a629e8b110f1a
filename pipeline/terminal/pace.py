"""How fast a run goes, and how long it still takes, from its totals as they grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from corpusvec.transforms.columns import DOCUMENTS
from corpusvec.transforms.documents.inputs import PIECE
from corpusvec.transforms.measures import names

_SECONDS, _PIECES = 5.0, 4


class Left(NamedTuple):
    """What share of the tokens is encoded, and the seconds that the others take."""

    share: float
    seconds: float


class _Seen(NamedTuple):
    """At a time, in seconds: the share of the input that is read, the tokens of what was to be
    embedded of that, and those of them that are encoded; bytes, of models that take strings.
    """

    at: float
    share: float
    read: int
    encoded: int


class Pace:
    """`size` is the bytes of all inputs (0: unknown), `limit` the most records that are read.

    No time left is better than a wrong one. Its clock starts when the first batch is done, as
    models load before it and kernels are compiled. Of what was read and sorted the longest texts
    are encoded first, so as many tokens as wait must be encoded by then. What was
    read since shows how many there are in what is not read yet: what was reused before had none.
    """

    def __init__(self, size: int, limit: int | None = None):
        self._size, self._limit = size, limit
        pieces = [PIECE / size] if size else []
        pieces += [DOCUMENTS / limit] if limit else []
        self._piece = max(pieces, default=1.0)
        self._loaded: float | None = None
        self._first: _Seen | None = None
        self._now = _Seen(0.0, 0.0, 0, 0)

    def see(self, totals: Mapping[str, int], now: float) -> None:
        """To be called often: what happens between two calls has happened at the second."""
        if self._loaded is None and totals.get(names.MODELS):
            self._loaded = now
        encoded = totals.get(names.ENCODED_TOKENS, 0) + totals.get(names.ENCODED_BYTES, 0)
        read = max(encoded, totals.get(names.READ_TOKENS, 0))
        self._now = _Seen(now, self._share_read(totals), read, encoded)
        if self._first is None and encoded:
            self._first = self._now

    def _share_read(self, totals: Mapping[str, int]) -> float:
        of_bytes = totals.get(names.BYTES_READ, 0) / self._size if self._size else 0.0
        of_records = totals.get(names.RECORDS, 0) / self._limit if self._limit else 0.0
        return min(1.0, max(of_bytes, of_records))

    @property
    def seconds(self) -> float | None:
        """Since a model is there; None before."""
        return None if self._loaded is None else self._now.at - self._loaded

    def left(self) -> Left | None:
        """None where it is not worth much."""
        first, now = self._first, self._now
        if first is None or now.at - first.at < _SECONDS:
            return None
        made, waiting = now.encoded - first.encoded, now.read - now.encoded
        if not made or made < waiting or not now.share:
            return None
        if now.share < 1 and now.share - first.share < _PIECES * self._piece:
            return None
        left = float(waiting)
        if now.share < 1:
            left += (now.read - first.read) * (1 - now.share) / (now.share - first.share)
        return Left(now.encoded / (now.encoded + left), left / made * (now.at - first.at))
