"""Sentence vectors inside a TensorFlow graph: the strategies of `pooling`, over whole texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.specs import OUTPUT, VectorColumn
from corpusvec.transforms.vectors.dense_layers import (
    NORMALIZE,
    Dense,
    LayerNorm,
    dimensions,
    layer_folders,
    read_layer,
)

_ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "Identity": tf.identity,
    "Tanh": tf.tanh,
    "ReLU": tf.nn.relu,
    "Sigmoid": tf.sigmoid,
    "GELU": lambda x: tf.nn.gelu(x, approximate=False),
}


def _at(x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    return tf.gather(x, tf.maximum(places, 0), batch_dims=1)  # [B, H]


def _own(x: tf.Tensor, places: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    return _at(x, places) * tf.cast(counts > 2, x.dtype)[:, None]


def _sum(x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.einsum("bth,bt->bh", x, weights)


def _mask(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    return tf.sequence_mask(counts, tf.shape(x)[1], x.dtype)  # [B, T]


def _max(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    there = tf.sequence_mask(counts, tf.shape(x)[1])[:, :, None]
    return tf.reduce_max(tf.where(there, x, x.dtype.min), axis=1)


def _mean(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    return _sum(x, _mask(x, counts)) / tf.cast(counts, x.dtype)[:, None]


def _mean_sqrt(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    return _sum(x, _mask(x, counts)) / tf.sqrt(tf.cast(counts, x.dtype))[:, None]


def _weighted_mean(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    weights = _mask(x, counts) * tf.range(1.0, tf.cast(tf.shape(x)[1] + 1, x.dtype))
    return _sum(x, weights) / tf.reduce_sum(weights, axis=1, keepdims=True)


# Tokens [B, T, H] and how many each text has [B], [CLS] and [SEP] among them -> [B, H]. A text
# without a token of its own has zeros where one is asked for.
POOLINGS: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "cls": lambda x, counts: x[:, 0],
    "sep": lambda x, counts: _at(x, counts - 1),
    "first": lambda x, counts: _own(x, tf.ones_like(counts), counts),
    "last": lambda x, counts: _own(x, counts - 2, counts),
    "mean": _mean,
    "max": _max,
    "mean_max": lambda x, counts: tf.concat([_mean(x, counts), _max(x, counts)], axis=1),
    "mean_sqrt": _mean_sqrt,
    "weighted_mean": _weighted_mean,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of sentence vectors; `variables` are those of its layers, by their names."""

    column: VectorColumn
    normalize: bool
    variables: dict[str, tf.Variable]

    @classmethod
    def of(cls, column: VectorColumn, normalize: bool) -> Column:
        """Raises `ValueError` where a layer cannot be read, or a graph lacks a pooling."""
        named = [] if column.pooling == OUTPUT else column.pooling.split("+")
        if lacking := [name for name in named if name not in POOLINGS]:
            raise ValueError(
                f"--vectors: {lacking[0]} cannot be computed inside a SavedModel; use"
                f" {', '.join(POOLINGS)}, or omit --strings"
            )
        variables = {}
        for step in layer_folders(column.modules):
            for part, value in _parts(read_layer(Path(step))).items():
                name = f"{Path(step).name}/{part}"
                variables[name] = tf.Variable(value, name=name)
        return cls(column, normalize, variables)

    def __call__(
        self,
        layers: Sequence[tf.Tensor],
        counts: tf.Tensor,
        outputs: Mapping[str, Callable[[], tf.Tensor]],
    ) -> tf.Tensor:
        """Layers [B, T, H] and how many tokens each text has [B] -> [B, D]; `outputs` are the
        model's own, made when they are asked for.
        """
        column = self.column
        if column.pooling == OUTPUT:
            vector = outputs[column.output]()
        else:
            tokens = _combined([layers[int(layer)] for layer in column.layers], column.combine)
            pooled = [POOLINGS[name](tokens, counts) for name in column.pooling.split("+")]
            vector = tf.concat(pooled, axis=1)
        for step in (*column.modules, *[NORMALIZE] * self.normalize):
            if step == NORMALIZE:
                vector = _normalized(vector)
            elif (first := dimensions(step)) is not None:
                vector = vector[:, :first]
            else:
                vector = self._layer(step, vector)
        return vector

    def _layer(self, step: str, vector: tf.Tensor) -> tf.Tensor:
        layer = read_layer(Path(step))
        own = {part: self.variables[f"{Path(step).name}/{part}"] for part in _parts(layer)}
        if isinstance(layer, LayerNorm):
            mean, variance = tf.nn.moments(vector, axes=[1], keepdims=True)
            from_mean = (vector - mean) * tf.math.rsqrt(variance + layer.epsilon)
            return from_mean * own["gamma"] + own["beta"]
        made = _ACTIVATIONS[layer.activation](tf.matmul(vector, own["kernel"]) + own["bias"])
        if not layer.adds_input:
            return made
        return made + (tf.matmul(vector, own["residual"]) if "residual" in own else vector)


def _parts(layer: Dense | LayerNorm) -> dict[str, np.ndarray]:
    """The arrays of a layer by the names of their variables."""
    if isinstance(layer, LayerNorm):
        return {"gamma": layer.gamma, "beta": layer.beta}
    found = {"kernel": layer.kernel.T, "bias": layer.bias}
    return found if layer.residual is None else found | {"residual": layer.residual.T}


def _combined(layers: Sequence[tf.Tensor], how: str) -> tf.Tensor:
    if len(layers) == 1:
        return layers[0]
    if how == "concat":
        return tf.concat(layers, axis=2)
    return tf.add_n(layers) if how == "sum" else tf.add_n(layers) / float(len(layers))


def _normalized(vector: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(vector, tf.norm(vector, axis=1, keepdims=True))
