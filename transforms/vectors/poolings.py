"""Sentence vectors from token vectors, mergeable across the windows of a long document.

Follows the strategies of the same names in bert-as-service and sentence-transformers. Unlike them,
[CLS] and [SEP] can be left out, and a document longer than the model is pooled over all of its
tokens.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from corpusvec.transforms.columns import Encoded, State, Windows
from corpusvec.transforms.elements import OWN, SPECIAL
from corpusvec.transforms.ranges import edges_of, places_of
from corpusvec.transforms.specs import OUTPUT, VectorColumn


class Strategy(Protocol):
    """Three small functions over groups of rows: those from `starts` [N] to `stops` [N], none
    empty.

    A graph does what `start` does by `shares`: of each dimension the sum of all vectors times their
    shares, or the `largest` of those that have one. The shares' sum is the state's weight. `shares`
    and `finish` use operators alone, so they also take tensors.
    """

    largest: bool

    def start(
        self, vectors: np.ndarray, positions: np.ndarray, starts: np.ndarray, stops: np.ndarray
    ) -> State:
        """`vectors` [T, H] float32 of tokens, `positions` [T] of each in its document -> the state
        of each group; no view of the vectors, which are a whole batch's.
        """

    def shares(self, nth: np.ndarray, last: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """What to multiply each token that counts by, [W, T]. `nth` numbers these tokens in each
        window, [W, T] from 1; `last` is the number of the last one, [W, 1].
        """

    def merge(self, state: State, starts: np.ndarray, stops: np.ndarray) -> State:
        """States of parts of documents, in order -> those of the documents."""

    def finish(self, state: State) -> np.ndarray:
        """-> [N, H] float."""


def _by_group(function, rows: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """A function [T, H] -> [H] of each group. Three times as fast as NumPy's `reduceat`."""
    groups = zip(starts.tolist(), stops.tolist())
    return np.stack([function(rows[start:stop]) for start, stop in groups])


class First:
    """The first token that counts."""

    largest = False

    def start(self, vectors, positions, starts, stops):
        return State(vectors[starts], stops - starts)

    def shares(self, nth, last, positions):
        return nth == 1

    def merge(self, state, starts, stops):
        return State(state.values[starts], state.weights[starts])

    def finish(self, state):
        return state.values


class Last(First):
    """The last token that counts."""

    def start(self, vectors, positions, starts, stops):
        return State(vectors[stops - 1], stops - starts)

    def shares(self, nth, last, positions):
        return nth == last

    def merge(self, state, starts, stops):
        return State(state.values[stops - 1], state.weights[stops - 1])


class Max(First):
    """The largest value of each dimension."""

    largest = True

    def start(self, vectors, positions, starts, stops):
        return State(_by_group(_largest, vectors, starts, stops), stops - starts)

    def shares(self, nth, last, positions):
        return nth > 0

    def merge(self, state, starts, stops):
        return State(_by_group(_largest, state.values, starts, stops), state.weights[starts])


class Mean:
    """Mean over the tokens of all windows: exactly the mean over the unsplit document."""

    largest = False

    def start(self, vectors, positions, starts, stops):
        return State(_by_group(_sum, vectors, starts, stops), stops - starts)

    def shares(self, nth, last, positions):
        return nth > 0

    def merge(self, state, starts, stops):
        return State(
            _by_group(_sum, state.values, starts, stops),
            _by_group(_sum, state.weights, starts, stops),
        )

    def finish(self, state):
        return state.values / state.weights[:, None]


def _largest(rows: np.ndarray) -> np.ndarray:
    return rows.max(axis=0)


def _sum(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64).sum(axis=0)  # half the time of a sum that casts as it goes


class MeanSqrt(Mean):
    """Sum over the square root of the count, as sentence-transformers' mean_sqrt_len_tokens."""

    def finish(self, state):
        return state.values / (1.0 * state.weights[:, None]) ** 0.5


class WeightedMean(Mean):
    """Mean with weights 1, 2, 3, ... by place in the document, as sentence-transformers'
    weightedmean_tokens.
    """

    def start(self, vectors, positions, starts, stops):
        weights = (positions + 1).astype(np.float64)
        groups = list(zip(starts.tolist(), stops.tolist()))
        return State(
            np.stack([weights[start:stop] @ vectors[start:stop] for start, stop in groups]),
            np.array([weights[start:stop].sum() for start, stop in groups]),
        )

    def shares(self, nth, last, positions):
        return positions + 1


@dataclass(frozen=True, slots=True)
class Pooling:
    """A strategy and the tokens it is over: `all` owned tokens, the text's `own`, or those that
    `count` (all, but special tokens with --mask_special).
    """

    strategy: Strategy
    over: Literal["all", "own", "count"] = "count"

    def start(
        self, vectors: np.ndarray, owned: Owned, column: VectorColumn, mask_special: bool
    ) -> State:
        """`vectors` [W * T, H] of a padded batch -> the state of each window, [W, H]."""
        positions, starts, stops = owned.positions, owned.starts, owned.stops
        keep = self._kept(owned, column, mask_special)
        if keep is not None:
            kept, edges = edges_of(keep), edges_of(owned.lengths)
            starts, stops = kept[edges[:-1]], kept[edges[1:]]
            places = owned.places[keep]
            vectors, positions = vectors[places], positions[places]
        some = stops > starts
        if some.all():
            return self.strategy.start(vectors, positions, starts, stops)
        values, weights = np.zeros((len(some), vectors.shape[1])), np.zeros(len(some))
        if some.any():
            found = self.strategy.start(vectors, positions, starts[some], stops[some])
            values[some], weights[some] = found
        return State(values, weights)

    def shares(self, owned: Owned, column: VectorColumn, mask_special: bool) -> np.ndarray:
        """What a graph needs to do the same: [W, T]."""
        keep = self._kept(owned, column, mask_special)
        counts = np.zeros((len(owned.starts), owned.width), bool)
        counts.reshape(-1)[owned.places if keep is None else owned.places[keep]] = True
        nth = counts.cumsum(axis=1)
        shares = self.strategy.shares(nth, nth[:, -1:], owned.positions.reshape(counts.shape))
        return np.where(counts, shares, 0)

    def finish(self, state: State, starts: np.ndarray) -> np.ndarray:
        """States of windows in order, those of a document together, and where each document begins
        -> [documents, H] float32.
        """
        if len(starts) < len(state.values):
            some = state.weights > 0  # of each document some window has a token that counts
            edges = edges_of(some)[[*starts, len(some)]]
            state = self.strategy.merge(state.take(some), edges[:-1], edges[1:])
        return self.strategy.finish(state).astype(np.float32, copy=False)

    def _kept(self, owned: Owned, column: VectorColumn, mask_special: bool) -> np.ndarray | None:
        """Which of the owned tokens count, [N] bool; None where all do."""
        if self.over == "own":
            return owned.roles == OWN
        skips = column.skip_prompt and bool(owned.skipped.any())
        masks = mask_special and self.over == "count"
        if not skips:
            return owned.roles != SPECIAL if masks else None
        keep = owned.positions[owned.places] >= np.repeat(owned.skipped, owned.lengths)
        return keep & (owned.roles != SPECIAL) if masks else keep


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


def rows_of(layer: np.ndarray) -> np.ndarray:
    """[W, T, H] -> [W * T, H]"""
    return layer.reshape(-1, layer.shape[-1])


def combine(layers: Sequence[Any], how: str, concatenate: Callable = np.concatenate) -> Any:
    """Layers of the same tokens, each [..., H], arrays or what is like them: `concat` [..., n * H],
    `sum` or `mean` [..., H].
    """
    if len(layers) == 1:
        return layers[0]
    if how == "concat":
        return concatenate(layers, axis=-1)
    total = functools.reduce(operator.add, layers)
    return total if how == "sum" else total / np.float32(len(layers))


class Owned:
    """The tokens that the windows of a batch own, in layers that are padded to `width`: those of a
    window are rows `starts` to `stops` [W] of [W * width].
    """

    def __init__(self, windows: Windows, width: int):
        self._windows, self.width = windows, width
        rows, local = np.arange(len(windows)) * width, windows.opened - windows.starts
        self.lengths = windows.owned
        self.starts = rows + windows.own_starts + local
        self.stops = self.starts + self.lengths
        first = windows.positions - (self.starts - rows)
        # [W * width] of each token in its document
        self.positions = (first[:, None] + np.arange(width)).reshape(-1)

    @functools.cached_property
    def places(self) -> np.ndarray:
        """[N] rows of all owned tokens, one window's after the other's."""
        return places_of(self.starts, self.lengths)

    @functools.cached_property
    def in_stream(self) -> np.ndarray:
        """[N] where each is in the stream."""
        return places_of(self._windows.own_starts, self.lengths)

    @functools.cached_property
    def roles(self) -> np.ndarray:
        """[N]"""
        return self._windows.stream.roles[self.in_stream]

    @property
    def skipped(self) -> np.ndarray:
        """[W] tokens of its document that are its prompt's, as far as that is not to count."""
        return self._windows.skipped[self._windows.owners]


def start(column: VectorColumn, encoded: Encoded, owned: Owned, mask_special: bool) -> list[State]:
    """A batch's part of a column: for each of its poolings the windows' states."""
    if column.name in encoded.states:
        return list(encoded.states[column.name])
    if column.pooling == OUTPUT:
        first = (encoded.windows.indices == 0).astype(np.int64)
        return [State(encoded.outputs[column.output], first)]
    rows = combine([rows_of(encoded.layers[layer]) for layer in column.layers], column.combine)
    return [pooling.start(rows, owned, column, mask_special) for pooling in poolings_of(column)]


def shares(columns: Sequence[VectorColumn], owned: Owned, mask_special: bool) -> np.ndarray:
    """What a graph needs to pool layers for `columns`: for each pooling of theirs, one column's
    after the other's, what each token is multiplied by, [poolings, W, T] float32.
    """
    poolings = [(pooling, column) for column in columns for pooling in poolings_of(column)]
    found = np.zeros((len(poolings), len(owned.starts), owned.width), np.float32)
    for place, (pooling, column) in enumerate(poolings):
        found[place] = pooling.shares(owned, column, mask_special)
    return found


def states(
    columns: Sequence[VectorColumn], found: Iterable[np.ndarray], shares: np.ndarray
) -> dict[str, list[State]]:
    """What a graph made by these shares, [W, H] for each, as `start` has it; by columns' names."""
    of_all = map(State, found, shares.sum(axis=2, dtype=np.float64))
    return {column.name: [next(of_all) for _ in poolings_of(column)] for column in columns}


def finish(column: VectorColumn, states: Sequence[State], starts: np.ndarray) -> np.ndarray:
    """What `start` made of windows, those of a document together and in order, and where each
    document begins -> [documents, D] float32.
    """
    if column.pooling == OUTPUT:
        return states[0].values[starts]
    poolings = poolings_of(column)
    found = [pooling.finish(state, starts) for pooling, state in zip(poolings, states)]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1)
