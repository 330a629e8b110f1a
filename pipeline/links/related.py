"""Related documents of a corpus."""

from __future__ import annotations

from corpusvec.pipeline.links.corpora import Corpus
from corpusvec.transforms.links.neighbours import nearest
from corpusvec.transforms.links.suggestions import Suggestion


def related_to(corpus: Corpus, id: str, top: int, column: str | None) -> list[Suggestion]:
    """The documents nearest to one, best first."""
    row = corpus.row(id)
    vectors = corpus.vectors(column)
    found = nearest(vectors, top, vectors.matrix[row : row + 1], lambda _: [row])
    return [
        Suggestion(corpus.ids[row], corpus.ids[place], score)
        for place, score in zip(found.places[0].tolist(), found.scores[0].tolist())
        if place >= 0
    ]
