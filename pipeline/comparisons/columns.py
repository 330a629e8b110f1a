"""What became of a column of vectors, beside those that it had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.comparisons import neighbours
from pipeline.comparisons.reports import ColumnChange, Cosines, Lengths, Neighbours
from pipeline.comparisons.samples import Sample
from transforms.elements import Failure, SentenceVector
from transforms.storage.digests import key_of

NEAREST = 10
FEWEST = NEAREST + 2  # with one less all others are the nearest
Row = SentenceVector | Failure  # what became of a document


def change(name: str, sample: Sample, rows: Sequence[Row], tolerance: float) -> ColumnChange:
    """Of the documents whose old vector is finite."""
    finite = np.isfinite(sample.vectors[name]).all(axis=1)
    places = np.flatnonzero(finite).tolist()
    old = sample.vectors[name][places]
    there = np.array([isinstance(rows[place], SentenceVector) for place in places], np.bool_)
    given = [row for place in places if isinstance(row := rows[place], SentenceVector)]
    new = np.stack([row.vectors[name] for row in given]) if given else np.zeros((0, 0))
    new = new.astype(np.float32)
    ids = [sample.documents[place].id for place in places]
    whole = np.zeros((len(places), new.shape[1]), np.float32)
    whole[there] = new
    found = ColumnChange(
        name=name,
        old_dimensions=old.shape[1],
        new_dimensions=new.shape[1],
        neighbours=_neighbours(old, whole, there, sample, places),
        cosines=None,
        largest_difference=None,
        largest_at=None,
        same=False,
        old_norms=_lengths(old),
        new_norms=_lengths(new),
    )
    if not len(new) or old.shape[1] != new.shape[1]:
        return found
    those = [ids[place] for place in np.flatnonzero(there)]
    apart = np.abs(old[there] - new).max(axis=1)
    largest = float(apart.max())
    return replace(
        found,
        cosines=_cosines(neighbours.cosines(old[there], new), those),
        largest_difference=largest,
        largest_at=those[int(apart.argmax())],
        same=bool(there.all()) and largest <= tolerance * float(np.abs(old).max()),
    )


def _lengths(vectors: np.ndarray) -> Lengths | None:
    if not len(vectors):
        return None
    found = neighbours.lengths(vectors)
    return Lengths(float(found.mean()), float(found.min()), float(found.max()))


def _cosines(found: np.ndarray, ids: Sequence[str]) -> Cosines:
    return Cosines(
        mean=float(found.mean()),
        least=float(found.min()),
        least_at=ids[int(found.argmin())],
        quantile_1=float(np.quantile(found, 0.01)),
    )


def _neighbours(
    old: np.ndarray, new: np.ndarray, there: np.ndarray, sample: Sample, places: Sequence[int]
) -> Neighbours | None:
    """Of equal texts the first: they are always each other's nearest."""
    documents = [sample.documents[place] for place in places]
    _, first = np.unique([key_of(document).hex() for document in documents], return_index=True)
    first.sort()
    if len(first) < FEWEST:
        return None
    shares = neighbours.kept(old[first], new[first], there[first], NEAREST)
    return Neighbours(
        at=NEAREST,
        documents=len(first),
        mean=float(shares.mean()),
        least=float(shares.min()),
        least_at=documents[first[int(shares.argmin())]].id,
        by_chance=NEAREST / (len(first) - 1),
    )
