"""PyTorch's files of weights (`pytorch_model.bin`), read without running anything that they hold.

Such a file is a pickle, see `torch_pickles`, and the numbers of the tensors, which are read from
the file when they are asked for. It is a zip archive, or in PyTorch before 1.6 all in a row.

Source: PyTorch 2, torch/serialization.py.
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from corpusvec.transforms.storage.torch_pickles import (
    LARGEST,
    Refused,
    Storage,
    Tensor,
    how_to_convert,
    run,
)

_LEGACY = 0x1950A86A20F9469CFC6C  # the number that files begin with which are no zip archives
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}
_TYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor of a file, and where there the bytes of its storage are."""

    file: Path
    name: str
    tensor: Tensor
    place: range

    def get_shape(self) -> list[int]:
        return list(self.tensor.shape)

    def get_dtype(self) -> str:
        return self.tensor.storage.kind

    def __getitem__(self, part) -> np.ndarray:
        """A copy. Raises `ValueError` where the file does not hold all of its numbers."""
        tensor, storage = self.tensor, self.tensor.storage
        kind = _numpy_type(storage.kind)
        if storage.count * kind.itemsize > len(self.place):
            raise ValueError(f"{self.file}: the numbers of {self.name} are cut off; copy it again")
        if not storage.count:
            return np.zeros(tensor.shape, kind)[part]
        stored = np.memmap(self.file, kind, "r", self.place.start, (storage.count,))
        strides = [step * kind.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, strides)
        return np.array(view[part])


class TorchFile:
    """The tensors of a file, called as those of the safetensors library are."""

    def __init__(self, tensors: Mapping[str, StoredTensor]):
        self._tensors = tensors

    def keys(self) -> list[str]:
        return list(self._tensors)

    def get_slice(self, key: str) -> StoredTensor:
        return self._tensors[key]

    def get_tensor(self, key: str) -> np.ndarray:
        return self._tensors[key][...]


@contextmanager
def opened(file: Path) -> Iterator[TorchFile]:
    """Raises `ValueError` where a file is damaged, or holds anything but tensors by name."""
    try:
        state = file.stat()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
    yield _read(file, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=16)
def _read(file: Path, _modified: int, _size: int) -> TorchFile:
    """What the pickle says; it is asked for each array."""
    try:
        with file.open("rb") as stream:
            read = _read_zip if zipfile.is_zipfile(stream) else _read_legacy
            stream.seek(0)
            value, places = read(stream)
        nowhere = range(0)
        return TorchFile(
            {
                name: StoredTensor(file, name, found, places.get(found.storage.key, nowhere))
                for name, found in _by_name(value).items()
            }
        )
    except Refused as error:
        raise ValueError(f"{file}: {error}") from error


def _read_zip(stream: BinaryIO) -> tuple[Any, dict[str, range]]:
    try:
        with zipfile.ZipFile(stream) as archive:
            infos = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            pickled = infos.get("data.pkl")
            if pickled is None:
                raise Refused("has no data.pkl; it is not a file that PyTorch wrote for weights")
            if pickled.file_size > LARGEST or pickled.compress_type != zipfile.ZIP_STORED:
                raise Refused("its data.pkl is larger than that of any model, or compressed")
            if "byteorder" in infos and archive.read(infos["byteorder"])[:3] == b"big":
                raise Refused(f"its numbers are big-endian; {how_to_convert()}")
            value = run(io.BytesIO(archive.read(pickled)))
        end = stream.seek(0, io.SEEK_END)
        stored = {
            name.removeprefix("data/"): _place(stream, info, end)
            for name, info in infos.items()
            if name.startswith("data/") and info.compress_type == zipfile.ZIP_STORED
        }
    except (zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError) as error:
        raise Refused(f"is not a whole file of PyTorch's ({error}); copy it again") from error
    return value, stored


def _place(stream: BinaryIO, info: zipfile.ZipInfo, end: int) -> range:
    """Where in the file the bytes of a stored part are."""
    stream.seek(info.header_offset + 26)  # the lengths of name and extra field
    start = stream.tell() + 4 + sum(struct.unpack("<HH", stream.read(4)))
    return range(start, min(start + info.file_size, end))


def _read_legacy(stream: BinaryIO) -> tuple[Any, dict[str, range]]:
    """Four pickles, then the keys of the storages, then each storage behind its count."""
    head = io.BytesIO(stream.read(LARGEST))
    if head.read(2)[:1] != b"\x80":
        raise Refused(f"is no file of PyTorch's that is read here; {how_to_convert()}")
    head.seek(0)
    found: dict[str, Storage] = {}
    number, _, system, value = (run(head, found) for _ in range(4))
    if number != _LEGACY or not isinstance(system, dict):
        raise Refused("is a pickle, but not one that PyTorch wrote for weights")
    if system.get("little_endian") is False:
        raise Refused(f"its numbers are big-endian; {how_to_convert()}")
    keys = run(head)
    places, place = {}, head.tell()
    end = stream.seek(0, io.SEEK_END)
    for key in keys if isinstance(keys, list) else ():
        storage = found.get(key) if isinstance(key, str) else None
        if storage is None:
            raise Refused(f"has numbers that no tensor names ({key!r:.40})")
        size = storage.count * _numpy_type(storage.kind).itemsize
        places[key] = range(place + 8, max(place + 8, min(place + 8 + size, end)))
        place += 8 + size
    return value, places


def _by_name(value: Any) -> dict[str, Tensor]:
    if not isinstance(value, dict):
        raise Refused(f"holds a {type(value).__name__}; expected tensors by their names")
    return {name: found for name, found in value.items() if isinstance(found, Tensor)}


def _numpy_type(kind: str) -> np.dtype:
    if kind == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_TYPES[kind])
