"""Several rankings of the same documents, fused by their ranks (reciprocal rank fusion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

K = 60  # of Cormack, Clarke and Büttcher: how little the first ranks differ
_DECIMALS = 12  # of scores: closer than that, two are equal
# Of each query the rows that were found, best first, [Q, N]; -1 where there are no more.
Ranking = np.ndarray


def ranking_of(found: Sequence[Sequence[int] | np.ndarray], count: int) -> Ranking:
    """Of each query the first `count` rows of those that were found."""
    ranking = np.full((len(found), count), -1, np.int32)
    for query, rows in enumerate(found):
        some = rows[:count]
        ranking[query, : len(some)] = some
    return ranking


def joined(rankings: Sequence[Ranking], query: int) -> np.ndarray:
    """The rows that any ranking found for a query, ascending."""
    rows = np.unique(np.concatenate([ranking[query] for ranking in rankings]))
    return rows[rows >= 0]


class Shares(NamedTuple):
    """The rows that any ranking found for a query, ascending, and what each ranking gives to each,
    from 0 to 1.
    """

    rows: np.ndarray  # [R] int64
    given: np.ndarray  # [R, rankings]

    def fused(self, weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Rows, best first, and their scores from 0 to 1; of equal ones the lower row is first."""
        scores = np.round(self.given @ np.asarray(weights) / sum(weights), _DECIMALS)
        best = np.lexsort((self.rows, -scores))
        best = best[scores[best] > 0]
        return self.rows[best], scores[best]


def shares(rankings: Sequence[Ranking], query: int, both_ways: bool) -> Shares:
    """`both_ways`: it counts, too, how near the query is to the row, so that a row which is near to
    everything comes later.
    """
    found = joined(rankings, query)
    given = np.zeros((len(found), len(rankings)))
    for column, ranking in enumerate(rankings):
        near = ranking[query][ranking[query] >= 0]
        given[np.searchsorted(found, near), column] = 1 / (K + 1 + np.arange(len(near)))
        if both_ways:
            rows, places = np.nonzero(ranking[found] == query)
            given[rows, column] += 1 / (K + 1 + places)
    return Shares(found, given * (K + 1) / (1 + both_ways))


def fused(
    rankings: Mapping[str, Ranking], weights: Mapping[str, float], query: int, both_ways: bool
) -> list[tuple[int, float]]:
    """The rows that any ranking found for a query, best first, with scores from 0 to 1: that of a
    row that is first in all.
    """
    found = shares([*rankings.values()], query, both_ways)
    rows, scores = found.fused([weights[name] for name in rankings])
    return list(zip(rows.tolist(), scores.tolist()))
