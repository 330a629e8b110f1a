"""Every setting of a model's folder is applied as sentence-transformers applies it, or refused by
name; nothing is passed over in silence.
"""

import re

import ml_dtypes  # noqa: F401  (tells NumPy what bfloat16 is)
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model
from tests.model_settings import APPLIED, GOLDEN, LINES, REFUSED, base, says
from tests.repository.test_oracles import assert_made_again


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN) as vectors:
        return dict(vectors)


def vectors_of(folder, prompt):
    recipe = Settings(model=str(folder), long_text="truncate", prompt=prompt).resolve()
    documents = [Document(str(n), text) for n, text in enumerate(LINES)]
    return np.stack([one.vectors["vector"] for one in LoadedModel(recipe).embed(documents)])


@pytest.mark.parametrize("name", APPLIED)
def test_setting_is_applied_as_sentence_transformers_does(name, expected, tmp_path):
    folder = base(tmp_path / "model")
    APPLIED[name].edit(folder)
    vectors = vectors_of(folder, APPLIED[name].prompt)
    assert vectors.shape == expected[name].shape
    np.testing.assert_allclose(vectors, expected[name], rtol=0, atol=2e-6)


def test_settings_change_vectors(expected):
    """Or the test above would prove nothing."""
    plain = expected["as it is"]
    same = {n for n, v in expected.items() if v.shape == plain.shape and np.array_equal(v, plain)}
    assert len(same) < len(expected) / 2, same


@pytest.mark.parametrize("name", [name for name, case in APPLIED.items() if case.note])
def test_setting_that_is_not_known_is_a_note(name, tmp_path):
    folder = base(tmp_path / "model")
    APPLIED[name].edit(folder)
    (note,) = describe_model(str(folder)).notes
    assert re.search(APPLIED[name].note, note)


@pytest.mark.parametrize("name", REFUSED)
def test_setting_that_is_not_implemented_is_refused_by_file_and_name(name, tmp_path):
    folder = base(tmp_path / "model")
    REFUSED[name].edit(folder)
    with pytest.raises(ValueError, match=REFUSED[name].refusal) as error:
        describe_model(str(folder))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_golden_file_is_what_sentence_transformers_makes(expected, tmp_path):
    """Where CORPUSVEC_SENTENCE_TRANSFORMERS names a Python that has it."""
    assert_made_again("tests.model_settings", tmp_path / "made.npz", expected)


@pytest.mark.parametrize(
    ("stored", "said", "noted"),
    [
        ("float16", None, "float16"),
        ("bfloat16", None, "bfloat16"),
        ("float32", "float16", "float16"),
        ("float16", "float32", None),
        ("float32", "float32", None),
    ],
)
def test_half_precision_is_a_note(stored, said, noted, tmp_path):
    folder = base(tmp_path / "model")
    file = folder / "model.safetensors"
    save_file({key: value.astype(stored) for key, value in load_file(file).items()}, file)
    if said:
        says("config.json", torch_dtype=said)(folder)
    notes = describe_model(str(folder)).notes
    assert [f"this model in {noted}, " in note for note in notes] == ([True] if noted else [])


@pytest.mark.parametrize(
    ("asked", "noted"),
    [
        ({"model_args": {"torch_dtype": "float16"}}, "float16"),
        ({"model_kwargs": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"model_kwargs": {"dtype": "auto"}}, None),
        ({"model_kwargs": {"dtype": "float32"}}, None),
    ],
)
def test_half_precision_that_sentence_transformers_asks_for_is_a_note(asked, noted, tmp_path):
    folder = base(tmp_path / "model")
    says("sentence_bert_config.json", **asked)(folder)
    notes = describe_model(str(folder)).notes
    assert [f"this model in {noted}, " in note for note in notes] == ([True] if noted else [])


def test_usual_settings_are_no_note(tmp_path):
    assert describe_model(str(base(tmp_path / "model"))).notes == ()
