"""Which model to take for texts in a language that a run's model does not know.

A vocabulary shows what it was made for: texts in its language have about one token a word, others
fall into letters. English is recognised among languages in Latin letters by its most common words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENGLISH = {"the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are", "as"}
_ENGLISH |= {"with", "be", "by", "at", "this", "from", "or", "an", "not", "have"}
_ENGLISH_SHARE = 0.08  # of the words of an English text at least; other languages have about 0.02
_UNKNOWN_SHARE = 0.05
_WORTH = 2.5
_AROUND = 2  # special tokens that stand around a text, as a rule
_FEW_WORDS = 20  # too few to tell a language by
# Tokens that a word has where a vocabulary is not made for its language, by kinds of letters; where
# no spaces are between words, tokens that a letter has.
_LATIN_LIMIT, _SPACED_LIMIT, _UNSPACED_LIMIT = 1.95, 2.5, 0.9
_KANA = re.compile("[\u3041-\u30ff\uff66-\uff9d]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uff66-\uff9d]")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")


@dataclass(frozen=True, slots=True)
class Model:
    """A model for texts in a language: its handle, its prompt before documents, a name for its
    outputs, and what it is for.
    """

    handle: str
    prompt: str
    name: str
    languages: str


JAPANESE = Model("hf://cl-nagoya/ruri-v3-30m", "検索文書: ", "ruri", "Japanese")
MANY = Model("hf://intfloat/multilingual-e5-small", "query: ", "e5", "a hundred languages")


@dataclass(slots=True)
class Languages:
    """Letters and words of texts: `tokens` are those of the model, of all of them."""

    tokens: int = 0
    words: int = 0
    english: int = 0
    letters: int = 0
    latin: int = 0
    unspaced: int = 0
    kana: int = 0

    def add(self, text: str, tokens: int) -> None:
        words = _WORD.findall(text)
        joined = "".join(words)
        self.tokens += max(tokens - _AROUND, 0)
        self.words += len(words)
        self.english += sum(word.lower() in _ENGLISH for word in words)
        self.letters += len(joined)
        self.latin += len(_LATIN.findall(joined))
        self.unspaced += len(_UNSPACED.findall(joined))
        self.kana += len(_KANA.findall(joined))

    @property
    def _is_unspaced(self) -> bool:
        """Whether that is most of what is written: such a letter says as much as some of others."""
        return _WORTH * self.unspaced > self.letters - self.unspaced

    @property
    def model(self) -> Model:
        """The one that knows the language of most texts."""
        return JAPANESE if self._is_unspaced and 10 * self.kana > self.unspaced else MANY

    def trouble(self, unknown: int, tokens: int) -> str:
        """Why the vocabulary seems to be none for these texts, of whose `tokens` so many are
        `unknown`; empty where nothing shows it.
        """
        if tokens and unknown / tokens > _UNKNOWN_SHARE:
            return f"{unknown / tokens:.1%} of the tokens are unknown to the model's vocabulary"
        strange = self.strange
        return f"{strange}: the model's vocabulary is not made for them" if strange else ""

    @property
    def strange(self) -> str:
        """What shows that the vocabulary is not made for most of the texts; empty where nothing
        does.
        """
        if self._is_unspaced:
            rate, limit, part = self.tokens / self.letters, _UNSPACED_LIMIT, "letter"
        elif self.words < _FEW_WORDS:
            return ""
        else:
            is_latin = 2 * self.latin > self.letters
            if is_latin and self.english >= _ENGLISH_SHARE * self.words:
                return ""
            rate, part = self.tokens / self.words, "word"
            limit = _LATIN_LIMIT if is_latin else _SPACED_LIMIT
        if rate <= limit:
            return ""
        kind = "Japanese" if self.model is JAPANESE else "not English"
        return f"most of the texts are {kind} and have {rate:.1f} tokens a {part}"


def is_same(handle: str, model: str) -> bool:
    """Whether a run's model is the one of a handle, as far as its name says."""
    return handle.rpartition("/")[2] in model
