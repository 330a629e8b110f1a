"""How far pages are from each other, in links, in either direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpusvec.transforms.links.link_graphs import LinkGraph

FARTHEST = 6  # links; beyond that nobody follows
_AT_ONCE = 1 << 26  # bytes of what the edges reach


def distances(graph: LinkGraph, pairs: Sequence[tuple[int, int]]) -> list[int | None]:
    """Of pairs of documents, or of a document and a red link; None where they are not connected, or
    farther than `FARTHEST`. A link that leads to no page joins those that have it, as in Scrapbox.
    """
    found: list[int | None] = [None] * len(pairs)
    if not len(graph.edges):
        return found
    asked: dict[int, list[int]] = {}
    for at, (row, _) in enumerate(pairs):
        asked.setdefault(row, []).append(at)
    rows, block = sorted(asked), 8 * max(1, min(128, _AT_ONCE // len(graph.both_ways)))
    for first in range(0, len(rows), block):
        some = rows[first : first + block]
        _walk(graph, some, [(at, pairs[at]) for row in some for at in asked[row]], found)
    return found


def _walk(graph: LinkGraph, rows, pairs, found: list[int | None]) -> None:
    """One bit for each document that is asked for: what a step reaches is a disjunction of rows."""
    edges, bit = graph.both_ways, {row: n for n, row in enumerate(rows)}
    starts = np.flatnonzero(np.r_[True, np.diff(edges[:, 0]) > 0])
    reached = np.zeros((graph.size + len(graph.reds), len(bit) // 8 + 1), np.uint8)
    for row, n in bit.items():
        reached[row, n // 8] |= 1 << n % 8
    for step in range(1, FARTHEST + 1):
        news = np.bitwise_or.reduceat(reached[edges[:, 1]], starts, axis=0)
        reached[edges[starts, 0]] |= news
        for at, (a, b) in pairs:
            if found[at] is None and reached[b, bit[a] // 8] >> bit[a] % 8 & 1:
                found[at] = step
