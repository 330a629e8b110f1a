"""A run without the prompt that a model's card asks for says so once, with the flag to type."""

import json

import pytest

from corpusvec.pipeline.settings import Settings
from tests.models import hugging_face_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hugging_face_folder(tmp_path_factory.mktemp("models") / "model")


def notes_of(folder, **flags):
    return Settings(model=str(folder), **flags).resolve().notes


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("multilingual-e5-small", "--prompt='passage: '"),
        ("e5-large-v2", "--prompt='passage: '"),
        ("nomic-embed-text-v1.5", "--prompt='search_document: '"),
        ("ruri-v3-310m", "--prompt='検索文書: '"),
        ("ruri-base-v2", "--prompt='文章: '"),
        ("bge-small-en-v1.5", "--prompt='Represent this sentence for searching relevant"),
        ("bge-base-zh", "--prompt='为这个句子生成表示以用于检索相关文章：'"),
        ("mxbai-embed-large-v1", "embed queries with --prompt='Represent this"),
        ("snowflake-arctic-embed-m-v2.0", "embed queries with --prompt='query: '"),
        ("snowflake-arctic-embed-xs", "embed queries with --prompt='Represent this"),
        ("multilingual-e5-large-instruct", None),
        ("bge-m3", None),
        ("gte-base", None),
        ("all-MiniLM-L6-v2", None),
        ("my-recipe5-base", None),
    ],
)
def test_models_are_known_by_their_names(name, flag, folder, tmp_path):
    place = tmp_path / name
    place.symlink_to(folder)
    notes = notes_of(place)
    assert len(notes) == (flag is not None)
    assert not flag or flag in notes[0]
    assert not notes_of(place, prompt="")
    assert not notes_of(place, prompt="query: ")


@pytest.mark.parametrize(("default", "count"), [(None, 1), ("query", 0)], ids=["none", "default"])
def test_a_model_that_brings_its_prompt_needs_no_note(default, count, tmp_path):
    prompts = {"query": "query: ", "passage": "passage: "}
    place = hugging_face_folder(
        tmp_path / "e5-base", modules=("pooling",), prompts=prompts, default_prompt=default
    )
    assert len(notes_of(place)) == count


def test_a_model_is_known_by_its_configuration_and_in_a_cache(tmp_path):
    place = tmp_path / "models--intfloat--e5-base" / "snapshots" / "1a2b"
    assert "card of models--intfloat--e5-base" in notes_of(hugging_face_folder(place))[0]
    place = hugging_face_folder(tmp_path / "mine")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "_name_or_path": "intfloat/e5-base"}))
    assert notes_of(place) == (
        "this run has no prompt, and the card of e5-base asks for one: embed with"
        " --prompt='passage: ', and queries with --prompt='query: '",
    )
