"""What is read of SavedModels and TF1 Hub modules before they are loaded: the function to call,
what it gives, how texts are cut for it, and what is wrong with one that is not whole.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.saved_models import asset_tokenizers, choices, ids, signatures
from corpusvec.transforms.models.saved_models.choices import adapter_of, chosen, digest
from corpusvec.transforms.models.saved_models.functions import in_parts
from corpusvec.transforms.specs import OUTPUT, Asked, Signature, Tensor, VectorColumn, Wanted
from tests.model_zoo import MODELS, asked_of, described, made
from tests.models import hugging_face_folder
from tests.saved_models import BROKEN, break_model


def describe(name: str, **asked: str):
    return describe_model(str(made(name)), Asked(**(asked_of(name) | asked)))


def own(output: str):
    return VectorColumn("vector", OUTPUT, output=output)


def mean(layer):
    return VectorColumn("vector", "mean", (layer,))


BERT_OUTPUTS = ("pooler", "default", "pooled_output")
# Name -> signature, layers, outputs, default column, longest input.
GIVES: dict[str, tuple[Any, ...]] = {
    "bert": ("__call__", (1, 2), BERT_OUTPUTS, mean(1), 64),
    "bert, other sizes": ("__call__", (1, 2, 3), BERT_OUTPUTS, mean(2), 64),
    "bert, last layer": ("__call__", (-1,), ("pooler", "pooled_output"), mean(-1), 64),
    "bert, training first": ("__call__", (1, 2), BERT_OUTPUTS, mean(1), 64),
    "bert, serving_default": ("serving_default", (-1,), BERT_OUTPUTS, mean(-1), 64),
    "bert, fixed length": ("serving_default", (-1,), BERT_OUTPUTS, mean(-1), 128),
    "bert, positional": ("__call__", (-1,), ("pooler", "0"), mean(-1), 64),
    "bert, no pooler": ("__call__", (1, 2), (), mean(1), 64),
    "keras save": ("__call__", (1, 2), BERT_OUTPUTS, mean(1), 64),
    "keras export": ("serving_default", (-1,), BERT_OUTPUTS, mean(-1), 64),
    "tf1 style": ("tokens", (-1,), ("pooler", "pooled_output"), mean(-1), 64),
    "bert module": ("tokens", (-1,), ("pooler", "pooled_output"), mean(-1), 64),
    "tf1 saved": ("tokens", (-1,), ("pooler", "pooled_output"), mean(-1), 64),
    "unknown ids": ("embed_v2", (-1,), ("vec",), own("vec"), None),
    "elmo": ("default", (0, 1, 2, "elmo"), ("default",), own("default"), None),
    "elmo, tokens": ("tokens", (0, 1, 2, "elmo"), ("default",), own("default"), None),
    "token lookup": ("__call__", (0,), (), mean(0), None),
    "word2vec": ("default", (0,), (), mean(0), None),
    "use lite": ("default", (), ("default",), own("default"), None),
    "use": ("default", (), ("default",), own("default"), None),
    "nnlm": ("default", (), ("default",), own("default"), None),
    "strings, use": ("__call__", (), ("default",), own("default"), None),
    "strings, multi": ("__call__", (), ("narrow", "wide"), own("wide"), None),
    "strings, signature": ("serving_default", (), ("outputs",), own("outputs"), None),
    "unknown strings": ("embed_v2", (), ("logits", "vec"), own("vec"), None),
}


@pytest.mark.parametrize("name", GIVES)
def test_what_a_model_gives(name):
    spec = described(name)
    signature, layers, outputs, column, longest = GIVES[name]
    assert spec.kind == MODELS[name].kind
    assert spec.signature.name == signature
    assert (spec.layers, spec.outputs) == (layers, outputs)
    assert spec.default_columns == (column,)
    assert spec.longest == longest
    strings = spec.kind == "saved_strings"
    assert (spec.tokenizer is None) == strings
    bert = spec.kind == "saved_bert"
    assert bool(spec.specials) == spec.pairs == bert
    assert spec.parameters > 0


def test_the_width_is_that_of_the_highest_layer_or_of_the_vector():
    widths = {name: described(name).hidden_size for name in ("bert", "elmo", "use", "use lite")}
    assert widths == {"bert": 16, "elmo": 24, "use": 16, "use lite": 16}
    assert described("bert, other sizes").hidden_size == 24


def test_the_trace_without_dropout_is_chosen_whatever_its_place():
    for name in ("bert, training first", "keras save"):
        spec = described(name)
        assert spec.signature.training is False
        assert adapter_of(replace(spec.signature, training=True)) is None


def test_of_traces_that_a_python_value_tells_apart_the_usual_one_is_run(tmp_path):
    """The default value's, which is what a call of the loaded model runs too."""
    from corpusvec.transforms.models.hardware import tf
    from corpusvec.transforms.models.probes import text_windows

    def call(texts, unit=False):
        return tf.fill([tf.shape(texts)[0], 4], 0.5 if unit else 3.0)

    root, spec = tf.train.Checkpoint(), tf.TensorSpec([None], tf.string)
    root.__call__ = tf.function(call)
    for unit in (True, False):
        root.__call__.get_concrete_function(spec, unit=unit)
    tf.saved_model.save(root, str(tmp_path / "model"))
    described_ = describe_model(str(tmp_path / "model"))
    encoder = load_encoder(described_, Wanted((), described_.outputs))
    assert encoder.encode(text_windows("a"))[0].outputs["default"].tolist() == [3.0] * 4


def test_another_function_is_named_where_it_would_read_a_text_in_another_way(tmp_path):
    import tensorflow as tf

    strings, words = (tf.TensorSpec([None], tf.string, name) for name in ("texts", "tokens"))
    function = tf.function(lambda text: {"default": tf.zeros([tf.size(text), 4])})
    model = tf.Module()
    model.function = function
    signatures = {
        "default": function.get_concrete_function(words),
        "sentences": function.get_concrete_function(strings),
    }
    tf.saved_model.save(model, str(tmp_path), signatures)
    assert describe_model(str(tmp_path)).kind == "saved_words"
    (note,) = describe_model(str(tmp_path)).notes
    assert note.startswith("default is called; --signature=sentences would call another")
    for name in ("bert", "elmo"):  # their other signatures give the same
        assert not any("--signature" in note for note in described(name).notes)


def strings_model(folder, **functions) -> str:
    """A SavedModel with a signature for each of `functions` of texts."""
    import tensorflow as tf

    texts = tf.TensorSpec([None], tf.string, "texts")
    signatures = {
        name: tf.function(function).get_concrete_function(texts)
        for name, function in functions.items()
    }
    tf.saved_model.save(tf.Module(), str(folder), signatures)
    return str(folder)


def zeros(texts):
    import tensorflow as tf

    return {"default": tf.zeros([tf.shape(texts)[0], 4])}


def test_of_functions_that_nobody_knows_the_others_are_named(tmp_path):
    model = strings_model(tmp_path / "a", question_encoder=zeros, response_encoder=zeros)
    (note,) = describe_model(model).notes
    assert note.startswith("question_encoder is called; --signature=response_encoder would call")
    assert describe_model(model, Asked(signature="response_encoder")).notes == ()
    twins = strings_model(tmp_path / "b", serve=zeros, serving_default=zeros)  # as Keras 3 has them
    assert describe_model(twins).notes == ()


def test_dropout_is_left_out_whatever_the_argument_is_called(tmp_path):
    import tensorflow as tf

    def call(texts, is_training):
        return tf.fill([tf.shape(texts)[0], 4], 9.0 if is_training else 1.0)

    root, texts = tf.train.Checkpoint(), tf.TensorSpec([None], tf.string, "texts")
    root.__call__ = tf.function(call)
    for value in (True, False):
        root.__call__.get_concrete_function(texts, value)
    tf.saved_model.save(root, str(tmp_path / "model"))
    assert describe_model(str(tmp_path / "model")).signature.training is False


def test_what_unnamed_inputs_are_taken_for_is_said():
    (note,) = [note for note in described("bert, positional").notes if "do not say" in note]
    assert note.endswith("are taken for ids, mask, types, in this order")


def test_a_folder_that_is_a_link_counts_in_the_digest(tmp_path):
    model = shutil.copytree(made("use"), tmp_path / "model")
    (model / "variables").rename(tmp_path / "elsewhere")
    (model / "variables").symlink_to(tmp_path / "elsewhere")
    before = digest(str(model))
    assert before == described("use").digest
    data = tmp_path / "elsewhere" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1] + b"\x00")
    assert digest(str(model)) != before


# ----------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize(
    ("name", "kind", "lowercase", "noted"),
    [
        ("bert", "wordpiece", True, False),
        ("bert, cased", "wordpiece", False, False),
        ("bert, case not said", "wordpiece", True, True),
        ("bert, SentencePiece", "sentencepiece_ids", True, False),
        ("keras save", "wordpiece", True, False),
        ("keras export", "wordpiece", True, True),
        ("tf1 style", "wordpiece", True, True),
        ("bert module", "wordpiece", True, False),
        ("bert module, cased, train", "wordpiece", False, False),
        ("bert module, SentencePiece", "sentencepiece_ids", True, False),
        ("tf1 saved", "wordpiece", True, True),
        ("elmo", "words", False, False),
        ("use lite", "pieces", False, False),
    ],
)
def test_whether_texts_are_lower_cased_is_the_models_word_or_a_guess_that_is_told(
    name, kind, lowercase, noted
):
    spec = described(name)
    assert spec.tokenizer.kind == kind
    assert spec.tokenizer.lowercase is lowercase
    assert any("do_lower_case" in note for note in spec.notes) == noted


@pytest.mark.parametrize("kept", [False, True], ids=["a constant", "a variable"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_tokenization_info_of_tensorflow_2_says_whether_texts_are_lower_cased(
    lowercase, kept, tmp_path
):
    from corpusvec.transforms.models.hardware import tf
    from tests.saved_models import tf1_style_bert

    def info():
        return tf.Variable(lowercase, trainable=False) if kept else tf.constant(lowercase)

    # A vocabulary that would be taken for the other.
    model = tf1_style_bert(tmp_path / "model", do_lower_case=not lowercase, info=info)
    spec = describe_model(str(model))
    assert spec.tokenizer.lowercase is lowercase
    assert not any("do_lower_case" in note for note in spec.notes)


def test_a_vocabulary_with_capital_letters_is_taken_for_a_cased_one(tmp_path):
    from tests.saved_models import tf1_style_bert

    spec = describe_model(str(tf1_style_bert(tmp_path / "model", do_lower_case=False)))
    assert spec.tokenizer.lowercase is False
    assert any("not lower-cased" in note for note in spec.notes)


@pytest.mark.parametrize(
    "name", ["bert", "elmo", "token lookup", "use lite", "bert, SentencePiece"]
)
def test_the_users_word_on_case_goes_before_the_models(name):
    for said in ("true", "false"):
        tokenizer = describe(name, do_lower_case=said).tokenizer
        assert tokenizer.lowercase is (said == "true")


def test_lower_casing_is_no_matter_of_models_that_take_strings():
    with pytest.raises(ValueError, match=r"--do_lower_case: .* takes strings"):
        describe("use", do_lower_case="true")
    with pytest.raises(ValueError, match=r"--tokenizer=x: .* takes strings"):
        describe("use", tokenizer="x")
    with pytest.raises(ValueError, match=r"--tokenizer=x: .* takes words"):
        describe("elmo", tokenizer="x")


@pytest.mark.parametrize("name", ["bert", "bert module", "use lite", "keras export"])
def test_a_tokenizer_that_is_not_there(name):
    with pytest.raises(ValueError, match="--tokenizer=/no/such: no such file or folder"):
        describe(name, tokenizer="/no/such")


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    other = tmp_path / "vocab.txt"
    other.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(ValueError, match="the model has its own tokenizer"):
        describe("bert", tokenizer=str(other))
    same = str(shutil.copy(made("bert") / "assets" / "vocab.txt", tmp_path / "same.txt"))
    assert describe("bert", tokenizer=same).tokenizer.path == same


def test_a_model_without_a_tokenizer_asks_for_one():
    with pytest.raises(ValueError, match=r"expected one vocabulary.* name it with --tokenizer"):
        describe_model(str(made("keras export")))


# ---------------------------------------------------------------------------- how long an input is


def test_a_table_cut_in_parts_has_the_rows_of_all(monkeypatch):
    choice = chosen(str(made("bert module")), Asked())
    shapes = {"bert/embeddings/word_embeddings/part_0": (200, 16)}
    shapes["bert/embeddings/word_embeddings/part_1"] = (104, 16)
    parted = replace(choice, model=replace(choice.model, variables=shapes))
    assert ids._rows_of(parted, "word_embeddings") == 304


def test_positions_that_are_relative_are_no_limit():
    choice = chosen(str(made("bert module")), Asked())
    shapes = {"encoder/relative_position_embedding": (32, 2)}
    other = replace(choice, model=replace(choice.model, variables=shapes))
    assert ids._rows_of(other, "position_embedding") is None


def nameless_bert(path: Path, positions: int | None) -> Path:
    """The contract of TF1's BERTs, with names that tell nothing."""
    import tensorflow as tf

    from tests.saved_models import _save, bert_parts, table

    _, _, name, content = bert_parts()
    root = tf.train.Checkpoint()
    root.e = tf.Variable(table(400, 8, 0), name="e")
    root.p = tf.Variable(table(positions or 1, 8, 1), name="p")

    def tokens(input_ids, input_mask, segment_ids):
        states = tf.gather(root.e, input_ids)
        if positions:
            states += root.p[: tf.shape(input_ids)[1]]
        states += 0.0 * tf.cast(input_mask + segment_ids, tf.float32)[:, :, None]
        return {"sequence_output": states, "pooled_output": states[:, 0] + root.p[0]}

    specs = [
        tf.TensorSpec([None, None], tf.int32, key)
        for key in ("input_ids", "input_mask", "segment_ids")
    ]
    function = tf.function(tokens).get_concrete_function(*specs)
    return _save(root, path, {"tokens": function}, "vocab_file", name, content)


@pytest.mark.parametrize("positions", [17, 1, 511, None], ids=str)
def test_a_model_that_does_not_say_how_long_an_input_may_be_is_tried(positions, tmp_path):
    spec = describe_model(str(nameless_bert(tmp_path / "model", positions)))
    assert spec.longest == (positions if positions != 1 else None)  # one row fits any length
    assert spec.max_seq_length == (spec.longest or 512)
    assert any("512 tokens are taken" in note for note in spec.notes) == (spec.longest is None)


# ------------------------------------------------------------------------------------ asked for


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("bert", {"signature": "nope"}, ["--signature=nope", "__call__, serving_default"]),
        ("elmo", {"signature": "nope"}, ["--signature=nope", "default, tokens"]),
        ("use lite", {"signature": "spm_path"}, ["--signature=spm_path", "spm_path()"]),
        (
            "bert",
            {"output_key": "nope"},
            ["--output_key=nope", "use one of pooled_output, default,"],
        ),
        ("elmo", {"output_key": "nope"}, ["use one of default, word_emb, lstm_outputs1"]),
        ("use", {"output_key": "nope"}, ["--output_key=nope", "use one of default"]),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(name, asked, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        describe(name, **asked)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "key", "column"),
    [
        ("bert", "pooled_output", own("pooled_output")),
        ("bert", "pooler", own("pooler")),
        ("bert", "sequence_output", mean(2)),
        ("bert", "default", own("default")),
        ("bert", "encoder_outputs/1", mean(2)),
        ("bert, last layer", "sequence_output", mean(-1)),
        ("elmo", "elmo", mean("elmo")),
        ("elmo", "word_emb", mean(0)),
        ("elmo", "lstm_outputs2", mean(2)),
        ("token lookup", "default", mean(0)),
        ("strings, multi", "narrow", own("narrow")),
    ],
)
def test_an_output_by_its_key_in_the_signature(name, key, column):
    assert describe(name, output_key=key).default_columns == (column,)


def test_a_bert_that_gives_its_pooled_output_alone_has_one_vector():
    """Which has two names, `pooler` and its own."""
    output = Tensor("pooled_output", "float32", (None, 8))
    signature = Signature("f", (replace(IDS, name="input_ids"), MASK), (output,))
    given = ids.given_by(signature)
    assert choices.sentence_column("model", signature, given, Asked()) == (own("pooler"),)


def test_of_several_outputs_none_is_guessed():
    for name, signature, outputs in (
        ("strings, multi", "", "narrow, wide"),
        ("unknown strings", "", "logits, vec"),
        # Keras numbers the outputs of a layer, and nobody knows which is which.
        ("keras save", "serving_default", "encoder, encoder_3, encoder_1, enc"),
    ):
        settings = Settings(model=str(made(name)), signature=signature)
        with pytest.raises(ValueError, match=rf"several outputs \({outputs}.*--output_key"):
            settings.resolve()
    spec = describe("keras save", signature="serving_default", output_key="encoder_4")
    assert spec.default_columns == (mean("encoder_4"),)
    assert spec.layers == ("encoder_1", "encoder_2", "encoder_4")


def test_layers_are_in_the_order_of_their_numbers():
    names = ("encoder_outputs/10", "encoder_outputs/2", *(f"encoder_outputs/{n}" for n in "01"))
    stack = [replace(STATES, name=name) for name in (*names, "encoder_outputs/last")]
    given = ids.given_by(Signature("f", (IDS,), tuple(stack)))
    assert given.layers == {
        1: "encoder_outputs/0",
        2: "encoder_outputs/1",
        3: "encoder_outputs/2",
        4: "encoder_outputs/10",
        "encoder_outputs/last": "encoder_outputs/last",
    }


def test_a_model_that_nothing_can_run_is_described(tmp_path):
    import tensorflow as tf

    root = tf.train.Checkpoint()
    root.__call__ = tf.function(
        lambda image: tf.reduce_mean(image, [1, 2]),
        input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, "image")],
    )
    tf.saved_model.save(root, str(tmp_path / "model"))
    with pytest.raises(ValueError, match="no function takes strings, words or token ids") as error:
        describe_model(str(tmp_path / "model"))
    assert "__call__(image: float32 [?, 8, 8, 3]) -> default: float32 [?, 3]" in str(error.value)
    assert "\n" not in str(error.value)


def test_signature_and_output_key_are_for_saved_models_alone(tiny):
    for flag in ("signature", "output_key"):
        with pytest.raises(ValueError, match=f"--{flag}=x: .* has no signatures; omit the flag"):
            describe_model(tiny, Asked(**{flag: "x"}))


STRING, IDS = Tensor("x", "string", (None,)), Tensor("ids", "int32", (None, None))
WORDS, MASK = replace(IDS, name="tokens", dtype="string"), replace(IDS, name="attention_mask")
VECTORS, STATES = Tensor("v", "float32", (None, 4)), Tensor("s", "float32", (None, None, 4))


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind"),
    [
        ([STRING], [VECTORS], "saved_strings"),
        ([STRING], [Tensor("v", "float32", None)], "saved_strings"),
        ([replace(STRING, shape=None)], [VECTORS], "saved_strings"),
        ([replace(STRING, shape=(None, 1))], [VECTORS], "saved_strings"),
        ([replace(STRING, shape=(None, 2))], [VECTORS], None),
        ([replace(STRING, shape=(None, None))], [VECTORS], None),
        ([STRING], [STATES], None),
        ([STRING], [Tensor("v/flat_values", "float32", None)], None),
        ([STRING], [Tensor("v_component_0", "float32", (None, 4))], None),
        ([STRING], [Tensor("v", "int64", (None, 4))], None),
        ([STRING, replace(STRING, name="y")], [VECTORS], None),
        ([replace(STRING, shape=())], [VECTORS], None),
        ([replace(STRING, name="tokens")], [VECTORS], "saved_words"),
        ([WORDS, Tensor("n", "int32", (None,))], [STATES], "saved_words"),
        ([WORDS, Tensor("n", "int32", (None,))], [VECTORS], "saved_words"),
        ([WORDS, Tensor("n", "int32", (None,))], [Tensor("v", "float32", (None,))], None),
        ([replace(IDS, name="token_ids"), replace(MASK, name="padding_mask")], [STATES],
         "saved_bert"),
        ([IDS], [STATES], "saved_bert"),
        ([IDS], [VECTORS], "saved_bert"),
        ([IDS], [Tensor("v", "float32", (None,))], None),
        ([replace(IDS, dtype="int64")], [STATES], "saved_bert"),
        ([replace(IDS, dtype="float32")], [STATES], None),
        ([replace(IDS, shape=None)], [STATES], "saved_bert"),
        ([replace(IDS, shape=(None,))], [STATES], None),
        ([IDS, replace(IDS, name="positions")], [STATES], None),
        ([replace(IDS, name="input_ids"), MASK], [STATES], "saved_bert"),
        ([replace(IDS, name="input_ids"), replace(MASK, dtype="float32")], [STATES], "saved_bert"),
        ([replace(IDS, name="input_ids"), replace(MASK, dtype="bool")], [STATES], "saved_bert"),
        ([replace(IDS, name="input_ids", dtype="bool"), MASK], [STATES], None),
        ([replace(IDS, name="input_ids"), replace(MASK, dtype="string")], [STATES], None),
        ([], [VECTORS], None),
    ],
)  # fmt: skip
def test_which_adapter_takes_a_function(inputs, outputs, kind):
    assert adapter_of(Signature("f", tuple(inputs), tuple(outputs))) == kind


# ------------------------------------------------------------------------------------- damages

DAMAGED = (
    "bert",
    "keras save",
    "tf1 style",
    "bert, SentencePiece",
    "bert module",
    "elmo",
    "token lookup",
    "word2vec",
    "use lite",
    "nnlm",
    "strings, nnlm",
)


# What they have no file for.
UNBREAKABLE = {
    ("elmo", "asset_missing"),
    ("elmo", "vocab_too_long"),
    ("bert, SentencePiece", "vocab_too_long"),
    ("use lite", "vocab_too_long"),
}
LATE = {"token lookup", "word2vec", "nnlm", "strings, nnlm"}  # no name tells of their tables


@pytest.mark.parametrize(
    ("name", "how"),
    [pair for pair in itertools.product(DAMAGED, BROKEN) if pair not in UNBREAKABLE],
)
def test_a_damaged_model_is_refused_in_a_sentence(name, how, tmp_path):
    folder = break_model(made(name), how, tmp_path / "model")

    def load():
        spec = describe_model(str(folder), Asked(**asked_of(name)))
        assert how == "vocab_too_long"
        assert name in LATE
        load_encoder(spec, Wanted(spec.layers, spec.outputs))

    with pytest.raises(ValueError, match=str(folder)) as error:
        load()
    said = str(error.value)
    assert "\n" not in said
    assert "Traceback" not in said
    assert len(said) < 400


def test_a_folder_with_nothing_but_the_graph(tmp_path):
    (tmp_path / "model").mkdir()
    shutil.copy(made("bert") / "saved_model.pb", tmp_path / "model")
    with pytest.raises(ValueError, match="copy or download all"):
        describe_model(str(tmp_path / "model"))


# -------------------------------------------------------------------------------------- digests


@pytest.mark.parametrize("name", ["bert", "bert module", "use", "use lite"])
def test_the_digest_is_of_all_files_and_not_of_the_place(name, tmp_path):
    folder = Path(shutil.copytree(made(name), tmp_path / "elsewhere"))
    digests = {describe_model(str(folder)).digest}
    assert digests == {described(name).digest}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    assert len(files) >= 4
    spec = described(name)
    for file in files:
        content = file.read_bytes()
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        file.write_bytes(bytes(changed))
        digests.add(digest(str(folder), spec.tokenizer))
        file.write_bytes(content)
    assert len(digests) == 1 + len(files)


def test_a_tokenizer_from_elsewhere_is_of_the_digest(tmp_path):
    vocabulary = Path(shutil.copy(made("bert") / "assets" / "vocab.txt", tmp_path / "vocab.txt"))
    first = describe("keras export", tokenizer=str(vocabulary)).digest
    moved = shutil.copy(vocabulary, tmp_path / "moved.txt")
    assert describe("keras export", tokenizer=moved).digest == first
    lines = vocabulary.read_text("utf-8").splitlines()
    vocabulary.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n", "utf-8")
    assert describe("keras export", tokenizer=str(vocabulary)).digest != first


# ------------------------------------------------------------------------------------ in parts


@pytest.mark.parametrize("batch", [None, 1, 2, 3, 7, 9])
def test_a_function_of_a_fixed_batch_gets_that_many_rows(batch):
    sizes = []

    def double(inputs):
        sizes.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}

    found = in_parts(double, {"x": np.arange(7)}, batch)
    assert found["y"].tolist() == [2 * n for n in range(7)]
    assert set(sizes) == {batch or 7}


# ------------------------------------------------------------------------ re-exports of our own


def reexported(folder, *outputs: str) -> tuple[str, str]:
    """A sentence-transformers model, and what is left of its export when it is saved once more with
    these outputs alone.
    """
    import tensorflow as tf

    from corpusvec.pipeline.commands.export_model import export_model

    source = hugging_face_folder(folder / "source", modules=("pooling", "normalize"))
    export_model(str(source), str(folder / "exported"))
    inner = tf.saved_model.load(str(folder / "exported"))
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}

    def call(values):
        found = inner(values, training=False)
        return {name: found[name] for name in outputs}

    again = tf.train.Checkpoint()
    again.inner, again.__call__ = inner, tf.function(call, input_signature=[inputs])
    tf.saved_model.save(again, str(folder / "again"))
    return str(source), str(folder / "again")


def test_an_export_that_is_saved_with_less_keeps_its_sentence_vector(tmp_path):
    source, again = reexported(tmp_path, "sequence_output")
    (expected,), (found,) = (describe_model(m).default_columns for m in (source, again))
    assert (expected.layers, found.layers) == ((2,), (-1,))
    assert replace(found, layers=(2,)) == expected


def test_an_export_that_cannot_give_its_sentence_vector_says_so(tmp_path):
    _, again = reexported(tmp_path, "pooled_output")
    notes = describe_model(again).notes
    assert any("not that of the model it was exported from" in note for note in notes)


def test_naming_the_tokenizer_of_an_export_changes_nothing(tmp_path):
    _, again = reexported(tmp_path, "sequence_output")
    file = f"{again}/assets/tokenizer.json"
    told = describe_model(again, Asked(tokenizer=file))
    assert told.default_columns == describe_model(again).default_columns


def test_whether_letters_are_lower_cased_may_be_a_variable_of_tensorflow_1(tmp_path):
    from tests.hub_modules import tf1_saved_bert

    folder = tf1_saved_bert(tmp_path / "model")
    spec = describe_model(str(folder))
    model = signatures.read(str(folder))
    assert asset_tokenizers.carried_lowercase(model) is None
    named = replace(model, variables={**model.variables, "module/do_lower_case": ()})
    assert asset_tokenizers.carried_lowercase(named) is None  # and no crash
    assert any("lower-cased" in note for note in spec.notes)
