"""Models of every kind give the vectors of their references, whatever is encoded beside a text."""

from __future__ import annotations

import functools
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.batches import cut_batches
from corpusvec.transforms.models.isolation import BrokenModel, encode_each
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.probes import depends_on_batch, id_windows, text_windows
from corpusvec.transforms.models.saved_models import ids as saved_bert
from corpusvec.transforms.models.saved_models.choices import chosen
from corpusvec.transforms.specs import Asked, Wanted
from tests.elements import together
from tests.hub_modules import elmo_reference
from tests.model_zoo import (
    ELMO_LAYERS,
    MODELS,
    described,
    loaded,
    made,
    windows_of,
    words_of,
)
from tests.models import TEXTS, sentence_piece_model
from tests.repository.test_oracles import GOLDEN
from tests.saved_models import (
    NAN_WORD,
    RAISING_WORD,
    WORDS,
    bert_saved_model,
    strings_reference,
    strings_saved_model,
    table,
)

pytestmark = pytest.mark.usefixtures("program")

CLOSE = {"rtol": 0, "atol": 1e-5}
# One of each form that a function can have.
FORMS = (
    "bert",
    "bert, fixed length",
    "bert, positional",
    "bert, SentencePiece",
    "bert module",
    "unknown ids",
    "elmo",
    "elmo, tokens",
    "token lookup",
    "use lite",
    "use",
    "nnlm",
    "strings, padding",
    "strings, batch of three",
    "unknown strings",
)


EXTRA = ("The", "Garden,", "tea.", "Xyzzy", "猫は窓辺で眠り、", "11", "rain!")


@functools.cache
def random_texts(count, seed=0, wide=False):
    """Texts of 1 to 14 words, most of them known to the models, in no tidy form; `wide`: white
    space beyond ASCII too, which TensorFlow and Python cut differently.
    """
    random = np.random.default_rng(seed)
    known = [*WORDS, *EXTRA]
    spaces = [" ", " ", " ", " ", "  ", "\t", "\n", *("\u3000" if wide else "")]
    found = []
    for _ in range(count):
        words = random.choice(known, random.integers(1, 15)).tolist()
        between = random.choice(spaces, len(words)).tolist()
        text = "".join(part for pair in zip(words, between) for part in pair)
        found.append(text if random.integers(4) == 0 else text[: -len(between[-1])])
    return tuple(found)


def encode(name, texts, budget=200):
    """Each text's result, encoded in batches as a run does."""
    spec, encoder = described(name), loaded(name)
    windows = windows_of(spec, texts)
    found = [
        encoded
        for batch in cut_batches(windows, budget, spec.padding)
        for encoded in encoder.encode(batch)
    ]
    return sorted(found, key=lambda encoded: int(encoded.window.document.id))


def assert_as_expected(encoded, expected):
    if expected.tokens is not None:
        assert list(encoded.window.tokens) == list(expected.tokens)
    for found, wanted in (
        (encoded.layers, expected.layers),
        (encoded.outputs, expected.outputs),
    ):
        assert set(found) == set(wanted)
        for key, values in wanted.items():
            assert found[key].dtype == np.float32
            np.testing.assert_allclose(found[key], values, **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_its_reference(name):
    in_python = name.startswith(("strings", "unknown strings"))  # is how the reference cuts
    texts = (*TEXTS[:6], *random_texts(24, wide=not in_python), "a")
    for text, encoded in zip(texts, encode(name, texts), strict=True):
        assert_as_expected(encoded, MODELS[name].expected(text))


def assert_alike(one, other):
    assert one.window.document.id == other.window.document.id
    for a, b in ((one.layers, other.layers), (one.outputs, other.outputs)):
        assert set(a) == set(b)
        for key, values in a.items():
            np.testing.assert_allclose(values, b[key], **CLOSE)


@pytest.mark.parametrize("name", FORMS)
def test_a_text_has_the_same_vectors_alone_and_in_any_company(name):
    texts, encoder = random_texts(200, seed=1, wide=True), loaded(name)
    for window_, encoded in zip(windows_of(described(name), texts), encode(name, texts)):
        (alone,) = encoder.encode(together([window_]))
        assert_alike(alone, encoded)


# -------------------------------------------------------------------------------------- goldens


@functools.cache
def golden(file, key):
    with np.load(GOLDEN / "tf1_hub" / file) as arrays:
        return arrays[key]


def golden_encoded(folder, **asked):
    spec = describe_model(str(GOLDEN / "tf1_hub" / folder), Asked(**asked))
    encoder = load_encoder(spec, Wanted(spec.layers, spec.outputs))
    return encoder.encode(windows_of(spec, golden("expected.npz", "texts").tolist()))


@pytest.mark.parametrize("signature", ["", "default", "tokens"])
def test_golden_elmo(signature):
    texts = golden("expected.npz", "texts").tolist()
    for row, encoded in enumerate(golden_encoded("elmo", signature=signature)):
        assert list(encoded.window.tokens) == words_of(texts[row])
        for layer, key in ELMO_LAYERS.items():
            expected = golden("expected.npz", f"elmo.{key}")[row, : len(encoded.window)]
            np.testing.assert_allclose(encoded.layers[layer], expected, **CLOSE)
        np.testing.assert_allclose(
            encoded.outputs["default"], golden("expected.npz", "elmo.default")[row], **CLOSE
        )


def test_golden_bert():
    for row, encoded in enumerate(golden_encoded("bert")):
        length = int(golden("expected_bert.npz", "mask")[row].sum())
        assert len(encoded.window) == length
        expected = golden("expected_bert.npz", "sequence_output")[row, :length]
        np.testing.assert_allclose(encoded.layers[-1], expected, **CLOSE)
        pooled = golden("expected_bert.npz", "pooled_output")[row]
        np.testing.assert_allclose(encoded.outputs["pooler"], pooled, **CLOSE)


@pytest.mark.parametrize(
    ("folder", "file", "key"),
    [
        ("use", "expected.npz", "use.default"),
        ("nnlm", "expected.npz", "nnlm.default"),
        ("use_lite", "expected_use_lite.npz", "default"),
    ],
    ids=["USE", "NNLM", "USE-lite"],
)
def test_golden_sentence_vectors(folder, file, key):
    found = [encoded.outputs["default"] for encoded in golden_encoded(folder)]
    np.testing.assert_allclose(found, golden(file, key), **CLOSE)


# ------------------------------------------------------------------------------------- batches


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 300))
def test_without_padding_the_windows_of_a_batch_are_as_long(lengths, budget):
    windows = id_windows(*([0] * length for length in lengths))
    batches = list(cut_batches(windows, budget, padding=False))
    owners = [owner for batch in batches for owner in batch.owners]
    assert sorted(owners) == list(range(len(lengths)))
    for batch in batches:
        assert len({len(w) for w in batch}) == 1
        assert len(batch) == 1 or len(batch) * len(batch[0]) <= budget


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40), max_size=60), st.integers(1, 500))
def test_texts_are_budgeted_by_their_bytes(texts, budget):
    windows = text_windows(*(text.encode("utf-8", "replace").decode() for text in texts))
    batches = list(cut_batches(windows, budget))
    owners = [owner for batch in batches for owner in batch.owners]
    assert sorted(owners) == list(range(len(texts)))
    for batch in batches:
        longest = max(len(w.text.encode()) for w in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


@pytest.mark.parametrize(
    "name", ["bert", "elmo", "elmo, tokens", "token lookup", "use lite", "use"]
)
def test_batches_of_changing_shapes_build_no_graph(name, monkeypatch):
    from tensorflow.python.framework import func_graph

    encoder, spec = loaded(name), described(name)
    random = np.random.default_rng(0)
    made_graphs = []
    before = func_graph.FuncGraph.__init__

    def counting(self, *arguments, **keywords):
        made_graphs.append(self)
        before(self, *arguments, **keywords)

    monkeypatch.setattr(func_graph.FuncGraph, "__init__", counting)
    for _ in range(300):
        texts = [
            " ".join(["tea"] * length) for length in random.integers(1, 12, 1 + random.integers(5))
        ]
        encoder.encode(windows_of(spec, texts))
    assert not made_graphs


# ---------------------------------------------------------------------------------------- BERTs


def test_pairs_have_their_segments():
    name = "bert"
    spec, texts = described(name), random_texts(30, seed=2)
    pairs = random_texts(30, seed=3)
    for window_ in windows_of(spec, texts, pairs):
        document = window_.document
        expected = MODELS[name].expected(document.text, document.pair)
        (encoded,) = loaded(name).encode(together([window_]))
        assert_as_expected(encoded, expected)


def test_an_input_of_a_fixed_length_is_padded_to_it_and_never_longer(monkeypatch):
    encoder = loaded("bert, fixed length")
    seen = []
    function = encoder._function._function
    monkeypatch.setattr(
        encoder._function,
        "_function",
        lambda inputs: seen.append({value.shape for value in inputs.values()}) or function(inputs),
    )
    encoder.encode(windows_of(described("bert, fixed length"), TEXTS[:3]))
    assert seen == [{(3, 128)}]
    assert described("bert, fixed length").longest == 128


def test_dropout_is_never_run():
    """The trace with training=True comes first in the file, and would differ from call to call."""
    windows = windows_of(described("bert, training first"), TEXTS)
    first, second = (loaded("bert, training first").encode(windows) for _ in range(2))
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one.outputs["pooler"], other.outputs["pooler"])


@pytest.mark.parametrize("shape", [[None, 1], [2, 1], None], ids=str)
def test_texts_may_stand_in_a_column_or_in_no_known_shape(shape, tmp_path):
    """As Keras has them, and as placeholders without a shape do."""
    import tensorflow as tf

    def widths(texts):
        return tf.cast(tf.strings.length(tf.reshape(texts, [-1, 1])), tf.float32) * [1.0, 2.0]

    root = tf.train.Checkpoint()
    root.__call__ = tf.function(widths, input_signature=[tf.TensorSpec(shape, tf.string)])
    tf.saved_model.save(root, str(tmp_path / "model"))
    spec = describe_model(str(tmp_path / "model"))
    encoder = load_encoder(spec, Wanted((), spec.outputs))
    found = encoder.encode(windows_of(spec, ["a", "abc", "ab"]))
    assert [encoded.outputs["default"].tolist() for encoded in found] == [[1, 2], [3, 6], [2, 4]]


def test_a_batch_of_a_fixed_size_is_filled_and_cut():
    texts = random_texts(7)
    expected = strings_reference("batch_of_one", texts)["default"]
    for name in ("strings, batch of one", "strings, batch of three"):
        for count in range(1, 8):
            windows = windows_of(described(name), texts[:count])
            found = [encoded.outputs["outputs"] for encoded in loaded(name).encode(windows)]
            np.testing.assert_allclose(found, expected[:count], **CLOSE)


@pytest.mark.parametrize(
    "name", ["bert", "bert module", "elmo", "use", "strings, multi", "use lite"]
)
def test_bfloat16_stays_near_float32(name):
    spec = described(name)
    wanted = Wanted(spec.layers, spec.outputs, "bfloat16")
    for one in windows_of(spec, TEXTS[:6]):
        (exact,), (near,) = (
            encoder.encode(together([one]))
            for encoder in (loaded(name), load_encoder_once(name, wanted))
        )
        for a, b in ((exact.layers, near.layers), (exact.outputs, near.outputs)):
            for key, values in a.items():
                assert cosine(values, b[key]) > 0.99


@functools.cache
def load_encoder_once(name, wanted):
    return load_encoder(described(name), wanted)


def cosine(a, b):
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# ---------------------------------------------------------------------------- padding that counts


def test_elmo_in_a_batch_of_unlike_lengths_is_as_alone():
    """Also where the caller did not keep to texts of one length."""
    texts = random_texts(40, seed=4, wide=True)
    for name in ("elmo", "elmo, tokens"):
        assert described(name).padding is False
        encoded = loaded(name).encode(windows_of(described(name), texts))
        for text, one in zip(texts, encoded):
            assert_as_expected(one, MODELS[name].expected(text))
    padded = elmo_reference([words_of(text) for text in texts], longest=20)
    assert (
        max(
            np.abs(one["default"] - MODELS["elmo"].expected(text).outputs["default"]).max()
            for one, text in zip(padded, texts)
        )
        > 0.01
    )  # so it does matter


def test_a_model_that_depends_on_its_batch_encodes_texts_alone(capsys):
    spec = described("strings, padding")
    encoder = load_encoder(spec, Wanted((), spec.outputs))
    assert "each text is encoded alone" in capsys.readouterr().err
    texts = random_texts(20)
    for text, encoded in zip(texts, encoder.encode(windows_of(spec, texts))):
        expected = strings_reference("padding_sensitive", [text])["default"][0]
        np.testing.assert_allclose(encoded.outputs["default"], expected, **CLOSE)


@pytest.mark.parametrize(
    "name", ["bert", "bert module", "use lite", "use", "nnlm", "strings, multi"]
)
def test_other_models_are_not_slowed_down(name, capsys):
    load_encoder_once(name, Wanted(described(name).layers, described(name).outputs))
    assert capsys.readouterr().err == ""


def test_bfloat16_is_no_reason_to_encode_texts_alone(capsys):
    for name in ("bert", "use", "use lite"):
        load_encoder(
            described(name), Wanted(described(name).layers, described(name).outputs, "bfloat16")
        )
    assert "alone" not in capsys.readouterr().err


def test_a_bert_of_few_positions_is_tried_too(tmp_path, capsys):
    """It looks at its padding, and fails on more than 8 tokens."""
    import tensorflow as tf

    root = tf.train.Checkpoint()
    root.e = tf.Variable(table(400, 4, 0), name="word_embeddings")
    root.p = tf.Variable(table(8, 4, 1), name="position_embeddings")

    def tokens(input_ids, input_mask):
        length = tf.shape(input_ids)[1]
        seen = tf.cast(input_mask, tf.float32)[:, :, None] + tf.cast(length, tf.float32)
        return {"sequence_output": (tf.gather(root.e, input_ids) + root.p[:length]) * seen}

    specs = [tf.TensorSpec([None, None], tf.int32, key) for key in ("input_ids", "input_mask")]
    function = tf.function(tokens).get_concrete_function(*specs)
    tf.saved_model.save(root, str(tmp_path / "model"), {"tokens": function})
    vocabulary = str(made("bert") / "assets" / "vocab.txt")
    spec = describe_model(str(tmp_path / "model"), Asked(tokenizer=vocabulary))
    assert spec.longest == 8
    encoder = load_encoder(spec, Wanted(spec.layers))
    assert "each text is encoded alone" in capsys.readouterr().err
    windows = windows_of(spec, ["a", "a cup of tea"])
    alone = [encoder.encode(together([one]))[0] for one in windows]
    for one, beside in zip(alone, encoder.encode(windows)):
        assert_alike(one, beside)


@pytest.mark.parametrize("name", ["bert", "elmo", "token lookup", "use lite", "nnlm"])
def test_several_threads_call_a_model_at_once(name):
    encoder, windows = loaded(name), windows_of(described(name), random_texts(40, seed=6))
    expected = [encoder.encode(together([one]))[0] for one in windows]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda one: encoder.encode(together([one]))[0], [*windows] * 3)
        for one, other in zip(found, expected * 3, strict=True):
            assert_alike(one, other)


def test_a_model_that_fails_on_the_probes_is_left_to_its_texts():
    class Failing:
        streams = 1

        def encode(self, windows):
            raise RuntimeError("no")

    assert not depends_on_batch(Failing(), text_windows("a"), "float32")


# -------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("kind", "word", "reason"),
    [("nan_on", NAN_WORD, "not finite in default"), ("raises_on", RAISING_WORD, "explodes")],
)
def test_one_bad_text_is_one_failure(kind, word, reason, tmp_path):
    spec = describe_model(str(strings_saved_model(tmp_path / "model", kind)))
    encoder = load_encoder(spec, Wanted((), spec.outputs))
    texts = [*random_texts(9), f"there is {word} here", *random_texts(9, seed=5)]
    found = [one for some in encode_each(encoder, windows_of(spec, texts)) for one in some]
    expected = strings_reference("use", texts)["default"]
    assert [n for n, encoded in enumerate(found) if encoded.failure] == [9]
    assert reason in f"{found[9].failure.error} {found[9].failure.detail}"
    for n, encoded in enumerate(found):
        if n != 9:
            np.testing.assert_allclose(encoded.outputs["default"], expected[n], **CLOSE)


def test_a_model_that_fails_on_all_is_to_blame(tmp_path):
    """Every word is out of its table."""
    spec = describe_model(str(made("use")))
    encoder = load_encoder(spec, Wanted((), spec.outputs))

    class Failing:
        streams = 1

        def encode(self, windows):
            encoder.encode(windows)
            raise RuntimeError("no memory")

    with pytest.raises(
        BrokenModel, match="fails on every input, first seen at document '0'"
    ) as error:
        encode_each(Failing(), windows_of(spec, TEXTS[:3]))
    assert "\n" not in str(error.value)


def test_a_tokenizer_with_more_tokens_than_the_model_is_noticed_where_no_name_tells(tmp_path):
    """`unknown_signature` takes ids below 97 and its table is called `embeddings`."""
    file = tmp_path / "vocab.txt"
    lines = (made("bert") / "assets" / "vocab.txt").read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:120]))
    made_of = str(made("unknown ids"))
    spec = describe_model(made_of, Asked(tokenizer=str(file), output_key="vec"))
    with pytest.raises(ValueError, match=r"its tokenizer vocab.txt has 120 tokens") as error:
        load_encoder(spec, Wanted(spec.layers, spec.outputs))
    assert "\n" not in str(error.value)


def test_a_sentence_piece_model_with_more_pieces_than_the_model_is_noticed(tmp_path):
    """Three control symbols more than the table has rows for."""
    folder = shutil.copytree(made("use lite"), tmp_path / "model")
    (folder / "assets" / "spm.model").write_bytes(sentence_piece_model(("[A]", "[B]", "[C]")))
    spec = describe_model(str(folder))
    with pytest.raises(ValueError, match=r"its tokenizer spm.model has \d+ tokens") as error:
        load_encoder(spec, Wanted((), spec.outputs))
    assert "\n" not in str(error.value)


def test_a_fine_tuned_bert_keeps_its_vectors(tmp_path):
    """The same weights twice: `save` of Keras against TF Hub's form."""
    spec = describe_model(str(bert_saved_model(tmp_path / "model")))
    texts = TEXTS[:4]
    encoder = load_encoder(spec, Wanted((1, 2), ("pooler",)))
    for one, other in zip(encoder.encode(windows_of(spec, texts)), encode("keras save", texts)):
        np.testing.assert_allclose(one.layers[2], other.layers[2], **CLOSE)
        np.testing.assert_allclose(one.outputs["pooler"], other.outputs["pooler"], **CLOSE)


def random_normal(texts):
    import tensorflow as tf

    return tf.random.normal([tf.shape(texts)[0], 4])


def with_dropout(texts, training=True):
    import tensorflow as tf

    return tf.nn.dropout(tf.ones([tf.shape(texts)[0], 64]), 0.5)


@pytest.mark.parametrize("function", [random_normal, with_dropout], ids=["random", "dropout"])
def test_a_model_that_gives_other_vectors_each_time_is_refused(function, tmp_path):
    """Encoding each text alone would not help, and nobody could repeat the run."""
    import tensorflow as tf

    root, texts = tf.Module(), tf.TensorSpec([None], tf.string, "texts")
    signature = tf.function(function).get_concrete_function(texts)
    tf.saved_model.save(root, str(tmp_path / "model"), {"serving_default": signature})
    spec = describe_model(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="gives the same text other vectors each time"):
        load_encoder(spec, Wanted((), spec.outputs))


def test_the_rows_of_a_layer_are_those_of_the_tokens(tmp_path):
    """A function that puts a row in front, or leaves one out, would shift every token's vector."""
    import tensorflow as tf

    for change in (1, -1):

        def call(input_ids, input_mask, change=change):
            rows = tf.shape(input_ids)[1] + change
            return {"sequence_output": tf.zeros([tf.shape(input_ids)[0], rows, 4])}

        ids, mask = (tf.TensorSpec([None, None], tf.int32, n) for n in ("input_ids", "input_mask"))
        root, folder = tf.Module(), tmp_path / f"model{change}"
        signature = tf.function(call).get_concrete_function(ids, mask)
        tf.saved_model.save(root, str(folder), {"serving_default": signature})
        found = chosen(str(folder), Asked()).signature
        spec = replace(described("bert"), path=str(folder), signature=found)
        encoder = saved_bert.SavedBertEncoder(spec, Wanted((-1,)))
        with pytest.raises(ValueError, match=r"sequence_output has the shape \[1, .*expected"):
            encoder.encode(id_windows([1, 2, 3]))
