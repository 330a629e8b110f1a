"""How far pages are from each other, in links, in either direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpusvec.transforms.links.link_graphs import LinkGraph

FARTHEST = 6  # links; beyond that nobody follows


def distances(graph: LinkGraph, pairs: Sequence[tuple[int, int]]) -> list[int | None]:
    """Of pairs of documents; None where they are not connected, or farther than `FARTHEST`. A link
    that leads to no page joins those that have it, as in Scrapbox.

    One bit for each document that is asked for: what a step reaches is a disjunction of rows.
    """
    found: list[int | None] = [None] * len(pairs)
    bit = {row: n for n, row in enumerate(sorted({a for a, _ in pairs}))}
    if not bit or not len(graph.edges):
        return found
    edges = np.unique(np.concatenate([graph.edges, graph.edges[:, ::-1]]), axis=0)
    starts = np.flatnonzero(np.r_[True, np.diff(edges[:, 0]) > 0])
    reached = np.zeros((graph.size + len(graph.reds), len(bit) // 8 + 1), np.uint8)
    for row, n in bit.items():
        reached[row, n // 8] |= 1 << n % 8
    for step in range(1, FARTHEST + 1):
        news = np.bitwise_or.reduceat(reached[edges[:, 1]], starts, axis=0)
        reached[edges[starts, 0]] |= news
        for at, (a, b) in enumerate(pairs):
            if found[at] is None and reached[b, bit[a] // 8] >> bit[a] % 8 & 1:
                found[at] = step
    return found
