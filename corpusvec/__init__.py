"""Token and sentence vectors of texts: the door for programs in Python.

- `Embed`: texts -> vectors, as a transform in a Beam pipeline.
- `Embedder`: texts -> vectors, in this process and without Beam.
- `Document`: a text with an id, and what else is known of it; both take strings too.
- `open`: a snapshot as Arrow dataset, NumPy matrix, and a `Corpus` that finds related documents.
- `SentenceVector`, `TokenVectors`, `Failure`: what comes out of `Embed`.

Importing corpusvec is cheap: Beam and TensorFlow are imported once they are needed. Then
`tensorflow_hub.load` knows `hf://` and `s3://`, and works with a setuptools of today.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from corpusvec.pipeline import __version__
from corpusvec.transforms.models.sources import hubs

if TYPE_CHECKING:
    from corpusvec.pipeline.embed import Embed
    from corpusvec.pipeline.embedders import Embedder
    from corpusvec.pipeline.links.corpora import Corpus, open
    from corpusvec.transforms.elements import Document, Failure, SentenceVector, TokenVectors

__all__ = [
    "Corpus",
    "Document",
    "Embed",
    "Embedder",
    "Failure",
    "SentenceVector",
    "TokenVectors",
    "__version__",
    "open",
]
_PLACES = {
    "Corpus": "pipeline.links.corpora",
    "Embed": "pipeline.embed",
    "Embedder": "pipeline.embedders",
    "open": "pipeline.links.corpora",
}

if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{_PLACES.get(name, 'transforms.elements')}")
        return getattr(module, name)


hubs.join()


def __dir__() -> list[str]:
    return list(__all__)
