"""Search: a text, or the passages of a draft, is embedded as a question to the snapshot's model,
and its words are looked up; both rankings are fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links.corpora import Corpus
from corpusvec.pipeline.links.kept import folder_of, lexical_index
from corpusvec.pipeline.links.models import PassageModel
from corpusvec.pipeline.links.pages import notation_of
from corpusvec.pipeline.links.rankings import HYBRID, LEXICAL, POOL, VECTORS
from corpusvec.transforms.links.fusions import Ranking, fused, ranking_of
from corpusvec.transforms.links.lexical import EXTRA, LexicalIndex, is_installed, terms
from corpusvec.transforms.links.neighbours import nearest
from corpusvec.transforms.links.passages import passages_of
from corpusvec.transforms.links.suggestions import Hit

_WEIGHTS = {VECTORS: 1.0, LEXICAL: 1.0}


class Searcher:
    """A corpus with its model, loaded once, and the index of its words. `by`: None chooses."""

    def __init__(
        self,
        corpus: Corpus,
        column: str | None = None,
        by: str | None = None,
        model: str | None = None,
    ):
        self.corpus, self.column = corpus, corpus.column_named(column)
        if by in (HYBRID, LEXICAL) and not is_installed():
            raise UsageError(f"--by={by}: needs a package that is not installed: {EXTRA}")
        self.by = by or (HYBRID if is_installed() else VECTORS)
        self._model = PassageModel(corpus.manifest, self.column, model)

    def load(self) -> None:
        """What the first search would wait for: the corpus is read while the model is loaded."""
        with ThreadPoolExecutor(1) as beside:
            read = beside.submit(self._read)
            if self.by != LEXICAL:
                self._model.load(questions=True)
            read.result()

    def _read(self) -> None:
        if self.by != LEXICAL:
            self.corpus.vectors(self.column)
        if self.by != VECTORS:
            self._index  # noqa: B018
        self.corpus.ids  # noqa: B018

    @cached_property
    def _index(self) -> LexicalIndex:
        folder = folder_of(self.corpus.output, self.corpus.snapshot, "documents")
        return lexical_index(folder, self.corpus.texts)

    def search(self, text: str, top: int = 10) -> list[Hit]:
        """The documents nearest to a text, best first. Raises `UsageError` for a blank one, and for
        one with halves of characters.
        """
        if not text.strip():
            raise UsageError("the text to search for is empty")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError("the text to search for is not UTF-8") from error
        return self._found([text], top)

    def search_draft(self, text: str, top: int = 10) -> list[Hit]:
        """As `search`, with each passage of a long text. A document has the score of the passage
        that finds it best.
        """
        parts = passages_of(text, notation_of(self.corpus, 0))
        if not parts:
            raise UsageError("the draft has no passage to search with")
        return self._found(parts, top)

    def _found(self, queries: Sequence[str], top: int) -> list[Hit]:
        rankings, cosines = self._rankings(queries, max(POOL, top))
        best: dict[int, tuple[float, int]] = {}
        for query in range(len(queries)):
            found = fused(rankings, _WEIGHTS, query, both_ways=False)
            for row, score in found:
                score = cosines[query, row] if self.by == VECTORS else score
                if row not in best or score > best[row][0]:
                    best[row] = (score, query)
        order = self.corpus.order
        rows = sorted(best, key=lambda row: (-best[row][0], order[row]))[:top]
        texts = self.corpus.texts(rows) if rows else []
        return [
            Hit(self.corpus.ids[row], best[row][0], _nearest(queries[best[row][1]], parts), query)
            for row, text in zip(rows, texts)
            for query in [queries[best[row][1]]]
            for parts in [passages_of(text, notation_of(self.corpus, row))]
        ]

    def _rankings(
        self, queries: Sequence[str], count: int
    ) -> tuple[dict[str, Ranking], dict[tuple[int, int], float]]:
        rankings: dict[str, Ranking] = {}
        cosines: dict[tuple[int, int], float] = {}
        if self.by != LEXICAL:
            vectors = self.corpus.vectors(self.column)
            asked = self._model.embed(queries, questions=True)
            if asked.shape[1] != vectors.matrix.shape[1]:
                raise UsageError(f"no vector: the model finds no word in {queries[0]!r:.60}")
            found = nearest(vectors, min(count, len(self.corpus)), asked)
            rankings[VECTORS] = found.places
            for query, row in np.argwhere(found.places >= 0).tolist():
                cosines[query, int(found.places[query, row])] = float(found.scores[query, row])
        if self.by != VECTORS:
            best = [self._index.best(text, count) for text in queries]
            rankings[LEXICAL] = ranking_of(best, count)
        return rankings, cosines


def _nearest(query: str, parts: Sequence[str]) -> str:
    """The passage that has most of a query's terms; of equals the first."""
    asked = set(terms(query))
    return max(parts, key=lambda part: len(asked & set(terms(part))), default="")


def searcher(corpus: Corpus, column: str | None = None) -> Searcher:
    """That of a corpus, which keeps it."""
    name = corpus.column_named(column)
    if name not in corpus.searchers:
        corpus.searchers[name] = Searcher(corpus, name)
    return corpus.searchers[name]
