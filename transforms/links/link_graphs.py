"""Which documents link to each other, at what distance, and what they link to that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from corpusvec.transforms.documents.scrapbox_markup import title_key

Target = tuple[str, str]  # a project, and the key of a title in it


class LinkGraph:
    """Documents are numbered from 0, then the `reds`, which are linked to and not there. A link
    counts both ways; links within a project find its own pages, `/project/page` those of another.
    """

    def __init__(
        self, projects: Sequence[str], titles: Sequence[str], links: Sequence[Sequence[str]]
    ):
        self.size = len(titles)
        nodes: dict[Target, int] = {}
        for row, (project, title) in enumerate(zip(projects, titles)):
            nodes.setdefault((project, title_key(title)), row)
        known, red = dict(nodes), self.size
        edges = []
        for row, targets in enumerate(links):
            for link in targets:
                target = _target(projects[row], link)
                if target not in known:
                    known[target], red = red, red + 1
                if known[target] != row:
                    edges.append((row, known[target]))
        self.reds = [target for target, node in known.items() if node >= self.size]
        self.edges = np.array(sorted(set(edges)), np.int64).reshape(-1, 2)  # from, to

    @cached_property
    def both_ways(self) -> np.ndarray:
        """The edges from either end, each once, sorted, [E, 2]."""
        return np.unique(np.concatenate([self.edges, self.edges[:, ::-1]]), axis=0)

    @cached_property
    def _neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the neighbours of each node begin, and all of them."""
        both = self.both_ways
        starts = np.searchsorted(both[:, 0], np.arange(self.size + len(self.reds) + 1))
        return starts, np.ascontiguousarray(both[:, 1])

    def neighbours(self, node: int) -> np.ndarray:
        """What a node links to and is linked from, ascending; reds too."""
        starts, nodes = self._neighbours
        return nodes[starts[node] : starts[node + 1]]

    def targets(self, row: int) -> np.ndarray:
        """What a document links to."""
        start, stop = np.searchsorted(self.edges[:, 0], (row, row + 1))
        return self.edges[start:stop, 1]

    def near(self, row: int) -> np.ndarray:
        """The documents that are linked with one, or two links away: a red link between them counts
        as well.
        """
        once = self.neighbours(row)
        twice = [self.neighbours(node) for node in once.tolist()]
        found = np.unique(np.concatenate([once, *twice])) if len(once) else once
        return found[(found < self.size) & (found != row)]

    def linked(self, row: int) -> np.ndarray:
        """The documents that link to one, or that it links to."""
        found = self.neighbours(row)
        return found[found < self.size]

    @cached_property
    def orphans(self) -> np.ndarray:
        """Documents that no document is linked with, [N] bool."""
        alone = np.ones(self.size, np.bool_)
        there = self.edges[self.edges[:, 1] < self.size]
        alone[there.reshape(-1)] = False
        return alone


def _target(project: str, link: str) -> Target:
    if not link.startswith("/"):
        return project, link
    other, _, page = link[1:].partition("/")
    return other, page
