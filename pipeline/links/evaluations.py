"""How many of a corpus's own links are found, their words masked: by vectors, by words, by both."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import rankings
from corpusvec.pipeline.links.kept import KeptVectors, folder_of, keep_weights
from corpusvec.pipeline.links.models import PassageModel
from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.links.rankings import (
    HYBRID,
    LEXICAL,
    LINKS,
    MENTIONS,
    PASSAGES,
    VECTORS,
    Rankings,
)
from corpusvec.transforms.links.evaluations import (
    AT,
    Found,
    best_weights,
    found_links,
    gain,
    held_out,
    parse_pairs,
    pearson,
    spearman,
)
from corpusvec.transforms.links.fusions import shares
from corpusvec.transforms.links.lexical import EXTRA, LexicalIndex, is_installed
from corpusvec.transforms.links.notations import PLAIN, shown
from corpusvec.transforms.links.passages import passages_of

_TRIED = {
    VECTORS: (0.0, 0.1, 0.3),
    LEXICAL: (1.0,),
    MENTIONS: (0.3, 1.0, 2.0),
    PASSAGES: (0.0, 0.3, 1.0),
    LINKS: (0.0, 0.3, 1.0),
}
_MEASURED = 5_000  # pages at most whose links are evaluated
_FOLDS = 5
_EQUAL = 1e-6  # numbers that differ by less: it is what float32 rounds away
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
    links = dict([*links.items()][:: -(-len(links) // _MEASURED)])
    ranked = _rankings(pages, model)
    asking = [*links]
    singles = {
        name: found_links(ranked.each[name][asking], links.values()) for name in (VECTORS, LEXICAL)
    }
    hybrid, weights = _held_out(ranked, links)
    _keep(pages, weights)
    found = {**singles, HYBRID: hybrid}
    return Evaluation(sum(map(len, links.values())), len(pages), found, weights)


def _keep(pages: Pages, weights: Mapping[str, float]) -> None:
    first = pages.corpora[0]
    keep_weights(folder_of(first.output, first.snapshot, pages.column), weights)


def _rankings(pages: Pages, model: str | None) -> Rankings:
    """Of all pages: each asks with its masked text, and the others are as they stand."""
    texts = [
        shown(text, notation, functools.partial(pages.has_target, row))
        for row, (text, notation) in enumerate(zip(pages.texts, pages.notations))
    ]
    embedder = PassageModel(pages.corpora[0].manifest, pages.column, model)
    first = pages.corpora[0]
    kept = KeptVectors(folder_of(first.output, first.snapshot, pages.column), embedder)
    ranked = Rankings()
    ranked.each[VECTORS] = rankings.by_vectors(pages.vectors, asked=embedder.embed(texts))
    ranked.each[LEXICAL] = rankings.by_words(LexicalIndex.of(pages.texts), texts)
    ranked.each[MENTIONS] = rankings.by_mentions(pages.titles, pages.texts, texts)
    if len(pages) <= rankings.MOST_EMBEDDED:
        theirs = _passages(kept, pages.texts, pages.notations)
        mine = _passages(KeptVectors(None, embedder), texts, [PLAIN] * len(texts))
        ranked.each[PASSAGES] = rankings.by_passages(mine, theirs, ranked.pools())
    ranked.each[LINKS] = rankings.by_links(ranked.each, pages.graph)
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
    """What is found with weights that the pages asked had no part in, and the weights that do best
    for all of them.
    """
    names = [*ranked.each]
    tried = [dict(zip(names, one)) for one in itertools.product(*map(_TRIED.__getitem__, names))]
    if len(links) < _FEWEST:
        tried = [dict(rankings.WEIGHTS)]
    gains = np.zeros((len(tried), len(links), 2))
    for page, (row, targets) in enumerate(links.items()):
        given = shares([*ranked.each.values()], row, both_ways=True)
        for place, weights in enumerate(tried):
            rows, _ = given.fused([weights[name] for name in names])
            gains[place, page] = gain(rows, targets)
    found = held_out(gains, _FOLDS) / sum(map(len, links.values()))
    return Found(*found.tolist()), tried[best_weights(gains)]


def compare_pairs(
    pages: Pages, path: str, lines: Sequence[str], model: str | None
) -> dict[str, Any]:
    """How the cosines of pairs agree with the scores that they are given."""
    pairs = parse_pairs(lines, f"--pairs={path}")
    embedder = PassageModel(pages.corpora[0].manifest, pages.column, model)
    vectors = embedder.embed([text for one, other, _ in pairs for text in (one, other)])
    cosines = np.einsum("nd,nd->n", vectors[::2], vectors[1::2], dtype=np.float64)
    scores = np.array([score for _, _, score in pairs])
    _check_vary(f"--pairs={path}", scores, cosines)
    both = {"spearman": spearman(cosines, scores), "pearson": pearson(cosines, scores)}
    return {"pairs": len(pairs), **{name: round(value, 4) for name, value in both.items()}}


def _check_vary(name: str, scores: np.ndarray, cosines: np.ndarray) -> None:
    """Raises `UsageError` where no order can be compared, since one side has none."""
    for values, what in ((scores, "all scores are equal"), (cosines, "all cosines are equal")):
        if np.ptp(values) < _EQUAL:
            raise UsageError(f"{name}: {what}, so they agree with nothing; add pairs that differ")


def told(found: Evaluation | dict[str, Any], as_json: bool) -> Iterator[str]:
    """The lines to print."""
    if as_json:
        yield json.dumps(found.as_json() if isinstance(found, Evaluation) else found)
    elif isinstance(found, Evaluation):
        yield from found.lines()
    else:
        yield f"{found['pairs']:,} pairs"
        yield f"Spearman {found['spearman']:.4f}, Pearson {found['pearson']:.4f}"
