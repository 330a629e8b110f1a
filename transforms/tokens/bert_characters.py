"""google-research/bert's tokenization at the speed of the `tokenizers` library.

The library's WordPiece is the original's, its treatment of characters is not. It deletes private
use characters and does not set the CJK characters 2B820..2B91F apart; its Unicode tables are older
than Python's, so that it takes newer punctuation, accents and format characters for letters:
138,000 code points in all. A character that it would treat otherwise is replaced by one that it
treats as the original treats that one, nearly always one for one, so that places in the text stay.

Which character stands in does not matter where a word holds a character that no piece of the
vocabulary has: it is [UNK] either way. A character that some piece does have gets a stand-in of its
own, and the piece is spelled with it.
"""

from __future__ import annotations

import string
import sys
import unicodedata
from collections.abc import Mapping

import numpy as np
from tokenizers import normalizers, pre_tokenizers

from corpusvec.transforms.tokens import spans as span_maps

# Caseless, without decomposition, and known to the library for what they are.
_LETTERS = range(0x17000, 0x187ED)  # Tangut
_APART = range(0x20000, 0x2A6D7)  # CJK extension B: words of their own, as punctuation is
_SOFT_HYPHEN = "\u00ad"  # the library drops it, and Python's rule for final sigma looks past it
_CJK = (
    range(0x4E00, 0xA000),
    range(0x3400, 0x4DC0),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00),
    range(0x2F800, 0x2FA20),
)


class StandIns:
    """Makes a text, and the vocabulary, such that the library tokenizes as the original does.

    `vocabulary`, `normalizer` and `pre_tokenizer` are for the library, which sees `see(text)`.
    """

    def __init__(self, vocabulary: Mapping[str, int], lowercase: bool):
        self._lowercase = lowercase
        # Lower-casing is Python's, in `see`: the library does not know the final sigma.
        self.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=lowercase, lowercase=False
        )
        self.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        used = set("".join(vocabulary))
        letters = (chr(c) for c in _LETTERS if chr(c) not in used)
        apart = (chr(c) for c in _APART if chr(c) not in used)
        # For characters that no piece has; nor has any piece these two.
        self._letter, self._apart = next(letters), next(apart)
        self._own: dict[str, str] = {}
        # Characters are looked at when a text first has them.
        self._unchanged = np.zeros(sys.maxunicode + 1, bool)
        self._replaced: dict[str, str] = {}
        for char in sorted(used):
            stand_in = self._stand_in(char)
            if stand_in in (self._letter, self._apart) and stand_in != char:
                self._own[char] = next(letters if stand_in == self._letter else apart)
                # Where a text has the stand-in itself, it is a character that no piece has.
                self._note(self._own[char], stand_in)
        spelling = str.maketrans(self._own)
        self.vocabulary = {piece.translate(spelling): n for piece, n in vocabulary.items()}

    def see(self, text: str) -> tuple[str, np.ndarray | None]:
        """What the library is given for `text`; origins as `spans.lowercase` returns them."""
        seen, origins = text, None
        if not text.isascii() and not self._unchanged.take(span_maps.code_points(text)).all():
            for char in set(text):
                if not self._unchanged[ord(char)] and char not in self._replaced:
                    self._note(char, self._stand_in(char))
            parts = [self._replaced.get(char, char) for char in text]
            seen = "".join(parts)
            if len(seen) != len(text):
                origins = span_maps.origins_of(list(map(len, parts)))
        return seen.lower() if self._lowercase else seen, origins

    def _note(self, char: str, stand_in: str) -> None:
        if stand_in == char:
            self._unchanged[ord(char)] = True
        else:
            self._replaced[char] = stand_in

    def _stand_in(self, char: str) -> str:
        words = _words(char, self._lowercase)
        if words == ["ab"] and unicodedata.category(char) not in ("Mn", "Cf"):
            return _SOFT_HYPHEN  # even where the library drops it: `lower` would not look past it
        if self._words_of_library(char) == words and len(char.lower()) == 1:
            return char
        folded = "".join(words)[1:-1]
        if not folded:
            return _SOFT_HYPHEN if words == ["ab"] else " "
        if self._words_of_library(folded) == words:  # İ, and decompositions newer than the library
            return folded
        return self._own.get(folded, self._letter if len(words) == 1 else self._apart)

    def _words_of_library(self, chars: str) -> list[str]:
        text = f"a{chars.lower() if self._lowercase else chars}b"
        words = self.pre_tokenizer.pre_tokenize_str(self.normalizer.normalize_str(text))
        return [word for word, _ in words]


def _words(char: str, lowercase: bool) -> list[str]:
    """What becomes of a character between `a` and `b`.

    Source: google-research/bert, tokenization.py, BasicTokenizer.
    """
    if char in "\0\ufffd" or (unicodedata.category(char) in ("Cc", "Cf") and char not in "\t\n\r"):
        return ["ab"]
    folded = char
    if lowercase:
        decomposed = unicodedata.normalize("NFD", char.lower())
        folded = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    split = "".join(f" {c} " if _is_punctuation(c) else c for c in folded)
    if any(ord(char) in block for block in _CJK):
        split = f" {split} "
    return f"a{split}b".split()


def _is_punctuation(char: str) -> bool:
    return char in string.punctuation or unicodedata.category(char).startswith("P")
