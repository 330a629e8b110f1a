"""Which pages lie near each page, by vectors, by words, by passages, and by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from corpusvec.transforms.links.fusions import Ranking, fused, joined, ranking_of
from corpusvec.transforms.links.lexical import LexicalIndex
from corpusvec.transforms.links.link_graphs import LinkGraph
from corpusvec.transforms.links.names import Names
from corpusvec.transforms.links.neighbours import Vectors, nearest
from corpusvec.transforms.links.passages import likeness

VECTORS, LEXICAL, HYBRID = "vectors", "lexical", "hybrid"
PASSAGES, MENTIONS, LINKS = "passages", "mentions", "links"
POOL = 100  # of each ranking that are fused
MOST = 100_000  # pages; of more, comparing their words takes too long
MOST_EMBEDDED = 5_000  # pages; of more, the model is not asked for vectors of all passages
WEIGHTS: Mapping[str, float] = {
    VECTORS: 0.1,
    LEXICAL: 1.0,
    PASSAGES: 0.3,
    MENTIONS: 1.0,
    LINKS: 0.3,
}
_LINKING = 20  # pages near to one whose links are looked at
_COMMON = 0.1  # of the texts: a title that stands in more says nothing
Hidden = Callable[[int], np.ndarray]


def nothing_hidden(row: int) -> np.ndarray:
    """No page is left out."""
    return np.empty(0, np.int64)


def by_vectors(
    vectors: Vectors, hidden: Hidden = nothing_hidden, asked: np.ndarray | None = None
) -> Ranking:
    """The pages nearest to each by cosine; `asked` [N, D] replace the vectors of the queries."""
    count = min(POOL, max(1, len(vectors) - 1))
    if asked is None:
        return nearest(vectors, count, left_out=hidden).places
    return nearest(vectors, count, asked, lambda row: np.union1d(hidden(row), [row])).places


def by_words(index: LexicalIndex, texts: Iterable[str], hidden: Hidden = nothing_hidden) -> Ranking:
    """The pages that match each page's text best."""
    found = [
        np.array(index.best(text, POOL, np.union1d(hidden(row), [row])), np.int32)
        for row, text in enumerate(texts)
    ]
    return ranking_of(found, POOL)


def by_mentions(
    titles: Sequence[str],
    texts: Sequence[str],
    asked: Sequence[str],
    hidden: Hidden = nothing_hidden,
) -> Ranking:
    """Those whose title stands in a page's text, or whose text has the page's title: titles that
    stand in few texts first, of these the longest. `asked` are the texts of the pages that ask.
    """
    names = Names(titles)
    having, held = _standing(names, texts)
    asking, told = (having, held) if asked is texts else _standing(names, asked)
    counts = np.bincount(held, minlength=len(titles))
    askers, near = np.concatenate([held, asking]), np.concatenate([having, told])
    by = np.concatenate([held, told])  # the title that joins both
    lengths = np.array([len(name) for name in names.names])
    kept = np.flatnonzero(counts[by] <= max(POOL, _COMMON * len(titles)))
    kept = kept[np.lexsort((near[kept], -lengths[by[kept]], counts[by[kept]], askers[kept]))]
    starts = np.searchsorted(askers[kept], np.arange(len(titles) + 1))
    found = []
    for row, (start, stop) in enumerate(zip(starts, starts[1:])):
        rows = near[kept[start:stop]]
        rows = rows[~np.isin(rows, hidden(row))]
        found.append(rows[np.sort(np.unique(rows, return_index=True)[1])])
    return ranking_of(found, POOL)


def _standing(names: Names, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pages, and the titles of others that occur in their texts."""
    within = list(map(names.within, texts))
    rows = np.repeat(np.arange(len(within)), [len(some) for some in within])
    held = np.concatenate([*within, np.empty(0, np.int64)])
    return rows[rows != held], held[rows != held]


def by_passages(
    mine: Sequence[np.ndarray], theirs: Sequence[np.ndarray], pools: Iterable[np.ndarray]
) -> Ranking:
    """Those of a pool that have the passage nearest to one of a page's own; vectors are those of
    each page's passages, of length 1: of pages as they ask, and as they are found.
    """
    found = []
    for own, pool in zip(mine, pools):
        there = pool[[len(theirs[other]) > 0 for other in pool]] if len(own) else pool[:0]
        near = likeness(own, [theirs[other] for other in there])
        found.append(there[np.lexsort((there, -near.max(axis=0)))] if len(there) else there)
    return ranking_of(found, POOL)


def by_links(
    each: Mapping[str, Ranking], graph: LinkGraph, hidden: Hidden = nothing_hidden
) -> Ranking:
    """The pages that each page's nearest pages are linked with. First come those linked with many
    of them, with nearer ones, and with ones that have few links. The page's own links do not count.
    """
    found = []
    for row in range(graph.size):
        near = [place for place, _ in fused(each, WEIGHTS, row, both_ways=True)[:_LINKING]]
        linked = [graph.linked(place) for place in near]
        given = [
            1 / (_LINKING + rank) / max(len(some), 1) ** 0.5 for rank, some in enumerate(linked)
        ]
        shares = np.repeat(given, [len(some) for some in linked])
        rows, which = np.unique(np.concatenate([*linked, [row]]), return_inverse=True)
        scores = np.bincount(which[:-1], shares, len(rows))
        scores[np.isin(rows, np.union1d(hidden(row), [row]))] = 0
        best = np.lexsort((rows, -scores))[:POOL]
        found.append(rows[best[scores[best] > 0]])
    return ranking_of(found, POOL)


@dataclass(slots=True)
class Rankings:
    """The rankings of all pages, by name; `weights` are for fusing them."""

    each: dict[str, Ranking] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    def pools(self) -> Iterator[np.ndarray]:
        """The pages that any ranking found, for each page."""
        rankings = [*self.each.values()]
        return (joined(rankings, row) for row in range(len(rankings[0])))

    def fused(self, row: int) -> list[tuple[int, float]]:
        """Those near to one page by all of them, with scores from 0 to 1."""
        return fused(self.each, self.weights, row, both_ways=True)
