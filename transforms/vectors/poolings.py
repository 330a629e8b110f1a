"""Sentence vectors from token vectors, mergeable across the windows of a long document.

Follows the strategies of the same names in bert-as-service and sentence-transformers. Unlike them,
[CLS] and [SEP] can be left out, and a document longer than the model is pooled over all of its
tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from corpusvec.transforms.elements import OWN, SPECIAL, Encoded, Window
from corpusvec.transforms.specs import OUTPUT, VectorColumn


class Strategy(Protocol):
    """Three small functions over the tokens of one window that count; states of later windows are
    merged in order.
    """

    def start(self, vectors: np.ndarray, positions: np.ndarray) -> Any:
        """`vectors` [T, H] float32 with T > 0, `positions` [T] of the tokens in the document ->
        state.
        """

    def merge(self, a: Any, b: Any) -> Any:
        """States of neighbouring parts of a document -> state of both."""

    def finish(self, state: Any) -> np.ndarray:
        """-> [H] float32."""


class First:
    """The first token that counts."""

    def start(self, vectors, positions):
        return vectors[0].copy()  # a view would keep its whole batch in memory

    def merge(self, a, b):
        return a

    def finish(self, state):
        return state


class Last(First):
    """The last token that counts."""

    def start(self, vectors, positions):
        return vectors[-1].copy()

    def merge(self, a, b):
        return b


class Max(First):
    """The largest value of each dimension."""

    def start(self, vectors, positions):
        return vectors.max(axis=0)

    def merge(self, a, b):
        return np.maximum(a, b)


class Mean:
    """Mean over the tokens of all windows: exactly the mean over the unsplit document."""

    def start(self, vectors, positions):
        # Half the time of a sum that casts as it goes.
        return vectors.astype(np.float64).sum(axis=0), len(vectors)

    def merge(self, a, b):
        return a[0] + b[0], a[1] + b[1]

    def finish(self, state):
        total, count = state
        return (total / count).astype(np.float32)


class MeanSqrt(Mean):
    """Sum over the square root of the count, as sentence-transformers' mean_sqrt_len_tokens."""

    def finish(self, state):
        total, count = state
        return (total / np.sqrt(count)).astype(np.float32)


class WeightedMean(Mean):
    """Mean with weights 1, 2, 3, ... by place in the document, as sentence-transformers'
    weightedmean_tokens.
    """

    def start(self, vectors, positions):
        weights = (positions + 1).astype(np.float64)
        return weights @ vectors, weights.sum()


@dataclass(frozen=True, slots=True)
class Pooling:
    """A strategy and the tokens it is over: `all` owned tokens, the text's `own`, or those that
    `count` (all, but special tokens with --mask_special).
    """

    strategy: Strategy
    over: Literal["all", "own", "count"] = "count"

    def start(self, vectors: np.ndarray, window: Window, column: VectorColumn, mask_special: bool):
        """`vectors` [T, H] of the owned tokens of a window -> state; None where none counts."""
        positions = np.arange(window.position, window.position + len(vectors))
        keep = self._kept(window, positions, column, mask_special)
        if keep is not None:
            vectors, positions = vectors[keep], positions[keep]
        return self.strategy.start(vectors, positions) if len(vectors) else None

    def _kept(
        self, window: Window, positions: np.ndarray, column: VectorColumn, mask_special: bool
    ) -> np.ndarray | None:
        """Which of the owned tokens count, [T] bool; None where all do."""
        roles = window.roles[window.start : window.stop]
        if self.over == "own":
            return roles == OWN
        skips = column.skip_prompt and window.n_skipped > 0
        masks = mask_special and self.over == "count"
        if not skips:
            return roles != SPECIAL if masks else None
        keep = positions >= window.n_skipped
        return keep & (roles != SPECIAL) if masks else keep


_MEAN, _MAX = Pooling(Mean()), Pooling(Max())
POOLINGS: Mapping[str, tuple[Pooling, ...]] = {
    "cls": (Pooling(First(), "all"),),
    "sep": (Pooling(Last(), "all"),),
    "first": (Pooling(First(), "own"),),
    "last": (Pooling(Last(), "own"),),
    "mean": (_MEAN,),
    "max": (_MAX,),
    "mean_max": (_MEAN, _MAX),
    "mean_sqrt": (Pooling(MeanSqrt()),),
    "weighted_mean": (Pooling(WeightedMean()),),
}


def poolings_of(column: VectorColumn) -> tuple[Pooling, ...]:
    """The poolings whose vectors stand one after the other in a column; a name may join several
    with `+`.
    """
    return _poolings(column.pooling)


@functools.cache
def _poolings(names: str) -> tuple[Pooling, ...]:
    return tuple(pooling for name in names.split("+") for pooling in POOLINGS[name])


def combine(layers: Sequence[np.ndarray], how: str) -> np.ndarray:
    """Layers of the same tokens, each [T, H]: `concat` [T, n * H], `sum` or `mean` [T, H]."""
    if len(layers) == 1:
        return layers[0]
    if how == "concat":
        return np.concatenate(layers, axis=1)
    total = functools.reduce(np.add, layers)
    return total if how == "sum" else total / np.float32(len(layers))


def start(column: VectorColumn, encoded: Encoded, mask_special: bool) -> list[Any]:
    """One window's part of a column: a state for each of its poolings."""
    window = encoded.window
    if column.pooling == OUTPUT:
        return [encoded.outputs[column.output] if window.index == 0 else None]
    owned = slice(window.start, window.stop)
    vectors = combine([encoded.layers[i][owned] for i in column.layers], column.combine)
    return [pooling.start(vectors, window, column, mask_special) for pooling in poolings_of(column)]


def finish(column: VectorColumn, parts: Sequence[list[Any]]) -> np.ndarray:
    """What `start` made of a document's windows, in order -> [D] float32."""
    by_pooling = [[state for state in states if state is not None] for states in zip(*parts)]
    if column.pooling == OUTPUT:
        return by_pooling[0][0]
    return np.concatenate(
        [
            pooling.strategy.finish(functools.reduce(pooling.strategy.merge, states))
            for pooling, states in zip(poolings_of(column), by_pooling)
        ]
    )
