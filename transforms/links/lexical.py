"""An index of words: what names, code and rare terms are found by, which no model knows.

BM25 by the library bm25s, the extra `search`. Japanese, Chinese and Korean are cut into pairs of
characters, all else into words.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

EXTRA = "pip install 'corpusvec[search]'"
_DENSE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff々ー"
_TERM = re.compile(rf"[{_DENSE}]+|[^\W{_DENSE}]+")
_DENSE_FIRST = re.compile(rf"[{_DENSE}]")
_TERMS = 300  # of a query that count: the rarest


def is_installed() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("bm25s") is not None


def normalized(text: str) -> str:
    """What is compared: width and case do not count."""
    return unicodedata.normalize("NFKC", text).lower()


def terms(text: str) -> list[str]:
    """The words of a text, or pairs of its characters."""
    return list(chain.from_iterable(map(_of_run, _TERM.findall(normalized(text)))))


def _of_run(run: str) -> Iterable[str]:
    if len(run) < 2 or not _DENSE_FIRST.match(run):
        return (run,)
    return (run[at : at + 2] for at in range(len(run) - 1))


class LexicalIndex:
    """Texts by their terms."""

    def __init__(self, index: Any, size: int):
        self._index, self.size = index, size

    @classmethod
    def of(cls, texts: Iterable[str]) -> LexicalIndex:
        """The index of some texts, in their order."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        words = [terms(text) for text in texts]
        if not any(words):
            return cls(None, len(words))
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index(words, show_progress=False)
        return cls(index, len(words))

    @classmethod
    def load(cls, folder: str) -> LexicalIndex:
        """One that was saved; it is mapped, not read."""
        import bm25s

        index = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        return cls(index, index.scores["num_docs"])

    def save(self, folder: str) -> None:
        """Into a folder of its own."""
        if self._index is not None:
            self._index.save(folder, show_progress=False)

    def scores(self, text: str) -> np.ndarray:
        """Of each text how well it answers to another, [N] float32; 0 where no term is common."""
        asked = self._known(dict.fromkeys(terms(text)))
        if not asked:
            return np.zeros(self.size, np.float32)
        return self._index.get_scores(asked)

    def _known(self, asked: Iterable[str]) -> list[str]:
        """The terms that the index has, of many the rarest."""
        if self._index is None:
            return []
        vocabulary, starts = self._index.vocab_dict, self._index.scores["indptr"]
        known = [term for term in asked if term in vocabulary]
        if len(known) <= _TERMS:
            return known
        counts = {t: starts[vocabulary[t] + 1] - starts[vocabulary[t]] for t in known}
        return sorted(known, key=lambda term: (counts[term], term))[:_TERMS]

    def best(self, text: str, count: int, hidden: Sequence[int] | np.ndarray = ()) -> list[int]:
        """The rows that answer best, of equals the first; `hidden` are not to be found."""
        scores = np.array(self.scores(text))
        scores[np.asarray(hidden, np.int64)] = 0
        found = np.flatnonzero(scores > 0)
        if len(found) > count:
            least = np.partition(scores[found], -count)[-count]
            found = found[scores[found] >= least]
        return found[np.lexsort((found, -scores[found]))][:count].tolist()
