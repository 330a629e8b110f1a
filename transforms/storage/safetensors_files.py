"""Files of weights, of safetensors or of PyTorch (`.bin`), read by type: nothing but floating-point
numbers is taken for weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from corpusvec.transforms.storage import torch_files

_FLOATS = ("F64", "F32", "F16", "BF16")


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """An open file of the safetensors library, or one of PyTorch's that is called in the same way.
    Raises `ValueError` where it is not a whole one.
    """
    if file.suffix == ".bin":
        with torch_files.opened(file) as weights:
            yield weights
        return
    import ml_dtypes  # noqa: F401  (tells NumPy what bfloat16 is)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as tensors:
            yield tensors
    except SafetensorError as error:
        raise ValueError(f"{file}: is not a whole safetensors file ({error})") from error


def check_type(tensors: Any, key: str, file: Path) -> str:
    """The type of an array, as F32. Raises `ValueError` where it holds integers or other codes, as
    quantized weights do.
    """
    if (kind := tensors.get_slice(key).get_dtype()) not in _FLOATS:
        raise ValueError(
            f"{file}: {key} is of type {kind}; weights are read as {', '.join(_FLOATS)}."
            " If the model is quantized, use the one it was made from"
        )
    return kind


def read_arrays(file: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a file, float32. Raises `ValueError` where it does not hold these alone."""
    with opened(file) as tensors:
        there = set(tensors.keys())
        if missing := sorted(set(names) - there):
            raise ValueError(f"{file}: has no {missing[0]}, which its configuration asks for")
        if others := sorted(there - set(names)):
            raise ValueError(f"{file}: holds {others[0]}, which its configuration does not name")
        for name in names:
            check_type(tensors, name, file)
        return {name: tensors.get_tensor(name).astype(np.float32) for name in names}
