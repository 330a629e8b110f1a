"""Rows of the output: how much memory they are taken to need."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from corpusvec.transforms.columns import Documents, Sentences, TokenRows
from corpusvec.transforms.elements import Document, Failure
from corpusvec.transforms.snapshots.schemas import size_of

LARGE = "x" * 1_000_000


def sentence(**parts):
    documents = Documents.of([Document(**{"id": "d", "text": "t", **parts})])
    one = np.ones(1, np.int64)
    return Sentences(documents, {"v": np.zeros((1, 4), np.float32)}, one, one, one, one)


def tokens(id_, n, text="t"):
    none, names = np.zeros((n, 2), np.int32), pa.array(["t"] * n)
    documents = Documents.of([Document(id_, text)])
    return TokenRows(documents, np.array([n]), names, none[:, 0], none, {"v": np.zeros((n, 4))})


LARGE_ROWS = {
    "text": sentence(text=LARGE),
    "pair": sentence(pair=LARGE),
    "id": sentence(id=LARGE),
    "source": sentence(source=LARGE),
    "metadata": sentence(metadata={"a": "b", "c": LARGE}),
    "key of metadata": sentence(metadata={LARGE: ""}),
    "vectors": tokens("d", 40_000),
    "tokens' id": tokens("x" * 1_000, 1_000),
    "tokens' text": tokens("d", 4, LARGE),
    "rejected id": Failure("read", LARGE, "", 1, "bad"),
    "rejected source": Failure("read", "d", LARGE, 1, "bad"),
    "error": Failure("read", "d", "", 1, LARGE),
    "detail": Failure("read", "d", "", 1, "bad", LARGE),
}


@pytest.mark.parametrize("row", LARGE_ROWS.values(), ids=LARGE_ROWS)
def test_whatever_is_large_in_a_row_counts(row):
    """Rows are kept until so many bytes are together: what does not count can fill the memory."""
    assert 1_000_000 < size_of(row) < 4_000_000


def test_a_small_row_is_small():
    assert size_of(sentence()) < 1_000
