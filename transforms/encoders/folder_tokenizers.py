"""The tokenizer of a Hugging Face folder: its file, and the rules that the files beside it give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms.encoders.folders import read_json, setting
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

_CLASS_DEFAULTS: Mapping[str, bool | None] = {
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
}
# No text has these, to us: see `tokenizers`.
_BERTS = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
_SPECIAL = _BERTS | {"<s>", "</s>", "<pad>", "<unk>", "<mask>"}


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

    Source: transformers, BertTokenizerFast: what `tokenizer_config.json` says, and else the
    defaults of the class that it names, overrides `tokenizer.json`.
    """
    config_file = file.with_name("tokenizer_config.json")
    name = setting(said, "tokenizer_class", str, config_file) or model.get("tokenizer_class")
    kind = _kind(file, name, said.get("word_tokenizer_type") or said.get("subword_tokenizer_type"))
    _check_added_tokens(file, said)
    of_class = name in _WORD_PIECE_CLASSES
    rules: dict[str, bool | None] = {}
    # Other classes take all rules from tokenizer.json.
    if of_class or (name is None and model.get("model_type") == "bert"):
        rules = {key: setting(said, key, bool, config_file) for key in _CLASS_DEFAULTS}
    if of_class or kind == "bert_fast":
        rules = {
            key: default if rules.get(key) is None else rules[key]
            for key, default in _CLASS_DEFAULTS.items()
        }
    if kind == "xlm_roberta":
        rules = {"do_lower_case": False}
    return TokenizerSpec(
        kind,
        str(file),
        lowercase=rules.get("do_lower_case") if lowercase is None else lowercase,
        lowercase_first=lowercase_first,
        strip_accents=rules.get("strip_accents"),
        chinese_characters=rules.get("tokenize_chinese_chars"),
        lowercase_asked=lowercase is not None,
        of_class=of_class,
    )


def _check_added_tokens(file: Path, said: Mapping[str, Any]) -> None:
    """Raises `ValueError` where files beside the tokenizer's add a token that this does not hold:
    transformers finds such a token in a text before its rules are asked.
    """
    config_file = file.with_name("tokenizer_config.json")
    added_file = file.with_name("added_tokens.json")
    decoder = setting(said, "added_tokens_decoder", dict, config_file) or {}
    added = [(_content(token), config_file) for token in decoder.values()]
    more = setting(said, "additional_special_tokens", list, config_file) or []
    added += [(_content(token), config_file) for token in more]
    if added_file.is_file():
        added += [(token, added_file) for token in read_json(added_file)]
    special = {_content(token) for key, token in said.items() if key.endswith("_token")}
    others = [(token, source) for token, source in added if token not in _SPECIAL | special]
    if not others:
        return
    held = []
    if file.name == "tokenizer.json":
        held = [_content(token) for token in read_json(file).get("added_tokens") or []]
    for token, source in others:
        if token not in held:
            raise ValueError(
                f"{source}: adds the token {token!r}, which {file.name} does not hold among its"
                " own; save the tokenizer again, with a tokenizer.json"
            )


def _content(token: Any) -> str:
    """Of a token that is spelled out, or an object that tells how it is found."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)


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
