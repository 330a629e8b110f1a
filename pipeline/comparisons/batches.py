"""Whether a model gives a text the same vectors alone and in whatever batch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from corpusvec.pipeline.comparisons.reports import Column, Deviation, Invariance
from corpusvec.pipeline.embedders import LoadedModel, Vectors
from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.columns import Windows
from corpusvec.transforms.elements import Document, Failure
from corpusvec.transforms.models.probes import TOLERANCES
from corpusvec.transforms.vectors.documents import DocumentVectors
from corpusvec.transforms.vectors.quantizations import INT8

_CUT, _DOCUMENTS, _FEWEST = 256, 64, 8
_SIZE = 1 << 14  # tokens, or bytes: the vectors of all of them are kept
_BESIDE = 8
_HALF = 1e-3  # float16 has eleven bits
_BUCKET = 1 / 127  # of int8: ranges from one side of zero to the other have 255
_Found = Mapping[int, Vectors]


def rounding(recipe: Recipe) -> float:
    """What of the greatest value a difference may be that means nothing."""
    stored = {"float16": _HALF, INT8: _BUCKET}.get(recipe.vectors.dtype, 0.0)
    return max(stored, TOLERANCES[recipe.wanted.precision])


def invariance(
    model: LoadedModel, recipe: Recipe, name: str, documents: Sequence[Document]
) -> Invariance | None:
    """Of some of the documents, of all lengths; None where none of them has a vector."""
    windows = _chosen(model, documents)
    if not len(windows):
        return None
    made = DocumentVectors(recipe.vectors)
    alone = dict(model.pooled(_each(windows), made))
    alone = {place: one for place, one in alone.items() if not isinstance(one, Failure)}
    if not alone:
        return None
    values = {place: _arrays(one) for place, one in alone.items()}
    names = list(next(iter(values.values())))
    greatest = {one: max(np.abs(v[one]).max(initial=0) for v in values.values()) for one in names}
    ids = {place: windows.documents.ids[place] for place in alone}
    deviations: dict[tuple[str, bool], dict[str, Deviation]] = {one: {} for one in names}
    lost = set()
    for arrangement, batches, company in _arrangements(model, recipe, windows):
        found = dict(model.pooled(batches, made, company))
        lost |= {ids[place] for place in alone if isinstance(found[place], Failure)}
        for one, deviation in _deviations(values, found, names, ids):
            deviations[one][arrangement] = deviation
    sizes = _sizes(windows)[np.unique(windows.owners)]
    columns = []
    for one in names:
        same = all(d.largest <= rounding(recipe) * greatest[one] for d in deviations[one].values())
        columns.append(Column(*one, float(greatest[one]), deviations[one], same))
    return Invariance(
        model=name,
        documents=len(alone),
        size=(int(sizes.min()), int(sizes.max())),
        unit="tokens" if recipe.spec.tokenizer else "bytes",
        columns=tuple(columns),
        lost=tuple(sorted(lost)),
    )


def _chosen(model: LoadedModel, documents: Sequence[Document]) -> Windows:
    """The windows of documents of all lengths."""
    windows = model.cut([documents[place] for place in _spread(len(documents), _CUT)]).windows
    sizes = _sizes(windows)
    found = np.unique(windows.owners)
    found = found[np.argsort(sizes[found], kind="stable")]
    found = found[_spread(len(found), _DOCUMENTS)]
    while len(found) > _FEWEST and sizes[found].sum() > _SIZE:
        found = found[_spread(len(found), len(found) // 2)]
    return windows.take(np.isin(windows.owners, found))


def _sizes(windows: Windows) -> np.ndarray:
    """[D] of each document, all its windows together."""
    found = np.bincount(windows.owners, windows.sizes, len(windows.documents))
    return found.astype(np.int64)


def _each(windows: Windows) -> list[Windows]:
    return [windows.take(slice(row, row + 1)) for row in range(len(windows))]


def _spread(length: int, most: int) -> list[int]:
    """`most` places at most, the first and the last among them."""
    if not length:
        return []
    return sorted(set(np.linspace(0, length - 1, min(length, most)).astype(int).tolist()))


def _arrangements(
    model: LoadedModel, recipe: Recipe, windows: Windows
) -> Iterator[tuple[str, list[Windows], int]]:
    """Its name, the batches, and how many of each are company."""
    yield "as_in_a_run", model.batches(windows), 0
    if not recipe.spec.padding:
        return
    mixed = list(range(len(windows)))
    random.Random(0).shuffle(mixed)
    beside = [mixed[at : at + _BESIDE] for at in range(0, len(mixed), _BESIDE)]
    yield "mixed_lengths", [windows.take(np.array(rows)) for rows in beside], 0
    longest = int(windows.sizes.argmax())
    pairs = [windows.take(np.array([row, longest])) for row in range(len(windows))]
    yield "beside_longest", pairs, 1


def _arrays(vectors: Vectors) -> dict[tuple[str, bool], np.ndarray]:
    """By column, and whether it is one of tokens."""
    assert not isinstance(vectors, Failure)
    sentence, tokens = vectors
    found = {(name, False): one for name, one in sentence.vectors.items()}
    return found | {(name, True): one for name, one in (tokens.layers if tokens else {}).items()}


def _deviations(
    alone: Mapping[int, Mapping[tuple[str, bool], np.ndarray]],
    found: _Found,
    names: Sequence[tuple[str, bool]],
    ids: Mapping[int, str],
) -> Iterator[tuple[tuple[str, bool], Deviation]]:
    both = {
        place: (values, _arrays(found[place]))
        for place, values in alone.items()
        if not isinstance(found[place], Failure)
    }
    for name in names:
        largest, at = 0.0, None
        for place, (one, other) in both.items():
            apart = np.abs(one[name].astype(np.float32) - other[name].astype(np.float32))
            if (most := float(apart.max(initial=0))) > largest:
                largest, at = most, ids[place]
        yield name, Deviation(largest, at)
