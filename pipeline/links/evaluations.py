"""How many of a corpus's own links are found, their words masked: by vectors, by words, by both."""

from __future__ import annotations

import functools
import itertools
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import rankings
from corpusvec.pipeline.links.kept import KeptVectors, folder_of, keep_weights
from corpusvec.pipeline.links.models import PassageModel
from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.links.rankings import HYBRID, LEXICAL, MENTIONS, PASSAGES, VECTORS, Rankings
from corpusvec.transforms.links.evaluations import (
    AT,
    Found,
    found_links,
    parse_pairs,
    pearson,
    spearman,
)
from corpusvec.transforms.links.fusions import ranks, shares
from corpusvec.transforms.links.lexical import EXTRA, LexicalIndex, is_installed
from corpusvec.transforms.links.notations import PLAIN, shown
from corpusvec.transforms.links.passages import passages_of

_TRIED = {
    VECTORS: (0.0, 0.1, 0.5),
    LEXICAL: (1.0,),
    MENTIONS: (0.0, 0.3, 1.0),
    PASSAGES: (1.0, 0.5, 0.0),
}
_FEWEST = 20  # pages with links, to choose weights by


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`weights` are those that do best with all links; the figures of `hybrid` are of pages that
    these had no part in.
    """

    links: int
    pages: int
    found: Mapping[str, Found]
    weights: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        return {"links": self.links, **{name: one.as_json() for name, one in self.found.items()}}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.links:,} links between {self.pages:,} pages, their words masked"
        yield f"{'':10}recall@{AT}    MRR"
        for name, one in self.found.items():
            yield f"{name:10}{one.recall:9.3f} {one.mrr:6.3f}"


def evaluate(pages: Pages, model: str | None) -> Evaluation:
    """Raises `UsageError` where documents have no links, or words cannot be indexed."""
    if not is_installed():
        raise UsageError(f"evaluate: needs a package that is not installed: {EXTRA}")
    if len(pages) > rankings.MOST:
        raise UsageError(
            f"evaluate: compares all pages, of which there are {len(pages):,}; it can be done for"
            f" up to {rankings.MOST:,}: embed a part of them into an output of its own"
        )
    links = {
        row: targets
        for row in range(len(pages))
        if (targets := [at for at in pages.graph.targets(row).tolist() if at < len(pages)])
    }
    if not links:
        raise UsageError(
            f"{pages.corpora[0].output}: its documents do not link to each other; give pairs of"
            " texts and their scores with --pairs"
        )
    ranked = _rankings(pages, model)
    singles = {
        name: found_links(_ranks_by(ranked.each[name]), links) for name in (VECTORS, LEXICAL)
    }
    hybrid, weights = _held_out(ranked, links)
    _keep(pages, weights)
    found = {**singles, HYBRID: hybrid}
    return Evaluation(sum(map(len, links.values())), len(pages), found, weights)


def _keep(pages: Pages, weights: Mapping[str, float]) -> None:
    first = pages.corpora[0]
    keep_weights(folder_of(first.output, first.snapshot, pages.column), weights)


def _ranks_by(ranks: Mapping[int, Mapping[int, int]]) -> Callable[[int], Mapping[int, int]]:
    return lambda row: ranks.get(row, {})


def _rankings(pages: Pages, model: str | None) -> Rankings:
    """Of all pages: each asks with its masked text, and the others are as they stand."""
    texts = [
        shown(text, notation, functools.partial(pages.has_target, row))
        for row, (text, notation) in enumerate(zip(pages.texts, pages.notations))
    ]
    embedder = PassageModel(pages.corpora[0].manifest, pages.column, model)
    first = pages.corpora[0]
    kept = KeptVectors(folder_of(first.output, first.snapshot, pages.column), embedder)
    theirs = _passages(kept, pages.texts, pages.notations)
    mine = _passages(KeptVectors(None, embedder), texts, [PLAIN] * len(texts))
    ranked = Rankings()
    ranked.each[VECTORS] = rankings.by_vectors(pages.vectors, asked=embedder.embed(texts))
    ranked.each[LEXICAL] = rankings.by_words(LexicalIndex.of(pages.texts), texts)
    ranked.each[MENTIONS] = rankings.by_mentions(pages.titles, pages.texts, texts)
    ranked.each[PASSAGES] = rankings.by_passages(mine, theirs, ranked.pools())
    return ranked


def _passages(
    kept: KeptVectors, texts: Sequence[str], notations: Sequence[str]
) -> list[np.ndarray]:
    """The vectors of the passages of each text."""
    parts = [passages_of(text, notation) for text, notation in zip(texts, notations)]
    kept.add(list(itertools.chain.from_iterable(parts)))
    return [kept.of(some) for some in parts]


def _held_out(
    ranked: Rankings, links: Mapping[int, Sequence[int]]
) -> tuple[Found, Mapping[str, float]]:
    """The pages are halved: with the weights that do best with one half the other is measured."""
    tried = [dict(zip(_TRIED, values)) for values in itertools.product(*_TRIED.values())]
    if len(links) < _FEWEST:
        tried = [dict(rankings.WEIGHTS)]
    names = [*ranked.each]
    given = {row: shares([*ranked.each.values()], row, both_ways=True) for row in links}
    halves = [{row: links[row] for row in list(links)[part::2]} for part in (0, 1)]
    measured = []  # of each weights both halves
    for weights in tried:
        values = [weights[name] for name in names]

        def ranking(row: int, values: Sequence[float] = values) -> Mapping[int, int]:
            return ranks(at for at, _ in given[row].fused(values))

        measured.append([found_links(ranking, half) for half in halves])
    sizes = [sum(map(len, half.values())) for half in halves]
    best = [max(measured, key=operator.itemgetter(part)) for part in (0, 1)]
    others = [best[1][0], best[0][1]]
    part_of = np.array(sizes) / sum(sizes)
    found = Found(*(float(part_of @ [one[at] for one in others]) for at in (0, 1)))
    overall = max(zip(measured, tried), key=lambda one: float(part_of @ [f.recall for f in one[0]]))
    return found, overall[1]


def compare_pairs(
    pages: Pages, path: str, lines: Sequence[str], model: str | None
) -> dict[str, Any]:
    """How the cosines of pairs agree with the scores that they are given."""
    pairs = parse_pairs(lines, f"--pairs={path}")
    embedder = PassageModel(pages.corpora[0].manifest, pages.column, model)
    vectors = embedder.embed([text for one, other, _ in pairs for text in (one, other)])
    cosines = np.einsum("nd,nd->n", vectors[::2], vectors[1::2], dtype=np.float64)
    scores = np.array([score for _, _, score in pairs])
    both = {"spearman": spearman(cosines, scores), "pearson": pearson(cosines, scores)}
    return {"pairs": len(pairs), **{name: round(value, 4) for name, value in both.items()}}


def told(found: Evaluation | dict[str, Any], as_json: bool) -> Iterator[str]:
    """The lines to print."""
    if as_json:
        yield json.dumps(found.as_json() if isinstance(found, Evaluation) else found)
    elif isinstance(found, Evaluation):
        yield from found.lines()
    else:
        yield f"{found['pairs']:,} pairs"
        yield f"Spearman {found['spearman']:.4f}, Pearson {found['pearson']:.4f}"
