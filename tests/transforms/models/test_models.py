"""The tiny models are what they say: readable by the libraries that read the published ones."""

import hashlib
import json

import numpy as np
import pytest
import sentencepiece
import tokenizers
from safetensors.numpy import load_file

from tests.models import TEXTS, checkpoint_folder, hugging_face_folder, weights_of
from tests.oracles import BertJapanese, GoogleWordPiece, bert


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (checkpoint_folder, {}),
        (checkpoint_folder, {"tokenizer": "sentencepiece"}),
        (hugging_face_folder, {"modules": ("pooling", "dense", "normalize")}),
        (hugging_face_folder, {"tokenizer": "xlmr"}),
    ],
    ids=["WordPiece checkpoint", "SentencePiece checkpoint", "sentence-transformers", "XLM-R"],
)
def test_same_arguments_make_the_same_files(make, options, tmp_path):
    one, other = make(tmp_path / "one", **options), make(tmp_path / "other", **options)
    assert digests(one) == digests(other)


@pytest.mark.parametrize("config", ["bert_config.json", "config.ini"])
@pytest.mark.parametrize("with_pooler", [True, False], ids=["pooler", "no pooler"])
def test_checkpoint_is_read_as_it_was_written(config, with_pooler, tmp_path):
    folder = checkpoint_folder(
        tmp_path, tokenizer="sentencepiece", config=config, with_pooler=with_pooler
    )
    tokenizer = BertJapanese(folder / "wiki-ja.model", folder / "wiki-ja.vocab")
    weights, settings = weights_of(folder)
    assert settings["hidden_act"] == "gelu_tanh"
    assert len(weights["bert/embeddings/word_embeddings"]) == len(tokenizer.vocab)
    assert list(tokenizer.vocab)[3:7] == ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    layers, pooled = bert(weights, settings, tokenizer.ids(tokenizer.tokenize(TEXTS[6])))
    assert len(layers) == 3
    assert (pooled is not None) == with_pooler
    assert all(np.isfinite(layer).all() for layer in layers)


@pytest.mark.parametrize("prefix", ["", "bert."], ids=["bare", "prefix"])
def test_both_forms_of_a_model_hold_the_same_weights(prefix, tmp_path):
    one, _ = weights_of(checkpoint_folder(tmp_path / "checkpoint"))
    other, settings = weights_of(hugging_face_folder(tmp_path / "folder", prefix=prefix))
    assert settings["hidden_act"] == "gelu"
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize("lower", [True, False], ids=["uncased", "cased"])
def test_tokenizer_file_gives_the_tokens_of_its_vocabulary(lower, tmp_path):
    listed = hugging_face_folder(tmp_path / "txt", tokenizer="vocab.txt", do_lower_case=lower)
    packed = hugging_face_folder(tmp_path / "json", do_lower_case=lower)
    reference = GoogleWordPiece((listed / "vocab.txt").read_text("utf-8").split("\n"), lower)
    tokenizer = tokenizers.Tokenizer.from_file(str(packed / "tokenizer.json"))
    for text in TEXTS:
        expected = ["[CLS]", *reference.tokenize(text), "[SEP]"]
        assert tokenizer.encode(text).tokens == expected
        assert "[UNK]" not in expected


def test_truncation_in_a_tokenizer_file(tmp_path):
    folder = hugging_face_folder(tmp_path, truncation=8)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [len(tokenizer.encode(text).ids) for text in ("a", TEXTS[0])] == [8, 8]


def test_xlmr_folder_has_a_row_for_every_shifted_piece(tmp_path):
    folder = hugging_face_folder(tmp_path, tokenizer="xlmr", model_type="xlm-roberta", positions=20)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    assert [model.id_to_piece(n) for n in range(3)] == ["<unk>", "<s>", "</s>"]
    weights, settings = weights_of(folder)
    assert len(weights["bert/embeddings/word_embeddings"]) == len(model) + 2
    assert settings["position_offset"] == 2
    layers, _ = bert(weights, settings, np.arange(20))
    assert layers[-1].shape == (20, 16)


def test_sentence_transformers_files_fit_each_other(tmp_path):
    """Each module's input is as wide as the output of the one before it."""
    folder = hugging_face_folder(
        tmp_path,
        modules=("pooling", "dense", "normalize"),
        pooling=("cls_token", "max_tokens"),
        dense={"out_features": 5, "bias": False},
        prompts={"query": "query: "},
    )
    modules = json.loads((folder / "modules.json").read_text())
    assert [m["path"] for m in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert [mode for mode, on in pooling.items() if on is True] == [
        "pooling_mode_cls_token",
        "pooling_mode_max_tokens",
    ]
    linear = load_file(folder / "2_Dense" / "model.safetensors")
    assert {name: value.shape for name, value in linear.items()} == {"linear.weight": (5, 32)}
    prompts = json.loads((folder / "config_sentence_transformers.json").read_text())["prompts"]
    assert prompts == {"query": "query: "}
