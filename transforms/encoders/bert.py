"""BERT's forward pass in TensorFlow, with the weights as constants of the graph.

Follows google-research/bert, modeling.py (post-layer-norm transformer). Constant weights let oneDNN
keep them in its own layout; the graph ends at the highest layer asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from transforms.elements import Encoded, Window
from transforms.encoders.runtime import prepare_threads, tf
from transforms.specs import POOLER, BertConfig, ModelSpec, Wanted

Weights = Mapping[str, np.ndarray]

ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
    "tanh": tf.nn.tanh,
    "linear": tf.identity,
}


class BertEncoder:
    """A BERT with everything but what is wanted left out. Calls from several threads run side by
    side.
    """

    def __init__(self, spec: ModelSpec, wanted: Wanted, weights: Weights):
        """`weights` by the names of `weights.shapes`."""
        self.streams = prepare_threads()
        self.hidden_size, self.layer_count = spec.hidden_size, spec.layer_count
        self.max_seq_length = spec.max_seq_length
        self._wanted, self._segments = wanted, spec.segments
        self._run = frozen(spec.bert, wanted, weights)

    def encode(self, windows: Sequence[Window]) -> list[Encoded]:
        """Each result's layers are views [T, H] float32 of the batch's."""
        lengths = np.array([len(window) for window in windows], np.int32)
        ids = np.zeros((len(windows), lengths.max()), np.int32)
        segments = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window.ids
            if self._segments:
                segments[row, : len(window)] = window.segments
        results = [
            array.numpy() for array in self._run(*map(tf.constant, (ids, segments, lengths)))
        ]
        pooled = results.pop() if self._wanted.pooler else None
        return [
            Encoded(
                window=window,
                layers={
                    layer: values[row, : len(window)]
                    for layer, values in zip(self._wanted.layers, results)
                },
                outputs={} if pooled is None else {POOLER: pooled[row]},
            )
            for row, window in enumerate(windows)
        ]


def frozen(config: BertConfig, wanted: Wanted, weights: Weights) -> Callable[..., list[tf.Tensor]]:
    """A function of ids and segments [B, T] and lengths [B], all int32, any B and T: the layers
    wanted, each [B, T, H] float32, then the pooled output [B, H] where it is wanted. Traced once.
    """
    rows = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[rows, rows, tf.TensorSpec([None], tf.int32)], autograph=False)
    def run(ids, segments, lengths):
        layers, pooled = forward(config, wanted, weights, ids, segments, lengths)
        outputs = [tf.cast(layers[i], tf.float32) for i in wanted.layers]
        return [*outputs, tf.cast(pooled, tf.float32)] if wanted.pooler else outputs

    return run.get_concrete_function()


def forward(
    config: BertConfig, wanted: Wanted, weights: Weights, ids, segments, lengths
) -> tuple[list[tf.Tensor], tf.Tensor | None]:
    """Layers 0 (the embedding output) to the highest wanted, each [B, T, H], and the pooled output
    [B, H] or None.
    """
    dtype = tf.as_dtype(wanted.precision)
    shape = tf.shape(ids)
    batch, length = shape[0], shape[1]

    def constant(name: str) -> tf.Tensor:
        return tf.constant(weights[name], dtype)

    def dense(x: tf.Tensor, name: str) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(x, constant(f"{name}/kernel")), constant(f"{name}/bias"))

    def norm(x: tf.Tensor, name: str) -> tf.Tensor:
        return layer_norm(
            x,
            constant(f"{name}/LayerNorm/gamma"),
            constant(f"{name}/LayerNorm/beta"),
            config.layer_norm_eps,
        )

    def unflatten(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [batch, length, config.hidden_size])

    first = config.first_position
    words = tf.gather(constant("embeddings/word_embeddings"), ids)
    types = tf.gather(constant("embeddings/token_type_embeddings"), segments)
    places = constant("embeddings/position_embeddings")[first : first + length]
    x = tf.reshape(words + types + places, [-1, config.hidden_size])  # [B*T, H]
    x = norm(x, "embeddings")
    layers = [unflatten(x)]
    # 0 for a token, -10000 for padding, as the original: exp() of it is 0 in float32 and bfloat16.
    mask = tf.sequence_mask(lengths, length, dtype=dtype)
    bias = (1.0 - mask[:, None, None, :]) * -10000.0  # [B, 1, 1, T]
    last = config.layer_count if wanted.pooler else max(wanted.layers, default=0)
    for i in range(last):
        layer = f"encoder/layer_{i}"
        q, k, v = (
            _split_heads(dense(x, f"{layer}/attention/self/{name}"), batch, length, config)
            for name in ("query", "key", "value")
        )  # each [B, N, T, D]
        scale = 1.0 / float(np.sqrt(config.hidden_size // config.heads))
        scores = tf.matmul(q, k, transpose_b=True) * tf.cast(scale, dtype) + bias  # [B, N, T, T]
        context = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])  # [B, T, N, D]
        context = tf.reshape(context, [-1, config.hidden_size])  # [B*T, H]
        x = norm(dense(context, f"{layer}/attention/output/dense") + x, f"{layer}/attention/output")
        inner = ACTIVATIONS[config.activation](dense(x, f"{layer}/intermediate/dense"))
        x = norm(dense(inner, f"{layer}/output/dense") + x, f"{layer}/output")
        layers.append(unflatten(x))
    pooled = tf.tanh(dense(layers[-1][:, 0], "pooler/dense")) if wanted.pooler else None
    return layers, pooled


def _split_heads(x: tf.Tensor, batch, length, config: BertConfig) -> tf.Tensor:
    """[B*T, H] -> [B, N, T, D]"""
    size = config.hidden_size // config.heads
    return tf.transpose(tf.reshape(x, [batch, length, config.heads, size]), [0, 2, 1, 3])


def layer_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """[rows, H] -> each row with mean 0 and variance 1, times gamma plus beta, both [H]."""
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, axes=[-1], keepdims=True)
    scaled = (wide - mean) * tf.math.rsqrt(variance + epsilon)
    return tf.cast(scaled, x.dtype) * gamma + beta
