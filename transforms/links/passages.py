"""Passages of texts, which of them lie near each other, and the phrase that both have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from corpusvec.transforms.links.lexical import normalized
from corpusvec.transforms.links.notations import shown
from corpusvec.transforms.links.suggestions import Reason

LONGEST = 240  # characters of a passage
_COMMON = 10  # documents that a passage is compared with to see how common it is
_SENTENCE = re.compile(r"[^。．.!?！？]+(?:[。．.!?！？]+\s*|\Z)|[。．.!?！？]+")
_SAYS = re.compile(r"\w.*\w", re.DOTALL)
_ADDRESS = re.compile(r"https?://\S+")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_TELLING, _PHRASE = 8, 20  # characters of a passage that says something; of a long phrase
_TRIED = 16  # pairs in which phrases are sought
_WORD = 5  # letters of a phrase at least; 3 in scripts without spaces, such as Japanese


def passages_of(text: str, notation: str) -> list[str]:
    """The lines of a text as a reader sees them, each once; long ones are cut at the ends of
    sentences.
    """
    lines = shown(text.replace("\0", " "), notation).split("\n")
    found = [part for line in lines for part in _cut(line.strip())]
    return list(dict.fromkeys(part for part in found if _SAYS.search(_ADDRESS.sub("", part))))


def _cut(line: str) -> list[str]:
    if len(line) <= LONGEST:
        return [line]
    parts = [""]
    for sentence in _SENTENCE.findall(line) or [line]:
        while len(sentence) > LONGEST:
            parts += [sentence[:LONGEST], ""]
            sentence = sentence[LONGEST:]
        if len(parts[-1]) + len(sentence) > LONGEST:
            parts.append("")
        parts[-1] += sentence
    return [part.strip() for part in parts if part.strip()]


def likeness(mine: np.ndarray, theirs: Sequence[np.ndarray]) -> np.ndarray:
    """How near each of a document's passages [P, D] is to the nearest one of other documents, with
    what is usual for that passage taken off: [P, documents]. So a line that stands everywhere says
    nothing. Rows are of length 1.
    """
    found = np.full((len(mine), len(theirs)), -1, np.float32)
    there = [at for at, one in enumerate(theirs) if len(one)]
    if there and len(mine):
        starts = np.cumsum([0, *(len(theirs[at]) for at in there[:-1])])
        products = mine @ np.concatenate([theirs[at] for at in there]).T
        found[:, there] = np.maximum.reduceat(products, starts, axis=1)
    usual = min(_COMMON, found.shape[1])
    if usual:
        found -= np.partition(found, -usual, axis=1)[:, -usual:].mean(axis=1, keepdims=True)
    return found


def reasons(
    mine: Sequence[str],
    theirs: Sequence[str],
    my_vectors: np.ndarray,
    their_vectors: np.ndarray,
    count: int,
) -> tuple[Reason, ...]:
    """The pairs of passages that are nearest, no passage twice; those that share a phrase come
    first, and of a word or two nobody learns anything.
    """
    if not (len(mine) and len(theirs)):
        return ()
    cosines = my_vectors @ their_vectors.T
    lengths = np.minimum.outer([len(one) for one in mine], [len(one) for one in theirs])
    worth = cosines - (lengths < _TELLING)
    pairs = []
    for at in np.argsort(-worth, axis=None, kind="stable")[:_TRIED].tolist():
        row, column = divmod(at, len(theirs))
        phrase = shared_phrase(mine[row], theirs[column])
        gain = min(len(phrase), _PHRASE) / _PHRASE
        pairs.append((-worth[row, column] - gain, row, column, phrase))
    found: list[Reason] = []
    used: set[tuple[bool, int]] = set()
    for _, row, column, phrase in sorted(pairs):
        if not used & {(True, row), (False, column)}:
            used |= {(True, row), (False, column)}
            found.append(Reason(mine[row], theirs[column], phrase, float(cosines[row, column])))
    return tuple(found[:count])


def shared_phrase(one: str, other: str) -> str:
    """The longest phrase that two passages have, as the first has it; empty where that is no more
    than a short word.
    """
    small, large = normalized(one), normalized(other)
    if len(small) != len(one):  # what is wide may be one character of several
        one = small
    match = SequenceMatcher(None, small, large, autojunk=False).find_longest_match()
    start, stop = match.a, match.a + match.size
    while start < stop and _within_word(one, start):
        start += 1
    while start < stop and _within_word(one, stop):
        stop -= 1
    phrase = one[start:stop].strip(" \t、。,.:;・「」()（）[]")
    least = 3 if _DENSE.search(phrase) else _WORD
    return phrase if len(phrase) >= least else ""


def _within_word(text: str, at: int) -> bool:
    """Whether a cut would be inside a word of letters with spaces between words."""
    if not 0 < at < len(text):
        return False
    both = text[at - 1 : at + 1]
    return both.isalnum() and not _DENSE.search(both)


def marked(text: str, phrase: str) -> str:
    """A passage with the phrase in it marked."""
    at = normalized(text).find(normalized(phrase)) if phrase else -1
    if at < 0 or len(normalized(text)) != len(text):
        return text
    return f"{text[:at]}«{text[at : at + len(phrase)]}»{text[at + len(phrase) :]}"
