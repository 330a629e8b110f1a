"""BERT's forward pass in TensorFlow, and the encoder that runs it: a graph for each layer, with its
weights beside it or in it.

Follows google-research/bert, modeling.py (post-layer-norm transformer). TensorFlow copies a graph's
constants while it optimizes the graph: one graph for a layer keeps that small. Exported models run
the same functions, with their weights in variables.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from corpusvec.transforms.batches import filled, padded_length
from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.hardware import has_amx, has_gpu, prepare_threads, tf
from corpusvec.transforms.specs import POOLER, BertConfig, Layer, ModelSpec, Wanted

Weights = Mapping[str, np.ndarray]
SMALL_HIDDEN = 512  # below that bfloat16 is faster with its weights in the graph

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
        assert spec.bert is not None
        self.streams = prepare_threads()
        self.hidden_size, self.layer_count = spec.hidden_size, spec.layer_count
        self.max_seq_length, self._longest = spec.max_seq_length, spec.longest_padded
        self._layers, self._segments = [int(layer) for layer in wanted.layers], spec.segments
        self._graphs = Graphs.build(spec.bert, wanted, weights)

    def encode(self, windows: Windows) -> Encoded:
        """Layers and pooled output as TensorFlow has them."""
        ids, segments = filled(windows, padded_length(windows, self._longest))
        if not self._segments:
            segments[:] = 0
        lengths = windows.lengths.astype(np.int32)
        found, pooled = self._graphs.run(ids, segments, lengths, self._layers)
        layers: dict[Layer, np.ndarray] = {layer: values for layer, values in found.items()}  # noqa: C416
        return Encoded(windows, layers, {} if pooled is None else {POOLER: pooled})


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """The graphs that a batch goes through, each traced once, for any B and T.

    `embed`: table of words [V, H], ids and segments [B, T] and lengths [B] -> rows [B*T, H], mask.
    `layers`: rows and mask -> rows, as many as the highest layer wanted. `pool`: rows, B -> [B, H],
    None unless it is wanted.
    """

    words: tf.Tensor
    embed: Callable[..., tuple[tf.Tensor, tf.Tensor]]
    layers: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]
    pool: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None

    @classmethod
    def build(cls, config: BertConfig, wanted: Wanted, weights: Weights) -> Graphs:
        """All that is wanted, no more."""
        dtype = tf.as_dtype(wanted.precision)
        count = config.layer_count if wanted.pooler else max(map(int, wanted.layers), default=0)
        rows = tf.TensorSpec([None, config.hidden_size], dtype)
        mask = tf.TensorSpec([None, 1, 1, None], dtype)
        table = tf.TensorSpec([config.vocab_size, config.hidden_size], dtype)
        ids, lengths = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

        in_graph = dtype == tf.bfloat16 and (has_amx() or config.hidden_size < SMALL_HIDDEN)
        fixed = Fixed(weights, dtype, in_graph, norms_fuse(dtype))

        def embed(config, arrays, words, ids, segments, lengths):
            tokens = tf.sequence_mask(lengths, tf.shape(ids)[1])
            rows = embeddings(config, arrays, words, ids, segments)
            return rows, attention_mask(tokens, dtype)

        def traced(function, *signature):
            def bound(*inputs):
                return function(config, fixed, *inputs)

            return tf.function(bound, autograph=False).get_concrete_function(*signature)

        return cls(
            words=tf.constant(weights["embeddings/word_embeddings"], dtype),
            embed=traced(embed, table, ids, ids, lengths),
            layers=[
                traced(functools.partial(layer, f"encoder/layer_{i}"), rows, mask)
                for i in range(count)
            ],
            pool=traced(pooler, rows, tf.TensorSpec([], tf.int32)) if wanted.pooler else None,
        )

    def run(
        self, ids: np.ndarray, segments: np.ndarray, lengths: np.ndarray, wanted: Sequence[int]
    ) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
        """ids and segments [B, T], lengths [B], all int32 -> the layers wanted by index, each
        [B, T, H] float32, and the pooled output [B, H] float32 or None.
        """
        x, mask = self.embed(self.words, *map(tf.constant, (ids, segments, lengths)))
        found = {}
        for index in range(len(self.layers) + 1):
            if index > 0:
                x = self.layers[index - 1](x, mask)
            if index in wanted:
                found[index] = tf.cast(x, tf.float32).numpy().reshape(*ids.shape, -1)
        if self.pool is None:
            return found, None
        return found, tf.cast(self.pool(x, tf.constant(len(ids))), tf.float32).numpy()


class Arrays(Protocol):
    """Where the forward pass gets its weights, by the names of `weights.shapes`."""

    @property
    def dtype(self) -> tf.DType:
        """Of all of them."""

    def __call__(self, name: str) -> tf.Tensor:
        """An array as it is."""

    def dense(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        """[rows, in] -> [rows, out], the outputs of several layers of one input side by side."""

    def norm(self, x: tf.Tensor, name: str, epsilon: float) -> tf.Tensor:
        """[rows, H] -> [rows, H], by `norm` or what equals it."""

    def dropped(self, x: tf.Tensor) -> tf.Tensor:
        """Of the same shape: what training leaves of it."""

    def dropped_attention(self, x: tf.Tensor) -> tf.Tensor:
        """The like for the weights of the attention."""


@dataclass(frozen=True, slots=True)
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

    def __call__(self, name: str) -> tf.Tensor:
        return self._tensor(self.weights[name])

    def dense(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        """[rows, in] -> [rows, out], the outputs of several layers of one input side by side."""
        kernels = [self.weights[f"{name}/kernel"] for name in names]
        biases = [self.weights[f"{name}/bias"] for name in names]
        product = tf.matmul(x, self._tensor(np.concatenate(kernels, axis=1)))
        return tf.nn.bias_add(product, self._tensor(np.concatenate(biases)))

    def norm(self, x: tf.Tensor, name: str, epsilon: float) -> tf.Tensor:
        gamma, beta = self(f"{name}/LayerNorm/gamma"), self(f"{name}/LayerNorm/beta")
        return (fused_norm if self.fused_norms else norm)(x, gamma, beta, epsilon)

    def dropped(self, x: tf.Tensor) -> tf.Tensor:
        return x

    dropped_attention = dropped

    def _tensor(self, values: np.ndarray) -> tf.Tensor:
        with contextlib.nullcontext() if self.in_graph else tf.init_scope():
            return tf.constant(values, self.dtype)


def embeddings(config: BertConfig, arrays: Arrays, words, ids, segments) -> tf.Tensor:
    """Words [V, H], ids and segments [B, T] -> layer 0 as rows [B*T, H]."""
    # With one segment type, text B adds nothing: the original's one-hot vector of it is zero.
    known = tf.pad(arrays("embeddings/token_type_embeddings"), [[0, 1], [0, 0]])
    types = tf.gather(known, segments)
    table = arrays("embeddings/position_embeddings")
    places = table[: tf.shape(ids)[1]]  # [T, H]
    if first := config.first_position:
        # As in fairseq, whatever has the number of the padding is not counted.
        counted = tf.cast(ids != first - 1, tf.int32)
        places = tf.gather(table, tf.cumsum(counted, axis=1) * counted + first - 1)  # [B, T, H]
    x = tf.reshape(tf.gather(words, ids) + types + places, [-1, config.hidden_size])  # [B*T, H]
    return arrays.dropped(arrays.norm(x, "embeddings", config.layer_norm_eps))


def attention_mask(tokens: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Tokens [B, T], none where there is padding -> [B, 1, 1, T]: 0 for a token, -10000 for
    padding, as the original; exp() of it is 0.
    """
    return (1.0 - tf.cast(tokens, dtype)[:, None, None, :]) * -10000.0


def layer(name: str, config: BertConfig, arrays: Arrays, x, mask) -> tf.Tensor:
    """Rows [B*T, H] and mask [B, 1, 1, T] -> rows [B*T, H]."""
    shape, size = tf.shape(mask), config.hidden_size // config.heads
    batch, length = shape[0], shape[3]
    attention = [f"{name}/attention/self/{part}" for part in ("query", "key", "value")]
    heads = tf.reshape(
        arrays.dense(x, *attention), [batch, length, 3, config.heads, size]
    )  # [B, T, 3, N, D]
    q, k, v = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]), num=3)  # each [B, N, T, D]
    scale = tf.cast(1.0 / np.sqrt(size), arrays.dtype)
    scores = tf.matmul(q, k, transpose_b=True) * scale + mask  # [B, N, T, T]
    shares = arrays.dropped_attention(tf.nn.softmax(scores))
    context = tf.transpose(tf.matmul(shares, v), [0, 2, 1, 3])  # [B, T, N, D]
    context = tf.reshape(context, tf.shape(x))  # as many rows: so TensorFlow adds x in the product
    attended = arrays.dropped(arrays.dense(context, f"{name}/attention/output/dense")) + x
    x = arrays.norm(attended, f"{name}/attention/output", config.layer_norm_eps)
    inner = ACTIVATIONS[config.activation](arrays.dense(x, f"{name}/intermediate/dense"))
    output = arrays.dropped(arrays.dense(inner, f"{name}/output/dense")) + x
    return arrays.norm(output, f"{name}/output", config.layer_norm_eps)


def norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """[rows, H] -> [rows, H], each row with mean 0 and variance 1, times gamma plus beta [H]."""
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, axes=[-1], keepdims=True)
    scaled = tf.cast((wide - mean) * tf.math.rsqrt(variance + epsilon), x.dtype)
    return scaled * gamma + beta


def fused_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """`norm` in the form that TensorFlow replaces by oneDNN's layer normalization: rows as the
    channels of one picture. Rounded otherwise in the last digit.
    """
    rows = tf.shape(x)[0]
    normed = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, [1, rows, -1, 1]),
        scale=tf.ones([rows]),
        offset=tf.zeros([rows]),
        mean=tf.constant([], tf.float32),
        variance=tf.constant([], tf.float32),
        epsilon=epsilon,
        data_format="NCHW",
        is_training=True,
    )
    return tf.reshape(normed.y, tf.shape(x)) * gamma + beta


@functools.cache
def norms_fuse(dtype: tf.DType) -> bool:
    """Whether `fused_norm` runs here: TensorFlow has that layout where it has oneDNN, and for GPUs,
    where it gains nothing. Not to be asked while a graph is traced.
    """
    if has_gpu():
        return False
    one = tf.ones([2, 2], dtype)
    try:
        tf.function(fused_norm, autograph=False)(one, one[0], one[0], 1e-12)
    except tf.errors.OpError:
        return False
    return True


def pooler(config: BertConfig, arrays: Arrays, x, batch) -> tf.Tensor:
    """Rows [B*T, H] of the last layer -> [B, H], of each window's [CLS]."""
    first = tf.reshape(x, [batch, -1, config.hidden_size])[:, 0]
    return tf.tanh(arrays.dense(first, "pooler/dense"))
