"""A corpus seen from above: places, groups, and the words of groups."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.maps import positions as layouts
from corpusvec.transforms.maps.clusters import clusters, how_many
from corpusvec.transforms.maps.words import distinguishing_words, words_of


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def bundles(sizes: list[int], width: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a few directions, and which of them each belongs to."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.eye(len(sizes), width)
    return unit(centres[of] + 0.05 * random.standard_normal((len(of), width))), of


def test_bundles_are_found_whole_and_the_largest_is_the_first():
    vectors, of = bundles([5, 20, 11])
    groups = clusters(vectors, 3)
    assert [set(groups[of == one]) for one in (1, 2, 0)] == [{0}, {1}, {2}]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_every_document_has_a_group_and_no_group_is_empty(count, k, seed):
    vectors = unit(np.random.default_rng(seed).standard_normal((count, 4)) + 0.01)
    groups = clusters(vectors, k)
    sizes = np.bincount(groups)
    assert len(groups) == count
    assert 1 <= len(sizes) <= k
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert (clusters(vectors, k) == groups).all()


def test_equal_texts_are_one_group():
    assert set(clusters(np.ones((9, 1), np.float32), 4)) == {0}


def test_groups_are_few_enough_to_have_colours():
    assert [how_many(count) for count in (1, 2, 8, 200, 10_000)] == [1, 1, 2, 10, 12]


def test_principal_components_keep_distances_of_points_in_a_plane(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    random = np.random.default_rng(1)
    plane = random.standard_normal((30, 2)) * [3, 1]
    turned, _ = np.linalg.qr(random.standard_normal((10, 10)))
    places = layouts.positions((plane @ turned[:2]).astype(np.float32))
    assert layouts.method(30) == layouts.PCA
    assert places.min() == pytest.approx(0, abs=1e-6)
    assert places.max() == pytest.approx(1, abs=1e-6)
    here = np.linalg.norm(places[:, None] - places[None], axis=2)
    there = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    ratios = here[there > 0] / there[there > 0]
    assert ratios.std() < 1e-4 * ratios.mean()


@pytest.mark.parametrize(
    "vectors",
    [np.ones((1, 8)), np.ones((5, 8)), np.eye(2, 8), np.ones((3, 1))],
    ids=["one", "all alike", "two", "one dimension"],
)
def test_few_documents_have_places_too(vectors):
    places = layouts.positions(vectors.astype(np.float32))
    assert places.shape == (len(vectors), 2)
    assert np.isfinite(places).all()
    assert (places >= 0).all()
    assert (places <= 1).all()


@pytest.mark.filterwarnings("ignore")  # its own, about what else it could do
def test_umap_keeps_bundles_together_where_it_is_installed():
    pytest.importorskip("umap")
    vectors, of = bundles([20, 20])
    places = layouts.positions(vectors)
    assert layouts.method(40) == layouts.UMAP
    middles = [places[of == one].mean(axis=0) for one in (0, 1)]
    nearer = np.linalg.norm(places[:, None] - np.stack(middles), axis=2).argmin(axis=1)
    assert (nearer == of).all()


WORDS = {
    "english": ("The tomatoes are ripening on 3 plants", {"tomatoes", "ripening", "plants"}),
    "japanese": ("私はトマトの苗木を植える", {"トマト", "苗木"}),
    "both": ("Python で CSV を読む方法", {"python", "csv", "方法"}),
    "an address": ("a https://example.com/tomatoes b", set()),
    "korean": ("토마토 심기", {"토마토", "심기"}),
    "accents": ("Käse naïve", {"käse", "naïve"}),
}


@pytest.mark.parametrize(("text", "words"), WORDS.values(), ids=WORDS)
def test_words_of(text, words):
    assert words_of(text) == words


def test_words_of_a_group_are_those_that_others_have_not():
    garden = ["tomatoes in the garden, notes"] * 4 + ["basil in the garden, notes"] * 2
    code = ["python reads files, notes"] * 3 + ["python writes tables, notes"] * 3
    first, second = distinguishing_words([*garden, *code], [0] * 6 + [1] * 6)
    assert set(first) == {"garden", "tomatoes", "basil"}
    assert first[0] == "garden"
    assert second[0] == "python"
    assert "notes" not in {*first, *second}
    assert not {*first} & {*second}


def test_a_word_that_is_part_of_another_is_not_said_twice():
    texts = ["民主主義 主義 民主主義"] * 3 + ["犬猫"] * 3
    assert distinguishing_words(texts, [0, 0, 0, 1, 1, 1]) == [["民主主義"], ["犬猫"]]


def test_one_group_has_words_too():
    assert distinguishing_words(["tomatoes", "tomatoes and basil"], [0, 0]) == [["tomatoes"]]
