"""Settings of the families' configurations: each layer is what transformers makes of it."""

import itertools

import numpy as np
import pytest

import corpusvec
from corpusvec.transforms.models.kinds import describe_model
from tests.family_settings import CASES, GOLDEN, MORE_TOKENS, TEXTS, Case
from tests.model_settings import says
from tests.repository.test_oracles import assert_made_again


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


@pytest.mark.parametrize("name", CASES)
def test_a_scaling_that_does_not_act_is_a_note(name, tmp_path):
    notes = describe_model(str(CASES[name].make(tmp_path))).notes
    assert any("has no rope_type" in note for note in notes) == ("does not act" in name)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("qwen3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}),
        ("nomic_bert", {"rotary_scaling_factor": 2.0}),
    ],
)
def test_positions_that_end_cut_texts_with_a_note(folder, said, tmp_path):
    place = Case(folder, {"max_position_embeddings": 20, **said}, edit=MORE_TOKENS)
    spec = describe_model(str(place.make(tmp_path)))
    assert (spec.max_seq_length, spec.longest) == (20, 20)
    note = (
        "sentence_bert_config.json: max_seq_length is 48; the positions of this model are"
        " implemented for 20 tokens, and longer texts are cut there"
    )
    assert note in spec.notes


def test_a_number_for_any_length(tmp_path):
    """As transformers writes it where a tokenizer has no limit."""
    edit = says("sentence_bert_config.json", max_seq_length=10**30)
    folder = str(Case("qwen3", {}, edit=edit).make(tmp_path))
    assert corpusvec.Embedder(model=folder).embed(["rain " * 300]).shape == (1, 32)


def test_a_modernbert_may_say_that_its_positions_are_rotary(tmp_path):
    """As those of ruri-v3 do; transformers does not ask."""
    plain, said = (
        str(Case("modernbert", more).make(tmp_path / name))
        for name, more in (("plain", {}), ("said", {"position_embedding_type": "rope"}))
    )
    assert describe_model(said).notes == describe_model(plain).notes
    vectors = (corpusvec.Embedder(model=folder).embed(list(TEXTS)) for folder in (said, plain))
    np.testing.assert_array_equal(*vectors)


@pytest.mark.slow
def test_golden_file_is_what_transformers_makes(expected, tmp_path):
    """Where CORPUSVEC_SENTENCE_TRANSFORMERS names a Python that has it."""
    assert_made_again("tests.family_settings", tmp_path / "made.npz", expected)
