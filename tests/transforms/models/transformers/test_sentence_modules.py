"""What a sentence-transformers model says of its vector is done as sentence-transformers does it.

Source: sentence_transformers/models, Pooling.forward, Dense.forward, Normalize.forward.
"""

import itertools
import json
import math
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.elements import OWN, PROMPT, SPECIAL
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.specs import VectorColumn, VectorPlan
from corpusvec.transforms.vectors.documents import DocumentVectors
from tests.elements import together, window
from tests.models import POOLING_MODES, hugging_face_folder
from tests.oracles import gelu_exact

HIDDEN, LAYERS = 8, 2


def encoded(roles, seed=0):
    """A document of one window with random values in its last layer."""
    length = len(roles)
    skipped = 1 + roles.count(PROMPT) if PROMPT in roles else 0
    one = window([0] * length, roles=np.array(roles, np.int8), n_skipped=skipped)
    values = np.random.default_rng(seed).normal(0, 1, (length, HIDDEN)).astype(np.float32)
    return Encoded(together([one]), {LAYERS: values[None]}, {})


def vector_of(folder, document, **plan):
    spec = describe_model(str(folder))
    vectors = DocumentVectors(VectorPlan(spec.default_columns, **plan))
    (sentence,) = vectors.finish(vectors.parts(document)).sentences
    assert list(sentence.vectors) == ["vector"]
    return sentence.vectors["vector"]


def pooled(values, modes, first=0):
    """Pooling.forward with an attention mask that is 0 for the tokens before `first`."""
    values = values.astype(np.float64)
    kept, weights = values[first:], np.arange(first + 1, len(values) + 1)[:, None]
    meanings = {
        "cls_token": kept[0],
        "max_tokens": kept.max(axis=0),
        "mean_tokens": kept.sum(axis=0) / len(kept),
        "mean_sqrt_len_tokens": kept.sum(axis=0) / math.sqrt(len(kept)),
        "weightedmean_tokens": (kept * weights).sum(axis=0) / weights.sum(),
        "lasttoken": values[-1],
    }
    return np.concatenate([meanings[mode] for mode in modes])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with pooling only, whose pooling file the tests write."""
    return hugging_face_folder(
        tmp_path_factory.mktemp("model") / "m", hidden=HIDDEN, layers=LAYERS, modules=("pooling",)
    )


def write_pooling(model, **settings):
    said = {"word_embedding_dimension": HIDDEN, **settings}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(said))


SHORT = [SPECIAL, OWN, OWN, OWN, SPECIAL]
EVERY_CHOICE = [
    modes
    for count in range(1, len(POOLING_MODES) + 1)
    for modes in itertools.combinations(POOLING_MODES, count)
]


@pytest.mark.parametrize("modes", EVERY_CHOICE, ids="+".join)
def test_every_combination_of_pooling_modes(modes, model):
    """Switches have an order of their own: cls, max, mean, mean_sqrt, weighted mean, last."""
    flags = {f"pooling_mode_{mode}": mode in modes for mode in reversed(POOLING_MODES)}
    write_pooling(model, **flags)
    document = encoded(SHORT)
    expected = pooled(document.layers[LAYERS][0], modes)
    np.testing.assert_allclose(vector_of(model, document), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "modes"),
    [
        ({"pooling_mode": "mean"}, ["mean_tokens"]),
        ({"pooling_mode": "cls"}, ["cls_token"]),
        ({"pooling_mode": ["mean", "max"]}, ["mean_tokens", "max_tokens"]),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, ["mean_sqrt_len_tokens"]),
        ({"pooling_mode": ["lasttoken", "weightedmean"]}, ["lasttoken", "weightedmean_tokens"]),
        ({"pooling_mode": ["mean", "cls", "mean"]}, ["mean_tokens", "cls_token", "mean_tokens"]),
        ({}, ["mean_tokens"]),
        ({"pooling_mode_cls_token": True}, ["cls_token"]),
        ({"pooling_mode_mean_tokens": False}, ["mean_tokens"]),
        ({"pooling_mode": "max", "pooling_mode_cls_token": True}, ["max_tokens"]),
    ],
    ids=[
        "name",
        "cls",
        "list",
        "long name",
        "the rarer ones",
        "one twice",
        "nothing said",
        "a switch alone",
        "no switch is on",
        "the newer name counts",
    ],
)
def test_other_ways_to_say_the_pooling(settings, modes, model):
    write_pooling(model, **settings)
    document = encoded(SHORT)
    expected = pooled(document.layers[LAYERS][0], modes)
    np.testing.assert_allclose(vector_of(model, document), expected, rtol=0, atol=1e-6)


def test_newer_name_of_the_width(model):
    settings = {"embedding_dimension": HIDDEN, "pooling_mode": "cls"}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    document = encoded(SHORT)
    np.testing.assert_array_equal(vector_of(model, document), document.layers[LAYERS][0][0])


@pytest.mark.parametrize(
    "modes", [*((mode,) for mode in POOLING_MODES), ("cls_token", "lasttoken")]
)
@pytest.mark.parametrize(
    ("include_prompt", "roles", "first"),
    [
        (True, [SPECIAL, PROMPT, PROMPT, OWN, OWN, SPECIAL], 0),
        (False, [SPECIAL, PROMPT, PROMPT, OWN, OWN, SPECIAL], 3),
        (False, SHORT, 0),
    ],
    ids=["included", "left out", "left out, but there is none"],
)
def test_prompt_counts_or_not(modes, include_prompt, roles, first, model):
    flags = {f"pooling_mode_{mode}": mode in modes for mode in POOLING_MODES}
    write_pooling(model, include_prompt=include_prompt, **flags)
    document = encoded(roles)
    expected = pooled(document.layers[LAYERS][0], modes, first)
    np.testing.assert_allclose(vector_of(model, document), expected, rtol=0, atol=1e-6)


ACTIVATIONS = {
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.ReLU": lambda x: np.maximum(x, 0),
    "torch.nn.modules.activation.Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "torch.nn.modules.activation.GELU": gelu_exact,
}


@pytest.mark.parametrize("modules", [("dense",), ("dense", "normalize"), ("normalize", "dense")])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda name: name.rsplit(".", 1)[-1])
def test_steps_after_the_pooling(activation, bias, modules, tmp_path):
    """Dense layers and normalization in the order of modules.json."""
    folder = hugging_face_folder(
        tmp_path,
        hidden=HIDDEN,
        layers=LAYERS,
        modules=("pooling", *modules),
        pooling=("cls_token", "mean_tokens"),
        dense={"out_features": 5, "bias": bias, "activation_function": activation},
    )
    document = encoded(SHORT)
    vector = pooled(document.layers[LAYERS][0], ("cls_token", "mean_tokens"))
    for n, module in enumerate(modules, start=2):
        if module == "normalize":
            vector = vector / np.sqrt((vector**2).sum())
        else:
            linear = load_file(folder / f"{n}_Dense" / "model.safetensors")
            vector = linear["linear.weight"].astype(np.float64) @ vector
            vector = ACTIVATIONS[activation](vector + linear.get("linear.bias", 0))
    result = vector_of(folder, document)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, vector, rtol=0, atol=1e-6)


def test_two_dense_layers(tmp_path):
    folder = hugging_face_folder(
        tmp_path, hidden=HIDDEN, layers=LAYERS, modules=("pooling", "dense", "dense")
    )
    vector = pooled(encoded(SHORT).layers[LAYERS][0], ("mean_tokens",))
    for name in ("2_Dense", "3_Dense"):
        linear = load_file(folder / name / "model.safetensors")
        vector = np.tanh(linear["linear.weight"] @ vector + linear["linear.bias"])
    np.testing.assert_allclose(vector_of(folder, encoded(SHORT)), vector, rtol=0, atol=1e-6)


def test_a_layer_norm(tmp_path):
    folder = hugging_face_folder(
        tmp_path, hidden=HIDDEN, layers=LAYERS, modules=("pooling", "layer_norm")
    )
    vector = pooled(encoded(SHORT).layers[LAYERS][0], ("mean_tokens",))
    norm = load_file(folder / "2_LayerNorm" / "model.safetensors")
    vector = (vector - vector.mean()) / np.sqrt(vector.var() + 1e-5)
    vector = vector * norm["norm.weight"] + norm["norm.bias"]
    np.testing.assert_allclose(vector_of(folder, encoded(SHORT)), vector, rtol=0, atol=1e-6)


def test_dense_layer_in_bfloat16(tmp_path):
    """Read without TensorFlow, too, which is what usually tells NumPy of the type."""
    folder = hugging_face_folder(tmp_path, modules=("pooling", "dense"))
    file = folder / "2_Dense" / "model.safetensors"
    save_file({k: v.astype(ml_dtypes.bfloat16) for k, v in load_file(file).items()}, file)
    program = (
        "from corpusvec.transforms.models.kinds import describe_model;"
        f" describe_model({str(folder)!r})"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_normalize_is_asked_for_by_the_model_or_by_the_user(tmp_path):
    folder = hugging_face_folder(tmp_path, hidden=HIDDEN, layers=LAYERS, modules=("pooling",))
    plain = vector_of(folder, encoded(SHORT))
    normalized = vector_of(folder, encoded(SHORT), normalize=True)
    assert np.linalg.norm(plain) != pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(normalized, plain / np.linalg.norm(plain), rtol=0, atol=1e-6)


def test_large_values_in_a_sigmoid_are_no_warning(tmp_path):
    folder = hugging_face_folder(
        tmp_path,
        hidden=HIDDEN,
        layers=LAYERS,
        modules=("pooling", "dense"),
        dense={"activation_function": "torch.nn.modules.activation.Sigmoid"},
    )
    document = encoded(SHORT)
    large = Encoded(document.windows, {LAYERS: document.layers[LAYERS] * 1000}, {})
    assert set(np.round(vector_of(folder, large))) <= {0, 1}


# Of sentence-transformers 6.2, all that corpusvec does not run.
OTHERS = [
    *("base.modules.input_module.InputModule", "base.modules.module.Module"),
    "cross_encoder.modules.logit_score.LogitScore",
    *("models.BoW", "models.CLIPModel", "models.CNN", "models.LSTM", "models.WordEmbeddings"),
    *("models.WeightedLayerPooling", "models.WordWeights"),
    "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "multi_vector_encoder.modules.token_pooling.TokenPooling",
    *("sentence_transformer.modules.bow.BoW", "sentence_transformer.modules.lstm.LSTM"),
    *("sentence_transformer.modules.clip_model.CLIPModel", "sentence_transformer.modules.cnn.CNN"),
    "sentence_transformer.modules.weighted_layer_pooling.WeightedLayerPooling",
    "sentence_transformer.modules.word_embeddings.WordEmbeddings",
    "sentence_transformer.modules.word_weights.WordWeights",
    "sparse_encoder.modules.mlm_transformer.MLMTransformer",
    "sparse_encoder.modules.sparse_auto_encoder.SparseAutoEncoder",
    "sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding",
    "sparse_encoder.modules.splade_pooling.SpladePooling",
]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_module_that_is_not_run_is_refused_by_name(name, place, tmp_path):
    folder = hugging_face_folder(tmp_path, modules=("pooling", "dense"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[place]["type"] = f"sentence_transformers.{name}"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=rf"modules.json: the class \S*{name} is not") as error:
        describe_model(str(folder))
    assert "\n" not in str(error.value)


def test_model_in_folders_of_its_own(tmp_path):
    """Older models keep the transformer in `0_Transformer`."""
    folder = hugging_face_folder(tmp_path / "m", modules=("pooling",), max_seq_length=20)
    inner = folder / "0_Transformer"
    inner.mkdir()
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    for name in (*names, "sentence_bert_config.json"):
        (folder / name).rename(inner / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    spec = describe_model(str(folder))
    assert (spec.max_seq_length, spec.weights) == (20, (str(inner / "model.safetensors"),))
    assert spec.default_columns[0].pooling == "mean"


def test_model_without_modules_gets_the_mean_of_its_second_to_last_layer(tmp_path):
    columns = describe_model(str(hugging_face_folder(tmp_path, layers=3))).default_columns
    assert columns == (VectorColumn("vector", "mean", (2,)),)
