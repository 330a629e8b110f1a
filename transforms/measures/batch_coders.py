"""How batches travel between stages, where they do: pickled.

Beam measures a sample of each stage's elements, even of those that never leave the process. If
elements are batches the sample is most of the data, and to pickle it just for its size takes as
long as some of the stages. So a fixed size is reported.
"""

from __future__ import annotations

import pickle
from typing import Any

import apache_beam as beam
from apache_beam import coders

_BYTES = 1 << 20  # of a batch, about


class _BatchCoder(coders.Coder):
    def encode(self, value: Any) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:
        return pickle.loads(encoded)

    def estimate_size(self, value: Any) -> int:
        return _BYTES

    def to_type_hint(self) -> Any:
        return Any


def as_batches(elements: beam.PCollection, kind: type) -> None:
    """Tell Beam that elements are batches of that kind."""
    coders.registry.register_coder(kind, _BatchCoder)
    elements.element_type = kind
