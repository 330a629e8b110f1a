"""What links join: pages, of one output or of several, whatever the unit of their snapshots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import corpora
from corpusvec.pipeline.links.corpora import Corpus
from corpusvec.transforms.links.link_graphs import LinkGraph
from corpusvec.transforms.links.neighbours import Vectors

_LINE = re.compile(r"(.+)#\d+", re.DOTALL)


class Pages:
    """The documents of corpora, in their order; where a snapshot is of lines, the pages that the
    lines are of, each with the mean of its lines' vectors. An id that stands in two corpora is that
    of the first.
    """

    def __init__(self, corpora: Sequence[Corpus], column: str | None = None):
        _check_alike(corpora)
        self.corpora, self.column = corpora, corpora[0].column_named(column)
        self.ids: list[str] = []
        self._lines: list[tuple[int, list[int]]] = []  # of each page its corpus, and its rows
        known: set[str] = set()
        for number, corpus in enumerate(corpora):
            for id_, rows in _rows_of_pages(corpus).items():
                if id_ not in known:
                    known.add(id_)
                    self.ids.append(id_)
                    self._lines.append((number, rows))
        self.rows = {id_: row for row, id_ in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def whole(self) -> bool:
        """Whether they are the documents of one corpus, each a page."""
        return len(self.corpora) == 1 and not is_of_lines(self.corpora[0])

    @property
    def parts(self) -> list[tuple[int, list[int]]]:
        """Of each page the number of its corpus, and its rows there."""
        return self._lines

    @cached_property
    def titles(self) -> list[str]:
        return [self.corpora[at].titles[rows[0]] for at, rows in self._lines]

    @cached_property
    def projects(self) -> list[str]:
        """The Scrapbox project that each page is of; of other documents the file."""
        found = []
        for id_, title, (at, rows) in zip(self.ids, self.titles, self._lines):
            project = id_.removesuffix(f"/{title}")
            found.append(project if project != id_ else self.corpora[at].sources[rows[0]])
        return found

    @cached_property
    def scrapbox(self) -> list[bool]:
        """Whether each is a page of an export: its text has Scrapbox's notation."""
        return [id_ == f"{of}/{t}" for id_, of, t in zip(self.ids, self.projects, self.titles)]

    @cached_property
    def links(self) -> list[tuple[str, ...]]:
        return [
            tuple(dict.fromkeys(link for row in rows for link in self.corpora[at].links[row]))
            for at, rows in self._lines
        ]

    @cached_property
    def graph(self) -> LinkGraph:
        return LinkGraph(self.projects, self.titles, self.links)

    @cached_property
    def texts(self) -> list[str]:
        """Of all pages; of lines joined in the order of their numbers."""
        every = [corpus.texts() for corpus in self.corpora]
        return ["\n".join(every[at][row] for row in rows) for at, rows in self._lines]

    def some_texts(self, rows: Sequence[int]) -> list[str]:
        """The texts of some pages, without reading those of all."""
        if "texts" in self.__dict__ or not self.whole:
            return [self.texts[row] for row in rows]
        return self.corpora[0].texts(rows)

    @cached_property
    def vectors(self) -> Vectors:
        if self.whole:
            return self.corpora[0].vectors(self.column)
        units = [corpus.vectors(self.column).unit for corpus in self.corpora]
        means = np.empty((len(self), units[0].shape[1]), np.float32)
        for row, (at, lines) in enumerate(self._lines):
            means[row] = units[at][lines].mean(axis=0)
        return Vectors(means, self.order)

    @cached_property
    def order(self) -> np.ndarray:
        """The place of each page among all when they are sorted by id, [N]."""
        order = np.empty(len(self), np.int64)
        order[pc.sort_indices(pa.array(self.ids, pa.string())).to_numpy()] = np.arange(len(self))
        return order

    @cached_property
    def first(self) -> list[int]:
        """The rows in the order of the input."""
        places = []
        for row, (at, rows) in enumerate(self._lines):
            corpus = self.corpora[at]
            places.append((at, corpus.sources[rows[0]], corpus.source_rows[rows[0]], row))
        return [place[-1] for place in sorted(places)]

    def row(self, named: str) -> int:
        """That of an id, or of a title that one page alone has. Raises `UsageError`."""
        if named in self.rows:
            return self.rows[named]
        found = [row for row, title in enumerate(self.titles) if title == named]
        if len(found) == 1:
            return found[0]
        there = self.corpora[0].snapshot
        if found:
            ids = ", ".join(self.ids[row] for row in found[:5])
            raise UsageError(
                f"{named}: is the title of {len(found)} documents; name one by id: {ids}"
            )
        raise UsageError(f"{named}: {there} has no such document, neither by id nor by title")


def opened(output: str, snapshot: str | None, across: str | None, column: str | None) -> Pages:
    """Those of an output, and of others whose names have commas between."""
    others = [part for part in (across or "").split(",") if part.strip()]
    return Pages([corpora.open(output, snapshot), *map(corpora.open, others)], column)


def is_scrapbox(corpus: Corpus) -> bool:
    """Whether its texts have Scrapbox's notation: those of its first document, at least."""
    title = corpus.titles[0]
    return title != corpus.ids[0] and f"/{title}" in corpus.ids[0]


def is_of_lines(corpus: Corpus) -> bool:
    """Whether its documents are lines of Scrapbox pages."""
    return corpus.manifest.get("configuration", {}).get("unit") == "line"


def _rows_of_pages(corpus: Corpus) -> dict[str, list[int]]:
    """The rows of each page, by its id."""
    if not is_of_lines(corpus):
        return {id_: [row] for row, id_ in enumerate(corpus.ids)}
    found: dict[str, list[int]] = {}
    numbers = corpus.source_rows
    for row in sorted(range(len(corpus)), key=lambda row: (corpus.sources[row], numbers[row])):
        id_ = corpus.ids[row]
        line = _LINE.fullmatch(id_)
        page = line[1] if line and line[1].endswith(f"/{corpus.titles[row]}") else id_
        found.setdefault(page, []).append(row)
    return found


def _check_alike(corpora: Sequence[Corpus]) -> None:
    """Raises `UsageError` where vectors of several recipes would be compared."""
    made = [(corpus.manifest.get("run") or {}).get("fingerprint") for corpus in corpora]
    for corpus, fingerprint in zip(corpora, made):
        if fingerprint != made[0]:
            raise UsageError(
                f"--across={corpus.output}: was made by another recipe than {corpora[0].output}, so"
                " their vectors cannot be compared; embed both with the same model and settings"
            )
