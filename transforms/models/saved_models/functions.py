"""A function of a SavedModel at work: arrays in, vectors by window out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.saved_models.choices import Given
from corpusvec.transforms.specs import ModelSpec, Signature, Wanted


class SavedFunction:
    """The function that a model was described with, cut down to what is wanted of `given`. It takes
    `batch` rows at once, None: any number.
    """

    def __init__(self, spec: ModelSpec, given: Given, wanted: Wanted, batch: int | None = None):
        from corpusvec.transforms.models.saved_models.freezing import Function

        self.layers = {layer: given.layers[layer] for layer in wanted.layers}
        self._outputs = {name: given.outputs[name] for name in wanted.outputs}
        keys = dict.fromkeys([*self.layers.values(), *self._outputs.values()])
        signature: Signature = spec.signature  # type: ignore[assignment]
        self._function = Function.load(spec.path, signature, tuple(keys), wanted.precision)
        self._batch, self.streams = batch, self._function.streams

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by the names of the inputs -> arrays by the keys of the outputs."""
        return in_parts(self._function, inputs, self._batch)

    def encode(
        self, windows: Windows, inputs: Mapping[str, np.ndarray], length: int = 0
    ) -> Encoded:
        """`inputs` has a row for each window, padded to `length` tokens."""
        found, rows = self(inputs), len(windows)
        return Encoded(
            windows,
            {
                layer: checked(found[key], key, (rows, length, None))
                for layer, key in self.layers.items()
            },
            {name: checked(found[key], key, (rows, None)) for name, key in self._outputs.items()},
        )


def in_parts(
    call: Callable[[Mapping[str, Any]], dict[str, np.ndarray]],
    inputs: Mapping[str, np.ndarray],
    batch: int | None,
) -> dict[str, np.ndarray]:
    """Call a function that wants `batch` rows, no more and no less (None: any number).

    Every input has as many rows; what is missing in the last part is filled with its last row.
    """
    rows = len(next(iter(inputs.values())))
    if batch is None or batch == rows:
        return call(inputs)
    found = []
    for start in range(0, rows, batch):
        order = np.minimum(np.arange(start, start + batch), rows - 1)
        found.append(call({name: array[order] for name, array in inputs.items()}))
    return {name: np.concatenate([part[name] for part in found])[:rows] for name in found[0]}


def checked(values: np.ndarray, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An output as float32. Raises `ValueError` where it has another shape; None stands for any
    size.
    """
    if values.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, values.shape)):
        expected = ", ".join("?" if size is None else str(size) for size in shape)
        raise ValueError(f"output {key} has the shape {list(values.shape)}; expected [{expected}]")
    return values.astype(np.float32, copy=False)
