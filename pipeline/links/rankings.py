"""Which pages lie near each page, by vectors, by words, by passages, and by all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from corpusvec.transforms.links.fusions import Ranking, fused, ranks
from corpusvec.transforms.links.lexical import LexicalIndex, normalized
from corpusvec.transforms.links.neighbours import Vectors, nearest
from corpusvec.transforms.links.passages import likeness

VECTORS, LEXICAL, HYBRID = "vectors", "lexical", "hybrid"
PASSAGES, MENTIONS = "passages", "mentions"
_SHORTEST = 3  # characters of a title that is looked for in texts
POOL = 100  # of each ranking that are fused
MOST = 5_000  # pages; of more, all that words and passages have to be compared takes too long
WEIGHTS: Mapping[str, float] = {VECTORS: 0.1, LEXICAL: 1.0, PASSAGES: 1.0, MENTIONS: 0.5}
Hidden = Callable[[int], np.ndarray]


def nothing_hidden(row: int) -> np.ndarray:
    """No page is left out."""
    return np.empty(0, np.int64)


def by_vectors(
    vectors: Vectors, hidden: Hidden = nothing_hidden, asked: np.ndarray | None = None
) -> Ranking:
    """The pages nearest to each by cosine; `asked` [N, D] are asked in their stead."""
    count = min(POOL, max(1, len(vectors) - 1))
    if asked is None:
        found = nearest(vectors, count, left_out=hidden)
    else:
        found = nearest(vectors, count, asked, lambda row: np.union1d(hidden(row), [row]))
    return {row: ranks(places[places >= 0].tolist()) for row, places in enumerate(found.places)}


def by_words(index: LexicalIndex, texts: Sequence[str], hidden: Hidden = nothing_hidden) -> Ranking:
    """Those that answer best to each page's text."""
    return {
        row: ranks(index.best(text, POOL, np.union1d(hidden(row), [row]).astype(np.int64)))
        for row, text in enumerate(texts)
    }


def by_mentions(
    titles: Sequence[str],
    texts: Sequence[str],
    asked: Sequence[str],
    hidden: Hidden = nothing_hidden,
) -> Ranking:
    """Those whose title stands in a page's text, or whose text has the page's title: titles that
    stand in few texts first, of these the longest. `asked` are the texts of the pages that ask.
    """
    names = [normalized(title) for title in titles]
    known = [at for at, name in enumerate(names) if len(name) >= _SHORTEST]
    read, told = list(map(normalized, texts)), list(map(normalized, asked))
    found: list[dict[int, tuple[int, int, int]]] = [{} for _ in titles]
    for at in known:
        name = names[at]
        having = [row for row, text in enumerate(read) if name in text and row != at]
        rank = (len(having), -len(name))
        for row in having:
            found[at][row] = min((*rank, row), found[at].get(row, (*rank, row)))
        for row, text in enumerate(told):
            if name in text and row != at:
                found[row][at] = min((*rank, at), found[row].get(at, (*rank, at)))
    ranking = {}
    for row, near in enumerate(found):
        out = set(hidden(row).tolist())
        ranking[row] = ranks(
            [at for at in sorted(near, key=near.__getitem__) if at not in out][:POOL]
        )
    return ranking


def by_passages(
    mine: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    pools: Mapping[int, Sequence[int]],
) -> Ranking:
    """Those of a pool that have the passage nearest to one of a page's own; vectors are those of
    each page's passages, of length 1: of pages as they ask, and as they are found.
    """
    found = {}
    for row, pool in pools.items():
        near = likeness(mine[row], [theirs[other] for other in pool])
        best = near.max(axis=0) if len(near) else np.zeros(len(pool))
        there = [at for at, other in enumerate(pool) if len(near) and len(theirs[other])]
        found[row] = ranks(
            pool[at] for at in sorted(there, key=lambda at: (-best[at], pool[at]))[:POOL]
        )
    return found


@dataclass(slots=True)
class Rankings:
    """Of all pages, by the name of what ranks them; `weights` are for fusing them."""

    each: dict[str, Ranking] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    def pools(self) -> dict[int, list[int]]:
        """The pages that any of them found, for each page."""
        found: dict[int, set[int]] = {}
        for ranking in self.each.values():
            for row, places in ranking.items():
                found.setdefault(row, set()).update(places)
        return {row: sorted(places) for row, places in found.items()}

    def fused(self, row: int) -> list[tuple[int, float]]:
        """Those near to one page by all of them, with scores from 0 to 1."""
        return fused(self.each, self.weights, row, both_ways=True)
