"""The tiny SavedModels are what they say: plain TensorFlow loads them and gets their references."""

from pathlib import Path

import numpy as np
import pytest

from tests.models import TEXTS
from tests.oracles import bert
from tests.saved_models import (
    BERT_INPUTS,
    NAN_WORD,
    RAISING_WORD,
    STRING_KINDS,
    bert_saved_model,
    bert_saved_model_weights,
    keras_bert_saved_model,
    strings_reference,
    strings_saved_model,
    tf1_style_bert,
    token_lookup,
    tokens_reference,
    unknown_reference,
    unknown_signature,
)

CLOSE = {"rtol": 0, "atol": 1e-5}


def load(path, **options):
    import tensorflow as tf

    return tf.saved_model.load(str(path), **options)


def token_ids(length, rows=3, seed=0):
    """ids, mask, segments [rows, length] int32, the rows of different lengths."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 90, (rows, length)).astype(np.int32)
    mask = (np.arange(length) < np.arange(length, length - rows, -1)[:, None]).astype(np.int32)
    return ids, mask, generator.integers(0, 2, ids.shape).astype(np.int32)


def assert_bert(outputs, weights, inputs):
    """`outputs` by the names of the contract equal the reference, where the mask is set."""
    layers, pooled = bert(*weights, *inputs)
    seen = inputs[1] > 0
    for name, value in outputs.items():
        if name == "encoder_outputs":
            assert len(value) == len(layers) - 1
            for one, layer in zip(value, layers[1:]):
                np.testing.assert_allclose(one.numpy()[seen], layer[seen], **CLOSE)
        elif name == "sequence_output":
            np.testing.assert_allclose(value.numpy()[seen], layers[-1][seen], **CLOSE)
        else:
            np.testing.assert_allclose(value, pooled, **CLOSE)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": 3, "hidden": 24, "heads": 4, "seed": 7},
        {"encoder_outputs": False, "default": False},
        {"training_traces": (True, False)},
        {"sentencepiece": True},
        {"ids": "int64"},
    ],
    ids=["plain", "other sizes", "last layer only", "training first", "SentencePiece", "int64"],
)
def test_bert_saved_model_follows_the_contract(options, tmp_path):
    import tensorflow as tf

    model = load(bert_saved_model(tmp_path, **options))
    inputs = token_ids(7)
    named = {
        name: tf.constant(value, options.get("ids", "int32"))
        for name, value in zip(BERT_INPUTS, inputs)
    }
    kept = {
        key: value
        for key, value in options.items()
        if key in ("layers", "hidden", "heads", "seed", "sentencepiece")
    }
    weights = bert_saved_model_weights(**kept)
    outputs = model(named, training=False)
    assert ("encoder_outputs" in outputs) == options.get("encoder_outputs", True)
    assert_bert(outputs, weights, inputs)
    assert_bert(model.signatures["serving_default"](**named), weights, inputs)
    assert bool(model.do_lower_case.numpy())
    kind, name = ("sp_model_file", "wiki-ja.model"), ("vocab_file", "vocab.txt")
    attribute, file = kind if "sentencepiece" in options else name
    assert Path(getattr(model, attribute).asset_path.numpy().decode()) == (
        tmp_path / "assets" / file
    )
    if "training_traces" in options:
        assert len(model.__call__.concrete_functions) == 2
        assert model.__call__.concrete_functions[0].structured_input_signature[0][1] is True
        trained = model(named, training=True)["pooled_output"]
        assert np.abs(trained - outputs["pooled_output"]).max() > 0.1


def test_bert_saved_model_of_a_fixed_length_has_its_signature_only(tmp_path):
    model = load(bert_saved_model(tmp_path, fixed_length=24, do_lower_case=None, asset=False))
    inputs = token_ids(24)
    signature = model.signatures["serving_default"]
    assert {tuple(spec.shape) for spec in signature.structured_input_signature[1].values()} == {
        (None, 24)
    }
    outputs = signature(**dict(zip(BERT_INPUTS, inputs)))
    assert_bert(outputs, bert_saved_model_weights(fixed_length=24), inputs)
    assert not callable(model)
    assert not hasattr(model, "do_lower_case")
    assert not list((tmp_path / "assets").iterdir())


def test_bert_saved_model_of_the_first_versions_has_lists(tmp_path):
    model = load(bert_saved_model(tmp_path, positional=True))
    inputs = token_ids(5)
    pooled, sequence = model(list(inputs), training=False)
    outputs = {"pooled_output": pooled, "sequence_output": sequence}
    assert_bert(outputs, bert_saved_model_weights(), inputs)


@pytest.mark.parametrize("how", ["save", "export"])
def test_bert_of_keras_follows_the_contract(how, tmp_path):
    import tensorflow as tf

    model = load(keras_bert_saved_model(tmp_path, how=how))
    inputs = token_ids(6)
    named = dict(zip(BERT_INPUTS, inputs))
    outputs = (
        model(named, False, None)
        if how == "save"
        else model.signatures["serve"](**{name: tf.constant(ids) for name, ids in named.items()})
    )
    assert_bert(outputs, bert_saved_model_weights(), inputs)
    assert (tmp_path / "assets" / "vocab.txt").is_file() == (how == "save")


def test_tf1_style_bert_has_the_signature_tokens(tmp_path):
    model = load(tf1_style_bert(tmp_path))
    ids, mask, segments = token_ids(6)
    assert list(model.signatures) == ["tokens"]
    outputs = model.signatures["tokens"](input_ids=ids, input_mask=mask, segment_ids=segments)
    assert set(outputs) == {"sequence_output", "pooled_output"}
    assert_bert(outputs, bert_saved_model_weights(), (ids, mask, segments))


SENTENCES = (TEXTS[0], "", f"the garden and {NAN_WORD}", "猫 は 窓辺 で", "tomatoes  are red")


@pytest.mark.parametrize("kind", STRING_KINDS)
def test_model_of_strings_gives_its_reference(kind, tmp_path):
    import tensorflow as tf

    model = load(strings_saved_model(tmp_path, kind))
    batches = [[text] for text in SENTENCES] if kind == "batch_of_one" else [list(SENTENCES)]
    assert callable(model) == (kind not in ("signature_only", "batch_of_one"))
    for texts in batches:
        expected = strings_reference(kind, texts)
        served = model.signatures["serving_default"](inputs=tf.constant(texts))
        if "default" in expected:
            served = {"default": served["outputs"]}
        assert set(served) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(served[name], value, **CLOSE)
        if callable(model):
            called = model(tf.constant(texts))
            called = called if isinstance(called, dict) else {"default": called}
            for name, value in expected.items():
                np.testing.assert_allclose(called[name], value, **CLOSE)


def test_models_of_strings_misbehave_as_they_say(tmp_path):
    import tensorflow as tf

    alone, beside = (
        strings_reference("padding_sensitive", texts)["default"][0]
        for texts in (SENTENCES[4:], SENTENCES)
    )
    assert np.abs(alone - beside[-1]).max() > 0.1
    assert np.isnan(strings_reference("nan_on", SENTENCES)["default"]).any(1).tolist() == [
        NAN_WORD in text for text in SENTENCES
    ]
    raising = load(strings_saved_model(tmp_path, "raises_on"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        raising(tf.constant(["the garden", f"and {RAISING_WORD}"]))


def test_token_lookup_gives_a_row_for_each_token(tmp_path):
    import tensorflow as tf

    model = load(token_lookup(tmp_path))
    tokens = ["garden", "xyzzy", "quiet", "", "猫"]
    np.testing.assert_array_equal(model(tf.constant(tokens)), tokens_reference(tokens))
    assert len({row.tobytes() for row in tokens_reference(tokens)}) > 3


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [("strings", SENTENCES), ("ids", [[5, 6, 7], [8, 0, 0]])],
    ids=["strings", "token ids"],
)
def test_unknown_signature_gives_its_reference(kind, inputs, tmp_path):
    import tensorflow as tf

    model = load(unknown_signature(tmp_path, kind))
    assert list(model.signatures) == ["embed_v2"]
    name, dtype = ("sentence", "string") if kind == "strings" else ("ids", "int64")
    outputs = model.signatures["embed_v2"](**{name: tf.constant(inputs, dtype)})
    for n, expected in enumerate(unknown_reference(inputs)):
        assert set(expected) == set(outputs)
        for key, value in expected.items():
            whole = outputs[key][n].numpy()
            np.testing.assert_allclose(whole[: len(value)], value, **CLOSE)
