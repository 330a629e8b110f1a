"""Settings checked against the model, and the fingerprint of all that decides a vector."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest

from corpusvec.pipeline.embedders import Embedder
from corpusvec.pipeline.settings import Settings
from tests.models import TEXTS, hugging_face_folder
from tests.repository.test_end_to_end import manifest_of, write_lines


@pytest.fixture(scope="module")
def prompted(tmp_path_factory) -> str:
    """A model with sentence-transformers' files: mean pooling, normalized, two prompts."""
    folder = tmp_path_factory.mktemp("prompted") / "model"
    prompts = {"query": "the garden: ", "passage": "rain: "}
    modules = ("pooling", "normalize")
    return str(hugging_face_folder(folder, modules=modules, prompts=prompts))


def fingerprint(model: str, markup: str = "strip", **settings) -> str:
    return Settings(model=model, **settings).resolve().describe(markup)["fingerprint"]


CHANGES = {
    "layers": {"layers": "-1"},
    "vectors": {"vectors": "mean@-1"},
    "normalize": {"normalize": True},
    "mask_special": {"mask_special": True},
    "dimensions": {"dimensions": 8},
    "prompt": {"prompt": "rain"},
    "max_seq_length": {"max_seq_length": 20},
    "long_text": {"long_text": "truncate"},
    "window_overlap": {"window_overlap": 3},
    "precision": {"precision": "bfloat16"},
    "vector_dtype": {"vector_dtype": "float16"},
    "do_lower_case": {"do_lower_case": "false"},
    "markup": {"markup": "keep"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_setting_changes_the_fingerprint(tiny, change):
    assert fingerprint(tiny, **change) != fingerprint(tiny)
    assert fingerprint(tiny, **change) == fingerprint(tiny, **change)


def test_other_tokens_of_the_same_texts_are_other_rules(tiny, embed, tmp_path):
    """Where this fails, and the change is meant, raise `_RULES` in `pipeline/settings.py`, and
    correct the digest here.
    """
    texts = [*TEXTS, "Ça va?\tnaïve ﬁne", "İstanbul 東京 ひらがな", "a" * 300, "x-y_z 3,14 €5"]
    source = write_lines(tmp_path / "in.jsonl", [json.dumps({"text": text}) for text in texts])
    outcome = embed(tiny, source, "--layers=-1", "--max_seq_length=16")
    assert manifest_of(outcome)["run"]["rules"] == 2
    rows = outcome.table("tokens").sort_by([("id", "ascending"), ("position", "ascending")])
    said = rows.select(["id", "position", "token", "start", "end"]).to_pylist()
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    assert digest == "7aa509688680029e8a044c522f80617d28c5412686cec85234a411f2ecd7f9c9"


def test_a_model_that_moves_keeps_its_fingerprint_and_one_that_changes_does_not(prompted, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(prompted, moved)
    assert fingerprint(str(moved)) == fingerprint(prompted)
    pooling = moved / "1_Pooling" / "config.json"
    values = json.loads(pooling.read_text())
    values |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    pooling.write_text(json.dumps(values))
    assert fingerprint(str(moved)) != fingerprint(prompted)


def test_nothing_in_the_description_names_a_path(prompted):
    described = Settings(model=prompted, layers="-1").resolve().describe("strip")
    assert "/" not in json.dumps(described)


PROMPTS = {
    "none": (None, ""),
    "by name": ("query", "the garden: "),
    "as text": ("water: ", "water: "),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("asked", "expected"), PROMPTS.values(), ids=PROMPTS)
def test_a_prompt_is_text_or_the_name_of_one_of_the_models(prompted, asked, expected):
    assert Settings(model=prompted, prompt=asked).resolve().windows.prompt == expected


def test_only_what_is_asked_for_is_computed(tiny):
    wanted = Settings(model=tiny, vectors="mean@1").resolve().wanted
    assert (wanted.layers, wanted.pooler) == ((1,), False)
    wanted = Settings(model=tiny, vectors="pooler", layers="0").resolve().wanted
    assert (wanted.layers, wanted.pooler) == ((0,), True)


def test_the_default_vector(tiny, prompted, tmp_path):
    (column,) = Settings(model=tiny).resolve().vectors.columns
    assert (column.name, column.pooling, column.layers) == ("vector", "mean", (1,))
    (column,) = Settings(model=prompted).resolve().vectors.columns
    assert (column.layers, column.modules) == ((2,), ("normalize",))
    single = hugging_face_folder(tmp_path / "single", layers=1)
    (column,) = Settings(model=str(single)).resolve().vectors.columns
    assert column.layers == (1,)


def test_a_prompt_is_in_no_text_and_no_span(embed, prompted, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("the rain\n")
    outcome = embed(prompted, source, "--prompt=query", "--layers=-1")
    assert outcome.code == 0, outcome.err
    (row,) = outcome.table("sentences").to_pylist()
    assert row["text"] == "the rain"
    tokens = outcome.table("tokens").to_pylist()
    assert [t["token"] for t in tokens] == ["[CLS]", "the", "garden", ":", "the", "rain", "[SEP]"]
    spans = [(t["start"], t["end"]) for t in tokens]
    assert spans == [(None, None)] * 4 + [(0, 3), (4, 8), (None, None)]


def test_models_without_a_pooler_say_so(tmp_path):
    folder = hugging_face_folder(tmp_path / "model", with_pooler=False)
    with pytest.raises(ValueError, match="has no pooler"):
        Settings(model=str(folder), vectors="pooler").resolve()


@pytest.mark.parametrize("vectors", [None, "mean@-1,wide=mean_max@1:2"])
def test_the_first_dimensions_are_normalized_anew_where_the_model_normalizes(prompted, vectors):
    whole = Embedder(model=prompted, vectors=vectors).embed_columns(TEXTS[:3])
    for name, short in (
        Embedder(model=prompted, vectors=vectors, dimensions=5).embed_columns(TEXTS[:3]).items()
    ):
        expected = whole[name][:, :5]
        if vectors is None:
            expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(short, expected, atol=1e-6)


def test_more_dimensions_than_there_are_are_refused(prompted):
    with pytest.raises(ValueError, match=r"--dimensions=17: vector has 16 dimensions; use 1 to 16"):
        Settings(model=prompted, dimensions=17).resolve()
    Settings(model=prompted, dimensions=17, vectors="mean@1:2").resolve()


def test_rules_of_tokenizers_that_came_later_change_no_older_recipe(tiny):
    """Nights before them go on without being embedded again."""
    described = Settings(model=tiny).resolve().describe("strip")["tokenizer"]
    assert "bare" not in described
    assert "prefix_space" not in described
