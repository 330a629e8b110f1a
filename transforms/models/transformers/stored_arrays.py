"""The arrays of a model in its safetensors files: found by their names there, and read one at a
time, so that no second copy of the weights is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers import weights
from corpusvec.transforms.models.transformers.families.family import Source
from corpusvec.transforms.models.transformers.families.table import FAMILIES
from corpusvec.transforms.storage import safetensors_files

_PART = 1 << 22  # numbers read at once


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array is: in a file under a key, as one of the equal parts of its outputs."""

    file: Path
    key: str
    part: int
    parts: int


class StoredArrays(Mapping[str, np.ndarray]):
    """The arrays of `weights.shapes`, float32, each read when it is asked for."""

    def __init__(self, config: Transformer, files: Sequence[Path], pooler: bool):
        found = places(config, files)
        self._places = {name: found[name] for name in weights.shapes(config, pooler)}
        self._one_added = FAMILIES[config.family].one_added

    def __getitem__(self, name: str) -> np.ndarray:
        return self.read(name, np.dtype(np.float32))

    def read(self, name: str, dtype: np.dtype) -> np.ndarray:
        """An array in another type, in which it is read part by part: none is held twice."""
        place = self._places[name]
        with safetensors_files.opened(place.file) as tensors:
            array = _rows(tensors, place, dtype)
        if name.endswith("/gamma") and self._one_added:
            return array + 1
        return array.T if name.endswith("/kernel") else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def places(config: Transformer, files: Sequence[Path]) -> dict[str, Place]:
    """Where the arrays of `weights.shapes` are, of those that are there. Raises `ValueError` where
    one is there twice.
    """
    where = {key: file for file in files for key in _keys(file)}
    family, found = FAMILIES[config.family], {}
    for name in weights.shapes(config, pooler="pooler/dense" in family.names):
        for source in family.sources(name, config.layers_of_group):
            if place := _place(source, where):
                found[name] = place
                break
    return found


def _rows(tensors: Any, place: Place, dtype: np.dtype) -> np.ndarray:
    stored = tensors.get_slice(place.key)
    if not hasattr(stored, "__getitem__"):  # of a file that is read as a whole
        stored = tensors.get_tensor(place.key)
    shape = tensors.get_slice(place.key).get_shape()
    count = shape[0] // place.parts
    first, step = count * (place.part - 1), max(1, _PART // max(1, math.prod(shape[1:])))
    found = np.empty((count, *shape[1:]), dtype)
    for start in range(0, count, step):
        stop = min(start + step, count)
        found[start:stop] = stored[first + start : first + stop]
    return found


def _place(source: Source, where: Mapping[str, Path]) -> Place | None:
    there = [key for key in source.keys if key in where]
    if len(there) > 1:
        raise ValueError(f"{where[there[1]]}: {there[1]} and {there[0]} are the same weight")
    return Place(where[there[0]], there[0], source.part, source.parts) if there else None


def _keys(file: Path) -> list[str]:
    with safetensors_files.opened(file) as tensors:
        return list(tensors.keys())


def shapes_and_types(
    found: Mapping[str, Place],
) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """The shapes of arrays by our names, and the types of their numbers. Raises `ValueError` where
    one holds no floating-point numbers.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    types: set[str] = set()
    for file in sorted({place.file for place in found.values()}):
        with safetensors_files.opened(file) as tensors:
            for name, place in found.items():
                if place.file == file:
                    types.add(safetensors_files.check_type(tensors, place.key, file))
                    rows, *others = tensors.get_slice(place.key).get_shape()
                    shape = (rows // place.parts, *others)
                    shapes[name] = shape[::-1] if name.endswith("/kernel") else shape
    return shapes, types
