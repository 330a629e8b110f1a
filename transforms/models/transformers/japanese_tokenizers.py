"""What a folder says of a BertJapaneseTokenizer: MeCab's dictionary, pieces or characters.

Source: transformers 4.57 and 5.23, tokenization_bert_japanese.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.transformers import tokenizer_settings
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.json_files import no_others, setting
from corpusvec.transforms.tokens.japanese_words import DICTIONARIES

_USUAL = "unidic_lite"
# What else can be said, with the only value that is implemented.
_ONLY: Mapping[str, Any] = {
    "word_tokenizer_type": "mecab",
    "do_word_tokenize": True,
    "do_subword_tokenize": True,
    "never_split": [],
}
_OF_MECAB: Mapping[str, Any] = {"normalize_text": True, "mecab_option": "", "never_split": []}
_NAMES = {f"{key}_token": f"[{key.upper()}]" for key in ("cls", "mask", "pad", "sep", "unk")}
_SUBWORDS = ("wordpiece", "character")


def describe(
    file: Path, said: Mapping[str, Any], lowercase: bool | None, lowercase_first: bool
) -> TokenizerSpec:
    """Raises `ValueError` where the files ask for what is not implemented."""
    about = file.with_name(tokenizer_settings.CONFIG)
    if file.name != "vocab.txt":
        raise ValueError(
            f"{file}: the model's tokenizer is a BertJapaneseTokenizer, which reads a vocab.txt"
            " alone; name that with --tokenizer"
        )
    tokenizer_settings.check(file, said)
    subwords, dictionary = _checked(said, about)
    inputs = setting(said, "model_input_names", list, about)
    if lowercase is None:
        lowercase = bool(setting(said, "do_lower_case", bool, about))
    return TokenizerSpec(
        "mecab",
        str(file),
        lowercase=lowercase,
        lowercase_first=lowercase_first,
        named=tuple((_NAMES | tokenizer_settings.named(said, file)).items()),
        segments=inputs is None or "token_type_ids" in inputs,
        keep_end=said.get("truncation_side") == "left",
        dictionary=dictionary,
        characters=subwords == "character",
    )


def _checked(said: Mapping[str, Any], about: Path) -> tuple[str, str]:
    """What words fall into, and MeCab's dictionary."""
    mecab = setting(said, "mecab_kwargs", dict, about) or {}
    no_others(mecab, ("mecab_dic", *_OF_MECAB), about)
    given = {"word_tokenizer_type": "basic", **said}
    for values, only in ((given, _ONLY), (mecab, _OF_MECAB)):
        for key, implemented in only.items():
            value = values.get(key)
            if value is not None and value != implemented:
                raise ValueError(f"{about}: {key} is {value!r}; implemented is {implemented!r}")
    subwords = said.get("subword_tokenizer_type") or _SUBWORDS[0]
    dictionary = mecab.get("mecab_dic", _USUAL)
    for key, found, known in (
        ("subword_tokenizer_type", subwords, _SUBWORDS),
        ("mecab_dic", dictionary, DICTIONARIES),
    ):
        if found not in known:
            raise ValueError(f"{about}: {key} is {found!r}; implemented are {', '.join(known)}")
    return subwords, dictionary


def notes(said: Mapping[str, Any]) -> Iterator[str]:
    """Where no file names the dictionary."""
    if "mecab_dic" not in (said.get("mecab_kwargs") or {}):
        yield (
            f"no file names MeCab's dictionary: it is {_USUAL} now, and was ipadic in older"
            " versions of transformers; if the model was trained with that, say"
            ' "mecab_kwargs": {"mecab_dic": "ipadic"} in tokenizer_config.json'
        )
