"""Tokenizers of Japanese BERTs: MeCab cuts a text into words, and these fall into pieces of
WordPiece or into characters.

Source: transformers 4.57, tokenization_bert_japanese.py. Unlike there, what stands behind a null
character is not lost, and a special token that is spelled in a text is text.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokens import Named, Tokenizer, Tokens

DICTIONARIES = ("ipadic", "unidic_lite", "unidic")  # packages of their names
_LONGEST_WORD = 100  # characters; longer ones are unknown
_REMEMBERED = 1 << 16  # words
_PART = re.compile(r"\S+")

_Pieces = tuple[tuple[int, int, int], ...]  # of a word: id, and from where to where in it


class _JapaneseWords:
    """`words` cuts a normalized text into words and says where each begins."""

    separators, segments, pairs, strings = 1, True, True, False
    unknown: int | None
    cls: tuple[str, int] | None
    sep: tuple[str, int] | None

    def __init__(self, spec: TokenizerSpec, words: Callable[[str], list[tuple[str, int]]]):
        lines = Path(spec.path).read_text("utf-8").removesuffix("\n").split("\n")
        vocabulary = {line: number for number, line in enumerate(lines)}
        for token in ("[UNK]", "[CLS]", "[SEP]"):
            if token not in vocabulary:
                raise ValueError(f"{spec.path}: has no {token}; is it the vocabulary of a BERT?")
        self._unknown = vocabulary["[UNK]"]
        self.unknown, self.size, self.segments = self._unknown, len(lines), spec.segments
        self.cls, self.sep = ((token, vocabulary[token]) for token in ("[CLS]", "[SEP]"))
        self._special = sorted({token for _, token in spec.named})
        self._ids = {t: number for t, number in vocabulary.items() if t not in self._special}
        self._names = dict(enumerate(lines))
        self._lowercase, self._words = bool(spec.lowercase or spec.lowercase_first), words
        cut = _characters if spec.characters else _word_pieces
        self._cut = functools.lru_cache(_REMEMBERED)(
            lambda word: tuple(cut(word, self._ids, self._unknown))
        )

    def spelled(self, prompt: str) -> str:
        for token in self._special:
            if token in prompt:
                raise ValueError(
                    f"--prompt={prompt!r}: holds the special token {token}, which is not looked for"
                    " in a text for MeCab; remove it"
                )
        return prompt

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        return [self._tokens(text, spans) for text in texts]

    def _tokens(self, text: str, spans: bool) -> Tokens:
        seen = text.replace("\0", " ")
        if self._lowercase:  # character by character, which knows no final sigma
            seen = "".join([char.lower() for char in seen])
        normal = unicodedata.normalize("NFKC", seen)
        numbers: list[int] = []
        places: list[tuple[int, int]] = []
        for word, first in self._words(normal):
            pieces = self._cut(word.lower() if self._lowercase else word)
            numbers += [number for number, _, _ in pieces]
            if spans:
                places += [(first + start, first + stop) for _, start, stop in pieces]
        ids = np.array(numbers, np.int32)
        if not spans:
            return Tokens(Named(numbers, self._names), ids, None)
        found = np.array(places, np.int64).reshape(-1, 2)
        if normal != seen:
            found = span_maps.through_offsets(found, _offsets(seen, normal), len(seen))
        if len(seen) != len(text):
            origins = span_maps.origins_of([len(char.lower()) for char in text])
            found = span_maps.through_origins(found, origins)
        return Tokens(Named(numbers, self._names), ids, found.astype(np.int32))


def _word_pieces(word: str, ids: dict[str, int], unknown: int) -> Iterator[tuple[int, int, int]]:
    """The longest piece that a word begins with, and so on with its rest. White space of the kinds
    that MeCab takes for words has no pieces.
    """
    for match in _PART.finditer(word):
        part, first = match[0], match.start()
        pieces, place = [], 0
        while place < len(part) <= _LONGEST_WORD:
            mark = "##" if place else ""
            stops = range(len(part), place, -1)
            stop = next((stop for stop in stops if mark + part[place:stop] in ids), place)
            if stop == place:
                break
            pieces.append((ids[mark + part[place:stop]], first + place, first + stop))
            place = stop
        yield from pieces if place == len(part) else [(unknown, first, match.end())]


def _characters(word: str, ids: dict[str, int], unknown: int) -> Iterator[tuple[int, int, int]]:
    for place, char in enumerate(word):
        yield ids.get(char, unknown), place, place + 1


def _offsets(text: str, normal: str) -> list[int]:
    """Where each character of `normal`, which is NFKC of the text, and its end come from. A part of
    the text that no character behind it can change is normalized alone.
    """
    starts, part, first = [], "", 0
    for place, char in enumerate(text):
        alone = _normalized(char)
        apart = not alone or not unicodedata.combining(alone[0])
        if part and apart and _normalized(part + char) == _normalized(part) + alone:
            starts += [first] * len(_normalized(part))
            part, first = "", place
        part += char
    starts += [first] * len(_normalized(part))
    if len(starts) != len(normal):  # not seen in any text
        starts = [0] * len(normal)
    return [*starts, len(text)]


_normalized = functools.lru_cache(_REMEMBERED)(functools.partial(unicodedata.normalize, "NFKC"))


def mecab(spec: TokenizerSpec) -> Tokenizer:
    """Words of MeCab with the dictionary that `spec` names.

    Raises `ValueError` where a package is missing.
    """
    tagger, lock = _tagger(spec), threading.Lock()

    def words(text: str) -> list[tuple[str, int]]:
        found, place = [], 0
        with lock:  # a call reuses the memory of the one before
            nodes = [(node.white_space, node.surface) for node in tagger(text)]
        for space, word in nodes:
            place += len(space)
            found.append((word, place))
            place += len(word)
        return found

    return _JapaneseWords(spec, words)


def _tagger(spec: TokenizerSpec):
    names = ("fugashi", spec.dictionary)
    try:
        fugashi, dictionary = map(importlib.import_module, names)
    except ImportError as error:
        raise ValueError(
            f"{spec.path}: MeCab is to cut its texts into words, which needs packages that are not"
            f" installed ({error.name}): pip install {' '.join(names).replace('_', '-')}"
        ) from error
    folder = dictionary.DICDIR
    if not os.path.isdir(folder):
        raise ValueError(
            f"{spec.path}: the package {spec.dictionary} has no dictionary yet: python -m"
            f" {spec.dictionary} download"
        )
    return fugashi.GenericTagger(f'-d "{folder}" -r "{os.path.join(folder, "mecabrc")}"')
