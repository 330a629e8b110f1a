"""PyTorch's files of weights, written without PyTorch."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_STORAGES = {"float32": "Float", "float16": "Half", "float64": "Double", "bfloat16": "BFloat16"}


def write(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As `torch.save` writes a dictionary of tensors."""
    in_zip(file, pickled(arrays), {str(n): a.tobytes() for n, a in enumerate(arrays.values())})


def in_zip(file: Path, pickle: bytes, storages: Mapping[str, bytes], compression=0) -> None:
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)


def pickled(arrays: Mapping[str, np.ndarray]) -> bytes:
    parts = [text(name) + tensor(array, str(n)) for n, (name, array) in enumerate(arrays.items())]
    return b"\x80\x02}(" + b"".join(parts) + b"u."


def tensor(array: np.ndarray, key: str) -> bytes:
    strides = [step // array.itemsize for step in array.strides]
    numbers = [named("torch", f"{_STORAGES[array.dtype.name]}Storage"), text(key), text("cpu")]
    storage = b"(" + text("storage") + b"".join(numbers) + number(array.size) + b"tQ"
    shapes = [b"(" + b"".join(map(number, values)) + b"t" for values in (array.shape, strides)]
    hooks = named("collections", "OrderedDict") + b")R"
    rebuilt = named("torch._utils", "_rebuild_tensor_v2")
    return rebuilt + b"(" + storage + number(0) + b"".join(shapes) + b"\x89" + hooks + b"tR"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
