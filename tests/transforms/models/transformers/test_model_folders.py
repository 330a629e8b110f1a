"""What a model folder says is taken from it; one that is incomplete or contradicts itself is
refused in one line that names the file and what was looked for.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file, save_file

from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.specs import Asked
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from tests.models import (
    checkpoint_folder,
    hugging_face_folder,
    sentence_piece_model,
    word_piece_vocabulary,
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Whole folders, one of each kind, for tests to copy and break."""
    place = tmp_path_factory.mktemp("originals")
    modules = ("pooling", "dense", "normalize")
    return {
        "json": hugging_face_folder(place / "json"),
        "txt": hugging_face_folder(place / "txt", tokenizer="vocab.txt"),
        "xlmr": hugging_face_folder(place / "xlmr", tokenizer="xlmr", model_type="xlm-roberta"),
        "sentences": hugging_face_folder(
            place / "sentences", modules=modules, prompts={"query": "query: "}
        ),
        "checkpoint": checkpoint_folder(place / "checkpoint"),
        "japanese": checkpoint_folder(
            place / "japanese", tokenizer="sentencepiece", config="config.ini"
        ),
    }


@pytest.fixture
def copy(originals, tmp_path):
    """`copy(kind)` -> a folder of one's own."""
    return lambda kind: Path(shutil.copytree(originals[kind], tmp_path / "model"))


# ---------------------------------------------------------------- ways in which folders are broken


def without(name):
    return lambda folder: (folder / name).unlink()


def written(name, content):
    return lambda folder: (folder / name).write_text(content, "utf-8")


def ends_with(name, more):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + more)


def shortened(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def says(name, **values):
    """A JSON file with other values; None takes a key away."""

    def edit(folder):
        old = json.loads((folder / name).read_text("utf-8"))
        new = {key: value for key, value in {**old, **values}.items() if value is not None}
        (folder / name).write_text(json.dumps(new), "utf-8")

    return edit


def renamed(old, new):
    return lambda folder: (folder / old).rename(folder / new)


def tensor(key, change, file="model.safetensors"):
    """A tensor changed, or taken away where `change` gives None."""

    def edit(folder):
        tensors = load_file(folder / file)
        tensors[key] = change(tensors[key])
        kept = {k: np.ascontiguousarray(v) for k, v in tensors.items() if v is not None}
        save_file(kept, folder / file)

    return edit


def more_tokens_in_json(folder):
    file = folder / "tokenizer.json"
    said = json.loads(file.read_text("utf-8"))
    said["model"]["vocab"]["toomany"] = max(said["model"]["vocab"].values()) + 1
    file.write_text(json.dumps(said), "utf-8")


def all_of(*edits):
    def edit(folder):
        for one in edits:
            one(folder)

    return edit


def module_type(n, name):
    def edit(folder):
        modules = json.loads((folder / "modules.json").read_text())
        modules[n]["type"] = f"sentence_transformers.models.{name}"
        (folder / "modules.json").write_text(json.dumps(modules))

    return edit


def module_value(folder, n, **values):
    modules = json.loads((folder / "modules.json").read_text())
    modules[n].update(values)
    (folder / "modules.json").write_text(json.dumps(modules))


def shards(folder):
    """The weights said to be in two files, of which only the first is there."""
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    keys = list(load_file(folder / "model-1.safetensors"))
    where = {key: f"model-{1 + n % 2}.safetensors" for n, key in enumerate(keys)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


HUGGING_FACE = {
    "no configuration": (
        "json",
        without("config.json"),
        r"^--model=.*: no model that corpusvec knows. Expected: .*config.json, model.safetensors",
    ),
    "configuration is no JSON": ("json", written("config.json", "{"), r"config.json: is not JSON"),
    "configuration is a list": (
        "json",
        written("config.json", "[]"),
        r"config.json: holds a list; expected an object",
    ),
    "no number of layers": (
        "json",
        says("config.json", num_hidden_layers=None),
        r"safetensors: the weights have no encoder/layer_2/",  # 12 where nothing is said
    ),
    "half a layer": (
        "json",
        says("config.json", num_hidden_layers=1.5),
        r"config.json: num_hidden_layers must be an integer ≥ 1, got 1.5",
    ),
    "unknown architecture": (
        "json",
        says("config.json", model_type="xlnet"),
        r"config.json: model_type is 'xlnet'; corpusvec runs albert, bert, camembert, ",
    ),
    "relative positions": (
        "json",
        says("config.json", position_embedding_type="relative_key"),
        r"config.json: position_embedding_type is 'relative_key'; only absolute",
    ),
    "decoder": (
        "json",
        says("config.json", is_decoder=True),
        r"config.json: is_decoder is True",
    ),
    "unknown activation": (
        "json",
        says("config.json", hidden_act="mish"),
        r"config.json: hidden_act 'mish' is none of gelu, ",
    ),
    "heads do not divide": (
        "json",
        says("config.json", num_attention_heads=3),
        r"config.json: hidden_size 16 cannot be divided among num_attention_heads 3",
    ),
    "epsilon is no number": (
        "json",
        says("config.json", layer_norm_eps="small"),
        r"config.json: layer_norm_eps must be a small number, got 'small'",
    ),
    "no room for positions": (
        "xlmr",
        says("config.json", pad_token_id=100),
        r"config.json: max_position_embeddings 66 leaves no place for a token",
    ),
    "no weights": ("json", without("model.safetensors"), r": has no model.safetensors$"),
    "weights of PyTorch that are none": (
        "json",
        renamed("model.safetensors", "pytorch_model.bin"),
        r"pytorch_model.bin: is no file of PyTorch's that is read here; where PyTorch is, convert",
    ),
    "weights cut off": (
        "json",
        shortened("model.safetensors", 5000),
        r"model.safetensors: is not a whole safetensors file",
    ),
    "pointer to the weights": (
        "json",
        written("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
        r"model.safetensors: is a Git LFS pointer, not the file .*: git lfs pull$",
    ),
    "a weight is missing": (
        "json",
        tensor("encoder.layer.1.output.dense.bias", lambda value: None),
        r"model.safetensors: the weights have no encoder/layer_1/output/dense/bias",
    ),
    "half a pooler": (
        "json",
        tensor("pooler.dense.bias", lambda value: None),
        r"model.safetensors: the weights have no pooler/dense/bias",
    ),
    "a weight has another shape": (
        "json",
        tensor("encoder.layer.0.intermediate.dense.weight", lambda value: value[:-1]),
        r"safetensors: encoder/layer_0/intermediate/dense/kernel has the shape \[16, 63\], the"
        r" configuration says \[16, 64\]",
    ),
    "another model's weights": (
        "json",
        says("config.json", num_hidden_layers=3),
        r"model.safetensors: the weights have no encoder/layer_2/",
    ),
    "a shard is missing": ("json", shards, r": has no model-2.safetensors$"),
    "index of shards is empty": (
        "json",
        all_of(without("model.safetensors"), written("model.safetensors.index.json", "{}")),
        r"model.safetensors.index.json: has no weight_map",
    ),
    "index of shards holds a number": (
        "json",
        all_of(
            without("model.safetensors"),
            written("model.safetensors.index.json", '{"weight_map": {"a": 1}}'),
        ),
        r"model.safetensors.index.json: weight_map: a must be the name of a file of the folder",
    ),
    "tokenizer's case is said with a word": (
        "txt",
        says("tokenizer_config.json", do_lower_case="yes"),
        r"tokenizer_config.json: do_lower_case must be true or false, got 'yes'",
    ),
    "tokenizer's length is a text": (
        "json",
        says("tokenizer_config.json", model_max_length="32"),
        r"tokenizer_config.json: model_max_length must be a number, got '32'",
    ),
    "tokenizer's length has no room for a text": (
        "json",
        says("tokenizer_config.json", model_max_length=3),
        r"tokenizer_config.json: model_max_length is 3, and special tokens alone take 3; set",
    ),
    "added tokens are a list": (
        "json",
        says("tokenizer_config.json", added_tokens_decoder=[1]),
        r"tokenizer_config.json: added_tokens_decoder must be an object, got \[1\]",
    ),
    "an added token has no content": (
        "json",
        says("tokenizer_config.json", added_tokens_decoder={"1": {}}),
        r"tokenizer_config.json: added_tokens_decoder: (1|a) must be an id, and of an object",
    ),
    "an added token has no number": (
        "json",
        says(
            "tokenizer_config.json",
            added_tokens_decoder={"a": {"content": "[A]"}},
        ),
        r"tokenizer_config.json: added_tokens_decoder: (1|a) must be an id, and of an object",
    ),
    "no vocabulary": (
        "json",
        without("tokenizer.json"),
        r": no tokenizer.json, vocab.txt, .*vocab.json; name .* with --tokenizer",
    ),
    "tokenizer is no JSON": ("json", written("tokenizer.json", "{"), r"tokenizer.json: "),
    "vocabulary is no BERT's": (
        "txt",
        written("vocab.txt", "a\nb\n"),
        r"vocab.txt: has no \[CLS\]; is it the file of such a tokenizer\?",
    ),
    "vocabulary is too large": (
        "txt",
        ends_with("vocab.txt", b"one\ntoo\nmany\n"),
        r"vocab.txt: has \d+ tokens, the model's embedding table \d+; is it another model's",
    ),
    "tokenizer.json is too large": (
        "json",
        more_tokens_in_json,
        r"tokenizer.json: has \d+ tokens, the model's embedding table \d+",
    ),
    "MeCab by its class": (
        "txt",
        says("tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer"),
        r"tokenizer_config.json: word_tokenizer_type is 'basic'; implemented is 'mecab'",
    ),
    "another program for words": (
        "txt",
        says("tokenizer_config.json", tokenizer_class=None, word_tokenizer_type="jumanpp"),
        r"tokenizer_config.json: word_tokenizer_type is 'jumanpp'; implemented is 'mecab'",
    ),
    "MeCab in the configuration": (
        "txt",
        all_of(
            says("config.json", tokenizer_class="BertJapaneseTokenizer"),
            without("tokenizer_config.json"),
        ),
        r"tokenizer_config.json: word_tokenizer_type is 'basic'; implemented is 'mecab'",
    ),
}
SENTENCE_TRANSFORMERS = {
    "unknown module": (
        module_type(3, "LSTM"),
        r"modules.json: the class sentence_transformers.models.LSTM is not implemented",
    ),
    "no pooling": (
        module_type(1, "Normalize"),
        r"modules.json: has Transformer, Normalize, Dense, Normalize; implemented are",
    ),
    "modules are no list": (
        written("modules.json", '{"idx": 0}'),
        r"modules.json: is not a list of modules",
    ),
    "pooling file is missing": (
        without("1_Pooling/config.json"),
        r"1_Pooling/config.json: cannot be read \(No such file",
    ),
    "unknown pooling": (
        says("1_Pooling/config.json", pooling_mode_median_tokens=True),
        r"1_Pooling/config.json: pooling_mode_median_tokens is true; corpusvec does not know this",
    ),
    "no pooling in the list": (
        says("1_Pooling/config.json", pooling_mode=[]),
        r"1_Pooling/config.json: pooling_mode is \[\]; implemented are cls, ",
    ),
    "pooling of another width": (
        says("1_Pooling/config.json", word_embedding_dimension=384),
        r"Pooling is for 384 dimensions, the model has 16",
    ),
    "unknown dense activation": (
        says("2_Dense/config.json", activation_function="torch.nn.modules.activation.Mish"),
        r"2_Dense/config.json: activation_function is 'torch.nn.modules.activation.Mish'; implem",
    ),
    "dense layer of another width": (
        all_of(
            tensor("linear.weight", lambda value: value[:, :12], "2_Dense/model.safetensors"),
            says("2_Dense/config.json", in_features=12),
        ),
        r"2_Dense: is for 12 dimensions, gets 16",
    ),
    "dense layer unlike its file": (
        says("2_Dense/config.json", out_features=9),
        r"linear.weight has the shape \[8, 16\], config.json says \[9, 16\]",
    ),
    "dense layer without weight": (
        tensor("linear.weight", lambda value: None, "2_Dense/model.safetensors"),
        r"2_Dense/model.safetensors: has no linear.weight, which its configuration asks for",
    ),
    "dense layer of other values": (
        says("2_Dense/config.json", module_input_name="token_embeddings"),
        r"2_Dense/config.json: module_input_name is 'token_embeddings'; only sentence_embedding",
    ),
    "dense weights are missing": (
        without("2_Dense/model.safetensors"),
        r"modules.json asks for 2_Dense/model.safetensors, which is missing$",
    ),
    "dense weights of PyTorch that are none": (
        renamed("2_Dense/model.safetensors", "2_Dense/pytorch_model.bin"),
        r"2_Dense/pytorch_model.bin: is no file of PyTorch's that is read here",
    ),
    "module without a folder": (
        lambda folder: module_value(folder, 0, path=None),
        r"modules.json: path must be a text, got None",
    ),
    "module of a type that is a number": (
        lambda folder: module_value(folder, 0, type=5),
        r"modules.json: type must be a text, got 5",
    ),
    "pooling is a number": (
        says("1_Pooling/config.json", pooling_mode=5),
        r"1_Pooling/config.json: pooling_mode is 5; implemented are",
    ),
    "pooling is said with a word": (
        says("1_Pooling/config.json", pooling_mode_mean_tokens="false"),
        r"config.json: pooling_mode_mean_tokens must be true or false, got 'false'",
    ),
    "length is a text": (
        says("sentence_bert_config.json", max_seq_length="32"),
        r"sentence_bert_config.json: max_seq_length must be an integer ≥ 1, got '32'",
    ),
    "case is said with a word": (
        says("sentence_bert_config.json", do_lower_case="yes"),
        r"sentence_bert_config.json: do_lower_case must be true or false, got 'yes'",
    ),
    "prompts are a list": (
        says("config_sentence_transformers.json", prompts=["query: "]),
        r"config_sentence_transformers.json: prompts must be an object, got \['query: '\]",
    ),
    "prompt is a number": (
        written("config_sentence_transformers.json", '{"prompts": {"query": 5}}'),
        r"config_sentence_transformers.json: prompts: 'query' must be a text or null, got 5",
    ),
    "default prompt is none of the prompts": (
        says("config_sentence_transformers.json", default_prompt_name="passage"),
        r"config_sentence_transformers.json: default_prompt_name 'passage' is none of its prompts",
    ),
}
BROKEN = {
    **HUGGING_FACE,
    **{name: ("sentences", *case) for name, case in SENTENCE_TRANSFORMERS.items()},
}


def refusal(path, *arguments):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the message is looked at)
        describe_model(str(path), Asked(*arguments))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("kind", "edit", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_hugging_face_folder_is_refused(kind, edit, message, copy):
    folder = copy(kind)
    describe_model(str(folder))
    edit(folder)
    assert re.search(message, refusal(folder))


DATA = "model.ckpt-1.data-00000-of-00001"


def save(prefix, arrays):
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )


def arrays_of(folder):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "model.ckpt-1"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def array(name, change):
    def edit(folder):
        arrays = arrays_of(folder)
        arrays[name] = change(arrays[name])
        save(folder / "model.ckpt-1", {k: v for k, v in arrays.items() if v is not None})

    return edit


def in_two_files(folder):
    """As a checkpoint of several parameter servers."""
    import tensorflow as tf

    arrays = sorted(arrays_of(folder).items())
    for n in range(2):
        save(folder / f"part-{n}", dict(arrays[n::2]))
    for file in folder.glob("model.ckpt-1.*"):
        file.unlink()
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(folder / f"part-{n}") for n in range(2)],
        destination_prefix=str(folder / "model.ckpt-1"),
        delete_old_dirs=False,
    )


def second_checkpoint(folder):
    for file in folder.glob("model.ckpt-1.*"):
        shutil.copy(file, folder / file.name.replace("ckpt-1", "ckpt-2"))


CHECKPOINTS = {
    "no configuration": (
        "checkpoint",
        without("bert_config.json"),
        r"model: has a checkpoint, but no bert_config.json or config.ini",
    ),
    "configuration is no JSON": (
        "checkpoint",
        written("bert_config.json", "{,}"),
        r"bert_config.json: is not JSON",
    ),
    "no section in config.ini": (
        "japanese",
        written("config.ini", "[DEFAULT]\n"),
        r"config.ini: no section BERT-CONFIG that can be read",
    ),
    "no config.ini at all": (
        "japanese",
        written("config.ini", "\x00 nothing"),
        r"config.ini: no section BERT-CONFIG that can be read",
    ),
    "unknown activation": (
        "checkpoint",
        says("bert_config.json", hidden_act="swish"),
        r"bert_config.json: hidden_act 'swish' is none of gelu, relu, tanh, linear",
    ),
    "heads do not divide": (
        "checkpoint",
        says("bert_config.json", num_attention_heads=5),
        r"bert_config.json: hidden_size 16 cannot be divided among num_attention_heads 5",
    ),
    "index is garbage": (
        "checkpoint",
        written("model.ckpt-1.index", "garbage" * 40),
        r"model.ckpt-1: not a checkpoint that TensorFlow reads \(",
    ),
    "index is empty": (
        "checkpoint",
        written("model.ckpt-1.index", ""),
        r"model.ckpt-1: not a checkpoint that TensorFlow reads \(",
    ),
    "data is missing": (
        "checkpoint",
        without(DATA),
        r"model.ckpt-1.index: has no model.ckpt-1.data-… beside it; copy all files",
    ),
    "data is cut off": (
        "checkpoint",
        shortened(DATA, 1000),
        r"model.ckpt-1.data-…: 1 files with 1000 bytes, the index asks for \d+; one is missing or",
    ),
    "one file of the data is missing": (
        "checkpoint",
        all_of(in_two_files, without("model.ckpt-1.data-00001-of-00002")),
        r"model.ckpt-1.data-…: 1 files with \d+ bytes, the index asks for \d+; one is missing or",
    ),
    "a weight is missing": (
        "checkpoint",
        array("bert/encoder/layer_1/output/dense/bias", lambda value: None),
        r"model.ckpt-1: the weights have no encoder/layer_1/output/dense/bias",
    ),
    "a weight has another shape": (
        "checkpoint",
        array("bert/embeddings/position_embeddings", lambda value: value[:10]),
        r"embeddings/position_embeddings has the shape \[10, 16\], the configuration says \[64, 16",
    ),
    "two checkpoints": (
        "checkpoint",
        second_checkpoint,
        r"several checkpoints \(model.ckpt-1, model.ckpt-2\); name one, as in .*/model.ckpt-2",
    ),
    "no vocabulary": (
        "checkpoint",
        without("vocab.txt"),
        r"model: no vocab.txt and no SentencePiece .model; name its folder or file with --token",
    ),
    "two vocabularies": (
        "japanese",
        lambda folder: (folder / "other.model").write_bytes(sentence_piece_model()),
        r"several vocabularies \(other.model, wiki-ja.model\); choose one with --tokenizer",
    ),
    "both kinds of vocabulary": (
        "japanese",
        written("vocab.txt", "[UNK]\n"),
        r"several vocabularies \(vocab.txt, wiki-ja.model\); choose one with --tokenizer",
    ),
    "ids are missing": (
        "japanese",
        without("wiki-ja.vocab"),
        r"wiki-ja.model: has no wiki-ja.vocab beside it, which holds the ids",
    ),
    "SentencePiece model is garbage": (
        "japanese",
        written("wiki-ja.model", "garbage"),
        r"wiki-ja.model: ",
    ),
    "vocabulary is too large": (
        "checkpoint",
        ends_with("vocab.txt", b"one\ntoo\nmany\n"),
        r"vocab.txt: has \d+ tokens, the model's embedding table \d+",
    ),
    "SentencePiece vocabulary is too large": (
        "japanese",
        ends_with("wiki-ja.vocab", b"too many\t-9\n"),
        r"wiki-ja.vocab: has \d+ tokens, the model's embedding table \d+",
    ),
}


@pytest.mark.parametrize(("kind", "edit", "message"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_broken_checkpoint_is_refused(kind, edit, message, copy):
    folder = copy(kind)
    describe_model(str(folder))
    edit(folder)
    assert re.search(message, refusal(folder))


def test_place_without_a_model_lists_what_was_looked_for(tmp_path):
    message = refusal(tmp_path)
    for name in ("bert_config.json", "*.ckpt-*.index", "model.safetensors", "vocab.txt"):
        assert name in message


@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_does_not_pass_for_one_that_is_not_there(tmp_path, kind, name):
    folder = hugging_face_folder(tmp_path / "model")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        os.symlink("../../blobs/0a1b", folder / name)
    said = "is a pipe, not a file" if kind == "pipe" else "is a link to ../../blobs/0a1b that leads"
    with pytest.raises(ValueError, match=rf"{name}: {said}.*; fetch the model again"):
        describe_model(str(folder))


NOWHERE = {
    "a name": ("nowhere", "models of hubs are named as https://… or hf://…"),
    "a path": ("no/such/model", "models of hubs are named as https://… or hf://…"),
    "a path from here": ("./no", "models of hubs are named as https://… or hf://…"),
    "in a folder that is here": ("models/e5", "models of hubs are named as https://… or hf://…"),
    "an archive": ("no/model.tar.gz", "models of hubs are named as https://… or hf://…"),
    "owner and name": (
        "intfloat/multilingual-e5-small",
        "if it is a model of the Hugging Face Hub, type --model=hf://intfloat/multilingual-e5-small",
    ),
    "a revision of it": (
        "cl-tohoku/bert_v2.1@main",
        "if it is a model of the Hugging Face Hub, type --model=hf://cl-tohoku/bert_v2.1@main",
    ),
}


@pytest.mark.parametrize(("place", "hint"), NOWHERE.values(), ids=NOWHERE)
def test_place_that_is_none_is_said_to_be_none_and_how_a_hub_is_named(
    place, hint, tmp_path, monkeypatch
):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert refusal(place) == f"--model={place}: no such folder; {hint}"


# ------------------------------------------------------------------------------- which checkpoint


def test_checkpoint_is_named_by_its_prefix(copy):
    folder = copy("checkpoint")
    second_checkpoint(folder)
    for ending in ("", ".index", ".data-00000-of-00001"):
        spec = describe_model(f"{folder}/model.ckpt-1{ending}")
        assert spec.weights == (f"{folder}/model.ckpt-1",)


def test_checkpoint_in_several_files(copy):
    folder = copy("checkpoint")
    in_two_files(folder)
    assert describe_model(str(folder)).layer_count == 2


def test_checkpoint_that_training_left_as_its_newest(copy):
    folder = copy("checkpoint")
    second_checkpoint(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/me/train/model.ckpt-1"\n')
    assert describe_model(str(folder)).weights == (f"{folder}/model.ckpt-1",)


def test_tokenizer_from_another_place(copy, originals):
    """A folder or a file, for a model that came without."""
    folder = copy("checkpoint")
    (folder / "vocab.txt").unlink()
    for place in (originals["checkpoint"], originals["checkpoint"] / "vocab.txt"):
        assert describe_model(str(folder), Asked(str(place))).tokenizer.path.endswith("vocab.txt")


@pytest.mark.parametrize("kind", ["json", "txt", "xlmr", "checkpoint", "japanese"])
def test_tokenizer_of_another_model_is_refused_where_the_model_has_its_own(
    kind, originals, tmp_path
):
    """Tokens of another model's numbers would be nonsense. The same files elsewhere are fine."""
    folder, other = originals[kind], Path(shutil.copytree(originals[kind], tmp_path / "other"))
    assert (
        describe_model(str(folder), Asked(str(other))).digest == describe_model(str(folder)).digest
    )
    name = Path(describe_model(str(folder)).tokenizer.path).name
    (other / name).write_bytes((other / name).read_bytes() + b"\n")
    for place in (other, other / name):
        message = refusal(folder, str(place))
        assert message.startswith(f"--tokenizer={other / name}: the model has its own tokenizer ")


# ----------------------------------------------------------------------------------------- digest


def changed(name):
    """One byte of a file's end."""

    def edit(folder):
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return edit


def last_line_replaced(name, line):
    def edit(folder):
        lines = (folder / name).read_text("utf-8").splitlines()
        (folder / name).write_text("\n".join([*lines[:-1], line]) + "\n", "utf-8")

    return edit


CHANGES = {
    "configuration": ("json", ends_with("config.json", b"\n")),
    "weights": ("json", changed("model.safetensors")),
    "tokenizer.json": ("json", ends_with("tokenizer.json", b"\n")),
    "tokenizer's settings": ("json", says("tokenizer_config.json", do_lower_case=False)),
    "added tokens": ("json", written("added_tokens.json", '{"[MASK]": 4}')),
    "vocab.txt": ("txt", last_line_replaced("vocab.txt", "another")),
    "list of modules": ("sentences", ends_with("modules.json", b"\n")),
    "pooling": (
        "sentences",
        says("1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True),
    ),
    "dense layer": ("sentences", changed("2_Dense/model.safetensors")),
    "dense settings": (
        "sentences",
        says("2_Dense/config.json", activation_function="torch.nn.modules.linear.Identity"),
    ),
    "length": ("sentences", says("sentence_bert_config.json", max_seq_length=9)),
    "prompts": ("sentences", says("config_sentence_transformers.json", prompts={"query": "q "})),
    "checkpoint's configuration": ("checkpoint", ends_with("bert_config.json", b"\n")),
    "checkpoint's data": ("checkpoint", changed(DATA)),
    "checkpoint's vocabulary": ("checkpoint", last_line_replaced("vocab.txt", "another")),
    "config.ini": ("japanese", ends_with("config.ini", b"\n")),
    "SentencePiece model": ("japanese", ends_with("wiki-ja.model", b"\xc0\x0c\x01")),
    "SentencePiece ids": ("japanese", last_line_replaced("wiki-ja.vocab", "another\t-9")),
}


@pytest.mark.parametrize(("kind", "edit"), CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_every_file(kind, edit, copy):
    folder = copy(kind)
    before = describe_model(str(folder)).digest
    edit(folder)
    assert describe_model(str(folder)).digest != before


@pytest.mark.parametrize("kind", ["json", "txt", "xlmr", "sentences", "checkpoint", "japanese"])
def test_digest_stays_where_the_folder_moves(kind, copy, originals):
    assert describe_model(str(copy(kind))).digest == describe_model(str(originals[kind])).digest


@pytest.mark.parametrize("kind", ["txt", "checkpoint", "sentences"])
def test_digest_tells_what_was_said_of_case(kind, originals):
    digests = {
        describe_model(str(originals[kind]), Asked(do_lower_case=flag)).digest
        for flag in ("true", "false")
    }
    assert len(digests) == 2


# --------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    ("kind", "own", "tokenizer", "expected"),
    [
        ("sentences", 20, 30, 20),
        ("sentences", None, 30, 30),
        ("sentences", None, None, 64),
        ("sentences", 500, 30, 64),
        ("json", None, 30, 30),
        ("json", None, 10**30, 64),
        ("xlmr", None, 10**30, 64),
    ],
    ids=[
        "sentence-transformers' own",
        "the tokenizer's",
        "the model's",
        "not more than the model's",
        "the tokenizer's, plain model",
        "no limit said",
        "positions begin at 2",
    ],
)
def test_where_max_seq_length_comes_from(kind, own, tokenizer, expected, copy):
    folder = copy(kind)
    if kind == "sentences":
        says("sentence_bert_config.json", max_seq_length=own)(folder)
    says("tokenizer_config.json", model_max_length=tokenizer)(folder)
    assert describe_model(str(folder)).max_seq_length == expected


def test_older_names_of_the_settings(copy):
    """Models of 2020 name the file after their architecture."""
    folder = copy("sentences")
    says("sentence_bert_config.json", max_seq_length=20)(folder)
    renamed("sentence_bert_config.json", "sentence_xlm-roberta_config.json")(folder)
    assert describe_model(str(folder)).max_seq_length == 20


@pytest.mark.parametrize(
    ("default", "prompt"), [(None, ""), ("query", "query: ")], ids=["none", "one"]
)
def test_prompts_and_the_default_one(default, prompt, tmp_path):
    prompts = {"query": "query: ", "document": "passage: "}
    folder = hugging_face_folder(
        tmp_path, modules=("pooling",), prompts=prompts, default_prompt=default
    )
    spec = describe_model(str(folder))
    assert dict(spec.prompts) == prompts
    assert spec.default_prompt == prompt


CASES = {
    "tokenizer.json lowers": (hugging_face_folder, {}, "auto", "the"),
    "tokenizer.json keeps": (hugging_face_folder, {"do_lower_case": False}, "auto", "The"),
    "tokenizer.json, told to lower": (
        hugging_face_folder,
        {"do_lower_case": False},
        "true",
        "the",
    ),
    "tokenizer.json, told to keep": (hugging_face_folder, {}, "false", "The"),
    "vocab.txt lowers": (hugging_face_folder, {"tokenizer": "vocab.txt"}, "auto", "the"),
    "vocab.txt keeps": (
        hugging_face_folder,
        {"tokenizer": "vocab.txt", "do_lower_case": False},
        "auto",
        "The",
    ),
    "vocab.txt, told to keep": (
        hugging_face_folder,
        {"tokenizer": "vocab.txt"},
        "false",
        "The",
    ),
    "checkpoint lowers": (checkpoint_folder, {}, "auto", "the"),
    "checkpoint, told to keep": (checkpoint_folder, {}, "false", "The"),
}


@pytest.mark.parametrize(("make", "options", "flag", "token"), CASES.values(), ids=CASES)
def test_do_lower_case(make, options, flag, token, tmp_path):
    folder = make(tmp_path / "model", vocab=word_piece_vocabulary(lower=False), **options)
    assert tokens_of(describe_model(str(folder), Asked(do_lower_case=flag))) == [token]


def rules_in_json(**rules):
    def edit(folder):
        file = folder / "tokenizer.json"
        said = json.loads(file.read_text("utf-8"))
        said["normalizer"] = {**said["normalizer"], **rules}
        file.write_text(json.dumps(said), "utf-8")

    return edit


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("BertTokenizer", ["the", "東", "京"]),
        ("BertTokenizerFast", ["the", "東", "京"]),
        ("PreTrainedTokenizerFast", ["The", "東", "##京"]),
        (None, ["the", "東", "京"]),
    ],
)
def test_class_that_is_named_brings_its_defaults(name, tokens, tmp_path):
    """transformers' BERT classes put theirs in the place of what tokenizer.json says; without a
    name the model's class does.
    """
    vocab = list(dict.fromkeys([*word_piece_vocabulary(lower=False), "京", "##京", "é"]))
    folder = hugging_face_folder(tmp_path / "model", vocab=vocab)
    rules_in_json(lowercase=False, strip_accents=True, handle_chinese_chars=False)(folder)
    says("tokenizer_config.json", tokenizer_class=name, do_lower_case=None)(folder)

    def tokenize(text):
        (found,) = load_tokenizer(describe_model(str(folder)).tokenizer).encode([text], False)
        return list(found.tokens)

    assert tokenize("The 東京") == tokens
    says("tokenizer_config.json", do_lower_case=False)(folder)
    keeps = name != "PreTrainedTokenizerFast"  # None follows the case
    assert tokenize("é") == (["é"] if keeps else ["e"])


def test_normalizer_of_several_parts_keeps_its_rules_unless_the_user_asks(copy):
    """transformers leaves it alone, whatever tokenizer_config.json says."""
    folder = copy("json")
    file = folder / "tokenizer.json"
    said = json.loads(file.read_text("utf-8"))
    said["normalizer"] = {"type": "Sequence", "normalizers": [said["normalizer"]]}
    file.write_text(json.dumps(said), "utf-8")
    says("tokenizer_config.json", do_lower_case=False)(folder)
    assert tokens_of(describe_model(str(folder))) == ["the"]
    assert "--do_lower_case: " in refusal(folder, "", "false")


@pytest.mark.parametrize("kind", ["json", "txt", "xlmr"])
@pytest.mark.parametrize("file", ["added_tokens.json", "tokenizer_config.json"])
def test_token_that_is_added_beside_the_tokenizer_is_refused(kind, file, copy):
    """Special tokens of the vocabulary are none: nearly every folder lists them."""
    folder = copy(kind)

    def add(*tokens):
        if file == "added_tokens.json":
            written(file, json.dumps(dict(zip(tokens, range(9)))))(folder)
        else:
            decoder = {str(n): {"content": token} for n, token in enumerate(tokens)}
            says(file, added_tokens_decoder=decoder)(folder)

    add("[CLS]", "<mask>")
    describe_model(str(folder))
    add("[CLS]", "covid-19")
    assert re.search(rf"{file}: adds the token 'covid-19', which \S+ does not", refusal(folder))


def test_added_token_that_tokenizer_json_holds_is_found_in_a_text(tmp_path):
    folder = hugging_face_folder(tmp_path / "model", vocab=[*word_piece_vocabulary(), "covid-19"])
    file = folder / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.add_tokens(["covid-19"])
    tokenizer.save(str(file))
    written("added_tokens.json", '{"covid-19": 9}')(folder)
    spec = describe_model(str(folder))
    (found,) = load_tokenizer(spec.tokenizer).encode(["the covid-19"], False)
    assert list(found.tokens) == ["the", "covid-19"]


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("cased_L-12_H-768_A-12", "The"),
        ("multi_cased_L-12_H-768_A-12", "The"),
        ("uncased_L-12_H-768_A-12", "the"),
        ("my-model", "the"),
    ],
)
def test_case_of_googles_checkpoints_is_in_their_names(name, token, tmp_path):
    folder = checkpoint_folder(tmp_path / name, vocab=word_piece_vocabulary(lower=False))
    assert tokens_of(describe_model(str(folder))) == [token]


@pytest.mark.parametrize(
    ("flag", "token"), [("auto", "the"), ("true", "the"), ("false", "The")], ids=str
)
def test_sentence_transformers_lower_case_comes_before_the_tokenizers(flag, token, tmp_path):
    folder = hugging_face_folder(
        tmp_path,
        modules=("pooling",),
        do_lower_case=False,
        vocab=word_piece_vocabulary(lower=False),
    )
    says("sentence_bert_config.json", do_lower_case=True)(folder)
    assert tokens_of(describe_model(str(folder), Asked(do_lower_case=flag))) == [token]


def tokens_of(spec):
    (tokens,) = load_tokenizer(spec.tokenizer).encode(["The"], False)
    return list(tokens.tokens)


def test_whether_there_is_a_pooler_is_read_from_the_weights(tmp_path):
    for n, make in enumerate((hugging_face_folder, checkpoint_folder)):
        for with_pooler in (True, False):
            folder = make(tmp_path / f"{n}{with_pooler}", with_pooler=with_pooler)
            assert describe_model(str(folder)).has_pooler == with_pooler


def test_describing_a_hugging_face_model_needs_no_tensorflow(originals):
    """Usage errors come in a second, not in ten."""
    program = (
        "import sys; from corpusvec.transforms.models.kinds import describe_model;"
        f"describe_model({str(originals['sentences'])!r}); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
