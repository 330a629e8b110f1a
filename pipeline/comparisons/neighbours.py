"""Vectors of the same documents from two models, compared: [N, D] float32 each, exactly."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 22  # likenesses that are in memory at once
_STEPS = 1_000_000  # of a cosine; nearer than that, two are as near


def lengths(vectors: np.ndarray) -> np.ndarray:
    """[N] float64."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))


def cosines(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """[N] float64, of each row with its own; 1 where both are zeros, 0 where one is."""
    of_old, of_new = lengths(old), lengths(new)
    both = np.einsum("nd,nd->n", old, new, dtype=np.float64)
    zeros = (of_old == 0) | (of_new == 0)
    found = both / np.where(zeros, 1, of_old * of_new)
    return np.where(zeros, (of_old == 0) & (of_new == 0), found)


def nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """The `count` other rows that are nearest to each by cosine, [N, count] in no order. Of those
    that are as near, the first: so rounding moves nobody.
    """
    n = len(vectors)
    of_each = lengths(vectors)
    unit = (vectors / np.where(of_each == 0, 1, of_each)[:, None]).astype(np.float32)
    first = np.arange(n - 1, -1, -1)
    found = np.empty((n, count), np.int64)
    block = max(1, _BLOCK // max(1, n))
    for start in range(0, n, block):
        likeness = np.rint(unit[start : start + block] @ unit.T * _STEPS).astype(np.int64)
        ranks = likeness * n + first  # no two of a row are the same
        own = np.arange(len(ranks))
        ranks[own, start + own] = -np.iinfo(np.int64).max
        found[start : start + block] = np.argpartition(-ranks, count - 1)[:, :count]
    return found


def kept(old: np.ndarray, new: np.ndarray, there: np.ndarray, count: int) -> np.ndarray:
    """For each row the share of its `count` nearest by `old` that are among those by `new`, [N].
    `there` [N] bool: rows without are nowhere by `new`, and keep nothing.
    """
    before = nearest(old, count)
    shares = np.zeros(len(old))
    places = np.flatnonzero(there)
    few = min(count, len(places) - 1)
    if few < 1:
        return shares
    after = places[nearest(new[places], few)]  # [there, few]
    same = (before[places][:, :, None] == after[:, None, :]).any(axis=2)
    shares[places] = same.mean(axis=1)
    return shares
