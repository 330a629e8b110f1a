"""Where the blocks get their weights: a protocol, and weights that nothing trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from corpusvec.transforms.architectures import Norm
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks import norms

Weights = Mapping[str, np.ndarray]


class Arrays(Protocol):
    """The weights of a model, by the names of `weights.shapes`."""

    @property
    def dtype(self) -> tf.DType:
        """Of all of them."""

    def __call__(self, name: str) -> tf.Tensor:
        """An array as it is."""

    def dense(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        """[rows, in] -> [rows, out], the outputs of several layers of one input side by side."""

    def norm(self, x: tf.Tensor, name: str, norm: Norm) -> tf.Tensor:
        """[..., H] -> [..., H], by `norms` or what equals them."""

    def once(self, made: Callable[[Arrays], tf.Tensor]) -> tf.Tensor:
        """What is made of weights alone."""

    def dropped(self, x: tf.Tensor) -> tf.Tensor:
        """Of the same shape: what training leaves of it."""

    def dropped_attention(self, x: tf.Tensor) -> tf.Tensor:
        """As `dropped`, for the weights of the attention."""


def held(weights: Weights, name: str, dtype: tf.DType) -> tf.Tensor:
    """An array as a tensor, read in its type where that can be."""
    read = getattr(weights, "read", None)
    return _own(read(name, np.dtype(dtype.as_numpy_dtype)) if read else weights[name], dtype)


def _own(values: np.ndarray, dtype: tf.DType) -> tf.Tensor:
    """A tensor of TensorFlow's own. It keeps the array that a constant was made of until the next
    operation runs, so one does.
    """
    return tf.identity(tf.constant(values.astype(dtype.as_numpy_dtype, copy=False)))


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Weights that nothing trains, for the graph that is being traced: constants of it where
    `in_graph`, else tensors beside it.

    Only in a graph does oneDNN keep them in its own layout, which bfloat16 needs on AMX and gains
    by in small models. But TensorFlow holds a graph's constants seven times over and copies them
    for seconds before the first call, and the kernel for weights as they lie is otherwise as fast.
    """

    weights: Weights
    dtype: tf.DType
    in_graph: bool
    fused_norms: bool
    # What is beside the graphs, so that several of them hold one copy.
    beside: dict[tuple[str, ...], tf.Tensor] = field(default_factory=dict)

    def __call__(self, name: str) -> tf.Tensor:
        return self._tensor((name,))

    def dense(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        product = tf.matmul(x, self._tensor([f"{name}/kernel" for name in names]))
        if f"{names[0]}/bias" in self.weights:
            bias = self._tensor([f"{name}/bias" for name in names])
        else:  # TensorFlow puts an activation, or a sum, into a product that has one
            bias = self._zeros(product.shape[1])
        return product if bias is None else tf.nn.bias_add(product, bias)

    def norm(self, x: tf.Tensor, name: str, norm: Norm) -> tf.Tensor:
        gamma = self(f"{name}/LayerNorm/gamma")
        if norm.rms:
            return norms.root_mean_square(x, gamma, norm.epsilon)
        beta = self(f"{name}/LayerNorm/beta") if norm.beta else self._zeros(gamma.shape[0])
        if beta is None or not self.fused_norms or x.shape.rank != 2:
            return norms.layer(x, gamma, beta, norm.epsilon)
        return norms.fused(x, gamma, beta, norm.epsilon)

    def once(self, made: Callable[[Arrays], tf.Tensor]) -> tf.Tensor:
        with tf.init_scope():
            found = made(replace(self, in_graph=False, fused_norms=False, beside={}))
        return tf.constant(found.numpy()) if self.in_graph else found

    def dropped(self, x: tf.Tensor) -> tf.Tensor:
        return x

    dropped_attention = dropped

    def _zeros(self, width: int) -> tf.Tensor | None:
        """For what adds nothing; None where TensorFlow would see that they are zeros, and leave
        them out.
        """
        if self.in_graph:
            return None
        key = ("zeros", str(width))
        if key not in self.beside:
            with tf.init_scope():
                self.beside[key] = tf.zeros([width], self.dtype)
        return self.beside[key]

    def _tensor(self, names: Sequence[str]) -> tf.Tensor:
        """The arrays side by side."""
        if self.in_graph:
            return tf.constant(self._joined(names), self.dtype)
        key = tuple(names)
        if key not in self.beside:
            with tf.init_scope():
                self.beside[key] = _own(self._joined(names), self.dtype)
        return self.beside[key]

    def _joined(self, names: Sequence[str]) -> np.ndarray:
        arrays = [self.weights[name] for name in names]
        return np.concatenate(arrays, axis=-1) if len(arrays) > 1 else arrays[0]
