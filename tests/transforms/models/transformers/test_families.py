"""Families of models on tiny folders: every value is what transformers and sentence-transformers
made of the same lines.
"""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import corpusvec
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.transformers import weights
from corpusvec.transforms.models.transformers.families.table import FAMILIES
from corpusvec.transforms.models.transformers.stored_arrays import StoredArrays
from corpusvec.transforms.specs import Wanted
from tests.elements import together
from tests.transforms.models.transformers.test_parity import (
    all_layers,
    assert_close_in_bfloat16,
    encoded_of,
    windows_of,
)

GOLDEN = Path(__file__).parents[3] / "golden" / "families"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
WITH_POOLER = {"albert", "luke", "mpnet", "roberta"}


@functools.cache
def golden(name):
    """The model, the windows of its lines, and what the originals made of them."""
    with np.load(GOLDEN / f"{name}.npz") as stored:
        made = {key: stored[key] for key in stored}
    spec = describe_model(str(GOLDEN / name))
    lines = [(text, None) for text in made["texts"].tolist()]
    return spec, windows_of(spec, lines, int(made["max_seq_length"])), made


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_those_of_transformers(name):
    """Every token is the same, every layer within 1e-5, padded among the others of its batch."""
    spec, windows, made = golden(name)
    encoded, offsets = encoded_of(spec, windows, all_layers(spec)), made["row_offsets"].tolist()
    tokens = made["tokens"].tolist()
    for number, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        assert list(windows[number].tokens) == tokens[start:stop]
        values = made["values"][start:stop]
        for column, layer in enumerate(made["layers"] if len(values) else ()):
            computed = encoded[number].layers[int(layer) % (spec.layer_count + 1)]
            np.testing.assert_allclose(computed, values[:, column], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_sentence_vectors_are_those_of_sentence_transformers(name):
    made = golden(name)[2]
    texts, model = made["texts"].tolist(), str(GOLDEN / name)
    cases = [("", made["sentence_vectors"])]
    if "prompt_name" in made:
        cases.append((str(made["prompt_name"]), made["prompted_vectors"]))
    for prompt, expected in cases:
        embedder = corpusvec.Embedder(model=model, prompt=prompt, long_text="truncate")
        np.testing.assert_allclose(embedder.embed(texts), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_near(name):
    spec, windows, _ = golden(name)
    assert_close_in_bfloat16(spec, windows)


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_change_nothing(name):
    """A window alone gives what it gives beside longer and shorter ones."""
    spec, windows, _ = golden(name)
    chosen = sorted(windows.values(), key=len)[:: len(windows) // 6]
    encoder = load_encoder(spec, all_layers(spec))
    for beside, one in zip(encoder.encode(together(chosen)), chosen):
        (alone,) = encoder.encode(together([one]))
        for layer, values in alone.layers.items():
            np.testing.assert_allclose(beside.layers[layer], values, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model_gives_the_same_vectors(name, tmp_path, capsys):
    from corpusvec.pipeline.cli import main

    source, exported = str(GOLDEN / name), str(tmp_path / "exported")
    assert main(["export-model", source, exported]) == 0
    texts = golden(name)[2]["texts"].tolist()[:9]
    found, expected = (corpusvec.Embedder(model=place).embed(texts) for place in (exported, source))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    capsys.readouterr()


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITH_POOLER))
def test_a_pooler_that_a_model_does_not_have_is_refused(name):
    with pytest.raises(ValueError, match="--vectors=pooler: the model has no pooler"):
        corpusvec.Embedder(model=str(GOLDEN / name), vectors="pooler")


@pytest.mark.parametrize("name", sorted(WITH_POOLER))
def test_a_pooler_is_an_output(name):
    found = corpusvec.Embedder(model=str(GOLDEN / name), vectors="pooler").embed(["abc", "de"])
    assert found.shape == (2, 32)
    assert np.abs(found).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_arrays_have_the_shapes_of_the_configuration_and_are_float32(name):
    spec = describe_model(str(GOLDEN / name))
    arrays = StoredArrays(spec.transformer, list(map(Path, spec.weights)), spec.has_pooler)
    shapes = weights.shapes(spec.transformer, spec.has_pooler)
    assert {key: arrays[key].shape for key in arrays} == shapes
    assert {arrays[key].dtype for key in arrays} == {np.dtype(np.float32)}
    assert spec.parameters == sum(array.size for array in arrays.values())


@pytest.mark.parametrize("name", ["gemma3_text", "modernbert", "qwen3"])
def test_arrays_are_the_same_read_part_by_part(name, monkeypatch):
    from corpusvec.transforms.models.transformers import stored_arrays

    spec = describe_model(str(GOLDEN / name))
    arrays = StoredArrays(spec.transformer, list(map(Path, spec.weights)), pooler=False)
    whole = dict(arrays)
    monkeypatch.setattr(stored_arrays, "_PART", 50)
    for key, values in arrays.items():
        np.testing.assert_array_equal(values, whole[key])


_LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [2.0] * 8,
    "original_max_position_embeddings": 9,
}
# What changes vectors and is not implemented.
REFUSED = [
    ("modernbert", {"layer_types": ["chunked_attention"] * 4}, "layer_types"),
    ("modernbert", {"layer_types": ["full_attention"] * 3}, "layer_types"),
    ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "axial"}}}, "axial"),
    ("qwen3", {"rope_parameters": {"rope_type": "proportional"}}, "proportional"),
    ("qwen3", {"rope_scaling": {"type": "longrope", "long_factor": [1.0]}}, "are not whole"),
    ("qwen3", {"rope_parameters": _LONG | {"short_factor": [1.0] * 7}}, "are not whole"),
    ("qwen3", {"rope_parameters": _LONG | {"long_factor": [0.0] * 8}}, "angles without end"),
    ("modernbert", {"rope_parameters": {"full_attention": {"twist": 1}}}, "twist"),
    ("modernbert", {"hidden_activation": "mish"}, "hidden_activation 'mish'"),
    ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets"),
    ("distilbert", {"activation": "mish"}, "activation 'mish'"),
    ("distilbert", {"n_heads": 5}, "cannot be divided among n_heads 5"),
    ("qwen3", {"layer_types": ["sliding_attention"] * 3}, "use_sliding_window"),
    ("qwen3", {"rope_parameters": {"rope_type": "yarn"}}, "of a yarn rope are not whole"),
    ("qwen3", {"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "full_attention"),
    ("qwen3", {"num_key_value_heads": 3}, "cannot be divided among num_key_value_heads 3"),
    ("qwen3", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ("qwen3", {"head_dim": 15}, "heads of 15 dimensions"),
    ("qwen3", {"rope_parameters": {"rope_theta": []}}, "rope_theta must be a number"),
    ("qwen3", {"rope_parameters": {"rope_theta": 0}}, "rope_theta must be above zero"),
    ("qwen3", {"rope_parameters": {"rope_type": ["yarn"]}}, "rope_type is \\['yarn'\\]"),
    ("gemma3_text", {"rope_parameters": {"full_attention": 1}}, "full_attention must be an object"),
    ("gemma3_text", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
    ("gemma3_text", {"sliding_window": None}, "sliding_window"),
    ("nomic_bert", {"num_experts": 8}, "experts"),
    ("nomic_bert", {"prenorm": True}, "prenorm is True"),
    ("nomic_bert", {"activation_function": "relu"}, "activation_function 'relu'"),
    ("gte", {"logn_attention_scale": True}, "logn_attention_scale"),
    ("gte", {"position_embedding_type": "absolute_too"}, "position_embedding_type"),
    ("deberta_v2", {"conv_kernel_size": 4}, "conv_kernel_size"),
    ("deberta_v2", {"attention_head_size": 4}, "attention_head_size"),
    ("deberta_v2", {"position_buckets": 400}, "position_buckets"),
    ("albert", {"inner_group_num": 5000}, "inner_group_num"),
    ("t5", {"feed_forward_proj": "gated-mish", "dense_act_fn": None}, "feed_forward_proj"),
    ("t5", {"feed_forward_proj": "relu-gated"}, "feed_forward_proj"),
    ("t5", {"is_decoder": True}, "is_decoder"),
    ("t5", {"relative_attention_max_distance": 2}, "relative_attention_max_distance"),
    ("luke", {"is_encoder_decoder": True}, "is_encoder_decoder"),
    ("eurobert", {"auto_map": {"AutoModel": "own.MyBert"}}, "auto_map"),
]


@pytest.mark.parametrize(
    ("name", "said", "reason"), REFUSED, ids=[f"{name}: {key}" for name, _, key in REFUSED]
)
def test_what_is_not_implemented_is_refused_by_file_and_name(name, said, reason, tmp_path):
    with pytest.raises(ValueError, match=rf"config.json: .*{reason}"):
        describe_model(str(edited(tmp_path, name, **said)))


def edited(place, name, **said):
    """A copy of a folder whose configuration says something else; None takes a key out."""
    folder = Path(shutil.copytree(GOLDEN / name, place / name, copy_function=shutil.copyfile))
    file = folder / "config.json"
    values = json.loads(file.read_text()) | said
    file.write_text(json.dumps(values))
    return folder


# Other spellings of what a folder says: the vectors stay as they are.
SPELLINGS = {
    "modernbert before rope_parameters": (
        "modernbert",
        {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0},
        ("rope_parameters", "layer_types"),
    ),
    "qwen3 before rope_parameters": (
        "qwen3",
        {"rope_theta": 10000.0, "torch_dtype": "float32"},
        ("rope_parameters", "layer_types", "dtype"),
    ),
    "qwen3 with rope_scaling beside them": ("qwen3", {"rope_scaling": {"type": "default"}}, ()),
    "gemma3 before rope_parameters": (
        "gemma3_text",
        {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 3},
        ("rope_parameters", "layer_types"),
    ),
    "nomic's own program": (
        "nomic_bert",
        {
            "n_embd": 32,
            "n_head": 4,
            "n_inner": 80,
            "n_layer": 3,
            "n_positions": 128,
            "rotary_emb_base": 1000,
            "rotary_emb_fraction": 1.0,
            "rotary_scaling_factor": None,
            "activation_function": "swiglu",
            "prenorm": False,
            "layer_norm_epsilon": 1e-12,
            "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling.NomicBertModel"},
        },
        (
            *("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"),
            *("hidden_act", "rope_parameters", "max_position_embeddings", "head_dim"),
            "layer_norm_eps",
        ),
    ),
    "gte's own program": (
        "gte",
        {
            "model_type": "new",
            "rope_theta": 160000,
            "position_embedding_type": "rope",
            "pack_qkv": True,
            "unpad_inputs": False,
            "layer_norm_type": "layer_norm",
            "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
        },
        ("rope_parameters",),
    ),
    "t5 with a decoder": ("t5", {"is_encoder_decoder": True}, ("dense_act_fn", "is_gated_act")),
    "deberta's kinds in one text": ("deberta_v2", {"pos_att_type": "p2c|c2p"}, ()),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_older_spellings_give_the_same_vectors(case, tmp_path):
    name, said, gone = SPELLINGS[case]
    folder = edited(tmp_path, name, **said)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({key: value for key, value in values.items() if key not in gone})
    )
    made = golden(name)[2]
    embedder = corpusvec.Embedder(model=str(folder), long_text="truncate")
    found = embedder.embed(made["texts"].tolist())
    np.testing.assert_allclose(found, made["sentence_vectors"], rtol=0, atol=1e-5)
    assert not [note for note in describe_model(str(folder)).notes if "does not know" in note]


def test_layers_of_shared_weights_are_one_graph():
    """ALBERT has three layers, and the weights and graphs of one."""
    from corpusvec.transforms.models.transformers.forward import Graphs

    spec = describe_model(str(GOLDEN / "albert"))
    arrays = StoredArrays(spec.transformer, list(map(Path, spec.weights)), pooler=False)
    graphs = Graphs.build(spec.transformer, Wanted((3,)), arrays)
    assert len(graphs.usual.layers) == 3
    assert len({id(function) for function, _ in graphs.usual.layers}) == 1


@pytest.mark.parametrize(
    "name", ["gemma3_text", "modernbert", "mpnet", "nomic_bert", "qwen3", "roberta", "t5"]
)
def test_attention_block_by_block_is_attention_at_once(name, monkeypatch):
    """Blocks of 5 queries; the windows of attention are longer and shorter than these."""
    from corpusvec.transforms.models.transformers import forward
    from corpusvec.transforms.models.transformers.blocks import attention

    spec, windows, _ = golden(name)
    batch = together([windows[number] for number in range(0, 40, 5)])
    expected = load_encoder(spec, all_layers(spec)).encode(batch)
    monkeypatch.setattr(forward, "LONG", 0)
    monkeypatch.setattr(attention, "BLOCK", 5)
    for found, one in zip(load_encoder(spec, all_layers(spec)).encode(batch), expected):
        for layer, values in one.layers.items():
            np.testing.assert_allclose(found.layers[layer], values, rtol=0, atol=1e-5)


def test_every_family_is_named_in_the_refusal_of_another():
    assert len(FAMILIES) == 19
    for kind in FAMILIES:
        assert FAMILIES[kind].names
