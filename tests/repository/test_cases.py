"""Inputs and model folders made after public bug reports, with the right outcome of each."""

import os
import re
import shutil

import numpy as np
import pytest


@pytest.fixture
def case(shared, tmp_path):
    """`case(name)` -> a copy of its folder."""
    return lambda name: shutil.copytree(shared / "cases" / name, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("dense_use_residual", ()),
        ("pooling_order", ()),
        ("processing_kwargs_max_length", ()),
        ("special_token_in_prompt", ("--prompt=document",)),
        ("truncate_dim", ()),
    ],
)
def test_vectors_are_those_of_the_original(name, flags, case, embed):
    folder = case(name)
    outcome = embed(folder / "model", folder / "texts.txt", "--long_text=truncate", *flags)
    assert outcome.code == 0, outcome.err
    table = outcome.table("sentences").sort_by("source_row")
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_allclose(vectors, np.load(folder / "expected.npy"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("custom_module_class", r"modules\.json: .*my_pooling\.Pooling"),
        ("int8_weights", r"config\.json: quantization_config"),
        ("lfs_pointer", r"model\.safetensors: is a Git LFS pointer.*git lfs pull"),
    ],
)
def test_model_is_refused_by_the_name_of_what_is_wrong(name, says, case, embed):
    folder = case(name)
    outcome = embed(folder / "model", folder / "texts.txt")
    assert outcome.code == 2
    assert re.search(says, outcome.err)
    assert not (outcome.output / "LATEST").exists()


@pytest.mark.parametrize("file", ["u16le.txt", "u16ja.txt", "iso2022jp.txt"])
def test_input_in_another_encoding_is_refused(file, case, embed, tiny):
    folder = case("utf16_without_bom")
    outcome = embed(tiny, folder / file)
    assert outcome.code == 2
    assert re.search(rf"{file}.*(UTF-16|ISO-2022-JP).*UTF-8", outcome.err)
    assert not (outcome.output / "LATEST").exists()


def test_pipe_that_a_pattern_matches_is_named(case, embed, tiny):
    folder = case("fifo_in_glob")
    os.mkfifo(folder / "pipe.txt")
    outcome = embed(tiny, folder / "*.txt")
    assert "pipe.txt" in outcome.err


def test_scrapbox_notation_is_read_as_cosense_shows_it(case, embed, tiny):
    folder = case("scrapbox_notation")
    outcome = embed(tiny, folder / "notes.json", "--layers=-1")
    assert outcome.code == 0, outcome.err
    tokens = [token.lower() for token in outcome.table("tokens")["token"].to_pylist()]
    assert not {"n35", "139", "z14"} & set(tokens)
