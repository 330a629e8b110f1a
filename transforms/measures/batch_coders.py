"""How batches travel between stages, where they do: pickled.

Beam asks each stage for the sizes of some of its elements, also of those that travel nowhere. Of
elements that are batches these are most of what a run holds, and to pickle them for that takes as
long as some of the stages. So their size is not looked at.
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
