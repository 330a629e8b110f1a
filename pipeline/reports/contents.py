"""What the page shows, as plain values: the scripts of the page say the same names.

Documents are known by their place in `documents`, whose lists are all of one length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusvec.pipeline.reports import snapshots
from corpusvec.pipeline.reports.distances import Graph
from corpusvec.pipeline.reports.facts import COLUMNS, facts
from corpusvec.transforms.documents.scrapbox_markup import strip_lines
from corpusvec.transforms.documents.scrapbox_notation import link_to
from corpusvec.transforms.links.neighbours import Vectors, nearest
from corpusvec.transforms.maps.clusters import clusters, how_many
from corpusvec.transforms.maps.positions import method, positions
from corpusvec.transforms.maps.words import distinguishing_words

if TYPE_CHECKING:
    from corpusvec.pipeline.links.corpora import Corpus
    from corpusvec.transforms.links.suggestions import Suggestion

MOST = 10_000  # documents that a page shows
MOST_LINKS = 6_000  # suggestions: nobody reads more
_NEAR = 8  # neighbours of each
_LISTED = 200  # rows of a list
_PASSAGE = 400  # characters


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown of a corpus: some of its rows, ascending, and what is known of all."""

    corpus: Corpus
    column: str
    changes: Sequence[snapshots.Change] | None
    projects: Sequence[str]  # of all rows
    graph: Graph | None  # where there are links
    orphans: np.ndarray  # [all rows] bool
    suggestions: Sequence[Suggestion]
    rows: Sequence[int]
    places: Mapping[int, int]  # of the rows

    @classmethod
    def of(cls, corpus: Corpus, suggestions: Sequence[Suggestion], column: str) -> _Shown:
        changes = snapshots.changes(corpus.output, corpus.manifest)
        projects = projects_of(corpus)
        graph = Graph(projects, corpus.titles, corpus.links) if any(corpus.links) else None
        orphans = graph.orphans() if graph else np.zeros(len(corpus), bool)
        known = [one for one in suggestions if one.document in corpus.rows]
        known = [one for one in known if one.red or one.target in corpus.rows]
        first = {corpus.ids[row] for row in np.flatnonzero(orphans)}
        first |= {id_ for id_, _, _ in changes or ()}
        known.sort(key=lambda one: (one.document not in first, -one.score))
        rows = shown_rows(corpus, known[:MOST_LINKS])
        places = {row: place for place, row in enumerate(rows)}
        kept = [one for one in known[:MOST_LINKS] if corpus.rows[one.document] in places]
        kept = [one for one in kept if one.red or corpus.rows[one.target] in places]
        return cls(corpus, column, changes, projects, graph, orphans, kept, rows, places)


def contents(
    corpus: Corpus, suggestions: Sequence[Suggestion], column: str | None = None
) -> dict[str, Any]:
    """Of a snapshot and what is suggested for it."""
    shown = _Shown.of(corpus, suggestions, corpus.column_named(column))
    texts = corpus.texts(shown.rows)
    unit = np.ascontiguousarray(corpus.vectors(shown.column).unit[shown.rows])
    groups = clusters(unit, how_many(len(unit)))
    names = [name for name, _ in Counter(shown.projects).most_common()]
    documents = _documents(shown, texts, names) | _places(unit)
    return {
        "name": " · ".join(names[:3]) + (" …" if len(names) > 3 else ""),
        "snapshot": {"id": corpus.snapshot},
        "scrapbox": is_scrapbox(corpus.manifest),
        "total": len(corpus),
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


def is_scrapbox(manifest: Mapping[str, Any]) -> bool:
    """Whether all of the input was Scrapbox exports."""
    return set((manifest.get("input") or {}).get("formats") or ()) == {"scrapbox"}


def projects_of(corpus: Corpus) -> list[str]:
    """The project of each document; of other files than exports the file's name."""
    if is_scrapbox(corpus.manifest):
        return [id_.partition("/")[0] for id_ in corpus.ids]
    return [source.rpartition("/")[2] for source in corpus.sources]


def shown_rows(corpus: Corpus, suggestions: Sequence[Suggestion]) -> list[int]:
    """All rows, or of too many those with the best suggestions, then every so-many-th."""
    if len(corpus) <= MOST:
        return list(range(len(corpus)))
    rows: dict[int, None] = {}
    for one in sorted(suggestions, key=lambda one: -one.score):
        both = [corpus.rows.get(one.document), corpus.rows.get(one.target)]
        if len(rows) + 2 <= MOST:
            rows |= {row: None for row in both if row is not None}
    rest = np.setdiff1d(np.arange(len(corpus)), list(rows))
    some = rest[np.linspace(0, len(rest) - 1, MOST - len(rows)).astype(int)]
    return sorted({*rows, *some.tolist()})


def _documents(shown: _Shown, texts: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    corpus, rows = shown.corpus, shown.rows
    number = {name: n for n, name in enumerate(names)}
    return {
        "id": [corpus.ids[row] for row in rows],
        "title": [corpus.titles[row] for row in rows],
        "text": list(texts),
        "length": [len(text) for text in texts],
        "project": [number[shown.projects[row]] for row in rows],
        "updated": [_seconds(corpus.metadata[row].get("updated")) for row in rows],
        "orphan": [int(shown.orphans[row]) for row in rows],
    }


def _seconds(stamp: str | None) -> int:
    """A time of Scrapbox; 0 where there is none, or another kind of time."""
    return int(stamp) if stamp and stamp.isdigit() and len(stamp) < 11 else 0


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
    corpus = shown.corpus
    between = [
        (corpus.rows[one.document], corpus.rows[one.target])
        for one in shown.suggestions
        if not one.red
    ]
    read = _stripped if is_scrapbox(corpus.manifest) else str
    far = iter(shown.graph.distances(between) if shown.graph else [None] * len(between))
    return [
        {
            "from": shown.places[corpus.rows[one.document]],
            "to": None if one.red else shown.places[corpus.rows[one.target]],
            "title": one.target if one.red else None,
            "score": round(float(one.score), 3),
            "far": None if one.red else next(far),
            "why": [
                (
                    around(read(why.mine), why.phrase),
                    around(read(why.theirs), why.phrase),
                    why.phrase,
                )
                for why in one.why
            ],
        }
        for one in shown.suggestions
    ]


def _stripped(passage: str) -> str:
    """What Scrapbox shows of a passage; all of it where that is nothing, as of pictures."""
    lines = passage.split("\n")
    kept = zip(lines, strip_lines(lines))
    shown = "\n".join("".join(line[a:b] for a, b in runs) for line, runs in kept)
    return shown.strip() or passage


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
    if not is_scrapbox(shown.corpus.manifest):
        return {}
    found = {}
    for place, row in enumerate(shown.rows):
        title = shown.corpus.titles[row]
        if (link := link_to(title, shown.projects[row])) != f"[{title}]":
            found[place] = link
    return found


def _facts(shown: _Shown) -> dict[str, Any]:
    corpus = shown.corpus
    batches = corpus.dataset.to_batches(columns=list(COLUMNS))
    told = facts(batches, corpus.manifest["counts"], shown.places)
    rejected = list(islice(snapshots.rejected(corpus.output, corpus.manifest), _LISTED))
    links = None
    if shown.graph:
        links = {"links": sum(map(len, corpus.links)), "orphans": int(shown.orphans.sum())}
    projects = Counter(shown.projects).most_common()
    return told | {"projects": projects, "links": links, "rejected_list": rejected}


def _changed(shown: _Shown) -> list[int]:
    """The kind of each document's change, from 1; 0 for none."""
    kinds = {id_: snapshots.KINDS.index(kind) + 1 for id_, kind, _ in shown.changes or ()}
    return [kinds.get(shown.corpus.ids[row], 0) for row in shown.rows]


def _changes(shown: _Shown) -> dict[str, Any] | None:
    if shown.changes is None:
        return None
    counts = Counter(kind for _, kind, _ in shown.changes)
    lists: dict[str, list[Any]] = {kind: [] for kind in snapshots.KINDS}
    for id_, kind, old in shown.changes:
        if len(lists[kind]) < _LISTED:
            place = shown.places.get(shown.corpus.rows.get(id_, -1))
            lists[kind].append((place, id_, old))
    return {
        "before": shown.corpus.manifest["previous"],
        "counts": {kind: counts[kind] for kind in snapshots.KINDS},
        "lists": lists,
    }


def _made(shown: _Shown) -> dict[str, str]:
    manifest = shown.corpus.manifest
    asked = manifest.get("configuration") or {}
    names = [path.rstrip("/").rpartition("/")[2] for path in asked.get("input") or ()]
    return {
        "finished": manifest["finished"],
        "snapshot": manifest["id"],
        "model": str(asked.get("model") or "").rstrip("/").rpartition("/")[2],
        "column": shown.column,
        "map": method(len(shown.rows)),
        "inputs": ", ".join(names),
    }
