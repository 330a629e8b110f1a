"""Folders whose tokens versions of transformers may read differently, each of a kind that is
published.

`golden_tokens.py` asks transformers for their tokens, `test_golden_tokens.py` compares.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors

from tests.models import TEXTS, hugging_face_folder, word_piece_vocabulary

LINES = (
    *TEXTS[:5],
    *TEXTS[6:8],
    "The É is 東京, and e\u0301 too",
    "  two  spaces\tand a tab ",
    "a▁b [DOC] text[DOC]text",
    "a\u200bb\u00adc \u0007 ＡＢＣ ｶﾞ",
    "extraordinarily quiet",
    "ｸﾞ",
)
_MORE = ("[DOC]", "É", "é", "京", "##京", "ABC", "doc", "extra", "##ordinarily", "too")
_VOCABULARY = [*word_piece_vocabulary(False), *word_piece_vocabulary(True), *_MORE]
_WORDS = tuple(dict.fromkeys(_VOCABULARY))
_DOC = AddedToken("[DOC]", special=True, normalized=False)

# A SentencePiece normalizer as XLM-R's, with few rules: A, B, C, ガ and é become one character.
_CHARACTERS = zlib.decompress(
    base64.b64decode(
        "eNol0mf0D2QUB/DrR87x1khmRiiZIRTZpCh7ZkekSQkZP5ujZVT2bNh71t/IysrKaNkRIavs9ZEXn/Occ5/zPc9zz7"
        "2RJiI+SxXty6WO7ZGIfjki0kYkVZMpKYlYdSERU0uFm0hOzxIxLV2ESHLZgtRx/lYiVqdJxKSHIpSTGYTSk4mMZOZh"
        "xOIRspEVT0R2HiUnuclFXvKQj8coQH6e4HGepCCFKURRilCcYpTgKXw3SlKapylLGZ7lGcpTjgo8RyUqUoXKVKMqNa"
        "hOTZ7nRV6gNrV4mZeoSx3qU4+GNKAxjWhKE5rTjBa8Qita0obWtKMt7XmV1+hAJzrSmdd5kzd4m7d4l3foShfe5z0+"
        "oBs96M6H9KQ3vehLH/rFg4EPoD+DGMgQBjOMoQzn/IaIj50f8SmfMOL+CjGKkXzOaL7kC8YyhvGMYyITmMwkpjKF6U"
        "zja77iW75hJjOYzSzmMof5zGMhC1jMIpayhOUsYyUr+J7vWEUKa1jND6xlPevYiDbjRzaxhc1sYys/sZ2d7GA3u/iZ"
        "PexjLwfYz6/8wu/8xkH+4DCHOMoRjnOME/zJX5zkNKc4w9+c4+z9WfAPF7nAZS7xH/9ylStc5xo3ucFtbnGXO//vf2"
        "W7v35mHO8/J+4BNkGTsQ=="
    )
)

Edit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Kind:
    """`model_type` of the model, what `tokenizer_config.json` says (None: there is none), whether
    the tokenizer is of XLM-R's make, what is changed in its file, tokens that are added to it.
    """

    model_type: str = "bert"
    said: Mapping[str, Any] | None = field(default_factory=dict)
    pieces: bool = False
    file: str = "tokenizer.json"
    vocab: tuple[str, ...] = _WORDS
    edit: Edit | None = None
    added: tuple[AddedToken, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""


def _rules(**rules: Any) -> Edit:
    return lambda whole: whole["normalizer"].update(rules)


def _part(**parts: Any) -> Edit:
    return lambda whole: whole.update(parts)


def _in_parts(whole: dict[str, Any]) -> None:
    parts = [{"type": "NFKC"}, whole["normalizer"]]
    whole["normalizer"] = {"type": "Sequence", "normalizers": parts}


def _ends_with_mask(whole: dict[str, Any]) -> None:
    text = json.dumps(whole["post_processor"]).replace("[CLS]", "[MASK]")
    post = json.loads(text)
    post["special_tokens"]["[MASK]"]["ids"] = [whole["model"]["vocab"]["[MASK]"]]
    whole["post_processor"] = post


def _writes_mask(whole: dict[str, Any]) -> None:
    rule = {"type": "Replace", "pattern": {"String": "quiet"}, "content": "[MASK]"}
    parts = [rule, whole["normalizer"]]
    whole["normalizer"] = {"type": "Sequence", "normalizers": parts}


def _bytes(whole: dict[str, Any]) -> None:
    """É by its bytes, and no other character."""
    model = whole["model"]
    model["byte_fallback"] = True
    model["vocab"][5:7] = [["<0xC3>", -9.0], ["<0x89>", -9.0]]


_BERT, _XLM = {"tokenizer_class": "BertTokenizer"}, {"tokenizer_class": "XLMRobertaTokenizer"}
_LIBRARY = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
_PIECES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_CASED = _rules(lowercase=False, strip_accents=True, handle_chinese_chars=False)
_SPLIT = {"type": "WhitespaceSplit"}
_DECODER = {
    str(_WORDS.index(token)): {"content": token, "special": True, "normalized": False}
    for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
}

KINDS: Mapping[str, Kind] = {
    "BertTokenizer": Kind(said=_BERT),
    "BertTokenizer keeps case": Kind(said={**_BERT, "do_lower_case": False}),
    "BertTokenizer, rules of the file": Kind(said=_BERT, edit=_CASED),
    "vocab.txt": Kind(said={**_BERT, "strip_accents": False}, file="vocab.txt"),
    "no class, rules of the file": Kind(edit=_CASED),
    "no settings, rules of the file": Kind(said=None, edit=_CASED),
    "class in the configuration": Kind(beside={"tokenizer_class": "BertTokenizer"}, edit=_CASED),
    "PreTrainedTokenizerFast": Kind(said=_LIBRARY, edit=_CASED),
    "PreTrainedTokenizerFast, pre-tokenizer": Kind(said=_LIBRARY, edit=_part(pre_tokenizer=_SPLIT)),
    "added token in texts and prompt": Kind(said=_BERT, added=(_DOC,), prompt="[DOC] "),
    "special tokens in a prompt": Kind(said=_BERT, prompt="[CLS] the [MASK] "),
    "split_special_tokens": Kind(
        said={**_BERT, "split_special_tokens": True}, added=(_DOC,), prompt="[DOC] [CLS] "
    ),
    "pre-tokenizer of its own": Kind(said=_BERT, edit=_part(pre_tokenizer=_SPLIT)),
    "normalizer in parts": Kind(said=_BERT, edit=_in_parts),
    "no class, normalizer in parts": Kind(edit=_in_parts),
    "control characters are kept": Kind(said=_BERT, edit=_rules(clean_text=False)),
    "short words alone": Kind(
        said=_BERT, edit=lambda whole: whole["model"].update(max_input_chars_per_word=4)
    ),
    "another token before a text": Kind(said=_BERT, edit=_ends_with_mask),
    "settings name another token": Kind(said={**_BERT, "cls_token": "[MASK]"}),
    "settings list fewer tokens": Kind(
        said={**_BERT, "added_tokens_decoder": _DECODER}, added=(_DOC,)
    ),
    "token of a name of its own": Kind(said={**_BERT, "doc_token": "[DOC]"}),
    "a piece that ends in a blank": Kind(
        said=_BERT,
        file="vocab.txt",
        vocab=tuple("quiet " if word == "quiet" else word for word in _WORDS),
    ),
    "BertTokenizer, a rule writes a special token": Kind(said=_BERT, edit=_writes_mask),
    "PreTrainedTokenizerFast, a rule writes a special token": Kind(
        said=_LIBRARY, edit=_writes_mask
    ),
    "XLMRobertaTokenizer": Kind("xlm-roberta", _XLM, pieces=True),
    "XLM-R, SentencePiece's file": Kind(
        "xlm-roberta", _XLM, pieces=True, file="sentencepiece.bpe.model"
    ),
    "XLM-R, bytes": Kind("xlm-roberta", _XLM, pieces=True, edit=_bytes),
    "XLM-R without a class": Kind("xlm-roberta", pieces=True),
    "XLM-R with a prompt of <mask>": Kind(
        "xlm-roberta", _XLM, pieces=True, prompt="</s> the <mask> "
    ),
    "multilingual MiniLM": Kind(said=_XLM, pieces=True),
    "multilingual MiniLM without a class": Kind(
        said={**_PIECES, "do_lower_case": True, "strip_accents": None}, pieces=True
    ),
    "multilingual MiniLM as BertTokenizer": Kind(said={**_BERT, **_PIECES}, pieces=True),
    "XLM-R, white space is kept": Kind(
        "xlm-roberta",
        _XLM,
        pieces=True,
        edit=lambda whole: whole.update(pre_tokenizer=whole["pre_tokenizer"]["pretokenizers"][1]),
    ),
    "XLM-R, normalizer of its own": Kind(
        "xlm-roberta",
        _XLM,
        pieces=True,
        edit=_part(
            normalizer={
                "type": "Sequence",
                "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}],
            }
        ),
    ),
    "XLM-R, add_prefix_space is false": Kind(
        "xlm-roberta", {**_XLM, "add_prefix_space": False}, pieces=True
    ),
}


def write(kind: Kind, folder: Path) -> Path:
    """The folder of a model whose tokenizer is of a kind."""
    make = {"tokenizer": "xlmr"} if kind.pieces else {"tokenizer": kind.file, "vocab": kind.vocab}
    hugging_face_folder(folder, model_type=kind.model_type, **make)  # type: ignore[arg-type]
    file = folder / "tokenizer.json"
    if kind.pieces and kind.file == "tokenizer.json":
        (folder / "sentencepiece.bpe.model").unlink()
        _unigram().save(str(file))
    if kind.edit or kind.added:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        tokenizer.add_special_tokens(list(kind.added))
        whole = json.loads(tokenizer.to_str())
        if kind.edit:
            kind.edit(whole)
        file.write_text(json.dumps(whole), "utf-8")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **kind.beside}))
    settings = folder / "tokenizer_config.json"
    if kind.said is None:
        settings.unlink()
    else:
        settings.write_text(json.dumps(kind.said))
    (folder / "prompt.txt").write_text(kind.prompt)
    return folder


def _unigram() -> tokenizers.Tokenizer:
    """XLM-R's make: its special tokens, the characters of `TEXTS`, white space before a word."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(char, -5.0) for char in sorted(set("".join(TEXTS) + "ABCガé") - {" "})]
    pieces += [("▁the", -4.0), ("▁The", -4.0), ("<mask>", 0.0)]
    tokenizer = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(_CHARACTERS)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", mask])
    return tokenizer
