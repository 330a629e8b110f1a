"""Every kind of SavedModel and TF1 Hub module through the whole command, Parquet read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from corpusvec.pipeline.settings import Settings
from tests.hub_modules import bert_module, elmo, elmo_reference, use_lite
from tests.model_zoo import ELMO_LAYERS, MODELS, flags_of, made, words_of
from tests.models import TEXTS
from tests.repository.test_end_to_end import manifest_of, vectors, write_lines
from tests.repository.test_oracles import GOLDEN
from tests.saved_models import (
    NAN_WORD,
    RAISING_WORD,
    bert_saved_model,
    break_model,
    strings_reference,
    strings_saved_model,
    tokens_reference,
)

CLOSE = {"rtol": 0, "atol": 1e-5}
LINES = (*TEXTS[:6], "a", "Where  do the  birds go", " rain on\tthe roof ")


def by_row(table):
    """Rows of a sentence table by the number of their record, from 1."""
    return {row["source_row"]: row for row in table.to_pylist()}


def tokens_by_row(table):
    """Rows of a token table by the number of their record, in order."""
    found: dict[int, list] = {}
    for row in table.to_pylist():
        found.setdefault(int(row["id"].rpartition(":")[2]), []).append(row)
    return found


def said(outcome):
    """Lines on stderr, without TensorFlow's own, which writes past Python."""
    return outcome.err.strip().splitlines()


# -------------------------------------------------------------------------------------- goldens


def golden_run(embed, tmp_path, folder, *flags):
    with np.load(GOLDEN / "tf1_hub" / "expected.npz") as arrays:
        texts = arrays["texts"].tolist()
    outcome = embed(GOLDEN / "tf1_hub" / folder, write_lines(tmp_path / "texts.txt", texts), *flags)
    assert outcome.code == 0, outcome.err
    sentences = by_row(outcome.table("sentences"))
    assert [sentences[row]["text"] for row in sorted(sentences)] == texts
    return texts, sentences, outcome


@pytest.mark.parametrize("signature", [[], ["--signature=tokens"]], ids=["default", "tokens"])
def test_golden_elmo(embed, tmp_path, signature):
    texts, sentences, outcome = golden_run(
        embed, tmp_path, "elmo", "--layers=0,1,2,elmo", *signature
    )
    tokens = tokens_by_row(outcome.table("tokens"))
    with np.load(GOLDEN / "tf1_hub" / "expected.npz") as arrays:
        golden = {key: arrays[f"elmo.{key}"] for key in (*ELMO_LAYERS.values(), "default")}
    for n, text in enumerate(texts):
        rows, words = tokens[n + 1], words_of(text)
        assert [row["token"] for row in rows] == words
        assert [text[row["start"] : row["end"]] for row in rows] == words
        assert sentences[n + 1]["n_tokens"] == len(words)
        for layer, key in ELMO_LAYERS.items():
            found = [row[f"layer@{layer}"] for row in rows]
            np.testing.assert_allclose(found, golden[key][n, : len(words)], **CLOSE)
        np.testing.assert_allclose(sentences[n + 1]["vector"], golden["default"][n], **CLOSE)
    widths = {
        field.name: field.type.list_size
        for field in outcome.table("tokens").schema
        if field.name.startswith("layer@")
    }
    assert widths == {"layer@0": 16, "layer@1": 32, "layer@2": 32, "layer@elmo": 32}


def test_golden_bert(embed, tmp_path):
    _, sentences, outcome = golden_run(
        embed, tmp_path, "bert", "--layers=-1", "--vectors=pooler,mean@-1,output@pooled_output"
    )
    tokens = tokens_by_row(outcome.table("tokens"))
    with np.load(GOLDEN / "tf1_hub" / "expected_bert.npz") as golden:
        lengths = golden["mask"].sum(axis=1)
        sequence, pooled = golden["sequence_output"], golden["pooled_output"]
    for n, length in enumerate(lengths):
        row = sentences[n + 1]
        assert row["n_tokens"] == length == len(tokens[n + 1])
        found = [token["layer@-1"] for token in tokens[n + 1]]
        np.testing.assert_allclose(found, sequence[n, :length], **CLOSE)
        np.testing.assert_allclose(row["pooler"], pooled[n], **CLOSE)
        np.testing.assert_allclose(row["output@pooled_output"], pooled[n], **CLOSE)
        np.testing.assert_allclose(row["mean@-1"], sequence[n, :length].mean(0), **CLOSE)


@pytest.mark.parametrize(
    ("folder", "file", "key", "counted"),
    [
        ("use", "expected.npz", "use.default", False),
        ("nnlm", "expected.npz", "nnlm.default", False),
        ("use_lite", "expected_use_lite.npz", "default", True),
    ],
    ids=["USE", "NNLM", "USE-lite"],
)
def test_golden_sentence_vectors(embed, tmp_path, folder, file, key, counted):
    _, sentences, _ = golden_run(embed, tmp_path, folder, "--vectors=output@default")
    with np.load(GOLDEN / "tf1_hub" / file) as golden:
        expected = golden[key]
    for n, row in sorted(sentences.items()):
        np.testing.assert_allclose(row["output@default"], expected[n - 1], **CLOSE)
        assert (row["n_tokens"] is not None) == counted
        assert (row["n_unknown"] is not None) == counted


# ------------------------------------------------------------------------------ one of each kind

# Name -> layers for the token table, columns; without, what the model's own column is.
RUNS = {
    "bert": ("1,2", "mean@-1,pooler,output@default"),
    "bert, fixed length": ("-1", "mean@-1,output@default"),
    "bert, positional": ("-1", "pooler,cls@-1"),
    "bert, SentencePiece": ("-2", "pooler"),
    "keras save": ("2", "mean@1"),
    "keras export": ("-1", "pooler"),
    "tf1 style": ("-1", "mean@-1"),
    "bert module, cased, train": ("-1", "pooler"),
    "unknown ids": ("-1", "output@vec"),
    "elmo": ("0,elmo", "mean@elmo,output@default"),
    "elmo, tokens": ("1,2", None),
    "token lookup": ("0", "mean@0,max@0"),
    "word2vec": ("0", None),
    "use lite": (None, None),
    "use": (None, "output@default"),
    "nnlm": (None, None),
    "strings, multi": (None, "output@narrow,output@wide"),
    "strings, batch of three": (None, None),
    "strings, padding": (None, None),
    "unknown strings": (None, "output@vec,output@logits"),
}


def expected_column(name, column, expected):
    """A column as `embed` names it, of a text's reference."""
    if column.startswith("output@") or column == "pooler":
        return expected.outputs[column.removeprefix("output@")]
    pooling, layer = column.split("@")
    layers = dict(expected.layers)
    layers.setdefault(-1, layers[max(key for key in layers if isinstance(key, int))])
    values = layers[int(layer) if layer.lstrip("-").isdigit() else layer]
    return {"mean": values.mean(0), "max": values.max(0), "cls": values[0]}[pooling]


@pytest.mark.parametrize("name", RUNS)
def test_a_kind_from_the_command_line_to_parquet(embed, tmp_path, name):
    layers, columns = RUNS[name]
    flags = [f"--layers={layers}"] * bool(layers) + [f"--vectors={columns}"] * bool(columns)
    source = write_lines(tmp_path / "texts.txt", LINES)
    outcome = embed(made(name), source, *flags_of(name), *flags)
    assert outcome.code == 0, outcome.err
    sentences = by_row(outcome.table("sentences"))
    tokens = tokens_by_row(outcome.table("tokens")) if layers else {}
    default = {"token lookup": "mean@0", "word2vec": "mean@0"}
    for n, line in enumerate(LINES, start=1):
        expected, row = MODELS[name].expected(line), sentences[n]
        if columns:
            for column in columns.split(","):
                found = expected_column(name, column, expected)
                np.testing.assert_allclose(row[column], found, **CLOSE)
        else:
            own = default.get(name, f"output@{[*expected.outputs, ''][0]}")
            np.testing.assert_allclose(row["vector"], expected_column(name, own, expected), **CLOSE)
        count = None if expected.tokens is None else len(expected.tokens)
        assert row["n_tokens"] == count
        if layers:
            assert [token["token"] for token in tokens[n]] == list(expected.tokens)
            for layer in layers.split(","):
                found = [token[f"layer@{layer}"] for token in tokens[n]]
                key = int(layer) if layer.lstrip("-").isdigit() else layer
                if key not in expected.layers:
                    key += 1 + max(expected.layers)
                np.testing.assert_allclose(found, expected.layers[key], **CLOSE)
    assert manifest_of(outcome)["run"]["model"]["kind"] == MODELS[name].kind


def test_columns_that_are_named_need_no_output_key(embed, tmp_path):
    source = write_lines(tmp_path / "texts.txt", TEXTS[:3])
    outcome = embed(made("strings, multi"), source, "--vectors=a=output@narrow")
    assert outcome.code == 0, outcome.err
    expected = strings_reference("multi", TEXTS[:3])["narrow"]
    for n, row in by_row(outcome.table("sentences")).items():
        np.testing.assert_allclose(row["a"], expected[n - 1], **CLOSE)


def test_without_flags_an_unknown_model_is_asked_about(embed, tmp_path):
    source = write_lines(tmp_path / "texts.txt", TEXTS[:2])
    for name, words in (("unknown strings", "--output_key"), ("unknown ids", "--tokenizer")):
        outcome = embed(made(name), source)
        assert outcome.code == 2
        assert words in outcome.err
        assert len(said(outcome)) == 1


REFUSED = {
    "layers of a string model": ("use", "--layers=-1", "sentence vectors only"),
    "tokens of a string model": ("use", "--vectors=mean@-1", "use one of"),
    "layers of pieces": ("use lite", "--layers=0", "sentence vectors only"),
    "an output that is not there": ("use", "--vectors=output@x", "use output@default"),
    "a layer too high": ("bert", "--layers=3", "layers 1 to 2"),
    "the embedding output": ("bert", "--layers=0", "layers 1 to 2"),
    "a lower layer of the last alone": ("tf1 style", "--layers=-2", "type --layers=-1"),
    "layers of several widths": ("elmo", "--vectors=mean@all/mean", "12 and 24 wide; use concat"),
    "a layer by a wrong name": ("elmo", "--layers=top", "elmo"),
    "length of a string model": ("use", "--max_seq_length=9", "omit the flag"),
    "more than the table of positions": ("bert", "--max_seq_length=65", "64 positions"),
    "more than the signature": ("bert, fixed length", "--max_seq_length=129", "128"),
    "tokenizer of a string model": ("use", "--tokenizer=x", "omit the flag"),
    "tokenizer of words": ("elmo", "--tokenizer=x", "omit the flag"),
    "case of a string model": ("use", "--do_lower_case=true", "omit the flag"),
    "a signature that is not there": ("elmo", "--signature=x", "default, tokens"),
    "an output key that is not there": ("elmo", "--output_key=x", "use one of default"),
    "windows of a string model": ("use", "--long_text=truncate", "omit the flag"),
    "their overlap": ("use", "--window_overlap=3", "omit the flag"),
    "special tokens of a string model": ("use", "--mask_special", "omit the flag"),
    "special tokens of words": ("elmo", "--mask_special", "omit the flag"),
    "one vector of many windows": ("elmo", "--max_seq_length=5", "a pooling of a layer"),
    "one vector of many windows of pieces": ("use lite", "--max_seq_length=5", "=truncate or"),
    "cut at no length": ("elmo", "--long_text=truncate", "--max_seq_length"),
    "[CLS] of words": ("elmo", "--vectors=cls@0", "first, last, mean"),
}


@pytest.mark.parametrize(("name", "flag", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_kind_cannot_do_is_refused(embed, tmp_path, name, flag, words):
    outcome = embed(made(name), write_lines(tmp_path / "texts.txt", TEXTS[:2]), flag)
    assert outcome.code == 2
    (line,) = said(outcome)
    assert flag in line or flag.partition("=")[0] in line
    assert words in line
    assert not outcome.output.exists()


def test_a_prompt_stands_before_what_a_string_model_reads(embed, tmp_path):
    source = write_lines(tmp_path / "texts.txt", TEXTS[:3])
    outcome = embed(made("use"), source, "--prompt=the garden ")
    for n, row in by_row(outcome.table("sentences")).items():
        expected = MODELS["use"].expected("the garden " + TEXTS[n - 1]).outputs["default"]
        np.testing.assert_allclose(row["vector"], expected, **CLOSE)


@pytest.mark.parametrize("name", ["bert", "elmo"])
def test_bfloat16(embed, tmp_path, name):
    source = write_lines(tmp_path / "texts.txt", TEXTS[:4])
    exact = embed(made(name), source).table("sentences")
    near = embed(made(name), source, "--precision=bfloat16").table("sentences")
    a, b = vectors(exact), vectors(near)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.99


# --------------------------------------------------------------------------------- odd documents


RECORDS = [
    {"id": "pair", "text": "a good book", "pair": "a cup of tea"},
    {"id": "plain", "text": "the garden is red"},
    {"id": "blank", "text": "  \u3000 "},
    {"id": "lines", "text": "the garden\nis\tquiet  now"},
    {"id": "around", "text": "  the roof "},
    {"id": "wide", "text": "rain\u3000on the roof"},
    {"id": "empty", "text": ""},
]


@pytest.mark.parametrize("name", ["elmo", "token lookup", "use lite", "use"])
def test_pairs_are_rejected_where_single_texts_are_taken(embed, tmp_path, name):
    lines = [json.dumps(record) for record in RECORDS]
    source = write_lines(tmp_path / "records.jsonl", lines)
    outcome = embed(made(name), source, "--max_rejected=1")
    assert outcome.code == 0, outcome.err
    (file,) = outcome.latest.glob("rejected/*")
    (rejected,) = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert rejected["id"] == "pair"
    assert rejected["error"] == "is a pair of texts, and the model takes single ones"
    counts = manifest_of(outcome)["counts"]
    assert (counts["documents"], counts["empty"], counts["rejected"]) == (4, 2, 1)
    texts = {record["id"]: record["text"] for record in RECORDS}
    for row in outcome.table("sentences").to_pylist():
        expected = MODELS[name].expected(texts[row["id"]])
        own = expected.outputs.get("default")
        own = expected.layers[0].mean(0) if own is None else own
        np.testing.assert_allclose(row["vector"], own, **CLOSE)


def test_a_bert_takes_pairs(embed, tmp_path):
    source = write_lines(tmp_path / "pairs.txt", ["a good book ||| a cup of tea", "rain"])
    outcome = embed(made("bert"), source, "--input_format=pairs", "--vectors=pooler")
    rows = by_row(outcome.table("sentences"))
    expected = MODELS["bert"].expected
    pooled = [expected("a good book", "a cup of tea"), expected("rain")]
    for n, one in enumerate(pooled, start=1):
        np.testing.assert_allclose(rows[n]["pooler"], one.outputs["pooler"], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "word", "reason"),
    [("nan_on", NAN_WORD, "not finite"), ("raises_on", RAISING_WORD, "explodes")],
)
def test_one_bad_text_is_one_rejected_record(embed, tmp_path, kind, word, reason):
    texts = [*TEXTS[:5], f"there is {word} here", *TEXTS[5:9]]
    model = strings_saved_model(tmp_path / "model", kind)
    outcome = embed(model, write_lines(tmp_path / "texts.txt", texts), "--max_rejected=1")
    assert outcome.code == 0, outcome.err
    rows = by_row(outcome.table("sentences"))
    assert sorted(rows) == [1, 2, 3, 4, 5, 7, 8, 9, 10]
    expected = strings_reference("use", texts)["default"]
    for n, row in rows.items():
        np.testing.assert_allclose(row["vector"], expected[n - 1], **CLOSE)
    (file,) = outcome.latest.glob("rejected/*")
    (rejected,) = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert rejected["source_row"] == 6
    assert reason in rejected["error"]


def test_a_model_that_fails_on_everything_ends_the_run_in_a_sentence(embed, tmp_path):
    import tensorflow as tf

    def fails(texts):
        with tf.control_dependencies([tf.debugging.Assert(tf.size(texts) < 0, ["never"])]):
            return tf.zeros([tf.size(texts), 3])

    root = tf.train.Checkpoint()
    root.__call__ = tf.function(fails, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(root, str(tmp_path / "model"))
    outcome = embed(tmp_path / "model", write_lines(tmp_path / "texts.txt", TEXTS))
    assert outcome.code == 1
    assert "the model fails on every input" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (outcome.output / "LATEST").exists()


# ------------------------------------------------------------------------------------ long texts

LONG = " ".join(TEXTS[:6] * 3)


def elmo_windows(words, room, overlap):
    """Each word's vectors, from the window that shows it with more of its surroundings."""
    if len(words) <= room:
        return elmo_reference([words])[0]["elmo"]
    stride, found, start = room - overlap, [], 0
    while True:
        part = words[start : start + room]
        (layers,) = elmo_reference([part])
        last = start + room >= len(words)
        first = overlap // 2 if start else 0
        stop = len(part) if last else room - overlap + overlap // 2
        found += list(layers["elmo"][first:stop])
        if last:
            return np.array(found)
        start += stride


@pytest.mark.parametrize("name", ["elmo", "elmo, tokens"])
def test_elmo_in_windows_owns_each_word_once(embed, tmp_path, name):
    source = write_lines(tmp_path / "texts.txt", [LONG, *TEXTS[:4]])
    outcome = embed(
        made(name), source, *flags_of(name), "--max_seq_length=12", "--window_overlap=4",
        "--layers=elmo", "--vectors=mean@elmo",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows, tokens = by_row(outcome.table("sentences")), tokens_by_row(outcome.table("tokens"))
    for n, text in enumerate([LONG, *TEXTS[:4]], start=1):
        words = words_of(text)
        expected = elmo_windows(words, 12, 4)
        assert [token["token"] for token in tokens[n]] == words
        assert [text[token["start"] : token["end"]] for token in tokens[n]] == words
        np.testing.assert_allclose([token["layer@elmo"] for token in tokens[n]], expected, **CLOSE)
        np.testing.assert_allclose(rows[n]["mean@elmo"], expected.mean(0), **CLOSE)
    assert rows[1]["n_windows"] > 20
    assert rows[1]["n_dropped"] == 0


def test_a_long_text_of_looked_up_words_is_pooled_exactly(embed, tmp_path):
    source = write_lines(tmp_path / "texts.txt", [LONG])
    outcome = embed(made("word2vec"), source, "--max_seq_length=10")
    (row,) = outcome.table("sentences").to_pylist()
    expected = tokens_reference(words_of(LONG)).mean(0)
    np.testing.assert_allclose(row["vector"], expected, **CLOSE)
    assert row["n_windows"] > 15


@pytest.mark.parametrize(("name", "most"), [("bert, fixed length", 128), ("bert", 64)])
def test_long_texts_are_cut_to_what_the_model_takes(embed, tmp_path, name, most):
    source = write_lines(tmp_path / "texts.txt", [LONG, TEXTS[0]])
    outcome = embed(made(name), source, "--layers=-1", "--vectors=mean@-1")
    assert outcome.code == 0, outcome.err
    rows, tokens = by_row(outcome.table("sentences")), tokens_by_row(outcome.table("tokens"))
    expected = MODELS["bert"].expected(LONG[:100]).tokens
    assert [token["token"] for token in tokens[1]][:10] == expected[:10]
    assert rows[1]["n_tokens"] == len(tokens[1]) > 2 * most
    assert rows[1]["n_windows"] > 2
    for n in (1, 2):
        found = np.array([token["layer@-1"] for token in tokens[n]])
        np.testing.assert_allclose(rows[n]["mean@-1"], found.mean(0), **CLOSE)
    alone = MODELS[name].expected(TEXTS[0])
    np.testing.assert_allclose(rows[2]["mean@-1"], expected_column(name, "mean@-1", alone), **CLOSE)


# ------------------------------------------------------------------------------- the fingerprint


def fingerprint(model, **settings):
    """As `embed` writes it into the manifest."""
    return Settings(model=str(model), **settings).resolve().describe("strip")["fingerprint"]


def test_the_manifest_has_the_fingerprint(embed, tmp_path):
    outcome = embed(made("elmo"), write_lines(tmp_path / "texts.txt", TEXTS[:1]))
    assert manifest_of(outcome)["run"]["fingerprint"] == fingerprint(made("elmo"))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("bert", bert_saved_model),
        ("bert module", bert_module),
        ("elmo", elmo),
        ("use lite", use_lite),
    ],
)
def test_the_fingerprint_is_of_the_models_files_and_not_of_their_place(tmp_path, name, build):
    first = fingerprint(made(name))
    folder = Path(shutil.copytree(made(name), tmp_path / "elsewhere" / "model"))
    assert fingerprint(folder) == first
    moved = folder.rename(tmp_path / "moved")
    assert fingerprint(moved) == first
    other = build(tmp_path / "other", seed=1)  # of the same form, with other weights
    shutil.copytree(other / "variables", moved / "variables", dirs_exist_ok=True)
    found = [first, fingerprint(moved)]
    if (file := moved / "assets" / "vocab.txt").is_file():
        file.write_bytes(file.read_bytes().replace(b"\ngarden\n", b"\ngardem\n"))
        found.append(fingerprint(moved))
    if (file := moved / "tfhub_module.pb").is_file():
        file.write_bytes(b"\x08\x03\x00\x00")
        found.append(fingerprint(moved))
    assert len(found) > 2
    assert len(set(found)) == len(found)


def test_the_fingerprint_is_of_the_signature_too():
    asked = ({}, {"signature": "tokens"}, {"output_key": "elmo"}, {"precision": "bfloat16"})
    assert len({fingerprint(made("elmo"), **one) for one in asked}) == len(asked)


# -------------------------------------------------------------------------------------- damages


@pytest.mark.parametrize(
    ("name", "how", "code"),
    [
        ("bert", "pb_cut", 2),
        ("keras save", "wrong_shape", 2),
        ("bert module", "vocab_too_long", 2),
        ("elmo", "variables_cut", 2),
        ("use lite", "asset_missing", 2),
        ("strings, nnlm", "unknown_op", 2),
        ("word2vec", "vocab_too_long", 1),
        ("strings, nnlm", "vocab_too_long", 1),
    ],
)
def test_a_damaged_model_ends_in_one_line_and_publishes_nothing(embed, tmp_path, name, how, code):
    model = break_model(made(name), how, tmp_path / "model")
    outcome = embed(model, write_lines(tmp_path / "texts.txt", TEXTS))
    assert outcome.code == code
    (line,) = said(outcome)
    assert line.startswith("corpusvec: ")
    assert str(model) in line
    assert not (outcome.output / "LATEST").exists()
    assert not list(outcome.output.glob("snapshots/*"))
