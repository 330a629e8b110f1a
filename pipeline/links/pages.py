"""What links join: pages, of one output or of several, whatever the unit of their snapshots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import corpora
from corpusvec.pipeline.links.corpora import Corpus
from corpusvec.transforms.documents.formats import CHUNKS
from corpusvec.transforms.documents.markdown import link_key, listed, without_suffix
from corpusvec.transforms.documents.scrapbox_markup import title_key
from corpusvec.transforms.links.link_graphs import LinkGraph
from corpusvec.transforms.links.neighbours import Vectors
from corpusvec.transforms.links.notations import MARKDOWN, PLAIN, SCRAPBOX
from corpusvec.transforms.links.vaults import Vault

_PART = re.compile(r"(.+)#\d+", re.DOTALL)
_PARTS = ("line", CHUNKS)  # units that are smaller than a page


class Pages:
    """The documents of corpora, in their order. If a snapshot has lines or chunks, the pages that
    these belong to, each with the mean of its parts' vectors. If two corpora have the same id, the
    first one counts. `parts` has of each page the number of its corpus, and its rows there.
    """

    def __init__(self, corpora: Sequence[Corpus], column: str | None = None):
        _check_alike(corpora)
        self.corpora, self.column = corpora, corpora[0].column_named(column)
        self.ids: list[str] = []
        self.parts: list[tuple[int, list[int]]] = []
        known: set[str] = set()
        for number, corpus in enumerate(corpora):
            for id_, rows in _rows_of_pages(corpus).items():
                if id_ not in known:
                    known.add(id_)
                    self.ids.append(id_)
                    self.parts.append((number, rows))
        self.rows = {id_: row for row, id_ in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def whole(self) -> bool:
        """Whether they are the documents of one corpus, each a page."""
        return len(self.corpora) == 1 and unit_of(self.corpora[0]) not in _PARTS

    @cached_property
    def titles(self) -> list[str]:
        found = []
        for page, (at, rows) in zip(self.ids, self.parts):
            title, part = self.corpora[at].titles[rows[0]], self.corpora[at].ids[rows[0]]
            found.append(page if title == part else title)
        return found

    @cached_property
    def projects(self) -> list[str]:
        """The Scrapbox project that each page is of; of a Markdown note the folder of its vault, of
        other documents the file.
        """
        found = []
        for row, (at, rows) in enumerate(self.parts):
            source = self.corpora[at].sources[rows[0]]
            if self.notations[row] == SCRAPBOX:
                found.append(self.ids[row].removesuffix(f"/{self.titles[row]}"))
            elif self.notations[row] == MARKDOWN:
                found.append(source.removesuffix(note_of(self.ids[row], source)).rstrip("/") or ".")
            else:
                found.append(source)
        return found

    @cached_property
    def notations(self) -> list[str]:
        """The notation of each page."""
        return [notation_of(self.corpora[at], rows[0]) for at, rows in self.parts]

    @cached_property
    def scrapbox(self) -> list[bool]:
        """Whether each is a page of an export: its text has Scrapbox's notation."""
        return [notation == SCRAPBOX for notation in self.notations]

    @cached_property
    def links(self) -> list[tuple[str, ...]]:
        return [
            tuple(dict.fromkeys(link for row in rows for link in self.corpora[at].links[row]))
            for at, rows in self.parts
        ]

    @cached_property
    def _notes(self) -> list[str]:
        """Of each Markdown note its path in the vault, as links name it; of other pages nothing."""
        found = []
        for row, (at, rows) in enumerate(self.parts):
            path = note_of(self.ids[row], self.corpora[at].sources[rows[0]])
            is_note = self.notations[row] == MARKDOWN
            found.append(link_key(without_suffix(path), "") if is_note else "")
        return found

    @cached_property
    def _vaults(self) -> dict[str, Vault]:
        """By project."""
        notes: dict[str, dict[str, list[str]]] = {}
        for row, (at, rows) in enumerate(self.parts):
            if path := self._notes[row]:
                told = self.corpora[at].metadata[rows[0]]
                names = [*listed(told.get("aliases", told.get("alias", ""))), self.titles[row]]
                vault = notes.setdefault(self.projects[row], {})
                vault.setdefault(path, [link_key(name, "") for name in names])
        return {project: Vault(found) for project, found in notes.items()}

    @cached_property
    def graph(self) -> LinkGraph:
        names, links = list(self.titles), list(self.links)
        for row, note in enumerate(self._notes):
            if note:
                vault = self._vaults[self.projects[row]]
                names[row] = note
                links[row] = tuple(vault.find(link, note) or link for link in links[row])
        return LinkGraph(self.projects, names, links)

    @cached_property
    def _known(self) -> set[tuple[str, str]]:
        return {(of, title_key(title)) for of, title in zip(self.projects, self.titles)}

    def has_target(self, row: int, link: str) -> bool:
        """Whether a link of a page, as it is written there, leads to an existing page."""
        if note := self._notes[row]:
            return self._vaults[self.projects[row]].find(link_key(link, note), note) is not None
        return (self.projects[row], title_key(link)) in self._known

    @cached_property
    def texts(self) -> list[str]:
        """The texts of all pages, put together from their parts."""
        every = [corpus.texts() for corpus in self.corpora]
        found = []
        for at, rows in self.parts:
            spans = self.corpora[at].spans
            found.append(_together([(every[at][row], spans[row]) for row in rows]))
        return found

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
        for row, (at, lines) in enumerate(self.parts):
            means[row] = units[at][lines].mean(axis=0)
        return Vectors(means, self.order)

    @cached_property
    def order(self) -> np.ndarray:
        """The place of each page among all when they are sorted by id, [N]."""
        return corpora.order_of(self.ids)

    @cached_property
    def first(self) -> list[int]:
        """The rows in the order of the input."""
        places = []
        for row, (at, rows) in enumerate(self.parts):
            corpus = self.corpora[at]
            places.append((at, corpus.sources[rows[0]], corpus.source_rows[rows[0]], row))
        return [place[-1] for place in sorted(places)]

    def row(self, named: str) -> int:
        """The row of a page, by its id, by the id of a part of it, or by a title that no other page
        has. Raises `UsageError`.
        """
        if named in self.rows:
            return self.rows[named]
        page = named.rpartition("#")[0]
        if page in self.rows and any(named in corpus.rows for corpus in self.corpora):
            return self.rows[page]
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
    """The pages of an output, and of others whose names are separated by commas."""
    others = [part for part in (across or "").split(",") if part.strip()]
    return Pages([corpora.open(output, snapshot), *map(corpora.open, others)], column)


def notation_of(corpus: Corpus, row: int) -> str:
    """The notation of a document's text."""
    if corpus.sources[row] in corpus.markdown_files:
        return MARKDOWN
    part = _PART.fullmatch(corpus.ids[row]) if unit_of(corpus) in _PARTS else None
    page = part[1] if part else corpus.ids[row]
    return SCRAPBOX if page.endswith(f"/{corpus.titles[row]}") else PLAIN


def note_of(id: str, source: str) -> str:
    """The path of a note's file from its vault's folder on, by the id of the note or a section."""
    while id and not source.endswith(id):
        id = id.rpartition("#")[0]
    return id or source


def unit_of(corpus: Corpus) -> str:
    """The unit of its documents."""
    return corpus.manifest.get("configuration", {}).get("unit") or "page"


def _together(parts: Sequence[tuple[str, tuple[int, int] | None]]) -> str:
    """The text of lines, or of chunks, which may share some of it."""
    found, covered = [], 0
    for text, span in parts:
        if span is None:
            return "\n".join(text for text, _ in parts)
        found.append(text[max(0, covered - span[0]) :])
        covered = span[1]
    return "".join(found)


def _rows_of_pages(corpus: Corpus) -> dict[str, list[int]]:
    """The rows of each page, by its id."""
    if (unit := unit_of(corpus)) not in _PARTS:
        return {id_: [row] for row, id_ in enumerate(corpus.ids)}
    found: dict[str, list[int]] = {}
    spans = (span or (0, 0) for span in corpus.spans)
    places = list(zip(corpus.sources, corpus.source_rows, spans))
    for row in sorted(range(len(corpus)), key=places.__getitem__):
        id_ = corpus.ids[row]
        part = _PART.fullmatch(id_)
        is_of_page = part and (unit == CHUNKS or part[1].endswith(f"/{corpus.titles[row]}"))
        found.setdefault(part[1] if part and is_of_page else id_, []).append(row)
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
