"""Documents in groups of like ones: k-means over directions, so that length does not matter.

Follows spherical k-means (Dhillon and Modha, 2001), started as k-means++ does. NumPy alone: some
thousand vectors take less time than importing a library would.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 50  # it settles sooner
_SEED = 1  # the same groups each time
_MOST = 12  # as many colours can be told apart


def how_many(count: int) -> int:
    """A number of groups for so many documents: the square root of half of them, at most twelve."""
    return max(1, min(_MOST, round((count / 2) ** 0.5)))


def clusters(vectors: np.ndarray, k: int) -> np.ndarray:
    """[N, D] float32, each of length 1 -> the group of each, [N] int32, the largest group first.

    Groups that nothing falls to are left out.
    """
    centres = _start(vectors, k)
    groups = np.full(len(vectors), -1)
    for _ in range(_ROUNDS):
        likeness = vectors @ centres.T  # [N, k]
        found = likeness.argmax(axis=1)
        if (found == groups).all():
            break
        groups = found
        sums = np.zeros_like(centres)
        np.add.at(sums, groups, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return _largest_first(groups)


def _start(vectors: np.ndarray, k: int) -> np.ndarray:
    """k of the vectors, each far from those before it."""
    random = np.random.default_rng(_SEED)
    centres = [vectors[random.integers(len(vectors))]]
    far = 1 - vectors @ centres[0]
    for _ in range(k - 1):
        chances = np.maximum(far, 0) ** 2
        total = chances.sum()
        if total <= 0:  # all are alike
            break
        centres.append(vectors[random.choice(len(vectors), p=chances / total)])
        far = np.minimum(far, 1 - vectors @ centres[-1])
    return np.stack(centres)


def _largest_first(groups: np.ndarray) -> np.ndarray:
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    ranks = np.empty(len(names), np.int32)
    ranks[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    return ranks[inverse.reshape(-1)]
