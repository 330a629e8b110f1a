"""What a tokenizer is to the stages, and what it makes of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Named(Sequence[str]):
    """Tokens that their ids name: strings are made when they are looked at."""

    __slots__ = ("_ids", "_names")

    def __init__(self, ids: Sequence[int], names: Mapping[int, str]):
        self._ids, self._names = ids, names

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return Named(self._ids[place], self._names)
        return self._names[self._ids[place]]

    def __iter__(self):
        return map(self._names.__getitem__, self._ids)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One text's tokens without special ones: `ids` [T] int32, `spans` [T, 2] int32 (code points)
    or None.
    """

    tokens: Sequence[str]
    ids: np.ndarray
    spans: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    def head(self, n: int) -> Tokens:
        """The first `n` tokens."""
        return self._part(slice(n))

    def tail(self, n: int) -> Tokens:
        """The last `n` tokens."""
        return self._part(slice(len(self) - n, None))

    def _part(self, part: slice) -> Tokens:
        spans = None if self.spans is None else self.spans[part]
        return Tokens(self.tokens[part], self.ids[part], spans)


class Tokenizer(Protocol):
    """What a stage needs of a tokenizer. `cls` and `sep`, before and after a text, are token and
    id, None where the model has no such token; ids are below `size`. `unknown` is the id of unknown
    tokens, -1 where there are none, and None where only the model knows.
    """

    cls: tuple[str, int] | None
    sep: tuple[str, int] | None
    unknown: int | None
    size: int
    separators: int  # between the texts of a pair
    segments: bool  # the model is told which text of a pair a token is of
    pairs: bool  # the model takes any
    strings: bool  # the model reads the tokens themselves, not their ids

    def spelled(self, prompt: str) -> str:
        """A prompt as `encode` is to be given it: a text holds no special token, a prompt can."""

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        """Tokenize each text; `spans` asks for them (SentencePiece takes several times longer)."""
