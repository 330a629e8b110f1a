"""What a WordPiece tokenizer does, spelled out for programs that cannot ask it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers

from transforms.encoders.folders import read_json
from transforms.specs import TokenizerSpec
from transforms.stand_ins import StandIns
from transforms.tokenizers import STRUCTURE


@dataclass(frozen=True, slots=True)
class WordPieceRules:
    """`words(text, strip_accents)` are the words of a text as the tokenizer's own program makes
    them, in the case of the text.

    `final_sigma`: lower case is that of whole words, not of characters one by one.
    """

    vocabulary: Mapping[str, int]
    words: Callable[[str, bool], list[str]]
    lowercase: bool
    strip_accents: bool
    max_word_length: int
    unknown: str = "[UNK]"
    prefix: str = "##"
    lowercase_first: bool = False
    final_sigma: bool = False


def word_piece_rules(spec: TokenizerSpec) -> WordPieceRules:
    """Raises `ValueError` where a tokenizer is another, or does what no rule here says."""
    return _RULES[spec.kind](spec)


def _of_original(spec: TokenizerSpec) -> WordPieceRules:
    text = Path(spec.path).read_bytes().decode().replace("\r", "")
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    return WordPieceRules(
        vocabulary={line: number for number, line in enumerate(lines)},
        words=_words_of_original,
        lowercase=bool(spec.lowercase),
        strip_accents=bool(spec.lowercase),
        max_word_length=200,
        final_sigma=True,
    )


_original = functools.cache(functools.partial(StandIns, {}))


def _words_of_original(text: str, strip_accents: bool) -> list[str]:
    original = _original(strip_accents)
    return _split(original.normalizer.normalize_str(original.see(text)[0]))


def _of_vocabulary(spec: TokenizerSpec) -> WordPieceRules:
    lines = Path(spec.path).read_text("utf-8").removesuffix("\n").split("\n")
    return WordPieceRules(
        vocabulary={line: number for number, line in enumerate(lines)},
        words=_WORDS[spec.chinese_characters is not False],
        lowercase=bool(spec.lowercase),
        strip_accents=bool(spec.lowercase if spec.strip_accents is None else spec.strip_accents),
        max_word_length=100,
        lowercase_first=spec.lowercase_first,
    )


def _of_tokenizer_json(spec: TokenizerSpec) -> WordPieceRules:
    said = read_json(Path(spec.path))
    model, normalizer = said.get("model") or {}, said.get("normalizer") or {}
    parts = {
        "model": (model.get("type"), "WordPiece"),
        "normalizer": (normalizer.get("type"), "BertNormalizer"),
        "normalizer's clean_text": (normalizer.get("clean_text"), True),
        "pre_tokenizer": ((said.get("pre_tokenizer") or {}).get("type"), "BertPreTokenizer"),
        "tokens found before its rules are asked": (_found_first(said, spec), None),
    }
    for part, (value, needed) in parts.items():
        if value != needed:
            raise ValueError(
                f"--strings: {spec.path}: its {part}: {value!r}, where TensorFlow has ops for"
                f" {needed!r} alone; leave --strings away, or choose another tokenizer file of the"
                " model with --tokenizer"
            )
    rules = _overridden(normalizer, spec)
    strip = rules["lowercase"] if rules["strip_accents"] is None else rules["strip_accents"]
    return WordPieceRules(
        vocabulary=model["vocab"],
        words=_WORDS[rules["handle_chinese_chars"]],
        lowercase=rules["lowercase"],
        strip_accents=strip,
        max_word_length=model["max_input_chars_per_word"],
        unknown=model["unk_token"],
        prefix=model["continuing_subword_prefix"],
        lowercase_first=spec.lowercase_first,
    )


def _found_first(said: dict[str, Any], spec: TokenizerSpec) -> list[str] | None:
    added = said.get("added_tokens") or []
    special = STRUCTURE.union(dict(spec.named).values())
    return [token["content"] for token in added if token["content"] not in special] or None


def _overridden(normalizer: Mapping[str, Any], spec: TokenizerSpec) -> dict[str, Any]:
    """The file's rules, and what `tokenizers` puts in their place."""
    rules = dict(normalizer)
    if spec.lowercase is not None:
        rules["lowercase"] = spec.lowercase
    if spec.strip_accents is not None or spec.of_class:
        rules["strip_accents"] = spec.strip_accents
    if spec.chinese_characters is not None:
        rules["handle_chinese_chars"] = spec.chinese_characters
    return rules


def _library_words(chinese_characters: bool) -> Callable[[str, bool], list[str]]:
    by_strip = {
        strip: normalizers.BertNormalizer(True, chinese_characters, strip, lowercase=False)
        for strip in (False, True)
    }
    return lambda text, strip_accents: _split(by_strip[strip_accents].normalize_str(text))


def _split(text: str) -> list[str]:
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]


_WORDS = {chinese: _library_words(chinese) for chinese in (False, True)}
_RULES = {
    "wordpiece": _of_original,
    "bert_fast": _of_vocabulary,
    "tokenizer.json": _of_tokenizer_json,
}
