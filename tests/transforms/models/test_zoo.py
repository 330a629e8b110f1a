"""The tiny SavedModels are what they say: plain TensorFlow loads them and gets their references."""

from pathlib import Path

import numpy as np
import pytest

from tests.hub_modules import (
    bert_module,
    bert_module_weights,
    elmo,
    elmo_reference,
    nnlm,
    nnlm_reference,
    tf1_saved_bert,
    use,
    use_lite,
    use_lite_reference,
    use_reference,
    word2vec_lookup,
)
from tests.models import TEXTS
from tests.oracles import bert
from tests.repository.test_oracles import GOLDEN
from tests.saved_models import (
    BERT_INPUTS,
    BROKEN,
    NAN_WORD,
    RAISING_WORD,
    STRING_KINDS,
    bert_saved_model,
    bert_saved_model_weights,
    break_model,
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


@pytest.mark.parametrize("make", [tf1_style_bert, tf1_saved_bert])
def test_bert_of_tf1_for_serving_has_the_signature_tokens(make, tmp_path):
    model = load(make(tmp_path / "model"))
    assert (tmp_path / "model" / "assets" / "vocab.txt").is_file()
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


# -------------------------------------------------------------------------------- TF1 Hub modules


def run(folder, signature, **inputs):
    import tensorflow as tf

    module = load(folder, tags=[])
    outputs = module.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.parametrize("padding_sensitive", [True, False], ids=["sensitive", "insensitive"])
def test_elmo_gives_its_reference(padding_sensitive, tmp_path):
    folder = elmo(tmp_path / "elmo", padding_sensitive=padding_sensitive)
    sentences = [["a", "b", "c", "d", "e"], ["猫", "は"], [], ["a"]]
    tokens = [[*words, *[""] * (5 - len(words))] for words in sentences]
    of_strings = run(folder, "default", strings=[" ".join(words) for words in sentences])
    of_tokens = run(folder, "tokens", tokens=tokens, sequence_len=list(map(len, sentences)))
    beside = elmo_reference(sentences, longest=5, padding_sensitive=padding_sensitive)
    for n, expected in enumerate(beside):
        for name, value in expected.items():
            for outputs in (of_strings, of_tokens):
                whole = outputs[name][n]
                np.testing.assert_allclose(whole[: len(value)], value, **CLOSE)
    assert of_strings["word_emb"].shape[2] == 12
    assert of_strings["elmo"].shape[2] == 24
    alone = elmo_reference(sentences, padding_sensitive=padding_sensitive)
    change = np.abs(alone[1]["lstm_outputs2"] - beside[1]["lstm_outputs2"]).max()
    assert (change > 0.01) == padding_sensitive
    np.testing.assert_array_equal(alone[0]["elmo"], beside[0]["elmo"])
    assert np.isnan(alone[2]["default"]).all()


@pytest.mark.parametrize(
    ("make", "reference", "options"),
    [
        (use, use_reference, {}),
        (nnlm, nnlm_reference, {}),
        (nnlm, nnlm_reference, {"init_collection": "legacy_init_op"}),
        (nnlm, nnlm_reference, {"init_collection": "saved_model_main_op"}),
        (nnlm, nnlm_reference, {"parts": 3}),
        (nnlm, nnlm_reference, {"train_graph": True, "input_name": "sentences"}),
    ],
    ids=["USE", "NNLM", "legacy initialiser", "main op", "partitioned", "sentences"],
)
def test_module_of_strings_gives_its_reference(make, reference, options, tmp_path):
    folder = make(tmp_path / "module", **options)
    name = options.get("input_name", "text")
    outputs = run(folder, "default", **{name: list(SENTENCES)})
    np.testing.assert_allclose(outputs["default"], reference(SENTENCES), **CLOSE)


def test_word2vec_lookup_gives_a_row_for_each_token(tmp_path):
    folder = word2vec_lookup(tmp_path / "module")
    tokens = ["garden", "xyzzy", "quiet", "", "猫"]
    outputs = run(folder, "default", tokens=tokens)
    np.testing.assert_array_equal(outputs["default"], tokens_reference(tokens))
    assert load(folder, tags=["train"]).signatures["default"]


def test_use_lite_gives_its_reference(tmp_path):
    import sentencepiece

    folder = use_lite(tmp_path / "module")
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "assets" / "spm.model"))
    ids = [pieces.encode(text) for text in SENTENCES]
    indices = [(row, place) for row, one in enumerate(ids) for place in range(len(one))]
    outputs = run(
        folder,
        "default",
        values=np.concatenate(ids).astype(np.int64),
        indices=np.array(indices, np.int64),
        dense_shape=np.array([len(ids), max(map(len, ids))], np.int64),
    )
    np.testing.assert_allclose(outputs["default"], use_lite_reference(SENTENCES), **CLOSE)
    assert run(folder, "spm_path") == {"default": b"SAVEDMODEL-ASSET"}


@pytest.mark.parametrize(
    "options",
    [{}, {"do_lower_case": False}, {"train_graph": True, "mlm": True, "layers": 1}],
    ids=["plain", "cased", "with more than is needed"],
)
def test_bert_module_gives_its_reference(options, tmp_path):
    folder = bert_module(tmp_path / "module", **options)
    ids, mask, segments = token_ids(6)
    outputs = run(folder, "tokens", input_ids=ids, input_mask=mask, segment_ids=segments)
    kept = {key: options[key] for key in ("do_lower_case", "layers") if key in options}
    assert set(outputs) == {"sequence_output", "pooled_output"}
    seen = mask > 0
    layers, pooled = bert(*bert_module_weights(**kept), ids, mask, segments)
    np.testing.assert_allclose(outputs["sequence_output"][seen], layers[-1][seen], **CLOSE)
    np.testing.assert_allclose(outputs["pooled_output"], pooled, **CLOSE)
    info = run(folder, "tokenization_info")
    assert info["do_lower_case"] == options.get("do_lower_case", True)
    assert (folder / "assets" / "vocab.txt").is_file()
    assert ("mlm" in load(folder, tags=[]).signatures) == options.get("mlm", False)


def test_hub_modules_have_the_form_of_the_published_ones(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    def form(folder):
        content = (folder / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
        return {
            "files": sorted(str(file.relative_to(folder)) for file in folder.rglob("*")),
            "hub": (folder / "tfhub_module.pb").read_bytes(),
            "tags": list(graph.meta_info_def.tags),
            "fields": sorted(field.name for field, _ in graph.ListFields()),
            "collections": sorted(graph.collection_def),
            "signatures": {
                name: (
                    {key: info.dtype for key, info in signature.inputs.items()},
                    {key: info.dtype for key, info in signature.outputs.items()},
                )
                for name, signature in graph.signature_def.items()
            },
        }

    for make, name in ((elmo, "elmo"), (use, "use"), (use_lite, "use_lite"), (bert_module, "bert")):
        assert form(make(tmp_path / name)) == form(GOLDEN / "tf1_hub" / name)


# ----------------------------------------------------------------------------------- broken models


def answers(folder, tags):
    """Whether plain TensorFlow loads the model of word vectors at `folder`, runs it, and it gives
    what it declares. (A TF1 module with a variable of another shape loads and runs.)
    """
    import tensorflow as tf

    try:
        (signature,) = load(folder, tags=tags).signatures.values()
        (vectors,) = signature(tf.constant(["the garden", "onemore49"])).values()
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError):
        return False
    return vectors.shape == (2, 16)


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("kind", ["TF1 Hub module", "SavedModel"])
def test_broken_model_is_one_that_tensorflow_cannot_run(kind, how, tmp_path):
    if kind == "SavedModel":
        whole, tags = strings_saved_model(tmp_path / "whole", "nnlm"), None
    else:
        whole, tags = nnlm(tmp_path / "whole"), []
    assert answers(whole, tags)
    assert not answers(break_model(whole, how, tmp_path / "broken"), tags)


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("make", [bert_saved_model, bert_module])
def test_broken_bert_differs_from_the_whole_one(make, how, tmp_path):
    def contents(folder):
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(folder): file.read_bytes() for file in files}

    whole = make(tmp_path / "whole")
    assert contents(whole) != contents(break_model(whole, how, tmp_path / "broken"))
