"""Several rankings of the same documents, fused by their ranks (reciprocal rank fusion)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

K = 60  # of Cormack, Clarke and Büttcher: how little the first ranks differ
# Of each query the rows that were found, best first, each with its rank, from 1.
Ranking = Mapping[int, Mapping[int, int]]


def ranks(rows: Iterable[int]) -> dict[int, int]:
    """Rows, best first -> their ranks."""
    return {row: rank for rank, row in enumerate(rows, 1)}


class Shares(NamedTuple):
    """The rows that any ranking found for a query, ascending, and what each ranking gives to each,
    from 0 to 1.
    """

    rows: np.ndarray  # [R] int64
    given: np.ndarray  # [R, rankings]

    def fused(self, weights: Sequence[float]) -> list[tuple[int, float]]:
        """Best first, with scores from 0 to 1; of equal ones the lower row is first."""
        scores = self.given @ np.asarray(weights) / sum(weights)
        best = np.lexsort((self.rows, -scores))
        best = best[scores[best] > 0]
        return list(zip(self.rows[best].tolist(), scores[best].tolist()))


def shares(rankings: Sequence[Ranking], query: int, both_ways: bool) -> Shares:
    """`both_ways`: it counts, too, how near the query is to the row, so that a row which is near to
    everything comes later.
    """
    found = sorted({row for ranking in rankings for row in ranking.get(query, ())})
    given = np.zeros((len(found), len(rankings)))
    for column, ranking in enumerate(rankings):
        near = ranking.get(query, {})
        for at, row in enumerate(found):
            there = near.get(row), ranking.get(row, {}).get(query) if both_ways else None
            given[at, column] = sum(1 / (K + rank) for rank in there if rank is not None)
    return Shares(np.array(found, np.int64), given * (K + 1) / (1 + both_ways))


def fused(
    rankings: Mapping[str, Ranking], weights: Mapping[str, float], query: int, both_ways: bool
) -> list[tuple[int, float]]:
    """The rows that any ranking found for a query, best first, with scores from 0 to 1: that of a
    row that is first in all.
    """
    found = shares([*rankings.values()], query, both_ways)
    return found.fused([weights[name] for name in rankings])
