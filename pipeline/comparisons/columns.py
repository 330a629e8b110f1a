"""What became of a column of vectors, beside those that it had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from corpusvec.pipeline.comparisons.reports import (
    ColumnChange,
    Cosines,
    Lengths,
    LinksFound,
    Neighbours,
)
from corpusvec.pipeline.comparisons.samples import Sample
from corpusvec.transforms.documents.scrapbox_markup import title_key
from corpusvec.transforms.elements import Document, Failure, SentenceVector
from corpusvec.transforms.specs import Quantization
from corpusvec.transforms.storage.digests import key_of
from corpusvec.transforms.vectors.quantizations import quantized, restored

NEAREST = 10
FEWEST = NEAREST + 2  # with one less all others are the nearest
Row = SentenceVector | Failure  # what became of a document


_BLOCK = 1 << 22  # likenesses that are in memory at once
_STEPS = 1_000_000  # of a cosine; nearer than that, two are as near


def change(
    name: str,
    sample: Sample,
    rows: Sequence[Row],
    tolerance: float,
    how: Quantization | None = None,
) -> ColumnChange:
    """Of the documents whose old vector is finite; new ones are compared as `how` stores them."""
    places = np.flatnonzero(np.isfinite(sample.vectors[name]).all(axis=1)).tolist()
    old = sample.vectors[name][places]
    there = np.array([isinstance(rows[place], SentenceVector) for place in places], np.bool_)
    given = [row for place in places if isinstance(row := rows[place], SentenceVector)]
    new = _read_again([row.vectors[name] for row in given], how)
    whole = np.zeros((len(places), new.shape[1]), np.float32)
    whole[there] = new
    found = ColumnChange(
        name=name,
        old_dimensions=old.shape[1],
        new_dimensions=new.shape[1],
        neighbours=_neighbours(old, whole, there, sample, places),
        links=_links(old, whole, [sample.documents[place] for place in places]),
        cosines=None,
        largest_difference=None,
        largest_at=None,
        same=False,
        old_norms=_lengths(old),
        new_norms=_lengths(new),
    )
    if not len(new) or old.shape[1] != new.shape[1]:
        return found
    those = [sample.documents[places[place]].id for place in np.flatnonzero(there)]
    apart = np.abs(old[there] - new).max(axis=1)
    largest = float(apart.max())
    return replace(
        found,
        cosines=_cosines(cosines(old[there], new), those),
        largest_difference=largest,
        largest_at=those[int(apart.argmax())],
        same=bool(there.all()) and largest <= tolerance * float(np.abs(old).max()),
    )


def _read_again(vectors: Sequence[np.ndarray], how: Quantization | None) -> np.ndarray:
    if not vectors:
        return np.zeros((0, 0), np.float32)
    new = np.stack(vectors).astype(np.float32)
    return restored(quantized(new, how), how) if how else new


def _lengths(vectors: np.ndarray) -> Lengths | None:
    if not len(vectors):
        return None
    found = lengths(vectors)
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
    shares = neighbours_kept(old[first], new[first], there[first], NEAREST)
    return Neighbours(
        at=NEAREST,
        documents=len(first),
        mean=float(shares.mean()),
        least=float(shares.min()),
        least_at=documents[first[int(shares.argmin())]].id,
        by_chance=NEAREST / (len(first) - 1),
    )


def _links(old: np.ndarray, new: np.ndarray, documents: Sequence[Document]) -> LinksFound | None:
    """None where there are too few documents, or no links between them."""
    rows = {title_key(document.id): row for row, document in enumerate(documents)}
    pairs = [
        (row, rows[target])
        for row, document in enumerate(documents)
        for link in document.links
        for target in [link[1:] if link[0] == "/" else f"{_project(document.id)}/{link}"]
        if rows.get(target, row) != row
    ]
    if not pairs or len(documents) < FEWEST:
        return None
    at = np.array(pairs)
    shares = [
        float((nearest(vectors, NEAREST)[at[:, 0]] == at[:, 1:]).any(axis=1).mean())
        for vectors in (old, new)
    ]
    return LinksFound(NEAREST, len(pairs), *shares)


def _project(id_: str) -> str:
    return title_key(id_.partition("/")[0])


def lengths(vectors: np.ndarray) -> np.ndarray:
    """[N] float64."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))


def cosines(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """[N] float64, of each row with its own; 1 where both are zeros, 0 where one is."""
    of_old, of_new = lengths(old), lengths(new)
    both = np.einsum("nd,nd->n", old, new, dtype=np.float64)
    zeros = (of_old == 0) | (of_new == 0)
    found = both / np.where(zeros, 1, of_old * of_new)
    return np.where(zeros, (of_old == 0) & (of_new == 0), found)


def nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """The `count` other rows that are nearest to each by cosine, [N, count] in no order. Of those
    that are as near, the first: so rounding moves nobody.
    """
    n = len(vectors)
    of_each = lengths(vectors)
    unit = (vectors / np.where(of_each == 0, 1, of_each)[:, None]).astype(np.float32)
    first = np.arange(n - 1, -1, -1)
    found = np.empty((n, count), np.int64)
    block = max(1, _BLOCK // max(1, n))
    for start in range(0, n, block):
        likeness = np.rint(unit[start : start + block] @ unit.T * _STEPS).astype(np.int64)
        ranks = likeness * n + first  # no two of a row are the same
        own = np.arange(len(ranks))
        ranks[own, start + own] = -np.iinfo(np.int64).max
        found[start : start + block] = np.argpartition(-ranks, count - 1)[:, :count]
    return found


def neighbours_kept(old: np.ndarray, new: np.ndarray, there: np.ndarray, count: int) -> np.ndarray:
    """For each row the share of its `count` nearest by `old` that are among those by `new`, [N].
    `there` [N] bool: rows without are nowhere by `new`, and keep nothing.
    """
    before = nearest(old, count)
    shares = np.zeros(len(old))
    places = np.flatnonzero(there)
    few = min(count, len(places) - 1)
    if few < 1:
        return shares
    after = places[nearest(new[places], few)]  # [there, few]
    same = (before[places][:, :, None] == after[:, None, :]).any(axis=2)
    shares[places] = same.mean(axis=1)
    return shares
