"""Configurations that cannot be: each is refused in one sentence that names the file, or changes
nothing, or is a model whose vectors are numbers. No memory is taken for what is only said.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.transformers import configurations
from corpusvec.transforms.models.transformers.folders import of_our_own
from corpusvec.transforms.models.transformers.hugging_face import _checked_weights
from corpusvec.transforms.storage.json_files import read_json
from tests.elements import together
from tests.transforms.models.transformers.test_families import GOLDEN, NAMES, edited, golden
from tests.transforms.models.transformers.test_parity import all_layers

ABSURD = [
    *(10**12, 10**400, 10**9, -1, 0, 1, 3, 7, 2.5, -1.5, 1e308, math.nan, math.inf, "12", ""),
    *("many", True, False, None, [], [1], [None], {}, {"a": 1}, ["full_attention"], "gelu"),
]
MORE = [
    *("rope_scaling", "rope_theta", "head_dim", "is_causal", "sliding_window", "auto_map"),
    *("architectures", "position_embedding_type", "quantization_config", "transformers_weights"),
    *("num_key_value_heads", "attention_bias", "rope_parameters", "layer_types", "pad_token_id"),
]


def places(values, before=()):
    """The keys of an object and of those in it."""
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def put(values, place, value):
    first, *rest = place
    inner = put(values.get(first, {}), rest, value) if rest else value
    return {**values, first: inner}


@st.composite
def mutations(draw):
    name = draw(st.sampled_from(NAMES))
    values = read_json(GOLDEN / name / "config.json")
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from([*places(values), *((key,) for key in MORE)]))
        values = put(values, place, draw(st.sampled_from(ABSURD)))
    return name, values


@settings(deadline=None, max_examples=400)
@given(mutations())
def test_any_configuration_is_read_or_refused_in_one_sentence(mutation):
    """What is read has the shapes of the weights."""
    name, values = mutation
    folder = GOLDEN / name
    try:
        config, notes = configurations.read(values, folder / "config.json")
        _, pooler, _ = _checked_weights(folder, values, config)
    except ValueError as error:
        assert_one_sentence(error, folder)
        return
    assert all("\n" not in note for note in notes)
    assert of_our_own(config, pooler)["parameters"] < 10**6


def assert_one_sentence(error: ValueError, folder: Path):
    said = str(error)
    assert str(folder) in said
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(mutation=mutations())
def test_what_is_read_is_computed(mutation, tmp_path_factory):
    """The same description gives the same layers, another gives numbers."""
    name, values = mutation
    spec, windows, _ = golden(name)
    folder = tmp_path_factory.mktemp("absurd") / name
    shutil.copytree(GOLDEN / name, folder, copy_function=shutil.copyfile)
    (folder / "config.json").write_text(json.dumps(values))
    try:
        changed = describe_model(str(folder))
        encoder = load_encoder(changed, all_layers(changed))
    except ValueError as error:
        assert_one_sentence(error, folder)
        return
    chosen = [one for one in windows.values() if len(one) <= changed.max_seq_length][:3]
    for found, one in zip(encoder.encode(together(chosen)), chosen):
        assert all(np.isfinite(layer).all() for layer in found.layers.values())
        if changed.transformer == spec.transformer:
            (expected,) = load_encoder(spec, all_layers(spec)).encode(together([one]))
            for layer, numbers in found.layers.items():
                np.testing.assert_allclose(numbers, expected.layers[layer], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("roberta", {"num_hidden_layers": 10**12}, "num_hidden_layers must be an integer ≤ 10000"),
        ("qwen3", {"num_attention_heads": -4}, "num_attention_heads must be an integer ≥ 1"),
        ("qwen3", {"head_dim": 10**9}, "heads of 1000000000 dimensions"),
        ("qwen3", {"hidden_size": "32"}, "hidden_size must be an integer ≥ 1, got '32'"),
        ("roberta", {"hidden_size": 33}, "hidden_size 33 cannot be divided among"),
        ("roberta", {"vocab_size": 10**15}, "vocab_size must be an integer ≤ 2147483647"),
        ("t5", {"relative_attention_max_distance": 10**9}, "relative_attention_max_distance"),
        ("deberta_v2", {"max_relative_positions": 10**9}, "max_relative_positions"),
        ("gemma3_text", {"query_pre_attn_scalar": math.nan}, "query_pre_attn_scalar must be a fin"),
        (
            "qwen3",
            {"rope_parameters": {"rope_type": "linear", "factor": 1e-320}},
            "rope_parameters of a linear rope give angles without end",
        ),
        ("eurobert", {"rope_parameters": {"rope_type": "yarn", "factor": "4"}}, "are not whole"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_key(name, said, message, tmp_path):
    with pytest.raises(ValueError, match=f"config.json: .*{message}"):
        describe_model(str(edited(tmp_path, name, **said)))


def test_sizes_that_the_weights_contradict_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"embeddings has the shape \[\d+, 32\], the config.*40\]"):
        describe_model(str(edited(tmp_path, "distilbert", dim=40, n_heads=4)))
