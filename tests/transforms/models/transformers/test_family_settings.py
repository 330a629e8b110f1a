"""Settings of the families' configurations: each layer is what transformers makes of it."""

import itertools

import numpy as np
import pytest

import corpusvec
from corpusvec.transforms.models.kinds import describe_model
from tests.family_settings import CASES, GOLDEN, TEXTS
from tests.repository.test_oracles import made_again


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN) as vectors:
        return dict(vectors)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_that_of_transformers(name, expected, tmp_path):
    """In one batch, of which some texts are longer than `original_max_position_embeddings`."""
    folder = str(CASES[name].make(tmp_path))
    embedder = corpusvec.Embedder(model=folder, vectors="mean@all/concat", long_text="truncate")
    np.testing.assert_allclose(embedder.embed(list(TEXTS)), expected[name], rtol=0, atol=1e-5)


def test_settings_change_vectors(expected):
    """Or the test above would prove nothing."""
    alike = {
        (one, other)
        for one, other in itertools.combinations(expected, 2)
        if np.array_equal(expected[one], expected[other])
    }
    assert alike == {("longrope", "longrope in the older spelling")}


@pytest.mark.parametrize("name", CASES)
def test_a_rope_that_depends_on_the_length_is_a_note(name, tmp_path):
    notes = describe_model(str(CASES[name].make(tmp_path))).notes
    long = "longrope" in name and "never long" not in name
    assert any("longrope" in note for note in notes) == long


@pytest.mark.slow
def test_golden_file_is_what_transformers_makes(expected, tmp_path):
    """Where CORPUSVEC_SENTENCE_TRANSFORMERS names a Python that has it."""
    made = made_again("tests.family_settings", tmp_path / "made.npz")
    assert set(made) == set(expected)
    for name, vectors in made.items():
        np.testing.assert_allclose(vectors, expected[name], rtol=0, atol=2e-6, err_msg=name)
