"""How well rankings find the links that documents have, and scores agree with people's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

AT = 10


class Found(NamedTuple):
    """The share of links whose target is among the first ten, and the mean of 1/rank of all
    targets; one that was not found counts 0.
    """

    recall: float
    mrr: float

    def as_json(self) -> dict[str, float]:
        return {f"recall@{AT}": round(self.recall, 4), "mrr": round(self.mrr, 4)}


def found_links(
    ranking: Callable[[int], Mapping[int, int]], links: Mapping[int, Sequence[int]]
) -> Found:
    """`ranking` gives the ranks of rows for a document, `links` the rows that each links to."""
    ranks = [
        place.get(target)
        for row, targets in links.items()
        for place in [ranking(row)]
        for target in targets
    ]
    if not ranks:
        return Found(0.0, 0.0)
    near = sum(rank is not None and rank <= AT for rank in ranks)
    return Found(near / len(ranks), sum(1 / rank for rank in ranks if rank) / len(ranks))


def parse_pairs(lines: Iterable[str], name: str) -> list[tuple[str, str, float]]:
    """`A ||| B`, a TAB and a score on each line. Raises `ValueError` with the line."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        both, _, score = line.rstrip("\r\n").rpartition("\t")
        one, separator, other = both.rpartition(" ||| ")
        try:
            found.append((one.strip(), other.strip(), float(score)))
        except ValueError:
            separator = ""
        if not separator or not (found and all(found[-1][:2])) or not np.isfinite(found[-1][2]):
            raise ValueError(f"{name}: line {number} is not `A ||| B`, a TAB and a score")
    if len(found) < 2:
        raise ValueError(f"{name}: has {len(found)} pairs; two are the fewest that can be compared")
    return found


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two series; 0 where one of them never changes."""
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / spread if spread else 0.0


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of their ranks; equal values share the mean of theirs."""
    return pearson(_mean_ranks(one), _mean_ranks(other))


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[which]
