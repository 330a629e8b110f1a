"""Vectors as whole numbers of eight bits, or one bit for each number, and back.

Source: sentence_transformers/util/quantization.py (6.2), `quantize_embeddings`: the same to the
last bit. Unlike `_dequantize_embeddings` there, `restored` gives the middle of a bucket, which is
nearer than its lower edge, and 1 and -1 for bits instead of 1 and 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from corpusvec.transforms.specs import Quantization, Ranges
from corpusvec.transforms.storage.files import open_file

FLOATS = ("float32", "float16")
INT8, BINARY, UBINARY = "int8", "binary", "ubinary"
DTYPES = (*FLOATS, INT8, BINARY, UBINARY)
_SIGN = 0x80  # of a byte: `binary` has what `ubinary` has, less 128


def quantization_in(run: Mapping[str, Any], column: str) -> Quantization | None:
    """How a column is quantized, by the recipe in a manifest; None for floats."""
    told = (run.get("quantization") or {}).get(column)
    if told is None:
        return None
    ranges = told["ranges"] and tuple(map(tuple, told["ranges"]))
    return Quantization(told["dtype"], told["dimensions"], ranges)


def quantized(vectors: np.ndarray, how: Quantization) -> np.ndarray:
    """[N, D] float32 -> [N, D] int8, or [N, D / 8] int8 (`binary`) or uint8 (`ubinary`). A value
    outside its range is in the first or last of 256 buckets.
    """
    if how.ranges is None:
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if how.dtype == UBINARY else (bits ^ _SIGN).view(np.int8)
    starts, steps, _ = _buckets(how.ranges)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite fails elsewhere
        numbers = np.clip(np.floor((vectors - starts) / steps), 0, 255)
        return (numbers - 128).astype(np.int8)


def restored(stored: np.ndarray, how: Quantization) -> np.ndarray:
    """[..., W] as `quantized` gives them -> [..., D] float32."""
    if how.ranges is None:
        signs = np.unpackbits(as_bits(stored, how), axis=-1, count=how.dimensions)
        return signs.astype(np.float32) * 2 - 1
    starts, steps, halves = _buckets(how.ranges)
    return (stored.astype(np.float32) + 128) * steps + (starts + halves)


def as_bits(stored: np.ndarray, how: Quantization) -> np.ndarray:
    """Bytes of either type -> the same in the one that holds the bits, uint8."""
    return stored.view(np.uint8) ^ np.uint8(0 if how.dtype == UBINARY else _SIGN)


def _buckets(ranges: Ranges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The start of the first bucket, the width of a bucket, and half of that width; [D] each."""
    starts, ends = np.array(ranges, np.float32)
    steps = (ends - starts) / 255
    return starts, np.where(steps == 0, np.float32(1), steps), steps / 2


class Restored:
    """A matrix that is stored quantized: rows are restored when they are read, and divided by
    `norms` [N] if these are given.
    """

    def __init__(self, stored: np.ndarray, how: Quantization, norms: np.ndarray | None = None):
        self._stored, self._how, self._norms = stored, how, norms
        self.shape = (len(stored), how.dimensions)
        self.signs = how.ranges is None

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, rows: Any) -> np.ndarray:
        found = restored(self._stored[rows], self._how)
        if self._norms is not None:
            found /= self._norms[rows][..., None].astype(np.float32)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)

    def unit(self, norms: np.ndarray) -> Restored:
        """The same with rows of length 1; zero rows stay zero."""
        return Restored(self._stored, self._how, np.where(norms > 0, norms, 1))


def ranges_of(vectors: np.ndarray) -> Ranges:
    """The least and the greatest value of each dimension of a sample [N, D] float32."""
    least, greatest = vectors.min(axis=0), vectors.max(axis=0)
    return tuple(least.tolist()), tuple(greatest.tolist())


def read_ranges(path: str, columns: Iterable[str]) -> dict[str, Ranges]:
    """The ranges of each column, from an array [2, D] in a `.npy` file, or from JSON: such an array
    as lists, lists by the names of columns, or the manifest of a snapshot.

    Raises `ValueError` for a file that lacks the ranges of one of the columns.
    """
    asked, names = f"--vector_ranges={path}", list(columns)
    try:
        with open_file(path) as stream:
            told = np.load(stream) if path.endswith(".npy") else json.load(stream)
    except (OSError, ValueError, EOFError, RecursionError) as error:
        raise ValueError(f"{asked}: cannot be read as .npy or JSON ({error})") from error
    if isinstance(told, dict) and isinstance(told.get("run"), dict):
        told = _of_manifest(told["run"].get("quantization"))
    if not isinstance(told, dict):
        if len(names) > 1:
            raise ValueError(
                f"{asked}: has the ranges of one column, and there are {', '.join(names)}; give"
                ' JSON with the ranges of each: {"NAME": [[least, …], [greatest, …]], …}'
            )
        told = {names[0]: told}
    if missing := [name for name in names if name not in told]:
        there = ", ".join(told) or "none"
        raise ValueError(f"{asked}: has no ranges of {missing[0]}; there are those of: {there}")
    return {name: _checked(told[name], f"{asked}: the ranges of {name}") for name in names}


def _of_manifest(quantization: Any) -> dict[str, Any]:
    """Those of the columns that have any."""
    columns = quantization.items() if isinstance(quantization, dict) else ()
    return {
        name: how["ranges"] for name, how in columns if isinstance(how, dict) and how.get("ranges")
    }


def _checked(told: Any, what: str) -> Ranges:
    not_numbers = f"{what} are no two rows of numbers; write [least, greatest]"
    try:
        given = np.array(told)
    except (ValueError, TypeError) as error:
        raise ValueError(not_numbers) from error
    if given.dtype.kind not in "iuf":
        raise ValueError(not_numbers)
    with np.errstate(over="ignore"):  # what float32 does not hold is refused below
        both = given.astype(np.float32)
    if both.ndim != 2 or len(both) != 2 or not both.size:
        shape = list(both.shape)
        raise ValueError(f"{what} have the shape {shape}; write [2, dimensions]: least, greatest")
    with np.errstate(over="ignore", invalid="ignore"):
        widths = both[1] - both[0]
    if not np.isfinite(widths).all() or (widths < 0).any():
        raise ValueError(
            f"{what} must be finite numbers with finite differences, the least of each dimension"
            " not above its greatest"
        )
    return tuple(both[0].tolist()), tuple(both[1].tolist())
