"""`inspect` tells what is there, as text and as JSON, and what it tells is so."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.inspections.models import TRIAL
from corpusvec.pipeline.settings import poolings_for
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.specs import VectorColumn
from corpusvec.transforms.vectors.columns import parse_vectors
from tests.conftest import ROOT
from tests.hub_modules import bert_module, elmo, nnlm, tf1_saved_bert, use, use_lite
from tests.hub_modules import word2vec_lookup as word2vec
from tests.models import checkpoint_folder, hugging_face_folder
from tests.repository.test_oracles import GOLDEN
from tests.saved_models import (
    BROKEN,
    bert_saved_model,
    break_model,
    keras_bert_saved_model,
    strings_saved_model,
    token_lookup,
    unknown_signature,
)

BERTS_LAYERS = [0, 1, 2]
SENTENCE_MODULES = {
    "modules": ("pooling", "dense", "normalize"),
    "prompts": {"query": "query: "},
    "default_prompt": "query",
}

# How each kind is made, what `inspect --json` says of it at least, and what the text has.
MODELS = {
    "hugging_face": (
        hugging_face_folder,
        {"kind": "hugging_face", "architecture": "bert", "longest": 64, "pairs": True},
        ["Hugging Face folder (hugging_face)", "0 to 2 (16 wide); -1 is 2", "vector=mean@1"],
    ),
    "sentence_transformers": (
        lambda path: hugging_face_folder(path, **SENTENCE_MODULES),
        {"kind": "hugging_face", "prompts": {"query": "query: "}, "default_prompt": "query: "},
        ["vector=mean@2, then 2_Dense, then normalize (8 wide)", "query: 'query: '"],
    ),
    "xlm_roberta": (
        lambda path: hugging_face_folder(path, model_type="xlm-roberta", tokenizer="xlmr"),
        {"kind": "hugging_face", "architecture": "xlm-roberta"},
        ["<s> before, </s> after, </s>, </s> between", "case is kept"],
    ),
    "checkpoint": (
        checkpoint_folder,
        {"kind": "checkpoint", "form": "TensorFlow 1 checkpoint", "parameters": 12_784},
        ["texts are lower-cased, as the original programs do", "vocabulary of 304"],
    ),
    "japanese": (
        lambda path: checkpoint_folder(path, tokenizer="sentencepiece", config="config.ini"),
        {"kind": "checkpoint"},
        ["SentencePiece, as bert-japanese", "wiki-ja.vocab"],
    ),
    "bert": (
        lambda path: bert_saved_model(path, training_traces=(True, False), layers=3),
        {"kind": "saved_bert", "signature": "__call__", "max_seq_length": 64},
        ["encoder_outputs/0 to 2: float32 [?, ?, 16]", "training=True, where dropout"],
    ),
    "fixed_length": (
        lambda path: bert_saved_model(path, fixed_length=32),
        {"kind": "saved_bert", "signature": "serving_default", "longest": 32},
        ["input_mask: int32 [?, 32]", "padded to the signature's 32 tokens"],
    ),
    "keras": (keras_bert_saved_model, {"kind": "saved_bert"}, ["SavedModel that takes token ids"]),
    "strings": (
        lambda path: strings_saved_model(path, "use"),
        {"kind": "saved_strings", "takes": "strings", "tokenizer": None, "longest": None},
        ["inside the model", "none: it gives sentence vectors only", "output@default (16 wide)"],
    ),
    "lookup": (
        token_lookup,
        {"kind": "saved_words", "takes": "words", "pairs": False, "vocabulary_size": 38},
        ["words, cut at spaces", "10 tokens, 9 unknown"],
    ),
    "elmo": (
        elmo,
        {"kind": "saved_words", "form": "TF1 Hub module that takes words", "takes": "words"},
        ["0 (12 wide); 1, 2, elmo (24 wide)", "padding would change its vectors"],
    ),
    "use": (use, {"kind": "saved_strings", "hidden_size": 16}, ["takes text: string [?]"]),
    "nnlm": (nnlm, {"kind": "saved_strings", "assets": ["assets/tokens.txt"]}, ["tokens.txt"]),
    "word2vec": (word2vec, {"kind": "saved_words"}, ["vector=mean@0 (16 wide)"]),
    "use_lite": (
        use_lite,
        {"kind": "saved_pieces", "takes": "token ids"},
        ["spm_path: takes nothing: it only tells something of the model", "spm.model"],
    ),
    "bert_module": (
        lambda path: bert_module(path, mlm=True),
        {"kind": "saved_bert", "signature": "tokens"},
        ["mlm: takes neither strings, words nor token ids", "-1 (16 wide)"],
    ),
    "tf1_saved_model": (tf1_saved_bert, {"kind": "saved_bert", "tags": ["serve"]}, ["serve"]),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """`zoo(name)` is a folder of that kind, made when it is asked for first."""
    place = tmp_path_factory.mktemp("zoo")

    def folder(name: str) -> Path:
        if not (place / name).exists():
            MODELS[name][0](place / name)
        return place / name

    return folder


@pytest.fixture
def inspect(capsys):
    """`inspect(place, *flags)` -> what the command prints; it must succeed, and be quiet."""

    def run(place, *flags: str) -> str:
        capsys.readouterr()
        code = main(["inspect", str(place), *flags])
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out

    return run


@pytest.fixture
def facts(inspect):
    return lambda place, *flags: json.loads(inspect(place, "--json", *flags))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_each_kind(name, zoo, inspect, facts):
    _, expected, shown = MODELS[name]
    text, found = inspect(zoo(name)), facts(zoo(name))
    spec = describe_model(str(zoo(name)))
    assert found | expected == found
    assert (found["digest"], found["parameters"]) == (spec.digest, spec.parameters)
    assert [layer["layer"] for layer in found["layers"]] == list(spec.layers)
    assert found["max_seq_length"] == spec.max_seq_length
    assert found["poolings"] == list(poolings_for(spec))
    assert found["notes"] == list(spec.notes)
    assert found["bytes"] == sum(f.stat().st_size for f in zoo(name).rglob("*") if f.is_file())
    assert found["other_readings"] == []
    joined = " ".join(text.split())
    for part in [*shown, spec.digest, f"{spec.parameters:,}"]:
        assert part in joined
    assert all(len(line) <= 100 or str(zoo(name)) in line for line in text.splitlines())


@pytest.mark.parametrize("name", MODELS)
def test_the_default_column_is_written_as_vectors_takes_it(name, zoo, facts):
    spec = describe_model(str(zoo(name)))
    (shown,) = facts(zoo(name))["default_columns"]
    (parsed,) = parse_vectors(shown["vectors"], poolings_for(spec), spec.layers, spec.outputs)
    (column,) = spec.default_columns
    assert len(shown["then"]) == len(column.modules)
    plain = VectorColumn(column.name, column.pooling, column.layers, output=column.output)
    assert parsed == plain


@pytest.mark.parametrize("name", ["sentence_transformers", "bert", "strings", "elmo", "use_lite"])
def test_the_command_that_it_names_embeds_and_the_widths_are_so(name, zoo, facts, tmp_path, embed):
    found = facts(zoo(name))
    words = shlex.split(found["embed"])
    model = words[words.index("embed") + 1]
    source = tmp_path / "texts.txt"
    source.write_text("a good book\nthe garden and the rain\n")
    layers = [str(layer["layer"]) for layer in found["layers"]]
    own = [f"own{n}={output['vectors']}" for n, output in enumerate(found["outputs"])]
    default = [column["vectors"] for column in found["default_columns"]]
    flags = [f"--layers={','.join(layers)}"] if layers else []
    outcome = embed(model.removeprefix("--model="), source, *flags)
    assert outcome.code == 0, outcome.err
    width = outcome.table("sentences").schema.field("vector").type.list_size
    assert width == found["default_columns"][0]["width"]
    if layers:
        schema = outcome.table("tokens").schema
        widths = [schema.field(f"layer@{layer}").type.list_size for layer in layers]
        assert widths == [layer["width"] for layer in found["layers"]]
    if own:
        vectors = ",".join([*own, *default])
        outcome = embed(model.removeprefix("--model="), source, f"--vectors={vectors}")
        schema = outcome.table("sentences").schema
        widths = [schema.field(f"own{n}").type.list_size for n in range(len(own))]
        assert widths == [output["width"] for output in found["outputs"]]


def test_every_signature_is_told_with_types_shapes_and_who_runs_it(zoo, facts):
    found = {one["name"]: one for one in facts(zoo("bert_module"))["signatures"]}
    assert list(found) == ["mlm", "tokenization_info", "tokens"]
    assert [one["chosen"] for one in found.values()] == [False, False, True]
    assert [one["adapter"] for one in found.values()] == [None, None, "saved_bert"]
    assert [bool(one["why_not"]) for one in found.values()] == [True, True, False]
    assert found["tokens"]["inputs"][0] == {
        "name": "input_ids",
        "dtype": "int32",
        "shape": [None, None],
    }
    traces = facts(zoo("bert"))["signatures"]
    assert [(one["name"], one["training"], one["chosen"]) for one in traces] == [
        ("__call__", True, False),
        ("__call__", False, True),
        ("serving_default", None, False),
    ]


def test_the_trial_is_what_the_model_reads(zoo, facts):
    found = facts(zoo("hugging_face"))
    trial, tokenizer = found["trial"], found["tokenizer"]
    assert trial["text"] == TRIAL
    assert (trial["tokens"][0], trial["tokens"][-1]) == ("[CLS]", "[SEP]")
    assert trial["unknown"] == trial["tokens"].count("[UNK]") > 0
    assert len(trial["tokens"]) == len(trial["ids"])
    assert tokenizer["lower_case"]
    kept = facts(zoo("hugging_face"), "--do_lower_case=false")
    assert not kept["tokenizer"]["lower_case"]
    assert kept["trial"]["tokens"] != trial["tokens"]
    assert kept["digest"] != found["digest"]
    assert "--do_lower_case=false" in kept["embed"]


@pytest.mark.parametrize("name", ["bert", "elmo", "nnlm", "use", "use_lite"])
def test_the_modules_of_tensorflow_hub(name, facts):
    found = facts(GOLDEN / "tf1_hub" / name)
    assert found["form"].startswith("TF1 Hub module that takes ")
    assert sum(one["chosen"] for one in found["signatures"]) == 1
    assert found["problem"] is None


def test_a_file_that_is_added_or_changed_changes_the_digest(zoo, facts, tmp_path):
    copy = Path(shutil.copytree(zoo("use"), tmp_path / "copy"))
    assert facts(copy)["digest"] == facts(zoo("use"))["digest"]
    (copy / "assets").mkdir()
    (copy / "assets/more.txt").write_text("more")
    assert facts(copy)["digest"] != facts(zoo("use"))["digest"]


# ------------------------------------------------------------------ models that cannot be run yet


def test_what_nobody_has_seen_is_shown_with_what_is_missing(tmp_path, facts, inspect):
    folder = unknown_signature(tmp_path / "model")
    found = facts(folder)
    assert found["problem"].endswith("say with --output_key which one is the sentence vector")
    assert {one["vectors"] for one in found["outputs"]} == {"output@vec", "output@logits"}
    assert (found["signature"], found["embed"]) == ("embed_v2", None)
    assert "tokens_out: float32 [?, ?, 16]" in inspect(folder)
    decided = facts(folder, "--signature=embed_v2", "--output_key=vec")
    assert decided["default_columns"][0] == {
        "vectors": "vector=output@vec",
        "then": [],
        "width": 16,
    }
    assert {"--signature=embed_v2", "--output_key=vec"} < set(shlex.split(decided["embed"]))


def test_a_model_without_vocabulary_is_shown_and_takes_one(tmp_path, zoo, facts):
    folder = keras_bert_saved_model(tmp_path / "model", how="export")
    found = facts(folder)
    assert found["problem"].endswith("name it with --tokenizer")
    assert [one["adapter"] for one in found["signatures"]] == ["saved_bert", "saved_bert"]
    assert facts(folder, f"--tokenizer={zoo('checkpoint')}/vocab.txt")["problem"] is None


def test_a_model_without_a_function_to_run_shows_all_that_it_has(tmp_path, facts, inspect):
    import tensorflow as tf

    root = tf.train.Checkpoint()
    specs = {
        "images": tf.function(
            lambda pixels: {"vec": pixels[:, 0, 0]},
            input_signature=[tf.TensorSpec([None, 8, 8, 3], name="pixels")],
        ),
        "lengths": tf.function(
            lambda text: {"length": tf.strings.length(text)},
            input_signature=[tf.TensorSpec([None], tf.string, "text")],
        ),
    }
    tf.saved_model.save(root, str(tmp_path / "model"), signatures=specs)
    found = facts(tmp_path / "model")
    assert "no function takes strings, words or token ids" in found["problem"]
    why = {one["name"]: one["why_not"] for one in found["signatures"]}
    assert why["images"].startswith("takes neither strings, words nor token ids")
    assert why["lengths"].startswith("gives no vectors")
    assert "pixels: float32 [?, 8, 8, 3]" in inspect(tmp_path / "model")


def test_another_architecture_is_shown_as_far_as_possible(tmp_path, facts, inspect):
    folder = hugging_face_folder(tmp_path / "model")
    values = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_positions": 64, "vocab_size": 9}
    (folder / "config.json").write_text(json.dumps(values))
    found = facts(folder)
    assert "model_type is 'gpt2'; corpusvec runs albert, " in found["problem"]
    expected = {
        "architecture": "gpt2",
        "hidden_size": 16,
        "layer_count": 2,
        "longest": 64,
        "vocabulary_size": 9,
        "parameters": 12_784,
        "embed": None,
    }
    assert found | expected == found
    assert "cannot be run" in inspect(folder)


def test_a_tokenizer_that_is_not_implemented_does_not_hide_the_model(tmp_path, facts):
    folder = hugging_face_folder(tmp_path / "model")
    said = {"tokenizer_class": "BertweetTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    found = facts(folder)
    assert "'BertweetTokenizer', a program of its own, which is not implemented" in found["problem"]
    assert found["hidden_size"] == 16


# --------------------------------------------------------------------------- several readings


def test_two_kinds_of_model_in_one_folder_are_both_told(tmp_path, zoo, facts, inspect):
    folder = Path(shutil.copytree(zoo("hugging_face"), tmp_path / "both"))
    shutil.copytree(zoo("strings"), folder, dirs_exist_ok=True)
    found = facts(folder)
    (other,) = found["other_readings"]
    assert (found["kind"], other["kind"]) == ("hugging_face", "saved_strings")
    assert "several readings are possible" in found["notes"][-1]
    assert (bool(found["embed"]), other["embed"]) == (True, None)
    assert "reading 2 of 2" in inspect(folder)
    (folder / "model.safetensors").write_bytes(b"")
    broken = facts(folder)
    assert "is not a whole safetensors file" in broken["problem"]
    assert "`embed` takes the first, and cannot" in broken["notes"][-1]
    assert broken["other_readings"][0]["problem"] is None
    (folder / "model.safetensors").unlink()  # a configuration may lie beside a SavedModel
    assert facts(folder)["kind"] == "saved_strings"


def test_of_several_checkpoints_all_are_told_or_which_one_is_read(tmp_path, facts):
    folder = checkpoint_folder(tmp_path / "model", step=1)
    checkpoint_folder(folder, step=10, seed=7)
    found = facts(folder)
    (other,) = found["other_readings"]
    assert found["digest"] != other["digest"]
    assert (found["files"], other["files"]) == (4, 4)
    for one, step in ((found, 1), (other, 10)):
        assert f"--model={folder}/model.ckpt-{step}" in one["embed"]
        assert "several checkpoints (model.ckpt-1, model.ckpt-10)" in one["notes"][-1]
    assert facts(folder / "model.ckpt-10")["digest"] == other["digest"]
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-10"\n')
    named = facts(folder)
    assert (named["digest"], named["other_readings"]) == (other["digest"], [])
    assert "model.ckpt-10 is read" in named["notes"][-1]


def test_a_model_that_is_an_output_too(embed, tiny, tmp_path, facts, text):
    folder = Path(shutil.copytree(tiny, tmp_path / "out"))
    assert embed(tiny, text).output == folder
    found = facts(folder)
    assert (found["what"], found["other_readings"][0]["what"]) == ("model", "output")
    assert "an output of `embed` too" in found["notes"][-1]


def test_an_archive_says_where_it_was_fetched_from(tmp_path, zoo, capsys):
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(zoo("use"), ".")
    flags = [f"--model_cache={tmp_path}/cache", "--json"]
    for place in (str(archive), f"file://{archive}"):
        assert main(["inspect", place, *flags]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["handle"] == place
        assert found["path"].startswith(f"{tmp_path}/cache/")
        assert f"--model={place}" in shlex.split(found["embed"])
        assert found["digest"] == describe_model(str(zoo("use"))).digest


# -------------------------------------------------------------------------------------- outputs


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "in" / "a.txt"
    file.parent.mkdir()
    file.write_text("a good book\nthe garden is quiet in the morning\n")
    return file


def test_an_output_is_told_as_it_was_written(embed, tiny, text, facts, inspect, capsys):
    outcome = embed(tiny, text, "--layers=-1", "--vectors=cls@1,x=mean@1:2")
    found = facts(outcome.output)
    manifest = json.loads((outcome.latest / "manifest.json").read_text())
    assert (found["what"], found["latest"]) == ("output", outcome.latest.name)
    assert [(one["is_latest"], one["documents"]) for one in found["snapshots"]] == [(True, 2)]
    shown = found["snapshot"]
    for key in ("counts", "configuration", "versions", "run", "started", "finished"):
        assert shown[key] == manifest[key]
    assert shown["fingerprint"] == manifest["run"]["fingerprint"]
    assert shown["model_digest"] == describe_model(tiny).digest
    assert shown["files"] == sum(file.is_file() for file in outcome.latest.rglob("*"))
    columns = {one["name"]: one for one in shown["tables"]["sentences"]["columns"]}
    assert list(columns) == outcome.table("sentences").column_names
    assert columns["x"] == {"name": "x", "type": "float32", "width": 32}
    assert columns["text"] == {"name": "text", "type": "string", "width": None}
    assert shown["tables"]["tokens"]["rows"] == len(outcome.table("tokens"))
    written = outcome.table("sentences").to_pylist()
    assert {row["id"] for row in shown["rows"]} == {row["id"] for row in written}
    for row in shown["rows"]:
        (same,) = [one for one in written if one["id"] == row["id"]]
        assert row["vectors"]["x"]["start"] == pytest.approx(same["x"][:4], rel=1e-6)
    said = inspect(outcome.output)
    for part in ("LATEST", "x: float32[32]", "a.txt:1  a good book", "layer@-1: float32[16]"):
        assert part in said
    refusal = refused(capsys, str(outcome.output), "--signature=default")
    assert "is an output, not a model" in refusal


def test_snapshots_that_differ_and_attempts_are_told(embed, tiny, text, facts, inspect):
    first = embed(tiny, text).latest
    same = facts(first.parents[1])
    assert (same["same_fingerprint"], same["notes"]) == (True, [])
    embed(tiny, text, "--vectors=cls@1")
    text.write_bytes(b"a good book\n\xff\n")
    assert embed(tiny, text).code == 3
    attempt = first.parent / ".20260102T030405.678Z-0a1b2c3d.attempt"
    attempt.mkdir()
    found = facts(first.parents[1])
    assert [one["published"] for one in found["snapshots"]] == [True, True, False]
    assert [one["rejected"] for one in found["snapshots"]] == [0, 0, 1]
    assert found["same_fingerprint"] is False
    assert "do not belong together" in found["notes"][0]
    assert found["unfinished"] == [attempt.name]
    assert found["snapshot"]["id"] == found["latest"] == found["snapshots"][1]["id"]
    assert facts(f"{first}/")["snapshot"]["id"] == first.name
    assert "not published" in inspect(first.parents[1])


def test_a_snapshot_that_was_moved_or_has_lost_a_file(embed, tiny, text, facts, tmp_path):
    latest = embed(tiny, text, "--layers=1").latest
    moved = Path(shutil.copytree(latest, tmp_path / "moved"))
    assert facts(moved)["snapshot"]["counts"] == facts(latest)["snapshot"]["counts"]
    (sentences,) = moved.glob("sentences/*.parquet")
    sentences.unlink()
    (tokens,) = moved.glob("tokens/*.parquet")
    tokens.write_bytes(tokens.read_bytes()[:-1])
    found = facts(moved)
    assert "does not exist" in found["notes"][0]
    assert "the manifest says" in found["notes"][1]
    assert found["snapshot"]["rows"] == []


def test_latest_that_names_nothing_and_no_latest(embed, tiny, text, facts):
    outcome = embed(tiny, text)
    (outcome.output / "LATEST").write_text("20260102T030405.678Z-0a1b2c3d\n")
    found = facts(outcome.output)
    assert "LATEST names 20260102T030405.678Z-0a1b2c3d, which is not there" in found["notes"]
    assert found["snapshot"]["counts"]["documents"] == 2
    (outcome.output / "LATEST").unlink()
    assert "nothing is published" in facts(outcome.output)["notes"][0]
    shutil.rmtree(outcome.output / "snapshots")
    (outcome.output / "snapshots").mkdir()
    assert facts(outcome.output)["snapshot"] is None


# --------------------------------------------------------------------------------------- errors


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    code = main(["inspect", *arguments])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("corpusvec: ")
    assert len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_model_is_one_sentence(how, zoo, tmp_path, capsys):
    folder = break_model(zoo("bert_module"), how, tmp_path / "model")
    assert str(folder) in refused(capsys, str(folder))
    assert str(folder) in refused(capsys, str(folder), "--json")


def written(name, content):
    def make(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return make


def without(name):
    def make(folder):
        hugging_face_folder(folder)
        (folder / name).unlink()

    return make


ATTEMPT = ".20260102T030405.678Z-0a1b2c3d.attempt"
# What to make of a folder, what of it is inspected, and what the sentence has.
WRONG = {
    "nothing": (lambda folder: None, "nowhere", "no such file or folder"),
    "empty folder": (lambda folder: None, "", "is an empty folder"),
    "a folder of other files": (written("a.txt", "a"), "", "Expected: LATEST or snapshots/; "),
    "a file": (written("a.txt", "a"), "a.txt", "is neither a model's folder, nor an archive"),
    "no archive": (written("a.tar.gz", "a"), "a.tar.gz", "a.tar.gz: "),
    "no weights": (without("model.safetensors"), "", "has no model.safetensors"),
    "no tokenizer": (without("tokenizer.json"), "", "name the tokenizer's folder or file"),
    "configuration that is no JSON": (written("config.json", "{"), "", "config.json: is not JSON"),
    "another's cache": (written("snapshots/0a1b/model.bin", "a"), "", "neither a model nor"),
    "an attempt": (written(f"snapshots/{ATTEMPT}/a", "a"), f"snapshots/{ATTEMPT}", "unfinished"),
    "manifest that is no JSON": (written("manifest.json", "{"), "", "manifest.json: is not JSON"),
    "manifest of another program": (written("manifest.json", "[]"), "", "neither a model nor"),
}


@pytest.mark.parametrize(("make", "place", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_no_model_and_no_output(make, place, expected, tmp_path, capsys):
    make(tmp_path)
    said = refused(capsys, os.path.join(tmp_path, place).rstrip("/"))
    assert expected in said
    assert "--model=" not in said


def test_a_model_of_a_hub_without_its_address(capsys):
    said = refused(capsys, "intfloat/multilingual-e5-small")
    assert said.endswith("Hugging Face Hub, type hf://intfloat/multilingual-e5-small\n")


FLAGS = {
    "no such signature": ("bert_module", "--signature=nope", "has: mlm, tokenization_info, tokens"),
    "no adapter": ("bert_module", "--signature=mlm", "no function takes strings"),
    "no such output": ("use", "--output_key=nope", "use one of default"),
    "no signatures at all": (
        "hugging_face",
        "--signature=nope",
        "has no signatures; omit the flag",
    ),
    "tokenizer of its own": ("use", "--tokenizer=vocab.txt", "cuts them itself"),
    "no such flag": ("use", "--vectors=mean@1", "--vectors"),
}


@pytest.mark.parametrize(("name", "flag", "expected"), FLAGS.values(), ids=FLAGS)
def test_a_flag_that_the_model_cannot_meet(name, flag, expected, zoo, capsys):
    assert expected in refused(capsys, str(zoo(name)), flag)


def test_a_place_without_a_name(capsys):
    assert "name a model or an output folder" in refused(capsys, "")


def test_a_hugging_face_folder_is_told_without_tensorflow_and_beam(tiny):
    script = (
        "import sys\n"
        "from corpusvec.pipeline.cli import main\n"
        f"assert main(['inspect', {tiny!r}]) == 0\n"
        "heavy = {'apache_beam', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


def test_nothing_but_the_object_is_printed_whatever_the_libraries_say(zoo):
    command = [sys.executable, "-m", "pipeline", "inspect", str(zoo("nnlm")), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["kind"] == "saved_strings"
    assert done.stderr == ""
