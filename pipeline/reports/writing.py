"""In which letters a text is written: what can be said of its language without a model."""

from __future__ import annotations

import re
from collections import Counter

JAPANESE, CHINESE, LATIN, OTHER, NONE = "japanese", "chinese", "latin", "other", "none"
_LETTERS = {
    JAPANESE: "[\u3040-\u30ff\uff66-\uff9f]",
    CHINESE: "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]",
    "korean": "[\u1100-\u11ff\uac00-\ud7a3]",
    LATIN: "[A-Za-z\u00c0-\u024f\u1e00-\u1eff]",
    "cyrillic": "[\u0400-\u052f]",
    "greek": "[\u0370-\u03ff\u1f00-\u1fff]",
    "arabic": "[\u0600-\u06ff\u0750-\u077f]",
    "hebrew": "[\u0590-\u05ff]",
    "devanagari": "[\u0900-\u097f]",
    "thai": "[\u0e00-\u0e7f]",
}
_PATTERNS = {name: re.compile(letters) for name, letters in _LETTERS.items()}
_DENSE = {JAPANESE, CHINESE, "korean"}  # one of their letters says as much as two of others
_ADDRESS = re.compile(r"https?://\S+")
_LONGEST = 2_000  # characters of a text that are looked at
_SOME = 0.1  # of the texts


def totals(letters: Counter[str]) -> list[tuple[str, int]]:
    """How many texts are written in which letters, most first. Kanji without kana are Japanese
    where a tenth of the texts has kana, else Chinese.
    """
    counts = Counter(letters)
    if counts[JAPANESE] >= _SOME * counts.total():
        counts[JAPANESE] += counts.pop(CHINESE, 0)
    return [(name, count) for name, count in counts.most_common() if count]


def in_letters(text: str) -> str:
    """The letters that most of a text is written in."""
    text = _ADDRESS.sub("", text[:_LONGEST])
    if text.isascii():
        return LATIN if _PATTERNS[LATIN].search(text) else NONE
    found = {
        name: len(pattern.findall(text)) * (2 if name in _DENSE else 1)
        for name, pattern in _PATTERNS.items()
    }
    if found[JAPANESE]:  # kanji are Japanese beside kana
        found[JAPANESE] += found.pop(CHINESE)
    name = max(found, key=found.__getitem__)
    if found[name]:
        return name
    return OTHER if any(map(str.isalpha, text)) else NONE
