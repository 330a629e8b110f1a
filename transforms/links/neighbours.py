"""The nearest vectors to each of many, exactly: by blocks of matrix products on all cores.

A block of float32 products finds candidates. The few that are left are measured again in float64,
so that the order is that of brute force, and equal scores are in the order of ids. Products of
signs, which stand for bits, are whole numbers: the order is that of Hamming distances.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from corpusvec.transforms.vectors.quantizations import Restored

ROWS, COLUMNS = 1024, 8192  # of a block of products
_SPARE = 16  # candidates beside those wanted: rounding may have swapped neighbours
_DECIMALS = 12  # of scores: closer than that, two are equal
_GATHERED = 1 << 23  # numbers of candidates' vectors that are in memory at once
_MOVED = 1 << 13  # rows that are made unit at once
LeftOut = Callable[[int], np.ndarray]


class Nearest(NamedTuple):
    """Of each query the nearest rows, best first, and their cosines; -1 and NaN where there are no
    more.
    """

    places: np.ndarray  # [Q, K] int64
    scores: np.ndarray  # [Q, K] float64


class Vectors:
    """The rows of a matrix [N, D] and what searching them needs. `order` [N] is each row's place
    among all when they are sorted by id.

    `unit` has rows of length 1: the matrix itself where they have it, else `empty` makes room for
    them, in memory or on a disk. What is stored small stays so, and is restored a block at a time.
    """

    def __init__(
        self,
        matrix: np.ndarray | Restored,
        order: np.ndarray,
        empty: Callable[..., np.ndarray] = np.empty,
    ):
        self.matrix, self.order = matrix, order
        self.norms = _norms(matrix)
        self.signs = isinstance(matrix, Restored) and matrix.signs
        ones = np.abs(self.norms - 1) < 1e-6
        self.unit: np.ndarray | Restored
        if isinstance(matrix, Restored):
            self.unit = matrix.unit(self.norms)
        else:
            self.unit = matrix if ones.all() else _unit(matrix, self.norms, empty)
        # What a float32 product may be off by, at most.
        self.slack = 4e-6 + (matrix.shape[1] + 8) * 2.0**-24

    def __len__(self) -> int:
        return len(self.matrix)

    def cosines(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        """[Q, D] and rows [Q, K] -> [Q, K] float64; 0 where one of them is of zeros."""
        found = np.empty(places.shape)
        norms = _norms(queries)
        step = max(1, _GATHERED // max(1, places.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            some = slice(start, start + step)
            theirs = self.matrix[places[some]].astype(np.float64)  # [q, K, D]
            products = np.einsum("qd,qkd->qk", queries[some].astype(np.float64), theirs)
            lengths = norms[some, None] * self.norms[places[some]]
            found[some] = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0)
        return np.round(found, _DECIMALS)


def nearest(
    vectors: Vectors,
    count: int,
    queries: np.ndarray | None = None,
    left_out: LeftOut | None = None,
) -> Nearest:
    """The `count` nearest rows to each of `queries` [Q, D]; without these to each row, itself left
    out. `left_out` tells which rows are not to be found by a query, by its number.
    """
    own = queries is None
    asked: np.ndarray | Restored = vectors.matrix
    unit: np.ndarray | Restored = vectors.unit
    if queries is not None:
        asked, unit = queries, _unit(queries, _norms(queries), np.empty)
    most = min(count, len(vectors) - own)
    places = np.full((len(asked), count), -1, np.int64)
    scores = np.full((len(asked), count), np.nan)
    if most < 1:
        return Nearest(places, scores)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(asked), ROWS):
            rows = slice(start, min(start + ROWS, len(asked)))
            hidden = [_hidden(start + at, own, left_out) for at in range(rows.stop - rows.start)]
            search = _Search(vectors, asked[rows], unit[rows], hidden, threads)
            places[rows, :most], scores[rows, :most] = search.best(most)
    return Nearest(places, scores)


def pairs_above(vectors: Vectors, least: float) -> Iterator[tuple[int, int, float]]:
    """Rows whose cosine is `least` or more, each pair once, the lower row first."""
    for start in range(0, len(vectors), ROWS):
        block = vectors.unit[start : start + ROWS]
        for first in range(start, len(vectors), COLUMNS):
            products = block @ vectors.unit[first : first + COLUMNS].T
            rows, columns = np.nonzero(products >= least - vectors.slack)
            rows, columns = rows + start, columns + first
            kept = rows < columns
            rows, columns = rows[kept], columns[kept]
            if not len(rows):
                continue
            scores = vectors.cosines(vectors.matrix[rows], columns[:, None])[:, 0]
            for row, column, score in zip(rows.tolist(), columns.tolist(), scores.tolist()):
                if score >= least:
                    yield row, column, score


def _hidden(query: int, own: bool, left_out: LeftOut | None) -> np.ndarray:
    """The rows that a query is not to find, ascending."""
    found = np.asarray(left_out(query), np.int64) if left_out else np.empty(0, np.int64)
    return np.union1d(found, [query]) if own else np.unique(found)


class _Search:
    """The nearest rows to a block of queries: `asked` as they are, `unit` of length 1."""

    def __init__(
        self,
        vectors: Vectors,
        asked: np.ndarray,
        unit: np.ndarray,
        hidden: list[np.ndarray],
        threads: ThreadPoolExecutor,
    ):
        self._vectors, self._asked, self._unit = vectors, asked, unit
        self._hidden, self._threads = hidden, threads
        self._exact = vectors.signs and bool((np.abs(asked) == 1).all())
        self._products = np.empty((len(asked), min(COLUMNS, len(vectors))), np.float32)

    def best(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and cosines, [Q, count] each."""
        wide = min(count + _SPARE, len(self._vectors))
        kind = np.float64 if self._exact else np.float32
        scores = np.full((len(self._asked), wide), -np.inf, kind)
        places = np.full((len(self._asked), wide), -1, np.int64)
        share = -(-len(self._asked) // (os.cpu_count() or 1))
        parts = [slice(at, at + share) for at in range(0, len(self._asked), share)]
        for first in range(0, len(self._vectors), COLUMNS):
            products = self._multiplied(slice(first, first + COLUMNS))
            self._hide(products, first)
            done = [
                self._threads.submit(_merge, scores[part], places[part], products[part], first)
                for part in parts
            ]
            for one in done:
                one.result()
        return self._settled(count, scores, places)

    def _multiplied(self, rows: slice) -> np.ndarray:
        """Products with a block of rows. To those of signs the order of ids is added as a fraction,
        so that no two are equal.
        """
        vectors = self._vectors
        columns = vectors.matrix[rows] if self._exact else vectors.unit[rows]
        products = self._products[:, : len(columns)]
        np.matmul(self._asked if self._exact else self._unit, columns.T, out=products)
        return products - vectors.order[rows] / len(vectors) if self._exact else products

    def _hide(self, products: np.ndarray, first: int) -> None:
        for row, hidden in enumerate(self._hidden):
            start, stop = np.searchsorted(hidden, (first, first + products.shape[1]))
            products[row, hidden[start:stop] - first] = -np.inf

    def _settled(
        self, count: int, scores: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best of the candidates by exact scores; where more than these may be among them, all
        rows are looked at again.
        """
        there = np.isfinite(scores)
        exact = self._vectors.cosines(self._asked, np.where(there, places, 0))
        exact[~there] = -np.inf
        order = np.where(there, self._vectors.order[places], len(self._vectors))
        ranks = np.lexsort((order, -exact), axis=1)[:, :count]
        found = np.take_along_axis(places, ranks, 1)
        best = np.take_along_axis(exact, ranks, 1)
        if scores.shape[1] < len(self._vectors) and not self._exact:
            near = best[:, -1] <= scores.min(axis=1) + self._vectors.slack
            for row in np.flatnonzero(near & there.all(axis=1)):
                found[row], best[row] = self._again(int(row), float(best[row, -1]), count)
        found[~np.isfinite(best)] = -1
        best[~np.isfinite(best)] = np.nan
        return found, best

    def _again(self, row: int, least: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """One query among all rows that may score `least`; equal vectors are measured once."""
        unit, n = self._vectors.unit, len(self._vectors)
        blocks = (unit[at : at + COLUMNS] @ self._unit[row] for at in range(0, n, COLUMNS))
        products = np.concatenate([*blocks])
        products[self._hidden[row]] = -np.inf
        near = np.flatnonzero(products >= least - self._vectors.slack)
        _, first, which = np.unique(
            self._vectors.matrix[near], axis=0, return_index=True, return_inverse=True
        )
        distinct = self._vectors.cosines(self._asked[row : row + 1], near[first][None])[0]
        scores = distinct[which.reshape(-1)]
        best = np.lexsort((self._vectors.order[near], -scores))[:count]
        return near[best], scores[best]


def _merge(scores: np.ndarray, places: np.ndarray, products: np.ndarray, first: int) -> None:
    """Products of a block that are among the best so far take their place, in no order."""
    wide = scores.shape[1]
    least = scores.min(axis=1)
    if np.isneginf(least).any() and products.shape[1] > wide:
        top = np.argpartition(products, -wide, axis=1)[:, -wide:]
        values, found = np.take_along_axis(products, top, 1), top + first
        _replace(scores, places, np.arange(len(scores)), values, found)
        return
    hits = np.flatnonzero(products > least[:, None])
    if not len(hits):
        return
    rows, columns = np.divmod(hits, products.shape[1])
    own, counts = np.unique(rows, return_counts=True)
    at = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    line = np.repeat(np.arange(len(own)), counts)
    values = np.full((len(own), counts.max()), -np.inf, products.dtype)
    found = np.full(values.shape, -1, np.int64)
    values[line, at], found[line, at] = products[rows, columns], columns + first
    _replace(scores, places, own, values, found)


def _replace(
    scores: np.ndarray,
    places: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    found: np.ndarray,
) -> None:
    wide = scores.shape[1]
    values = np.concatenate([scores[rows], values], axis=1)
    found = np.concatenate([places[rows], found], axis=1)
    best = np.argpartition(values, -wide, axis=1)[:, -wide:]
    scores[rows] = np.take_along_axis(values, best, 1)
    places[rows] = np.take_along_axis(found, best, 1)


def _norms(matrix: np.ndarray | Restored) -> np.ndarray:
    """[N] float64."""
    found = np.empty(len(matrix))
    for start in range(0, len(matrix), _MOVED):
        some = matrix[start : start + _MOVED]
        found[start : start + _MOVED] = np.einsum("nd,nd->n", some, some, dtype=np.float64)
    return np.sqrt(found)


def _unit(matrix: np.ndarray, norms: np.ndarray, empty: Callable[..., np.ndarray]) -> np.ndarray:
    """Rows of length 1, [N, D] float32; zeros stay what they are."""
    unit = empty(matrix.shape, np.float32)
    lengths = np.where(norms > 0, norms, 1)
    for start in range(0, len(matrix), _MOVED):
        some = slice(start, start + _MOVED)
        unit[some] = matrix[some] / lengths[some, None]
    return unit
