"""Several rankings of the same documents, fused by their ranks (reciprocal rank fusion)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

K = 60  # of Cormack, Clarke and Büttcher: how little the first ranks differ
# Of each query the rows that were found, best first, each with its rank, from 1.
Ranking = Mapping[int, Mapping[int, int]]


def ranks(rows: Iterable[int]) -> dict[int, int]:
    """Rows, best first -> their ranks."""
    return {row: rank for rank, row in enumerate(rows, 1)}


def fused(
    rankings: Mapping[str, Ranking], weights: Mapping[str, float], query: int, both_ways: bool
) -> list[tuple[int, float]]:
    """The rows that any ranking found for a query, best first, with scores from 0 to 1: that of a
    row that is first in all. `both_ways`: it counts, too, how near the query is to the row, so that
    a row which is near to everything comes later. Of equal scores the lower row is first.
    """
    scores: dict[int, float] = defaultdict(float)
    for name, ranking in rankings.items():
        for row, rank in ranking.get(query, {}).items():
            scores[row] += weights[name] / (K + rank)
    if both_ways:
        for name, ranking in rankings.items():
            for row in scores:
                back = ranking.get(row, {}).get(query)
                if back is not None:
                    scores[row] += weights[name] / (K + back)
    most = sum(weights[name] for name in rankings) * (1 + both_ways) / (K + 1)
    found = sorted(scores.items(), key=lambda one: (-one[1], one[0]))
    return [(row, score / most) for row, score in found if score > 0]
