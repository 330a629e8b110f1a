"""Related pages: those near to each, without those that it need not be told of, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import rankings
from corpusvec.pipeline.links.choices import Pair
from corpusvec.pipeline.links.kept import KeptVectors, folder_of, kept_weights, lexical_index
from corpusvec.pipeline.links.models import PassageModel
from corpusvec.pipeline.links.pages import Pages, unit_of
from corpusvec.pipeline.links.rankings import (
    HYBRID,
    LEXICAL,
    LINKS,
    MENTIONS,
    PASSAGES,
    VECTORS,
    Rankings,
)
from corpusvec.transforms.links.lexical import EXTRA, is_installed, normalized
from corpusvec.transforms.links.link_distances import FARTHEST, distances
from corpusvec.transforms.links.names import Names
from corpusvec.transforms.links.neighbours import nearest, pairs_above
from corpusvec.transforms.links.passages import passages_of, reasons
from corpusvec.transforms.links.suggestions import Reason, Suggestion

if TYPE_CHECKING:
    from corpusvec.pipeline.links.corpora import Corpus

EXCLUDE, ONLY, KEEP = "exclude", "only", "keep"
REASONS = 3  # pairs of passages that a suggestion shows
_EXPLAINED = 2_000  # pages; of more, embedding passages of all takes too long to do unasked


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is asked for. `by`: None chooses. `passages`: None shows them where that is quick."""

    top: int = 10
    of: str | None = None
    by: str | None = None
    links: str = EXCLUDE
    orphans: bool = False
    not_within: bool = False
    skip: str | None = None
    above: float | None = None
    passages: int | None = None
    chosen: frozenset[Pair] = frozenset()


def related_to(corpus: Corpus, id: str, top: int, column: str | None) -> list[Suggestion]:
    """The documents nearest to one by their vectors, best first: whatever they link to, and without
    a model. Raises `UsageError` for an id that is not there.
    """
    row = corpus.rows.get(id)
    if row is None:
        raise UsageError(f"{id}: {corpus.snapshot} has no document of this id")
    vectors = corpus.vectors(column)
    found = nearest(vectors, top, vectors.matrix[row : row + 1], lambda _: np.array([row]))
    return [
        Suggestion(id, corpus.ids[place], score)
        for place, score in zip(found.places[0].tolist(), found.scores[0].tolist())
        if place >= 0
    ]


def with_distances(pages: Pages, suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """The same, and how many links away each target is."""
    reds = {key: len(pages) + number for number, key in enumerate(pages.graph.reds)}
    pairs = []
    for one in suggestions:
        row = pages.rows[one.document]
        target = reds[pages.projects[row], one.target] if one.red else pages.rows[one.target]
        pairs.append((row, target))
    away = distances(pages.graph, pairs)
    return [replace(one, links_away=links) for one, links in zip(suggestions, away)]


def far_first(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Of each document what is farthest in links first, then the best; documents stay in order."""
    of_each = groupby(suggestions, attrgetter("document"))
    farthest = [
        sorted(some, key=lambda one: -(one.links_away or FARTHEST + 1)) for _, some in of_each
    ]
    return [*chain.from_iterable(farthest)]


class Finder:
    """Finds what is asked for. `notes` are for the user."""

    def __init__(self, pages: Pages, asked: Asked, model: str | None = None):
        self.pages, self.asked, self.notes = pages, asked, list[str]()
        first = pages.corpora[0]
        self._folder = folder_of(first.output, first.snapshot, pages.column)
        self._folder = self._folder if len(pages.corpora) == 1 else None
        self._kept = KeptVectors(self._folder, PassageModel(first.manifest, pages.column, model))
        for corpus in (one for one in pages.corpora if unit_of(one) == "line"):
            if corpus.quantization(pages.column):
                continue  # the others would be compared with them as if they were as exact
            self._kept.take(corpus.texts(), np.asarray(corpus.vectors(pages.column).unit))
        self._only = pages.row(asked.of) if asked.of is not None else None
        self.by = self._chosen_way()

    def _chosen_way(self) -> str:
        by, count = self.asked.by, len(self.pages)
        many = count > rankings.MOST
        if by in (HYBRID, LEXICAL) and not is_installed():
            raise UsageError(f"--by={by}: needs a package that is not installed: {EXTRA}")
        if by in (HYBRID, LEXICAL) and many:
            raise UsageError(
                f"--by={by}: compares the words of up to {rankings.MOST:,} documents, and there are"
                f" {count:,}; --by=vectors compares all of them, by their vectors alone"
            )
        if by is not None:
            return by
        plain = self.asked.above is not None or self.asked.links == ONLY
        if plain or not any(self.pages.links):
            return VECTORS
        if many:
            self.notes.append(
                f"by vectors alone: words are compared for up to {rankings.MOST:,} documents, and"
                f" there are {count:,}"
            )
        elif not is_installed():
            self.notes.append(f"by vectors alone: to compare words too, run: {EXTRA}")
        return HYBRID if is_installed() and not many else VECTORS

    @cached_property
    def _targets(self) -> np.ndarray:
        """The pages that may be suggested, [N] bool."""
        if self.asked.skip is None:
            return np.ones(len(self.pages), np.bool_)
        try:
            pattern = re.compile(self.asked.skip)
        except re.error as error:
            raise UsageError(f"--skip={self.asked.skip}: is no pattern ({error})") from error
        return np.array([not pattern.search(title) for title in self.pages.titles], np.bool_)

    @cached_property
    def _chosen(self) -> dict[int, list[int]]:
        """What was accepted or dismissed, by rows; it counts both ways."""
        found: dict[int, list[int]] = {}
        for pair in self.asked.chosen:
            rows = [self.pages.rows.get(id_, -1) for id_ in pair]
            if min(rows) >= 0:
                found.setdefault(rows[0], []).append(rows[1])
                found.setdefault(rows[1], []).append(rows[0])
        return found

    @cached_property
    def _hides(self) -> bool:
        asked = self.asked
        linked = asked.links == EXCLUDE and any(self.pages.links)
        return bool(linked or asked.not_within or asked.skip is not None or self._chosen)

    @cached_property
    def _project_numbers(self) -> np.ndarray:
        return np.unique(self.pages.projects, return_inverse=True)[1].reshape(-1)

    def hidden(self, row: int) -> np.ndarray:
        """The pages that are not to be suggested to one, ascending."""
        parts = [np.array(self._chosen.get(row, []), np.int64)]
        if self.asked.links == EXCLUDE:
            parts.append(self.pages.graph.near(row))
        if self.asked.skip is not None:
            parts.append(np.flatnonzero(~self._targets))
        if self.asked.not_within:
            numbers = self._project_numbers
            parts.append(np.flatnonzero(numbers == numbers[row]))
        return np.unique(np.concatenate(parts))

    def _asked_rows(self) -> list[int]:
        if self._only is not None:
            return [self._only]
        alone = self.pages.graph.orphans if self.asked.orphans else np.zeros(len(self.pages))
        return sorted(self.pages.first, key=lambda row: not alone[row])

    def suggestions(self) -> Iterator[Suggestion]:
        """Of each page that was asked for, in turn, the best first."""
        found: Iterable[tuple[int, list[tuple[int, float]]]]
        if self.asked.above is not None:
            found = self._alike(self.asked.above)
        elif self.asked.links == ONLY:
            found = self._linked()
        elif self.by == VECTORS:
            found = self._near()
        else:
            found = self._ranked()
        wanted = self._passages_wanted()
        if wanted and self._only is None:  # all at once, or the model would be called for each
            found = list(found)
            rows = {row for row, targets in found if targets}
            rows |= {at for _, targets in found for at, _ in targets if at < len(self.pages)}
            wanted *= self._embeddable(sorted(rows))
        for row, targets in found:
            yield from self._explained(row, targets, wanted)

    def _near(self) -> Iterator[tuple[int, list[tuple[int, float]]]]:
        vectors, rows = self.pages.vectors, self._asked_rows()
        hidden = self.hidden if self._hides else None
        if self._only is None:
            found = nearest(vectors, self.asked.top, left_out=hidden)
        else:
            found = nearest(
                vectors, self.asked.top, vectors.matrix[rows], lambda _: self._hidden_and_self()
            )
        for row in rows:
            at = 0 if self._only is not None else row
            there = found.places[at] >= 0
            yield row, list(zip(found.places[at][there].tolist(), found.scores[at][there].tolist()))

    def _hidden_and_self(self) -> np.ndarray:
        assert self._only is not None, "asked of one page alone"
        own = np.array([self._only], np.int64)
        return np.union1d(self.hidden(self._only), own) if self._hides else own

    def _linked(self) -> Iterator[tuple[int, list[tuple[int, float]]]]:
        """The pages that each is linked with, the nearest first."""
        vectors = self.pages.vectors
        for row in self._asked_rows():
            linked = self.pages.graph.linked(row)
            linked = linked[self._targets[linked]]
            if len(linked):
                scores = vectors.cosines(vectors.matrix[[row]], linked[None])[0]
                best = np.lexsort((vectors.order[linked], -scores))[: self.asked.top]
                yield row, [(int(linked[at]), float(scores[at])) for at in best]

    def _alike(self, least: float) -> Iterator[tuple[int, list[tuple[int, float]]]]:
        """Pages that are nearly the same, each pair once."""
        found: dict[int, list[tuple[int, float]]] = {}
        order, cut = self.pages.vectors.order, self._hides
        for one, other, score in pairs_above(self.pages.vectors, least):
            one, other = (one, other) if order[one] < order[other] else (other, one)
            if self._only not in (None, one, other):
                continue
            if cut and np.isin(other, self.hidden(one)):
                continue
            found.setdefault(one, []).append((other, score))
        for row in sorted(found, key=lambda row: order[row]):
            yield row, sorted(found[row], key=lambda one: (-one[1], order[one[0]]))

    def _ranked(self) -> Iterator[tuple[int, list[tuple[int, float]]]]:
        ranked = self.all_rankings()
        for row in self._asked_rows():
            found = ranked.fused(row)
            if self.asked.links == EXCLUDE:
                found = sorted([*found, *self._reds(row, dict(found))], key=lambda one: -one[1])
            yield row, found[: self.asked.top]

    def _reds(self, row: int, near: dict[int, float]) -> Iterator[tuple[int, float]]:
        """Red links of a page's own project whose names stand in it as words, and are links in
        pages that are near.
        """
        graph, project = self.pages.graph, self.pages.projects[row]
        for number in self._red_names.within(self.pages.texts[row]).tolist():
            node = len(self.pages) + number
            own = graph.reds[number][0] == project
            if not own or node in graph.neighbours(row) or (row, node) in self._chosen_reds:
                continue
            score = max((near.get(at, 0.0) for at in graph.neighbours(node).tolist()), default=0)
            if score:
                yield node, score

    @cached_property
    def _red_names(self) -> Names:
        """Those of the red links, as they may stand in a text."""
        return Names([key.replace("_", " ") for _, key in self.pages.graph.reds])

    @cached_property
    def _chosen_reds(self) -> set[tuple[int, int]]:
        nodes = {key: node for node, (_, key) in enumerate(self.pages.graph.reds, len(self.pages))}
        return {
            (self.pages.rows[document], nodes[target])
            for document, target in self.asked.chosen
            if document in self.pages.rows and target in nodes
        }

    def all_rankings(self) -> Rankings:
        """Of all pages, by all that is asked for."""
        pages, hidden = self.pages, self.hidden if self._hides else rankings.nothing_hidden
        ranked = Rankings(weights={**rankings.WEIGHTS, **kept_weights(self._folder)})
        index = lexical_index(self._folder, lambda: pages.texts)
        ranked.each[LEXICAL] = rankings.by_words(index, pages.texts, hidden)
        if self.by == HYBRID:
            ranked.each[VECTORS] = rankings.by_vectors(pages.vectors, hidden)
            ranked.each[MENTIONS] = rankings.by_mentions(
                pages.titles, pages.texts, pages.texts, hidden
            )
            if self._compares_passages() and self._embeddable(range(len(pages))):
                vectors = [self._vectors_of(row) for row in range(len(pages))]
                ranked.each[PASSAGES] = rankings.by_passages(vectors, vectors, ranked.pools())
            ranked.each[LINKS] = rankings.by_links(ranked.each, pages.graph, hidden)
        return ranked

    # ---------------------------------------------------------------------- passages

    def _compares_passages(self) -> bool:
        if self.asked.passages == 0:
            return False
        few = len(self.pages) <= rankings.MOST_EMBEDDED
        if not few:
            self.notes.append(
                f"passages are compared for up to {rankings.MOST_EMBEDDED:,} documents; of these"
                f" {len(self.pages):,} words, titles and vectors are"
            )
        return few

    def _passages_wanted(self) -> int:
        if self.asked.passages is not None:
            return self.asked.passages
        if self._only is None and len(self.pages) > _EXPLAINED:
            self.notes.append(
                f"passages are shown unasked for up to {_EXPLAINED:,} documents: ask with"
                " --passages, or for one document with --of"
            )
            return 0
        return REASONS

    @cached_property
    def _passages(self) -> dict[int, list[str]]:
        return {}

    def passages(self, rows: Sequence[int]) -> list[list[str]]:
        """The passages of some pages."""
        new = [row for row in rows if row not in self._passages]
        for row, text in zip(new, self.pages.some_texts(new) if new else []):
            self._passages[row] = passages_of(text, self.pages.notations[row])
        return [self._passages[row] for row in rows]

    def _embeddable(self, rows: Sequence[int]) -> bool:
        """Whether the passages of some pages have vectors now; where the model is not there a note
        says so.
        """
        try:
            self._kept.add([part for parts in self.passages(rows) for part in parts])
        except (ValueError, OSError) as error:
            note = f"passages are not compared: {error}"
            if note not in self.notes:
                self.notes.append(note)
            return False
        return True

    def _vectors_of(self, row: int) -> np.ndarray:
        (parts,) = self.passages([row])
        return self._kept.of(parts)

    def _explained(
        self, row: int, targets: Sequence[tuple[int, float]], count: int
    ) -> Iterator[Suggestion]:
        pages, ids = self.pages, self.pages.ids
        there = [target for target, _ in targets if target < len(pages)]
        shown = bool(count and there) and self._embeddable([row, *there])
        near = pages.graph.near(row) if self.asked.links != EXCLUDE else ()
        for target, score in targets:
            if target >= len(pages):
                yield self._red(row, target, score)
                continue
            why: tuple[Reason, ...] = ()
            if shown:
                mine, theirs = self.passages([row, target])
                vectors = (self._vectors_of(row), self._vectors_of(target))
                why = reasons(mine, theirs, *vectors, count)
            yield Suggestion(ids[row], ids[target], score, why, False, bool(np.isin(target, near)))

    def _red(self, row: int, node: int, score: float) -> Suggestion:
        """With a line of the page, and one of a page that has the link."""
        name = self._red_names.names[node - len(self.pages)]
        linking = [at for at in self.pages.graph.neighbours(node).tolist() if at < len(self.pages)]
        mine, theirs = (
            next((part for part in parts if name in normalized(part)), "")
            for parts in self.passages([row, linking[0]])
        )
        target = self.pages.graph.reds[node - len(self.pages)][1]
        why = (Reason(mine, theirs, name, score),)
        return Suggestion(self.pages.ids[row], target, score, why, True)
