"""The tokenizer of a Hugging Face folder: its file, and the rules that the files beside it give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms.encoders.folders import read_json
from transforms.specs import TokenizerSpec

_WORD_PIECE_CLASSES = ("BertTokenizer", "BertTokenizerFast")
_XLM_CLASSES = ("XLMRobertaTokenizer", "XLMRobertaTokenizerFast")
_LIBRARY_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
_KINDS = {
    "tokenizer.json": (
        "tokenizer.json",
        (*_WORD_PIECE_CLASSES, *_XLM_CLASSES, *_LIBRARY_CLASSES),
    ),
    "vocab.txt": ("bert_fast", _WORD_PIECE_CLASSES),
    "sentencepiece.bpe.model": ("xlm_roberta", _XLM_CLASSES),
}


def find(place: Path) -> tuple[Path, dict[str, Any]]:
    """The file that holds the tokenizer, and what `tokenizer_config.json` beside it says."""
    if place.is_file():
        file, folder = place, place.parent
    else:
        folder = place
        there = own_files(folder)
        if not there:
            raise ValueError(
                f"{folder}: no {', '.join(_KINDS)};"
                " name the tokenizer's folder or file with --tokenizer"
            )
        file = there[0]
    config_file = folder / "tokenizer_config.json"
    return file, read_json(config_file) if config_file.is_file() else {}


def own_files(folder: Path) -> list[Path]:
    """The tokenizer's files in a folder, the one that is read first."""
    return [folder / name for name in _KINDS if (folder / name).is_file()]


def describe(
    file: Path,
    said: Mapping[str, Any],
    model: Mapping[str, Any],
    lowercase: bool | None,
    lowercase_first: bool,
) -> TokenizerSpec:
    """`said` is what `tokenizer_config.json` says, `model` the model's configuration, `lowercase`
    what the user asks for.

    Source: transformers, BertTokenizerFast: what `tokenizer_config.json` says overrides
    `tokenizer.json`.
    """
    name = said.get("tokenizer_class") or model.get("tokenizer_class")
    kind = _kind(file, name, said.get("word_tokenizer_type") or said.get("subword_tokenizer_type"))
    if kind == "xlm_roberta":
        return TokenizerSpec(
            kind, str(file), lowercase=bool(lowercase), lowercase_first=lowercase_first
        )
    # Other classes take all rules from tokenizer.json.
    of_bert = name in _WORD_PIECE_CLASSES or (name is None and model.get("model_type") == "bert")
    rules = said if of_bert else {}
    if lowercase is None:
        lowercase = rules.get("do_lower_case", True if kind == "bert_fast" else None)
    return TokenizerSpec(
        kind,
        str(file),
        lowercase=lowercase,
        lowercase_first=lowercase_first,
        strip_accents=rules.get("strip_accents"),
        chinese_characters=rules.get("tokenize_chinese_chars"),
    )


def _kind(file: Path, name: str | None, mecab: str | None) -> str:
    """Our name for the tokenizer of class `name`. Raises `ValueError` where it is another's."""
    if file.name not in _KINDS:
        raise ValueError(f"--tokenizer={file}: looked for {', '.join(_KINDS)}")
    kind, classes = _KINDS[file.name]
    if mecab or (name is not None and name not in classes):
        raise ValueError(
            f"{file}: the model's tokenizer is {name or mecab!r}, which is not implemented;"
            f" {file.name} is read as one of {', '.join(classes)}"
        )
    return kind
