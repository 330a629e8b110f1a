"""Neighbours beside plain sorting, and what two sets of vectors share of them."""

from __future__ import annotations

import numpy as np
import pytest

from corpusvec.pipeline.comparisons import columns


def by_sorting(vectors: np.ndarray, count: int) -> list[set[int]]:
    """The nearest by cosine, one document at a time; of those as near the first."""
    found = []
    for place, one in enumerate(vectors.astype(float)):
        others = []
        for other, vector in enumerate(vectors.astype(float)):
            size = np.linalg.norm(one) * np.linalg.norm(vector)
            cosine = one @ vector / size if size else 0.0
            if other != place:
                others.append((-round(cosine, 6), other))
        found.append({other for _, other in sorted(others)[:count]})
    return found


def vectors(count: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


TWINS = np.repeat(vectors(20, 3, 4), 3, axis=0)
ZEROS = np.concatenate([vectors(15, 4, 5), np.zeros((6, 4), np.float32)])


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (vectors(60, 8, 0), 10),
        (100 * vectors(200, 2, 1), 10),
        (vectors(5, 3, 2), 4),
        (TWINS, 10),
        (ZEROS, 10),
        (np.ones((30, 4), np.float32), 10),
    ],
    ids=["few", "near", "all others", "twins", "zeros", "one vector for all"],
)
@pytest.mark.parametrize("block", [1, 1 << 22], ids=["row by row", "at once"])
def test_the_nearest_are_those_of_sorting(found, count, block, monkeypatch):
    monkeypatch.setattr(columns, "_BLOCK", block)
    assert [set(row) for row in columns.nearest(found, count).tolist()] == by_sorting(found, count)


def test_what_is_kept_is_what_both_have():
    old, new = vectors(80, 6, 0), vectors(80, 9, 1) + np.pad(vectors(80, 6, 0), ((0, 0), (0, 3)))
    there = np.arange(80) % 7 != 0  # the others have no new vector
    places = np.flatnonzero(there)
    after = [{places[other] for other in row} for row in by_sorting(new[there], 10)]
    expected = np.zeros(80)
    for place, row in zip(places, after):
        expected[place] = len(by_sorting(old, 10)[place] & row) / 10
    assert np.allclose(columns.neighbours_kept(old, new, there, 10), expected)
    assert 0.2 < expected[there].mean() < 0.9


def test_rounding_moves_nobody():
    for old in (vectors(300, 16, 0), TWINS):
        new = old * np.float32(1 + 1e-7) + np.float32(1e-9)
        assert columns.neighbours_kept(old, new, np.ones(len(old), bool), 10).min() == 1


def test_one_vector_for_all_keeps_nearly_nothing():
    old, there = vectors(500, 16, 0), np.ones(500, bool)
    assert columns.neighbours_kept(old, np.ones_like(old), there, 10).mean() < 0.05


@pytest.mark.parametrize("left", [0, 1])
def test_without_new_vectors_nothing_is_kept(left):
    old = vectors(20, 4, 0)
    assert columns.neighbours_kept(old, old, np.arange(20) < left, 10).max() == 0


def test_cosines_and_lengths():
    old = np.array([[3, 4], [0, 0], [0, 0], [1, 0]], np.float32)
    new = np.array([[6, 8], [0, 0], [1, 0], [0, 2]], np.float32)
    assert columns.cosines(old, new).tolist() == [1, 1, 0, 0]
    assert columns.lengths(old).tolist() == [5, 0, 0, 1]
