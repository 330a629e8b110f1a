"""The words that set a group of documents apart from the rest.

Follows "Fightin' Words" (Monroe, Colaresi and Quinn, 2008): the log-odds of a word inside and
outside of the group, with the whole corpus as prior, in units of its own uncertainty. Unlike
theirs, a word counts once in a document, so that one long list decides nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

# Kanji and katakana have no spaces between words, but change where words do; hiragana, alone, is
# grammar. Elsewhere letters of one word stand together.
_WORD = re.compile(
    r"[\u4e00-\u9fff々〆]{2,8}|[ァ-ヺー]{3,}|[가-힣]{2,}"
    r"|[^\W\d_\u3040-\u30ff\u4e00-\u9fff々〆가-힣]{3,}"
)
_ADDRESS = re.compile(r"https?://\S+")
_PRIOR = 50.0  # documents that the corpus as a whole counts for
# Grammar tells nothing of a subject.
_GRAMMAR = (
    "about after all also and any are because been before being but can could did does doing each"
    " for from had has have having her here him his how into its just like more most not now off"
    " one only other our out over own same she should some such than that the their them then"
    " there these they this those through too under until very was were what when where which"
    " while who why will with would you your"
)
_NOT_WORDS = frozenset(_GRAMMAR.split())
_LONGEST = 20_000  # characters of a document that are looked at


def words_of(text: str) -> set[str]:
    """The different words of a text, in lower case."""
    return set(_WORD.findall(_ADDRESS.sub(" ", text[:_LONGEST]).lower())) - _NOT_WORDS


def distinguishing_words(
    texts: Iterable[str], groups: Sequence[int], most: int = 6
) -> list[list[str]]:
    """The words of each group, most telling first; `groups` are numbered from 0. A word belongs to
    the group that it tells most of, and a word of half of all documents to none.
    """
    sizes = Counter(groups)
    inside: list[Counter[str]] = [Counter() for _ in range(max(sizes, default=-1) + 1)]
    for text, group in zip(texts, groups):
        inside[group].update(words_of(text))
    everywhere: Counter[str] = Counter()
    for one in inside:
        everywhere.update(one)
    scored: list[list[tuple[float, int, str]]] = [[] for _ in inside]
    for word, documents in everywhere.items():
        if documents > max(1, len(groups) / 2) and len(sizes) > 1:
            continue
        score, group = max(
            (_score(one[word], sizes[group], documents, len(groups)), -group)
            for group, one in enumerate(inside)
        )
        if score > 0:
            scored[-group].append((-score, -len(word), word))
    return [_apart([word for _, _, word in sorted(one)], most) for one in scored]


def _score(here: int, size: int, documents: int, total: int) -> float:
    """How much a word tells of a group, of whose `size` documents `here` have it: its z-score, and
    the more the rarer it is. 0 for a word of a single document of several.
    """
    if here < min(2, size):
        return 0.0
    share = documents / total
    inside = here + _PRIOR * share
    outside = documents - here + _PRIOR * share
    odds = _log_odds(inside, size + _PRIOR) - _log_odds(outside, total - size + _PRIOR)
    return odds / math.sqrt(1 / inside + 1 / outside) * math.log(1 + 1 / share)


def _log_odds(part: float, whole: float) -> float:
    return math.log(part / max(whole - part, 0.5))


def _apart(words: Sequence[str], most: int) -> list[str]:
    """The first ones of which none is a part of another."""
    kept: list[str] = []
    for word in words:
        if len(kept) == most:
            break
        if not any(word in other or other in word for other in kept):
            kept.append(word)
    return kept
