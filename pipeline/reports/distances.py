"""How far pages are from each other, in links, in either direction.

A link that leads to no page joins the pages that have it. So two pages with one red link in common
are two links apart, as in Scrapbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from corpusvec.transforms.documents.scrapbox_markup import title_key

FARTHEST = 6  # links; beyond that nobody follows
Node = tuple[str, str]  # a project, and the key of a title


class Graph:
    """Pages, by their rows, and what they link to."""

    def __init__(
        self, projects: Sequence[str], titles: Sequence[str], links: Sequence[Iterable[str]]
    ):
        """`links` are the keys of each page's links; `/project/title` leads to another project."""
        self.nodes: dict[Node, int] = {}
        for project, title in zip(projects, titles):
            self.nodes.setdefault((project, title_key(title)), len(self.nodes))
        self.pages = len(self.nodes)  # those before are pages, those after red links
        self.node_of = [self.nodes[p, title_key(t)] for p, t in zip(projects, titles)]
        self.edges = self._edges(projects, links)

    def _edges(self, projects: Sequence[str], links: Sequence[Iterable[str]]) -> np.ndarray:
        """[E, 2] int64, each in both directions."""
        pairs = set()
        for node, project, keys in zip(self.node_of, projects, links):
            for key in keys:
                other = self.nodes.setdefault(_node(key, project), len(self.nodes))
                if other != node:
                    pairs |= {(node, other), (other, node)}
        return np.array(sorted(pairs), np.int64).reshape(-1, 2)

    def orphans(self) -> np.ndarray:
        """[rows] bool: pages without a link to or from another page."""
        between = self.edges[(self.edges < self.pages).all(axis=1)]
        joined = np.zeros(len(self.nodes), bool)
        joined[between[:, 0]] = True
        return ~joined[self.node_of]

    def distances(self, pairs: Sequence[tuple[int, int]]) -> list[int | None]:
        """Of pairs of rows; None where they are not connected, or farther than `FARTHEST`.

        One bit for each page that is asked for: what a step reaches is a disjunction of rows.
        """
        found: list[int | None] = [None] * len(pairs)
        asked = sorted({self.node_of[a] for a, _ in pairs})
        bit = {node: n for n, node in enumerate(asked)}
        if not asked or not len(self.edges):
            return found
        reached = np.zeros((len(self.nodes), len(asked) // 8 + 1), np.uint8)
        for node, n in bit.items():
            reached[node, n // 8] |= 1 << n % 8
        starts = np.flatnonzero(np.r_[True, np.diff(self.edges[:, 0]) > 0])
        for step in range(1, FARTHEST + 1):
            nexts = reached.copy()
            nexts[self.edges[starts, 0]] |= np.bitwise_or.reduceat(
                reached[self.edges[:, 1]], starts, axis=0
            )
            reached = nexts
            for at, (a, b) in enumerate(pairs):
                n = bit[self.node_of[a]]
                if found[at] is None and reached[self.node_of[b], n // 8] >> n % 8 & 1:
                    found[at] = step
        return found


def _node(key: str, project: str) -> Node:
    if key.startswith("/"):
        elsewhere, _, title = key[1:].partition("/")
        return elsewhere, title
    return project, key
