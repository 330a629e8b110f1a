"""Words of models that take them as strings: what stands between spaces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokens import Tokenizer, Tokens

_WORD = re.compile("[^ ]+")


class _Words:
    """Text cut at U+0020 and nowhere else. Words that `vocabulary` does not have share the id after
    its last; without a vocabulary nobody knows which those are.
    """

    cls: tuple[str, int] | None = None
    sep: tuple[str, int] | None = None
    separators, segments, pairs, strings = 0, False, False, True

    def __init__(self, vocabulary: Mapping[str, int] | None, lowercase: bool):
        self._vocabulary, self._lowercase = vocabulary, lowercase
        self.unknown = None if vocabulary is None else max(vocabulary.values(), default=-1) + 1
        self.size = 1 if self.unknown is None else self.unknown + 1

    def spelled(self, prompt: str) -> str:
        return prompt

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        return [self._tokens(text, spans) for text in texts]

    def _tokens(self, text: str, spans: bool) -> Tokens:
        low, origins = span_maps.lowercase(text) if self._lowercase else (text, None)
        found = list(_WORD.finditer(low))
        words = [match[0] for match in found]
        known = self._vocabulary
        numbers = [0] * len(words) if known is None else [known.get(w, self.unknown) for w in words]
        places = None
        if spans:
            places = np.array([match.span() for match in found], np.int32).reshape(-1, 2)
            if origins is not None:
                places = span_maps.through_origins(places, origins).astype(np.int32)
        return Tokens(words, np.array(numbers, np.int32), places)


def split_at_spaces(spec: TokenizerSpec) -> Tokenizer:
    """As ELMo's module on TensorFlow Hub splits a text: `tf.string_split`, at spaces alone.

    A vocabulary is a file of a word a line, as modules have it in their assets.
    """
    vocabulary = None
    if spec.vocabulary:
        lines = Path(spec.vocabulary).read_bytes().decode().removesuffix("\n").split("\n")
        vocabulary = {line: number for number, line in enumerate(lines)}
    return _Words(vocabulary, bool(spec.lowercase))
