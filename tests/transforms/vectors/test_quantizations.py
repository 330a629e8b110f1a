"""Vectors of bytes and bits are, to the last bit, those of sentence-transformers; what is restored
of them lies as near as it can.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from corpusvec.transforms.specs import Quantization
from corpusvec.transforms.vectors.quantizations import (
    Restored,
    quantization_in,
    quantized,
    ranges_of,
    read_ranges,
    restored,
)
from tests.quantized_vectors import CASES, GOLDEN, SMALL
from tests.repository.test_oracles import made_again

FLOATS = st.floats(-1e3, 1e3, width=32)
MATRICES = arrays.arrays(
    np.float32, st.tuples(st.integers(2, 9), st.integers(1, 20)), elements=FLOATS
)
TINY = np.finfo(np.float32).tiny  # numbers below it have fewer digits


def quantization(dtype: str, width: int, ranges: np.ndarray) -> Quantization:
    both = tuple(map(tuple, ranges.tolist())) if dtype == "int8" else None
    return Quantization(dtype, width, both)


def assert_same(made, expected):
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_sentence_transformers(name, dtype):
    vectors, ranges = CASES[name]
    with np.load(GOLDEN) as golden:
        expected = golden[f"{name}, {dtype}"]
    assert_same(quantized(vectors, quantization(dtype, vectors.shape[1], ranges)), expected)


@pytest.mark.slow
def test_sentence_transformers_still_makes_them(tmp_path):
    made = made_again("tests.quantized_vectors", tmp_path / "made.npz")
    with np.load(GOLDEN) as golden:
        assert set(made) == set(golden)
        for name in golden:
            assert_same(made[name], golden[name])


@settings(deadline=None)
@given(MATRICES)
def test_a_restored_number_is_half_a_bucket_away_at_most(vectors):
    how = Quantization("int8", vectors.shape[1], ranges_of(vectors))
    again = restored(quantized(vectors, how), how)
    least, greatest = np.array(how.ranges)
    # float32 has so many digits of the least, and of how far away the number is.
    slack = 1e-6 * (np.abs(least) + np.abs(greatest)) + TINY
    assert again.dtype == np.float32
    # The greatest number alone has a bucket of its own, which begins with it.
    assert (np.abs(again - vectors) <= (greatest - least) / 255 / 2 + slack).all()


@settings(deadline=None)
@given(MATRICES, st.sampled_from(["binary", "ubinary"]))
def test_a_restored_bit_is_the_sign(vectors, dtype):
    how = Quantization(dtype, vectors.shape[1])
    stored = quantized(vectors, how)
    assert stored.shape == (len(vectors), -(-vectors.shape[1] // 8))
    np.testing.assert_array_equal(restored(stored, how), np.where(vectors > 0, 1, -1))


@settings(deadline=None)
@given(MATRICES, st.sampled_from(SMALL), st.data())
def test_rows_are_restored_as_they_are_taken(vectors, dtype, data):
    how = quantization(dtype, vectors.shape[1], np.array(ranges_of(vectors)))
    stored = quantized(vectors, how)
    whole, matrix = restored(stored, how), Restored(stored, how)
    assert matrix.shape == whole.shape
    places = data.draw(
        arrays.arrays(
            np.int64,
            st.tuples(st.integers(1, 4), st.integers(1, 3)),
            elements=st.integers(0, len(vectors) - 1),
        )
    )
    norms = np.linalg.norm(whole.astype(np.float64), axis=1)
    unit = whole / np.where(norms > 0, norms, 1)[:, None]
    for rows in (slice(0, 3), places[0], places):
        np.testing.assert_array_equal(matrix[rows], whole[rows])
        np.testing.assert_allclose(matrix.unit(norms)[rows], unit[rows], rtol=1e-6, atol=TINY)


def test_ranges_are_the_same_after_json():
    vectors, _ = CASES["of length 1"]
    how = Quantization("int8", 16, ranges_of(vectors))
    told = {"ranges": how.ranges, "dimensions": 16, "dtype": "int8"}
    again = quantization_in(json.loads(json.dumps({"quantization": {"v": told}})), "v")
    assert again == how
    assert quantization_in({"vector_dtype": "float32"}, "v") is None


BOTH = [[-1.0, -0.5], [1.0, 2.0]]
FILES = {
    "an array": ("r.npy", np.array(BOTH, np.float32)),
    "lists": ("r.json", BOTH),
    "by column": ("r.json", {"v": BOTH, "w": [[0], [1]]}),
    "a manifest": ("manifest.json", {"run": {"quantization": {"v": {"ranges": BOTH}}}}),
}


def written(tmp_path, name, told) -> str:
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, told)
    else:
        path.write_text(told if isinstance(told, str) else json.dumps(told))
    return str(path)


@pytest.mark.parametrize(("name", "told"), FILES.values(), ids=FILES)
def test_a_file_of_ranges(tmp_path, name, told):
    assert read_ranges(written(tmp_path, name, told), ["v"]) == {"v": tuple(map(tuple, BOTH))}


REFUSED = {
    "none there": ("no.npy", None, "cannot be read as .npy or JSON"),
    "no JSON": ("r.json", "{", "cannot be read as .npy or JSON"),
    "objects": ("r.npy", np.array([{}]), "cannot be read as .npy or JSON"),
    "another column": ("r.json", {"w": BOTH}, "has no ranges of v; there are those of: w"),
    "a manifest of floats": ("r.json", {"run": {}}, "there are those of: none"),
    "a list for a recipe": ("r.json", {"run": {"quantization": [1]}}, "there are those of: none"),
    "a recipe without": ("r.json", {"run": {"quantization": {"v": {}}}}, "those of: none"),
    "a number for a column": ("r.json", {"run": {"quantization": {"v": 3}}}, "those of: none"),
    "nested too deeply": ("r.json", "[" * 100_000, "cannot be read as .npy or JSON"),
    "one row": ("r.json", [1, 2], "have the shape [2]"),
    "three rows": ("r.npy", np.zeros((3, 2)), "have the shape [3, 2]"),
    "no dimension": ("r.npy", np.zeros((2, 0)), "have the shape [2, 0]"),
    "of two lengths": ("r.json", [[1, 2], [3]], "are no two rows of numbers"),
    "words": ("r.json", [["a"], ["b"]], "are no two rows of numbers"),
    "dates": ("r.npy", np.array([["2026-01-01"]] * 2, "M8[D]"), "are no two rows of numbers"),
    "complex numbers": ("r.npy", np.ones((2, 2)) * 1j, "are no two rows of numbers"),
    "beyond any float": ("r.json", f"[[0], [{'9' * 400}]]", "are no two rows of numbers"),
    "beyond float32": ("r.json", [[0], [1e60]], "must be finite numbers"),
    "too far apart": (
        "r.json",
        [[-3e38], [3e38]],
        "must be finite numbers with finite differences",
    ),
    "upside down": ("r.npy", np.array([[1.0], [0.0]]), "not above its greatest"),
    "not finite": ("r.json", "[[0], [NaN]]", "must be finite numbers"),
}


@pytest.mark.parametrize(("name", "told", "said"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_holds_no_ranges_is_named(tmp_path, name, told, said):
    path = str(tmp_path / name) if told is None else written(tmp_path, name, told)
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        read_ranges(path, ["v"])
    assert str(refused.value).startswith(f"--vector_ranges={path}: ")
    assert "\n" not in str(refused.value)


def test_an_array_is_of_one_column(tmp_path):
    path = written(tmp_path, *FILES["an array"])
    with pytest.raises(ValueError, match="has the ranges of one column, and there are v, w; give"):
        read_ranges(path, ["v", "w"])
