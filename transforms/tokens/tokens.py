"""What a tokenizer is to the stages, and what it makes of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from corpusvec.transforms.ranges import edges_of


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


@dataclass(frozen=True, slots=True, eq=False)
class TokenColumns:
    """Tokens of many texts, those of the next one behind those of the one before.

    Strings are `names`, or by their ids in a `vocabulary`; both are None where nobody asked.
    """

    edges: np.ndarray  # [texts + 1] int64: where the tokens of each begin, and all end
    ids: np.ndarray  # [N] int32
    spans: np.ndarray | None  # [N, 2] int32, each in its text
    names: pa.Array | None = None
    vocabulary: pa.Array | None = None


def tokenized(
    tokenizer: Tokenizer, texts: Sequence[str], spans: bool, strings: bool
) -> TokenColumns:
    """By the tokenizer's own call for many texts (`encode_columns`), where it has one."""
    if many := getattr(tokenizer, "encode_columns", None):
        return many(texts, spans, strings)
    return joined(tokenizer.encode(texts, spans), strings)


def joined(found: Sequence[Tokens], strings: bool) -> TokenColumns:
    """The columns of texts that were tokenized one by one."""
    nothing = np.zeros((0, 2), np.int32)
    spans = [one.spans for one in found if one.spans is not None]
    names = [name for one in found for name in one.tokens] if strings else None
    return TokenColumns(
        edges=edges_of(np.array([len(one) for one in found], np.int64)),
        ids=np.concatenate([nothing[:, 0], *(one.ids for one in found)]),
        spans=np.concatenate([nothing, *spans]) if len(spans) == len(found) else None,
        names=None if names is None else pa.array(names, pa.string()),
    )


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
    segments: bool  # the model distinguishes the texts of a pair
    pairs: bool  # the model takes any
    strings: bool  # the model reads the tokens themselves, not their ids

    def spelled(self, prompt: str) -> str:
        """A prompt as `encode` is to be given it: a text holds no special token, a prompt can."""

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        """Tokenize each text; `spans` asks for them (SentencePiece takes several times longer)."""
