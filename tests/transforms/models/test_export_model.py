"""`export-model`: what it writes computes what its source does, can be trained and saved again, is
the same bytes each time, and is there whole or not at all.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.commands.export_model import export_model
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.exports import notes as export_notes
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import cut
from corpusvec.transforms.vectors.documents import DocumentVectors
from tests.model_settings import APPLIED, base
from tests.models import (
    BERT_SPECIALS,
    TEXTS,
    checkpoint_folder,
    hugging_face_folder,
    weights_of,
    word_piece_vocabulary,
)
from tests.oracles import bert

ROOT = Path(__file__).resolve().parents[3]
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
MODULES = ("pooling", "dense", "layer_norm", "normalize")

SOURCES = {
    "checkpoint": lambda place: checkpoint_folder(place, hidden_act="relu"),
    "config.ini": lambda place: checkpoint_folder(
        place, tokenizer="sentencepiece", config="config.ini"
    ),
    "no pooler": lambda place: checkpoint_folder(place, with_pooler=False),
    "tokenizer.json": lambda place: hugging_face_folder(place, layers=3),
    "vocab.txt": lambda place: hugging_face_folder(
        place, tokenizer="vocab.txt", do_lower_case=False, layer_norm_eps=1e-3
    ),
    "xlm-roberta": lambda place: hugging_face_folder(
        place, model_type="xlm-roberta", tokenizer="xlmr"
    ),
    "no segments": lambda place: hugging_face_folder(place, tokenizer="xlmr"),
    "sentence-transformers": lambda place: hugging_face_folder(
        place, modules=MODULES, prompts={"query": "query: "}, max_seq_length=20
    ),
    "residuals, fewer dimensions": lambda place: edited(
        place, "residual of another width", "truncate_dim"
    ),
}


def edited(place, *names):
    folder = base(place)
    for name in names:
        APPLIED[name].edit(folder)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """`exported(name, **flags)` -> the source's folder and the exported one, made once for each."""
    made: dict = {}

    def export(name, **flags):
        key = (name, tuple(flags.items()))
        if key not in made:
            place = tmp_path_factory.mktemp("export")
            source = str(SOURCES[name](place / "source"))
            export_model(source, str(place / "target"), **flags)
            made[key] = (source, str(place / "target"))
        return made[key]

    return export


def load(folder):
    from corpusvec.transforms.models.hardware import tf

    return tf.saved_model.load(folder)


def batch(size, rows=3, length=9):
    """Ids, mask and types of texts of several lengths, padded, as the contract names them."""
    generator = np.random.default_rng(1)
    lengths = np.array([length, 4, 1])[:rows]
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    ids = generator.integers(0, size, (rows, length), np.int32) * mask
    types = generator.integers(0, 2, (rows, length), np.int32) * mask
    return dict(zip(INPUTS, (ids, mask, types)))


def as_tensors(inputs):
    from corpusvec.transforms.models.hardware import tf

    return {name: tf.constant(value) for name, value in inputs.items()}


@pytest.mark.parametrize("name", SOURCES)
def test_the_contract_gives_what_the_reference_gives(exported, name):
    source, target = exported(name)
    spec = describe_model(source)
    inputs = batch(spec.transformer.vocab_size)
    model = load(target)
    weights, config = weights_of(source)
    types = inputs["input_type_ids"] * spec.segments
    mask = inputs["input_mask"] > 0
    layers, pooled = bert(weights, config, *(inputs[key] for key in INPUTS[:2]), types)
    found = model(as_tensors(inputs), training=False)
    assert set(found) == {"sequence_output", "encoder_outputs"} | (
        {"pooled_output", "default"} if pooled is not None else set()
    )
    assert len(found["encoder_outputs"]) == spec.layer_count
    for layer, expected in zip(
        [*found["encoder_outputs"], found["sequence_output"]], [*layers[1:], layers[-1]]
    ):
        np.testing.assert_allclose(layer.numpy()[mask], expected[mask], rtol=0, atol=1e-5)
    if pooled is not None:
        for key in ("pooled_output", "default"):
            np.testing.assert_allclose(found[key].numpy(), pooled, rtol=0, atol=1e-5)
    served = model.signatures["serving_default"](**as_tensors(inputs))
    assert set(served) == set(found) - {"encoder_outputs"} | {
        f"encoder_outputs/{i}" for i in range(spec.layer_count)
    }
    for i, layer in enumerate(found["encoder_outputs"]):
        np.testing.assert_allclose(served[f"encoder_outputs/{i}"], layer, rtol=0, atol=1e-5)
    names = {variable.name.removesuffix(":0") for variable in model.trainable_variables}
    assert names == set(weights)


@pytest.mark.parametrize("name", SOURCES)
def test_the_assets_give_the_tokens_and_defaults_of_the_source(exported, name):
    source, target = exported(name)
    spec, notes = describe_model(source), export_notes.read(Path(target, "assets"))
    ours, again = load_tokenizer(spec.tokenizer), load_tokenizer(notes.tokenizer)
    for one, other in zip(ours.encode(TEXTS, spans=True), again.encode(TEXTS, spans=True)):
        assert (*one.tokens, *one.ids) == (*other.tokens, *other.ids)
    for field in (
        "max_seq_length",
        "longest",
        "layer_count",
        "separators",
        "segments",
        "prompts",
        "default_prompt",
    ):
        assert getattr(notes, field) == getattr(spec, field), field
    for column, original in zip(notes.default_columns, spec.default_columns, strict=True):
        assert (column.pooling, column.layers) == (original.pooling, original.layers)
        assert [Path(m).name for m in column.modules] == [Path(m).name for m in original.modules]
    lowercase = load(target).do_lower_case.numpy()
    assert lowercase == (name not in ("vocab.txt", "xlm-roberta", "no segments"))


def test_training_drops_what_the_configuration_says(exported, tmp_path):
    _, target = exported("checkpoint")
    inputs = as_tensors(batch(100))
    model = load(target)
    once, twice, plain = (
        model(inputs, training=training)["default"].numpy() for training in (True, True, False)
    )
    assert np.abs(once - twice).max() > 1e-3
    assert np.abs(once - plain).max() > 1e-3
    folder = SOURCES["checkpoint"](tmp_path / "source")
    file = folder / "bert_config.json"
    file.write_text(file.read_text().replace('prob": 0.1', 'prob": 0.0'))
    export_model(str(folder), str(tmp_path / "target"))
    model = load(str(tmp_path / "target"))
    np.testing.assert_array_equal(*(model(inputs, training=t)["default"] for t in (True, False)))


def test_it_trains_in_keras_and_is_saved_again(exported, tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    import tensorflow as tf
    import tensorflow_hub as hub

    source, target = exported("tokenizer.json")
    layer = hub.KerasLayer(target, trainable=True)
    inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in INPUTS}
    outputs = layer(inputs)
    logits = tf_keras.layers.Dense(3)(outputs["pooled_output"])
    model = tf_keras.Model(inputs, logits)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(1e-3), loss)
    texts, labels = batch(100), np.array([0, 1, 2])
    before = [variable.numpy() for variable in layer.trainable_weights]
    losses = [model.evaluate(texts, labels, verbose=0)]
    model.train_on_batch(texts, labels)
    losses.append(model.evaluate(texts, labels, verbose=0))
    assert losses[1] < losses[0]
    changed = [np.any(old != new.numpy()) for old, new in zip(before, layer.trainable_weights)]
    assert all(changed)
    assert len(changed) == len(weights_of(source)[0])

    trained = {v.name.removesuffix(":0"): v.numpy() for v in layer.trainable_weights}
    _, pooled = bert(trained, weights_of(source)[1], *texts.values())
    tf.saved_model.save(layer.resolved_object, str(tmp_path / "object"))
    tf_keras.Model(inputs, outputs).save(tmp_path / "keras", save_format="tf")
    for name in ("object", "keras"):
        found = load(str(tmp_path / name))(as_tensors(texts), training=False)
        np.testing.assert_allclose(found["pooled_output"], pooled, rtol=0, atol=1e-5)
        recipe = Settings(model=str(tmp_path / name), vectors="pooler").resolve()
        tokenizer = load_tokenizer(recipe.spec.tokenizer)
        rows = [
            (tokenizer.cls[1], *t.ids, tokenizer.sep[1]) for t in tokenizer.encode(TEXTS, False)
        ]
        expected = [bert(trained, weights_of(source)[1], np.array(row))[1] for row in rows]
        embedded = by_embed(recipe, TEXTS)["pooler"]
        np.testing.assert_allclose(embedded, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_embed_makes_the_same_vectors_of_it(exported, name):
    source, target = exported(name)
    columns = "a=mean@-1,cls@1:2" + (",pooler" if name != "no pooler" else "")
    flags = {"long_text": "truncate"}
    recipes = [Settings(model=m, vectors=columns, **flags).resolve() for m in (source, target)]
    assert recipes[0].windows == recipes[1].windows
    expected, found = (by_embed(recipe, TEXTS) for recipe in recipes)
    assert set(expected) == set(found)
    for column, values in expected.items():
        np.testing.assert_allclose(found[column], values, rtol=0, atol=1e-5, err_msg=column)
    expected, found = (
        by_embed(Settings(model=m, **flags).resolve(), TEXTS) for m in (source, target)
    )
    np.testing.assert_allclose(found["vector"], expected["vector"], rtol=0, atol=1e-5)


# -------------------------------------------------------------------------------------- strings

# Letters, and what tokenizers treat in their own ways.
AWKWARD = (
    "aB é Ω Σς ΟΔΟΣ.Σ İıßſ ①㍿ﬁ 朝が 한 \u0301\u0345 \u00ad\u200b\u2028\ue000\ufffd ' ! $ […] 🙂"
)
POOLINGS = (
    "one=mean@-1,max@1,mean_max@0:2/sum,cls@-1:-1,sep@-2,first@0:1,last@-1,mean_sqrt@1:2/mean,"
    "weighted_mean@-1,pooler"
)


def rich(lower):
    """A vocabulary that tells many letters apart, in either case."""
    letters = dict.fromkeys(
        [*AWKWARD, *map(chr, range(0x21, 0x250)), *map(chr, range(0x370, 0x400))]
    )
    words = [word for word in word_piece_vocabulary(lower) if word not in BERT_SPECIALS]
    words += [char for char in letters if char.strip()]
    plain = [word for word in words if not word.startswith("##")]
    return list(dict.fromkeys([*BERT_SPECIALS, *words, *(f"##{word}" for word in plain)]))


TOKENIZERS = {
    "original": lambda place: checkpoint_folder(place, vocab=rich(True)),
    "tokenizer.json": lambda place: hugging_face_folder(place, vocab=rich(True)),
    "cased vocab.txt": lambda place: hugging_face_folder(
        place, vocab=rich(False), tokenizer="vocab.txt", do_lower_case=False
    ),
    "bert-japanese": lambda place: checkpoint_folder(place, tokenizer="sentencepiece"),
    "xlm-roberta": lambda place: hugging_face_folder(
        place, model_type="xlm-roberta", tokenizer="xlmr"
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_in_the_graph_are_those_of_the_program(name, tmp_path):
    pytest.importorskip("tensorflow_text")
    from corpusvec.transforms.models.exports.string_tokenizers import graph_tokenizer
    from corpusvec.transforms.models.hardware import tf

    tokenizer = describe_model(str(TOKENIZERS[name](tmp_path))).tokenizer
    ours = load_tokenizer(tokenizer)
    signature = [tf.TensorSpec([None], tf.string)]
    graph = tf.function(graph_tokenizer(tokenizer), input_signature=signature, autograph=False)
    letters = st.sampled_from(AWKWARD) | st.characters(
        exclude_categories=("Cn", "Cs"), exclude_characters="\0"
    )
    texts = st.lists(st.text(letters, max_size=25), min_size=1, max_size=30)

    @settings(max_examples=25, deadline=None)
    @given(texts)
    def check(texts):
        found = graph(tf.constant(texts)).to_list()
        assert found == [row.ids.tolist() for row in ours.encode(texts, spans=False)]

    check()
    lengths = ["x" * 99, "x" * 100, "x" * 101, "é" * 150, "x" * 200, "x" * 201]
    check.hypothesis.inner_test([*TEXTS, "", " ", "[CLS] [UNK] <s> </s> [MASK]", *lengths])


def by_embed(recipe, texts):
    """What `embed --long_text=truncate` would write, by column."""
    tokenizer = load_tokenizer(recipe.spec.tokenizer)
    encoder = load_encoder(recipe.spec, recipe.wanted)
    vectors, found = DocumentVectors(recipe.vectors), []
    for text in texts:
        windows = cut(Documents.of([Document("d", text)]), tokenizer, recipe.windows).windows
        found.append(vectors.finish(vectors.parts(encoder.encode(windows))).sentences.vectors)
    return {name: np.concatenate([row[name] for row in found]) for name in found[0]}


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("checkpoint", {"vectors": POOLINGS}),
        ("xlm-roberta", {"vectors": "vector=mean@-1", "normalize": True}),
        ("sentence-transformers", {}),
        ("residuals, fewer dimensions", {}),
        ("config.ini", {}),
    ],
    ids=[
        "every pooling",
        "normalized",
        "the model's own modules",
        "residuals, fewer dimensions",
        "the default",
    ],
)
def test_strings_become_the_vectors_of_embed(exported, name, flags):
    pytest.importorskip("tensorflow_text")
    from corpusvec.transforms.models.hardware import tf

    source, target = exported(name, strings=True, **flags)
    recipe = Settings(model=source, long_text="truncate", **flags).resolve()
    texts = [*TEXTS, " ".join(TEXTS)]
    expected = by_embed(recipe, texts)
    model = load(target)
    served = model.signatures["serving_default"](texts=tf.constant(texts))
    first, *others = expected
    assert set(served) == {"default", *expected}
    for column, values in expected.items():
        np.testing.assert_allclose(served[column], values, rtol=0, atol=1e-5, err_msg=column)
    np.testing.assert_array_equal(served["default"], served[first])
    called = model(tf.constant(texts))
    np.testing.assert_array_equal(called["default"] if others else called, served["default"])
    empty = model(tf.constant([""]))
    assert np.isfinite(empty["default"] if others else empty).all()


def test_a_whole_run_with_the_source_and_both_exports(exported, embed, tmp_path):
    pytest.importorskip("tensorflow_text")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    source, contract = exported("xlm-roberta")
    _, strings = exported("xlm-roberta", strings=True)
    tables = []
    for model in (source, contract, strings):
        outcome = embed(model, tmp_path / "texts.txt")
        assert outcome.code == 0, outcome.err
        tables.append(outcome.table("sentences").sort_by("id"))
    vectors = [np.array(table["vector"].to_pylist()) for table in tables]
    assert vectors[0].shape == (len(TEXTS), 16)
    for found in vectors[1:]:
        np.testing.assert_allclose(found, vectors[0], rtol=0, atol=1e-5)


def test_a_default_prompt_stands_before_every_string(tmp_path):
    pytest.importorskip("tensorflow_text")
    from corpusvec.transforms.models.hardware import tf

    source = hugging_face_folder(
        tmp_path / "source", modules=["pooling"], prompts={"q": "water: "}, default_prompt="q"
    )
    export_model(str(source), str(tmp_path / "target"), strings=True)
    found = load(str(tmp_path / "target"))(tf.constant(["the garden"]))
    expected = by_embed(Settings(model=str(source)).resolve(), ["the garden"])["vector"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="would leave the model"):
        export_model(str(source), str(tmp_path / "no"), strings=True, vectors="first@-1")


# --------------------------------------------------------------------------------- word vectors

WORD2VEC = "3 2\nred 1.5 -2\n庭 0.25 3e-1 \nthe 0 1\n"
GLOVE = "red 1.5 -2\n. . 0.25 0.3\nthe 0 1\nred 9 9\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WORD2VEC.encode(), ["red", "庭", "the"]),
        (gzip.compress(WORD2VEC.encode()), ["red", "庭", "the"]),
        (GLOVE.encode(), ["red", ". .", "the"]),
        (b"\xef\xbb\xbf" + GLOVE.replace("\n", "\r\n").encode(), ["red", ". .", "the"]),
    ],
    ids=["word2vec", "gzip", "GloVe, a word with a space, one twice", "mark and line ends"],
)
def test_word_vectors_are_looked_up(content, words, tmp_path):
    from corpusvec.transforms.models.hardware import tf

    (tmp_path / "vectors").write_bytes(content)
    lines = export_model(str(tmp_path / "vectors"), str(tmp_path / "target"), oov_buckets=2)
    assert "3 words of 2 dimensions, 2 rows" in lines[0]
    assert (tmp_path / "target" / "assets" / "tokens.txt").read_text().split("\n")[:-1] == words
    model = load(str(tmp_path / "target"))
    asked = tf.constant([words[1], "nobody's", "red", "the", "", words[1]])
    expected = [[0.25, 0.3], [0, 0], [1.5, -2], [0, 1], [0, 0], [0.25, 0.3]]
    np.testing.assert_array_equal(model(asked), np.array(expected, np.float32))
    served = model.signatures["default"](tokens=asked)
    np.testing.assert_array_equal(served["default"], model(asked))
    assert [variable.shape for variable in model.trainable_variables] == [(5, 2)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no word vector"),
        (b"2 2\nred 1 2\n", "holds 1 lines of vectors, its first line says 2"),
        (b"red 1 2\nthe 1\n", "line 2 is 'the 1'; expected a word and 2 numbers"),
        (b"red\n", "line 1 is 'red'; expected a word and its numbers"),
        (b"red 1 2\nthe 1 two\n", "line 2 has 'two'; expected a number"),
        (b"red 1 2\nthe 1 nan\n", "line 2 has a value that is not finite"),
        (b"red 1 2\n\xff 1 2\n", "line 2 is not UTF-8"),
        (b"red 1 2\n 1 2\n", "line 2 has no word"),
        (b"1 0\nred\n", "line 1 says that vectors have no dimension"),
        (gzip.compress(GLOVE.encode())[:-9], "is no whole gzip file"),
    ],
    ids=[
        "empty",
        "cut off",
        "too few",
        "no numbers",
        "no number",
        "nan",
        "latin-1",
        "no word",
        "no dimension",
        "gzip cut off",
    ],
)
def test_a_bad_file_of_word_vectors_is_told_by_line(content, reason, tmp_path):
    (tmp_path / "vectors").write_bytes(content)
    with pytest.raises(ValueError, match="vectors: ") as error:
        export_model(str(tmp_path / "vectors"), str(tmp_path / "target"))
    assert reason in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


# --------------------------------------------------------------------------- same bytes, or none


@pytest.mark.parametrize("form", ["contract", "strings", "pieces", "word vectors"])
def test_two_exports_are_the_same_bytes(form, tmp_path):
    if form == "word vectors":
        source = tmp_path / "source"
        source.write_text(GLOVE)
    elif form == "pieces":
        source = SOURCES["xlm-roberta"](tmp_path / "source")
    else:
        source = SOURCES["tokenizer.json"](tmp_path / "source")
    flags = ["--strings"] if form in ("strings", "pieces") else []
    if flags:
        pytest.importorskip("tensorflow_text")
    for name in ("one.tar.gz", "two.tgz"):
        assert main(["export-model", str(source), str(tmp_path / name), *flags]) == 0
    one = (tmp_path / "one.tar.gz").read_bytes()
    assert one == (tmp_path / "two.tgz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar.gz", "source", "two.tgz"]
    if form == "strings":  # another process, where strings have other hashes
        command = [sys.executable, "-m", "pipeline", "export-model", str(source)]
        command += [str(tmp_path / "three"), "--archive", *flags]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "1"})
        assert (tmp_path / "three.tar.gz").read_bytes() == one
        assert (tmp_path / "three" / "saved_model.pb").is_file()


def test_two_models_in_one_process_keep_their_own_words(tmp_path):
    from corpusvec.transforms.models.hardware import tf

    models = []
    for name, text in (("a", "red 1 2\nthe 3 4\n"), ("b", "the 5 6\nred 7 8\n")):
        (tmp_path / name).write_text(text)
        export_model(str(tmp_path / name), str(tmp_path / f"{name}.model"))
        models.append(load(str(tmp_path / f"{name}.model")))
    found = [model(tf.constant(["red"])).numpy().tolist() for model in models]
    assert found == [[[1, 2]], [[7, 8]]]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"target": "full"}, "full: is not empty"),
        ({"target": "file"}, "file: is a file"),
        ({"target": "there.tar.gz"}, "there.tar.gz: exists already"),
        ({"target": "there", "archive": True}, "there.tar.gz: exists already"),
        ({"target": "gs://there/model"}, "are written to local folders"),
        ({"source": "nowhere"}, "nowhere: no such folder"),
        ({"source": "full"}, "no model that corpusvec knows"),
        ({"vectors": "mean@-1"}, "--vectors: a model with the BERT contract returns layers"),
        ({"normalize": True}, "--normalize: a model with the BERT contract returns layers"),
        ({"strings": True, "vectors": "best@-1"}, "--vectors=best@-1"),
        ({"strings": True, "vectors": "mean@-1,default=max@-1"}, "default is what the first"),
        ({"oov_buckets": 2}, "--oov_buckets=2: is for a text file of word vectors"),
        ({"source": "file", "strings": True}, "--strings: "),
        ({"source": "file", "do_lower_case": "true"}, "--do_lower_case: "),
        ({"source": "file", "oov_buckets": 0}, "--oov_buckets=0: "),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_a_misuse_is_told_and_leaves_nothing(flags, reason, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    for name in ("full/something", "there.tar.gz"):
        Path(name).touch()
    Path("file").write_text(GLOVE)
    before = sorted(Path().rglob("*"))
    with pytest.raises(ValueError, match=r"\S") as error:
        export_model(**{"source": tiny, "target": "target", **flags})
    assert reason in str(error.value)
    assert "--model" not in str(error.value)
    assert sorted(Path().rglob("*")) == before


def test_what_tensorflow_has_no_ops_for_is_told(tmp_path):
    pytest.importorskip("tensorflow_text")
    source = hugging_face_folder(tmp_path / "source")
    file = source / "tokenizer.json"
    file.write_text(file.read_text().replace('"BertPreTokenizer"', '"Whitespace"'))
    with pytest.raises(ValueError, match="its pre_tokenizer"):
        export_model(str(source), str(tmp_path / "target"), strings=True)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_without_tensorflow_text_strings_are_an_error(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ValueError, match=r"; pip install 'tensorflow-text==\d+\.\d+\.\*'$"):
        export_model(tiny, str(tmp_path / "target"), strings=True)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_cannot_be_written_is_told(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match="was not written"):
        export_model(tiny, str(tmp_path / "file" / "target"))


def test_the_notes_name_what_is_missing(exported, tmp_path):
    _, target = exported("tokenizer.json")
    notes = (Path(target) / "assets" / export_notes.NAME).read_text()
    assert export_notes.read(tmp_path) is None
    for text, reason in (
        (notes, "names the asset 'tokenizer.json', which is not there"),
        (notes.replace("tokenizer.json", "../tokenizer.json"), "'../tokenizer.json', which is not"),
        (notes.replace('"format": 1', '"format": 2'), "is of a newer corpusvec"),
        (notes.replace('"longest"', '"other"'), "longest must be an integer ≥ 1, got None"),
        (notes.replace('"prompts"', '"other"'), "does not say what an export needs"),
        (notes[:50], "is not JSON"),
    ):
        (tmp_path / export_notes.NAME).write_text(text)
        with pytest.raises(ValueError, match=r"corpusvec\.json") as error:
            export_notes.read(tmp_path)
        assert reason in str(error.value)
