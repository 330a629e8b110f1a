"""The list of intentional differences in docs/models.md is whole, and each is there."""

import re
from pathlib import Path

import numpy as np
import pytest

from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.elements import Document, Failure
from tests.meant_differences import CASES, GOLDEN, vectors_of
from tests.repository.test_oracles import assert_made_again

ROOT = Path(__file__).parents[4]
# Proven in `test_golden_tokens.py`, `test_static_embeddings.py` and `test_japanese_words.py`.
_ELSEWHERE = {
    "Versions 4 and 5 of transformers",
    "A folder of model2vec",
    "With `--long_text=truncate` a folder of model2vec",
    "In a text for MeCab",
}


@pytest.fixture(scope="module")
def originals():
    with np.load(GOLDEN) as vectors:
        return dict(vectors)


def ours(case, place, **settings):
    def encode(folder, texts):
        recipe = Settings(model=str(folder), **settings).resolve()
        documents = [Document(str(n), text) for n, text in enumerate(texts)]
        embedded = LoadedModel(recipe).embed(documents)
        return [one.vectors["vector"] for one in embedded if not isinstance(one, Failure)]

    return vectors_of(case, place, encode)


def test_the_list_in_the_documents_is_whole():
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    (listed,) = re.findall(r"this is the whole list:\n\n(.*?)\n\n", page, re.DOTALL)
    lines = re.findall(r"^- (.*)", listed, re.MULTILINE)
    known = [case.line for case in CASES.values()] + list(_ELSEWHERE)
    assert len(lines) == len(known)
    for line in lines:
        assert sum(line.startswith(start) for start in known) == 1, line


@pytest.mark.parametrize("name", [name for name in CASES if name != "blank texts"])
def test_a_difference_is_there_and_can_be_undone_where_a_flag_is_named(name, originals, tmp_path):
    case, original = CASES[name], originals[f"{name}, together"]
    vectors = ours(case, tmp_path / "ours")
    assert vectors.shape == original.shape
    assert np.abs(vectors - original).max() > 2e-5
    if case.original:
        vectors = ours(case, tmp_path / "original", **case.original)
        np.testing.assert_allclose(vectors, original, rtol=0, atol=2e-6)


def test_half_precision_is_rounding_and_no_more(originals, tmp_path):
    vectors = ours(CASES["half precision"], tmp_path)
    np.testing.assert_allclose(vectors, originals["half precision, together"], rtol=0, atol=5e-3)


def test_a_text_padded_at_the_left_has_the_vector_that_it_has_alone(originals, tmp_path):
    vectors = ours(CASES["padding at the left"], tmp_path)
    np.testing.assert_allclose(vectors, originals["padding at the left, alone"], rtol=0, atol=2e-6)


def test_a_blank_text_has_no_vector_where_the_original_has_one(originals, tmp_path):
    assert np.linalg.norm(originals["blank texts, together"]) > 0.9
    assert not len(ours(CASES["blank texts"], tmp_path))


@pytest.mark.slow
def test_golden_file_is_what_sentence_transformers_makes(originals, tmp_path):
    """Where CORPUSVEC_SENTENCE_TRANSFORMERS names a Python that has it."""
    assert_made_again(
        "tests.meant_differences",
        tmp_path / "made.npz",
        originals,
        lambda name: 1e-3 if name.startswith("half") else 2e-6,
    )
