"""How well rankings find the links that documents have, and scores agree with people's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def gain(ranking: np.ndarray, targets: Sequence[int]) -> tuple[int, float]:
    """How many targets are among the first ten of the rows, best first, and the sum of 1/rank."""
    found = np.flatnonzero(np.isin(ranking, targets))
    return int((found < AT).sum()), float((1 / (found + 1)).sum())


def found_links(ranking: Iterable[np.ndarray], links: Iterable[Sequence[int]]) -> Found:
    """`ranking` gives rows for each document, best first, `links` those that it links to."""
    count, gains = 0, np.zeros(2)
    for rows, targets in zip(ranking, links):
        count += len(targets)
        gains += gain(rows, targets)
    return Found(*(gains / max(count, 1)).tolist())


def best_weights(gains: np.ndarray) -> int:
    """Of `gains` [tried, documents, 2] the place of those with most targets; of equals with the
    highest sum of 1/rank.
    """
    near, reciprocal = gains.sum(axis=1).T
    return int(np.lexsort((reciprocal, near))[-1])


def held_out(gains: np.ndarray, folds: int) -> np.ndarray:
    """The gains [2] of all documents, those of each fold with the weights that do best for the
    documents of the other folds.
    """
    fold = np.arange(gains.shape[1]) % folds
    return sum(
        gains[best_weights(gains[:, fold != at]), fold == at].sum(axis=0) for at in range(folds)
    )


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
