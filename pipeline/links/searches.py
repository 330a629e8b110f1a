"""Search: a text is embedded as a question to the model of a snapshot."""

from __future__ import annotations

from corpusvec.pipeline.links.corpora import Corpus
from corpusvec.transforms.links.suggestions import Hit


class Searcher:
    """The model of a corpus, loaded once."""

    def __init__(self, corpus: Corpus, column: str | None):
        self._corpus, self._column = corpus, column

    def search(self, text: str, top: int) -> list[Hit]:
        """The documents nearest to a text, best first."""
        raise ValueError("search: is not there yet")


def searcher(corpus: Corpus, column: str | None) -> Searcher:
    """That of a corpus."""
    return Searcher(corpus, column)
