"""The nearest vectors, found by blocks: those that brute force finds, in the same order."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.links import neighbours
from corpusvec.transforms.links.neighbours import Vectors, nearest, pairs_above


def cosines(matrix: np.ndarray) -> np.ndarray:
    exact = matrix.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    lengths[lengths == 0] = 1
    return np.round(exact @ exact.T / lengths[:, None] / lengths, 12)


def brute(matrix: np.ndarray, count: int, order: np.ndarray, left_out=None) -> list[list[int]]:
    scores = cosines(matrix)
    found = []
    for row, own in enumerate(scores):
        hidden = {row, *(left_out(row).tolist() if left_out else ())}
        ranked = [at for at in np.lexsort((order, -own)).tolist() if at not in hidden][:count]
        found.append(ranked + [-1] * (count - len(ranked)))
    return found


def random(n: int, width: int, seed: int, twins: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((n, width)).astype(np.float32)
    matrix[generator.integers(0, n, twins)] = matrix[0]
    return matrix


CORPORA = {
    "several blocks": random(2_500, 16, 0),
    "of length 1": random(300, 8, 1) / np.linalg.norm(random(300, 8, 1), axis=1, keepdims=True),
    "many that are equal": random(1_200, 12, 2, twins=700),
    "all equal": np.ones((150, 4), np.float32),
    "with zeros": np.concatenate([random(40, 4, 3), np.zeros((30, 4), np.float32)]),
    "fewer than are asked for": random(5, 3, 4),
    "two": random(2, 3, 5),
    "one": random(1, 3, 6),
}


@pytest.mark.parametrize("matrix", CORPORA.values(), ids=CORPORA)
def test_they_are_those_of_brute_force_and_of_equals_the_first_by_id(matrix, monkeypatch):
    monkeypatch.setattr(neighbours, "COLUMNS", 600)
    order = np.random.default_rng(7).permutation(len(matrix))
    found = nearest(Vectors(matrix, order), 10)
    assert found.places.tolist() == brute(matrix, 10, order)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 5), st.integers(1, 12))
def test_what_is_left_out_is_not_found(seed, n, width, count):
    matrix = np.random.default_rng(seed).integers(-2, 3, (n, width)).astype(np.float32)

    def left_out(row):
        return np.random.default_rng(seed + row).integers(0, n, n // 2)

    order = np.random.default_rng(seed).permutation(n)
    found = nearest(Vectors(matrix, order), count, left_out=left_out)
    assert found.places.tolist() == brute(matrix, count, order, left_out)


def test_a_question_may_find_every_row():
    matrix = random(50, 6, 8)
    found = nearest(Vectors(matrix, np.arange(50)), 3, matrix[[4, 9]])
    assert found.places[:, 0].tolist() == [4, 9]
    assert np.allclose(found.scores[:, 0], 1)


def test_pairs_above_are_each_named_once():
    matrix = random(400, 5, 9, twins=30)
    found = {(one, other) for one, other, _ in pairs_above(Vectors(matrix, np.arange(400)), 0.97)}
    rows, columns = np.nonzero(np.triu(cosines(matrix) >= 0.97, 1))
    assert found == set(zip(rows.tolist(), columns.tolist()))
    assert len(found) > 300


@pytest.mark.slow
def test_it_takes_less_than_twice_as_long_as_the_product_alone():
    matrix = random(30_000, 384, 10)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ratios = []
    for _ in range(3):
        start = time.perf_counter()
        for at in range(0, len(matrix), neighbours.ROWS):
            np.matmul(matrix[at : at + neighbours.ROWS], matrix.T)
        alone = time.perf_counter() - start
        start = time.perf_counter()
        nearest(Vectors(matrix, np.arange(len(matrix))), 10)
        ratios.append((time.perf_counter() - start) / alone)
    assert min(ratios) < 2


MANY = """
import numpy as np, tempfile
from corpusvec.transforms.links.neighbours import Vectors, nearest
from corpusvec.transforms.measures.clocks import peak_memory
with tempfile.TemporaryFile() as file:
    matrix = np.memmap(file, np.float32, "w+", shape=(1_000_000, 384))
for at in range(0, len(matrix), 50_000):
    some = np.random.default_rng(at).standard_normal((50_000, 384)).astype(np.float32)
    matrix[at : at + 50_000] = some / np.linalg.norm(some, axis=1, keepdims=True)
vectors = Vectors(matrix, np.arange(len(matrix)))
nearest(vectors, 10, matrix[:2_048])
print(peak_memory())
"""


@pytest.mark.slow
def test_a_million_documents_fit_in_two_gibibytes():
    """What a row block takes is the same for all of them: two are enough."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 << 30
