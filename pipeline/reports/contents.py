"""What the page shows, as plain values: the scripts of the page say the same names.

Documents are known by their place in `documents`, whose lists are all of one length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusvec.pipeline.links.related import with_distances
from corpusvec.pipeline.reports import snapshots
from corpusvec.pipeline.reports.facts import COLUMNS, facts
from corpusvec.transforms.documents.scrapbox_notation import link_to
from corpusvec.transforms.links.neighbours import Vectors, nearest
from corpusvec.transforms.links.notations import shown as without_notation
from corpusvec.transforms.maps.clusters import clusters, how_many
from corpusvec.transforms.maps.positions import method, positions
from corpusvec.transforms.maps.words import distinguishing_words

if TYPE_CHECKING:
    from corpusvec.pipeline.links.corpora import Corpus
    from corpusvec.pipeline.links.pages import Pages
    from corpusvec.transforms.links.suggestions import Reason, Suggestion

MOST = 10_000  # documents that a page shows
MOST_LINKS = 6_000  # suggestions: nobody reads more
_NEAR = 8  # neighbours of each
_LISTED = 200  # rows of a list
_PASSAGE = 400  # characters


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown of pages: some of their rows, ascending, and what is known of all."""

    pages: Pages
    changes: Sequence[snapshots.Change] | None
    projects: Sequence[str]  # of all rows
    suggestions: Sequence[Suggestion]
    rows: Sequence[int]
    places: Mapping[int, int]  # of the rows

    @classmethod
    def of(cls, pages: Pages, suggestions: Iterable[Suggestion]) -> _Shown:
        first = pages.corpora[0]
        changes = snapshots.changes(first.output, first.manifest)
        early = {pages.ids[row] for row in np.flatnonzero(orphans_of(pages))}
        early |= {page_of(pages, id_) for id_, _, _ in changes or ()}
        kept = sorted(suggestions, key=lambda one: (one.document not in early, -one.score))
        kept = kept[:MOST_LINKS]
        rows = shown_rows(pages.rows, kept)
        places = {row: place for place, row in enumerate(rows)}
        kept = [one for one in kept if pages.rows[one.document] in places]
        kept = [one for one in kept if one.red or pages.rows[one.target] in places]
        projects = [project.rpartition("/")[2] for project in pages.projects]
        return cls(pages, changes, projects, kept, rows, places)

    @property
    def first(self) -> Corpus:
        """That of the output whose report it is."""
        return self.pages.corpora[0]


def contents(pages: Pages, suggestions: Sequence[Suggestion]) -> dict[str, Any]:
    """Of a snapshot and what is suggested for it."""
    shown = _Shown.of(pages, suggestions)
    texts = pages.some_texts(shown.rows)
    unit = np.ascontiguousarray(pages.vectors.unit[shown.rows])
    groups = clusters(unit, how_many(len(unit)))
    names = [name for name, _ in Counter(shown.projects).most_common()]
    documents = _documents(shown, texts, names) | _places(unit)
    return {
        "name": " · ".join(names[:3]) + (" …" if len(names) > 3 else ""),
        "snapshot": {"id": shown.first.snapshot},
        "scrapbox": all(pages.scrapbox),
        "total": len(pages),
        "projects": names,
        "map": method(len(unit)),
        "kinds": snapshots.KINDS,
        "documents": documents | {"cluster": groups.tolist(), "change": _changed(shown)},
        "links": _links(shown),
        "near": _near(unit),
        "suggestions": _suggestions(shown),
        "suggested": len(suggestions),
        "clusters": distinguishing_words(texts, groups.tolist()),
        "facts": _facts(shown),
        "changes": _changes(shown),
        "made": _made(shown),
    }


def orphans_of(pages: Pages) -> np.ndarray:
    """[N] bool; where nothing links at all no page is one."""
    return pages.graph.orphans & bool(len(pages.graph.edges))


def page_of(pages: Pages, id: str) -> str:
    """The id of a page, or of the page that a line is of."""
    return id if id in pages.rows else id.rpartition("#")[0]


def shown_rows(rows_of: Mapping[str, int], suggestions: Sequence[Suggestion]) -> list[int]:
    """All rows, or of too many those with suggestions, the first ones first, then every
    so-many-th.
    """
    if len(rows_of) <= MOST:
        return list(range(len(rows_of)))
    rows: dict[int, None] = {}
    for one in suggestions:
        both = [rows_of.get(one.document), None if one.red else rows_of.get(one.target)]
        if len(rows) + 2 <= MOST:
            rows |= {row: None for row in both if row is not None}
    rest = np.setdiff1d(np.arange(len(rows_of)), list(rows))
    some = rest[np.linspace(0, len(rest) - 1, MOST - len(rows)).astype(int)]
    return sorted({*rows, *some.tolist()})


def _documents(shown: _Shown, texts: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    pages, rows, orphans = shown.pages, shown.rows, orphans_of(shown.pages)
    number = {name: n for n, name in enumerate(names)}
    return {
        "id": [pages.ids[row] for row in rows],
        "title": [pages.titles[row] for row in rows],
        "text": list(texts),
        "length": [len(text) for text in texts],
        "project": [number[shown.projects[row]] for row in rows],
        "updated": [_updated(pages, row) for row in rows],
        "orphan": [int(orphans[row]) for row in rows],
    }


def _updated(pages: Pages, row: int) -> int:
    """When a Scrapbox page was edited, in seconds; 0 where that is not known."""
    number, rows = pages.parts[row]
    stamps = (pages.corpora[number].metadata[line].get("updated", "") for line in rows)
    return max(int(stamp) if stamp.isdigit() and len(stamp) < 11 else 0 for stamp in stamps)


def _places(unit: np.ndarray) -> dict[str, list[float]]:
    x, y = positions(unit).T.round(4)
    return {"x": _plain(x), "y": _plain(y)}


def _plain(values: np.ndarray, digits: int = 4) -> list[float]:
    """float32 in as few digits as JSON needs."""
    return [round(float(value), digits) for value in values]


def _near(unit: np.ndarray) -> list[list[tuple[int, float]]]:
    """The nearest others of each."""
    found = nearest(Vectors(unit, np.arange(len(unit))), _NEAR)
    return [
        [(int(place), round(float(score), 3)) for place, score in zip(*row) if place >= 0]
        for row in zip(found.places, found.scores)
    ]


def _suggestions(shown: _Shown) -> list[dict[str, Any]]:
    rows = shown.pages.rows
    return [
        {
            "from": shown.places[rows[one.document]],
            "to": None if one.red else shown.places[rows[one.target]],
            "title": one.target if one.red else None,
            "score": round(float(one.score), 3),
            "far": None if one.red else one.links_away,
            "why": [_passages(shown, one.document, why) for why in one.why],
        }
        for one in with_distances(shown.pages, shown.suggestions)
    ]


def _passages(shown: _Shown, document: str, why: Reason) -> tuple[str, str, str]:
    """Both as they are read, and the phrase that they share."""
    notation = shown.pages.notations[shown.pages.rows[document]]
    parts = (_stripped(part, notation) for part in (why.mine, why.theirs))
    mine, theirs = (around(part, why.phrase) for part in parts)
    return mine, theirs, why.phrase


def _stripped(passage: str, notation: str) -> str:
    """What a reader sees of a passage; all of it where that is nothing, as of pictures."""
    return without_notation(passage, notation).strip() or passage


def around(passage: str, phrase: str) -> str:
    """A passage, of a long one the part with the phrase."""
    if len(passage) <= _PASSAGE:
        return passage
    start = max(0, passage.lower().find(phrase.lower()) - _PASSAGE // 3)
    start = min(start, len(passage) - _PASSAGE)
    part = passage[start : start + _PASSAGE].strip()
    stopped = start + _PASSAGE < len(passage)
    return f"{'… ' if start else ''}{part}{' …' if stopped else ''}"


def _links(shown: _Shown) -> dict[int, str]:
    """How pages are linked to whose title in brackets would not do."""
    found: dict[int, str] = {}
    for place, row in enumerate(shown.rows):
        title = shown.pages.titles[row]
        if shown.pages.scrapbox[row]:
            link = link_to(title, shown.projects[row])
            found |= {place: link} if link != f"[{title}]" else {}
    return found


def _facts(shown: _Shown) -> dict[str, Any]:
    corpora, pages = shown.pages.corpora, shown.pages
    firsts = np.cumsum([0, *map(len, corpora)])  # of each corpus, where its rows begin
    places = {
        int(firsts[number]) + line: shown.places[row]
        for row, (number, lines) in enumerate(pages.parts)
        for line in lines
        if row in shown.places
    }
    batches = chain.from_iterable(one.dataset.to_batches(columns=list(COLUMNS)) for one in corpora)
    counts: Counter[str] = Counter()
    for corpus in corpora:
        counts.update(corpus.manifest["counts"])
    told = facts(batches, counts, places)
    lists = (snapshots.rejected(corpus.output, corpus.manifest) for corpus in corpora)
    rejected = list(islice(chain.from_iterable(lists), _LISTED))
    links = None
    if len(pages.graph.edges):
        count = sum(map(len, pages.links))
        links = {"links": count, "orphans": int(orphans_of(pages).sum())}
    projects = Counter(shown.projects).most_common()
    return told | {"projects": projects, "links": links, "rejected_list": rejected}


def _changed(shown: _Shown) -> list[int]:
    """The kind of each document's change, from 1; 0 for none."""
    kinds = {
        page_of(shown.pages, id_): snapshots.KINDS.index(kind) + 1
        for id_, kind, _ in shown.changes or ()
    }
    return [kinds.get(shown.pages.ids[row], 0) for row in shown.rows]


def _changes(shown: _Shown) -> dict[str, Any] | None:
    if shown.changes is None:
        return None
    counts = Counter(kind for _, kind, _ in shown.changes)
    lists: dict[str, list[Any]] = {kind: [] for kind in snapshots.KINDS}
    for id_, kind, old in shown.changes:
        if len(lists[kind]) < _LISTED:
            place = shown.places.get(shown.pages.rows.get(page_of(shown.pages, id_), -1))
            lists[kind].append((place, id_, old))
    return {
        "before": shown.first.manifest["previous"],
        "counts": {kind: counts[kind] for kind in snapshots.KINDS},
        "lists": lists,
    }


def _made(shown: _Shown) -> dict[str, str]:
    manifest = shown.first.manifest
    every = [one.manifest.get("configuration") or {} for one in shown.pages.corpora]
    asked = every[0]
    names = [
        path.rstrip("/").rpartition("/")[2] for one in every for path in one.get("input") or ()
    ]
    return {
        "finished": manifest["finished"],
        "snapshot": manifest["id"],
        "model": str(asked.get("model") or "").rstrip("/").rpartition("/")[2],
        "column": shown.pages.column,
        "map": method(len(shown.rows)),
        "inputs": ", ".join(names),
    }
