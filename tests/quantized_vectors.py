"""Vectors, and what sentence-transformers' `quantize_embeddings` makes of them.

`python -m tests.quantized_vectors [FILE]` writes that into `golden/quantized_vectors.npz` if no
other file is named.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "quantized_vectors.npz"
SMALL = ("int8", "binary", "ubinary")


def _normal(rows: int, width: int, scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(rows * 1000 + width)
    return (generator.normal(size=(rows, width)) * scale).astype(np.float32)


def _edges(width: int = 9) -> np.ndarray:
    """Values at the edges of the buckets that `RANGES` has for them, and just beside."""
    at = np.linspace(-1, 1, 256, dtype=np.float32)
    every = np.concatenate([at, np.nextafter(at, np.float32(-2)), np.nextafter(at, np.float32(2))])
    return np.repeat(every[:, None], width, axis=1)


def _ranges(vectors: np.ndarray) -> np.ndarray:
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)])


_UNITS = _normal(64, 16) / np.linalg.norm(_normal(64, 16), axis=1)[:, None]
_WIDE = np.array([[-1.0] * 9, [1.0] * 9], np.float32)
# Vectors [N, D] and ranges [2, D].
CASES = {
    "of length 1": (_UNITS, _ranges(_UNITS)),
    "ranges of a part": (_normal(50, 12), _ranges(_normal(50, 12)[:10])),
    "edges of buckets": (_edges(), _WIDE),
    "bits beside a byte": (_normal(7, 13), _ranges(_normal(7, 13))),
    "one number": (_normal(5, 1), _ranges(_normal(5, 1))),
    "one that never changes": (np.full((3, 8), 0.25, np.float32), np.full((2, 8), 0.25, "f4")),
    "zeros of both signs": (
        np.array([[0.0, -0.0, 1e-45, -1e-45, 0.5, -0.5, 0.0, 1.0]], np.float32),
        np.array([[-1.0] * 8, [1.0] * 8], np.float32),
    ),
    "far outside": (_normal(6, 8, 1e30), np.array([[-1e-3] * 8, [1e-3] * 8], np.float32)),
    "large": (_normal(20, 10, 1e4), _ranges(_normal(20, 10, 1e4))),
    "tiny": (_normal(20, 10, 1e-20), _ranges(_normal(20, 10, 1e-20))),
}


def main(target: str | Path = GOLDEN) -> None:
    """Write what sentence-transformers makes."""
    from sentence_transformers.util import quantize_embeddings

    made = {
        f"{name}, {dtype}": quantize_embeddings(vectors, dtype, ranges)
        for name, (vectors, ranges) in CASES.items()
        for dtype in SMALL
    }
    np.savez_compressed(target, **made)


if __name__ == "__main__":
    main(*sys.argv[1:])
