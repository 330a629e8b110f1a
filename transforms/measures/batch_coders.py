"""How batches travel between stages, where they do: pickled and compressed. While they wait for a
stage Beam's local runner holds them in memory, and when it starts the stage it makes three copies.

Beam measures a sample of each stage's elements, even of those that never leave the process. If
elements are batches the sample is most of the data, and to pickle it just for its size takes as
long as some of the stages. So a fixed size is reported.
"""

from __future__ import annotations

import pickle
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam import coders

_CODEC, _SIZE = "zstd", 8  # bytes of the size before compression
_BYTES = 1 << 20  # of a batch, about


def packed(value: Any) -> bytes:
    """A batch as it travels."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_SIZE) + pa.compress(data, _CODEC, asbytes=True)


def unpacked(data: bytes) -> Any:
    """What was packed."""
    size = int.from_bytes(data[:_SIZE])
    return pickle.loads(pa.decompress(memoryview(data)[_SIZE:], size, _CODEC))


class _BatchCoder(coders.Coder):
    def encode(self, value: Any) -> bytes:
        return packed(value)

    def decode(self, encoded: bytes) -> Any:
        return unpacked(encoded)

    def estimate_size(self, value: Any) -> int:
        return _BYTES

    def to_type_hint(self) -> Any:
        return Any


def as_batches(elements: beam.PCollection, kind: type) -> None:
    """Tell Beam that elements are batches of that kind."""
    coders.registry.register_coder(kind, _BatchCoder)
    elements.element_type = kind
