"""Ranges: of rows in a flat array, which stand for lists of unlike lengths; and of a text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Run = tuple[int, int]  # [start, stop) in a text


def places_of(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Every place of the ranges, one range after the other: [sum of lengths] int64."""
    if len(starts) == 1:
        return np.arange(starts[0], starts[0] + lengths[0])
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)


def edges_of(lengths: np.ndarray) -> np.ndarray:
    """Where ranges that follow each other begin, and where the last one ends: [N + 1] int64."""
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=edges[1:])
    return edges


def rest_of(length: int, cuts: Iterable[Run]) -> tuple[Run, ...]:
    """The runs of `range(length)` that no cut covers; cuts may overlap, and may be empty."""
    runs = []
    at = 0
    for start, stop in sorted(cut for cut in cuts if cut[0] < cut[1]):
        if start > at:
            runs.append((at, start))
        at = max(at, stop)
    if at < length:
        runs.append((at, length))
    return tuple(runs)
