"""Vectors -> places in the plane, so that what is alike lies together.

UMAP where it is installed, since it keeps neighbours together; else the two directions in which the
vectors differ most (PCA), which takes a moment and needs NumPy alone.
"""

from __future__ import annotations

import importlib.util

import numpy as np

UMAP, PCA = "UMAP", "PCA"
_FEWEST = 16  # documents; UMAP has nothing to go by below
_SEED = 1  # the same map each time


def method(count: int) -> str:
    """The way in which `positions` lays out so many documents."""
    return UMAP if count >= _FEWEST and importlib.util.find_spec("umap") else PCA


def positions(vectors: np.ndarray) -> np.ndarray:
    """[N, D] float32, each of length 1 -> [N, 2] float32, from 0 to 1; the longer side fills it."""
    places = _umap(vectors) if method(len(vectors)) == UMAP else _pca(vectors)
    places = places - places.min(axis=0, keepdims=True)
    size = places.max(axis=0)
    scale = size.max() or 1.0
    return ((places + (scale - size) / 2) / scale).astype(np.float32)


def _umap(vectors: np.ndarray) -> np.ndarray:
    import umap  # type: ignore[import-not-found]

    # One job, as a seed asks for.
    mapper = umap.UMAP(metric="cosine", random_state=_SEED, n_jobs=1, low_memory=True)
    return mapper.fit_transform(vectors)


def _pca(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    values, directions = np.linalg.eigh(centred.T @ centred)  # ascending; [D, D]
    chosen = directions[:, np.argsort(values)[::-1][:2]]
    # A direction has no sign of its own: its largest part is positive.
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=0)[None], axis=0)
    places = centred @ (chosen * np.sign(largest))  # [N, 1 or 2]
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
