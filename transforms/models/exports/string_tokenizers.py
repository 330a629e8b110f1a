"""Tokenizers inside a TensorFlow graph, as near to those of `tokenizers` as its ops allow.

What becomes of a character, but for its case and accents, is asked of the tokenizer's own program
for all of Unicode; lower case and decompositions are those of TensorFlow's ICU. Those differ for
some of the characters that are new in Unicode 14 or later.
"""

from __future__ import annotations

import functools
import importlib
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tokenizers import normalizers, pre_tokenizers

from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.text_ops import install_text
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.tokens.bert_characters import StandIns
from corpusvec.transforms.tokens.tokenizers import STRUCTURE

_original = functools.cache(functools.partial(StandIns, {}))


class GraphTokenizer(Protocol):
    """`resources` are what a model must keep to be saved."""

    resources: list

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Texts [B] string -> [B, (T)] int32, without special tokens."""


def graph_tokenizer(spec: TokenizerSpec) -> GraphTokenizer:
    """Raises `ValueError` where TensorFlow has no ops for what a tokenizer does, and without
    tensorflow-text.
    """
    try:
        ops = importlib.import_module("tensorflow_text")
    except (ImportError, tf.errors.OpError) as error:  # the latter: built for another TensorFlow
        raise ValueError(
            f"--strings: tensorflow-text cannot be imported ({str(error).splitlines()[0]});"
            f" {install_text()}"
        ) from error
    if spec.kind in _PIECES:
        return _SentencePieces(spec, ops)
    return _WordPieces(word_piece_rules(spec), ops)


class _WordPieces:
    """WordPiece of words, with all white space, punctuation and CJK characters set apart."""

    def __init__(self, rules: WordPieceRules, ops):
        self._rules, self._ops = rules, ops
        self._removed, self._spaces, self._apart, self._marks = map(_any_of, _classes(rules.words))
        self._table = _table(rules.vocabulary, -1)
        self.resources = [self._table]
        self._pieces = ops.WordpieceTokenizer(
            self._table,
            suffix_indicator=rules.prefix,
            max_bytes_per_word=4 * rules.max_word_length,
            unknown_token=rules.unknown,
            token_out_type=tf.int32,
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        rules = self._rules
        if rules.lowercase_first:
            texts = _lowered_by_character(texts)
        texts = tf.strings.regex_replace(texts, self._removed, "")
        texts = tf.strings.regex_replace(texts, self._spaces, " ")
        if rules.lowercase:
            if not rules.final_sigma:
                texts = tf.strings.regex_replace(texts, "Σ", "σ")
            texts = tf.strings.lower(texts, "utf-8")
        if rules.strip_accents:
            texts = self._ops.normalize_utf8(texts, "NFD")
            texts = tf.strings.regex_replace(texts, self._marks, "")
        texts = tf.strings.regex_replace(texts, f"({self._apart})", r" \1 ")
        words = tf.strings.split(texts)  # [B, (W)]
        long = tf.strings.length(words, "UTF8_CHAR") > rules.max_word_length
        words = tf.ragged.map_flat_values(tf.where, long.flat_values, rules.unknown, words)
        return self._pieces.tokenize(words).merge_dims(1, 2)


class _SentencePieces:
    """Pieces of a SentencePiece model, and the ids that `_PIECES` says."""

    def __init__(self, spec: TokenizerSpec, ops):
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=spec.path)
        numbers, unknown = _PIECES[spec.kind](spec, processor)
        special = {"[CLS]", "[SEP]"}
        pieces = {
            piece: number
            for piece, number in numbers.items()
            if piece not in special and not processor.is_control(processor.piece_to_id(piece))
        }
        self._lowercase, self._lowercase_first = bool(spec.lowercase), spec.lowercase_first
        self._table = _table(pieces, unknown)
        model = Path(spec.path).read_bytes()
        self._pieces = ops.SentencepieceTokenizer(model=model, out_type=tf.string)
        self.resources = [self._table, self._pieces]

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        texts = _lowered_by_character(texts) if self._lowercase_first else texts
        texts = tf.strings.lower(texts, "utf-8") if self._lowercase else texts
        ids = tf.ragged.map_flat_values(self._table.lookup, self._pieces.tokenize(texts))
        return tf.cast(ids, tf.int32)


def _lowered_by_character(texts: tf.Tensor) -> tf.Tensor:
    """As sentence-transformers does, without the final sigma."""
    return tf.strings.lower(tf.strings.regex_replace(texts, "Σ", "σ"), "utf-8")


def _of_japanese(spec: TokenizerSpec, processor) -> tuple[dict[str, int], int]:
    text = Path(spec.vocabulary).read_bytes().decode().replace("\r", "")
    lines = text.removesuffix("\n").split("\n")
    return {line.split("\t")[0].strip(): number for number, line in enumerate(lines)}, 0


def _of_xlm_roberta(spec: TokenizerSpec, processor) -> tuple[dict[str, int], int]:
    return {processor.id_to_piece(i): i + 1 for i in range(3, processor.get_piece_size())}, 3


# Ids by piece and that of all others, as in `sentence_pieces`.
_PIECES = {"sentencepiece": _of_japanese, "xlm_roberta": _of_xlm_roberta}


def _table(numbers: Mapping[str, int], unknown: int) -> tf.lookup.StaticHashTable:
    keys, values = list(numbers), list(numbers.values())
    pairs = tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int64)
    return tf.lookup.StaticHashTable(pairs, unknown)


@functools.lru_cache(8)
def _classes(words: Callable[[str, bool], list[str]]) -> tuple[list[str], ...]:
    """Characters that are left out, that are spaces, that are words of their own, and accents."""
    removed, spaces, apart, marks = [], [], [], []
    for char in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(char) in ("Cn", "Cs"):
            continue
        found = words(f"a{char}b", False)
        if found == ["ab"]:
            removed.append(char)
        elif found == ["a", "b"]:
            spaces.append(char)
        elif len(found) == 3:
            apart.append(char)
        elif unicodedata.category(char)[0] == "M" and words(f"a{char}b", True) == ["ab"]:
            marks.append(char)
    return removed, spaces, apart, marks


def _any_of(chars: Iterable[str]) -> str:
    """A class for RE2."""
    runs: list[list[int]] = []
    for number in map(ord, chars):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "[{}]".format("".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in runs))


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
                f" {needed!r} alone; omit --strings, or choose another tokenizer file of the"
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
