"""Sentence vectors inside a TensorFlow graph: the table of `poolings`, over whole texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusvec.transforms.columns import State
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
from corpusvec.transforms.vectors.poolings import Pooling, poolings_of

_ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "Identity": tf.identity,
    "Tanh": tf.tanh,
    "ReLU": tf.nn.relu,
    "Sigmoid": tf.sigmoid,
    "GELU": lambda x: tf.nn.gelu(x, approximate=False),
}


def _pooled(pooling: Pooling, x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Tokens [B, T, H] and how many each text has [B], [CLS] and [SEP] among them -> [B, H]. A text
    without a token of its own has zeros where one is asked for.
    """
    places = tf.range(tf.shape(x)[1])[None]  # [1, T]
    own = pooling.over == "own"
    there = (places >= int(own)) & (places < counts[:, None] - int(own))  # [B, T]
    nth = tf.cumsum(tf.cast(there, tf.int32), axis=1)
    shares = tf.cast(pooling.strategy.shares(nth, nth[:, -1:], places), x.dtype)
    shares = tf.where(there, shares, 0)
    if pooling.strategy.largest:
        values = tf.reduce_max(tf.where(there[:, :, None], x, x.dtype.min), axis=1)
    else:
        values = tf.einsum("bth,bt->bh", x, shares)
    return pooling.strategy.finish(State(values, tf.reduce_sum(shares, axis=1)))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of sentence vectors; `variables` are those of its layers, by their names."""

    column: VectorColumn
    normalize: bool
    variables: dict[str, tf.Variable]

    @classmethod
    def of(cls, column: VectorColumn, normalize: bool) -> Column:
        """Raises `ValueError` where a layer cannot be read."""
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
            pooled = [_pooled(pooling, tokens, counts) for pooling in poolings_of(column)]
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
