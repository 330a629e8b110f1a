"""The forward pass of a transformer, put together of blocks, and the encoder that runs it: a graph
for each layer, with its weights beside it or in it.

TensorFlow copies a graph's constants while it optimizes the graph: one graph for a layer keeps that
small. Exported models run the same functions, with their weights in variables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from corpusvec.transforms.architectures import AFTER, AROUND, Reach, Transformer
from corpusvec.transforms.batches import filled, padded_length
from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.hardware import has_amx, has_gpu, prepare_threads, tf
from corpusvec.transforms.models.transformers.blocks import norms
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays, Fixed, Weights, held
from corpusvec.transforms.models.transformers.blocks.attention import attend
from corpusvec.transforms.models.transformers.blocks.convolution import convolved
from corpusvec.transforms.models.transformers.blocks.embedding import embed
from corpusvec.transforms.models.transformers.blocks.feed_forward import feed_forward
from corpusvec.transforms.models.transformers.blocks.pooling import finite, pooled
from corpusvec.transforms.models.transformers.blocks.surroundings import (
    Surroundings,
    surroundings,
)
from corpusvec.transforms.models.transformers.weights import WORDS, layer_name, norm_places
from corpusvec.transforms.specs import POOLER, Layer, ModelSpec, Wanted
from corpusvec.transforms.vectors import poolings

SMALL_HIDDEN = 512  # below that bfloat16 is faster with its weights in the graph
LONG = 1024  # tokens, above which the attention is computed block by block


class TransformerEncoder:
    """A model with everything but what is wanted left out. Calls from several threads run side by
    side.
    """

    def __init__(
        self, spec: ModelSpec, wanted: Wanted, weights: Weights, like_gpu: bool | None = None
    ):
        """`weights` by the names of `weights.shapes`; `like_gpu`, for tests, is what a GPU would
        run.
        """
        assert spec.transformer is not None
        self.streams = prepare_threads(wanted.precision)
        self.hidden_size, self.layer_count = spec.hidden_size, spec.layer_count
        self.max_seq_length, self._longest = spec.max_seq_length, spec.longest_padded
        self._segments = spec.segments
        if not (has_gpu() if like_gpu is None else like_gpu):
            wanted = replace(wanted, pooled=None)
        self._wanted, self._graphs = wanted, Graphs.build(spec.transformer, wanted, weights)

    def encode(self, windows: Windows) -> Encoded:
        """Layers and pooled output as TensorFlow has them; on a GPU what is pooled of them."""
        ids, segments = filled(windows, padded_length(windows, self._longest))
        if not self._segments:
            segments[:] = 0
        shares = self._shares(windows, ids.shape[1])
        found = self._graphs.run(ids, segments, windows.lengths.astype(np.int32), shares)
        return Encoded(
            windows,
            found.layers,
            {} if found.pooler is None else {POOLER: found.pooler},
            states=poolings.states(self._wanted.columns, found.pooled, shares),
            finite=found.finite,
        )

    def _shares(self, windows: Windows, width: int) -> np.ndarray:
        plan = self._wanted.pooled
        owned = poolings.Owned(windows, width)
        return poolings.shares(self._wanted.columns, owned, bool(plan and plan.mask_special))


class Found(NamedTuple):
    """What comes out of the graphs: tensors on the device, or arrays. Layers are rows [B*T, H]
    there, and [B, T, H] here; `pooler` is [B, H], `pooled` [B, H] for each pooling of the columns,
    and `finite` [B] of each layer that is pooled.
    """

    layers: dict[Layer, Any]
    pooler: Any
    pooled: list[Any]
    finite: dict[Layer, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The graphs that a batch goes through, each traced once, for any B and T.

    `begin`: table of words [V, W], ids and segments [B, T] and lengths [B] -> rows [B*T, H], and
    what `surroundings` gives for each reach. `layers`: rows and the surroundings of a reach ->
    rows, as many as the highest layer wanted, each with the number of its reach.
    """

    begin: Callable[..., tuple[tf.Tensor, list[Surroundings]]]
    layers: Sequence[tuple[Callable[[tf.Tensor, Surroundings], tf.Tensor], int]]


class Graphs:
    """A model up to the highest layer wanted. Its attention is computed at once; in batches of long
    texts block by block, by graphs that are made when the first of these comes.

    `pool`: rows, B -> [B, H], None unless it is wanted.
    """

    def __init__(
        self,
        wanted: Wanted,
        words: tf.Tensor,
        tracing: Tracing,
        pool: Callable[..., tf.Tensor] | None,
    ):
        self.wanted, self.words, self.pool = wanted, words, pool
        self.usual = tracing.stack(by_blocks=False)
        self._tracing, self._lock = tracing, Lock()
        self._long: Stack | None = None

    @classmethod
    def build(cls, config: Transformer, wanted: Wanted, weights: Weights) -> Graphs:
        """All that is wanted, no more."""
        dtype = tf.as_dtype(wanted.dtype)
        count = config.layer_count if wanted.pooler else max(map(int, wanted.layers), default=0)
        config = config.lower(count)
        in_graph = dtype == tf.bfloat16 and (has_amx() or config.hidden_size < SMALL_HIDDEN)
        tracing = Tracing(config, Fixed(weights, dtype, in_graph, norms.fuse(dtype)))
        pool = tracing.pooler() if wanted.pooler else None
        return cls(wanted, held(weights, WORDS, dtype), tracing, pool)

    def run(
        self, ids: np.ndarray, segments: np.ndarray, lengths: np.ndarray, shares: np.ndarray
    ) -> Found:
        """ids and segments [B, T], lengths [B], all int32, and the tokens' shares in what is
        pooled [poolings, B, T] float32 -> what is wanted, in float32; layers of the token table in
        the type of the files, and states of poolings in float64.
        """
        stack = self._stack(ids.shape[1])
        found = self._compute(stack, *map(tf.constant, (ids, segments, lengths, shares)))
        return Found(
            {layer: self._layer(rows, ids.shape) for layer, rows in found.layers.items()},
            None if found.pooler is None else found.pooler.numpy(),
            [values.numpy() for values in found.pooled],
            {layer: good.numpy() for layer, good in found.finite.items()},
        )

    def _compute(self, stack: Stack, ids, segments, lengths, shares) -> Found:
        x, around = stack.begin(self.words, ids, segments, lengths)
        rows: dict[Layer, tf.Tensor] = {}
        for index in range(len(stack.layers) + 1):
            if index > 0:
                function, reach = stack.layers[index - 1]
                x = function(x, around[reach])
            if index in self.wanted.layers:
                rows[index] = x
        pooler = self.pool and tf.cast(self.pool(x, tf.shape(ids)[0]), tf.float32)
        given = {layer: rows[layer] for layer in self.wanted.given}
        if not self.wanted.columns:
            return Found(given, pooler, [], {})
        batch, length = tf.unstack(tf.shape(ids))
        wide = {
            layer: tf.cast(tf.reshape(one, [batch, length, one.shape[1]]), tf.float32)
            for layer, one in rows.items()
        }
        tokens = tf.sequence_mask(lengths, length)
        inside = {layer: finite(x, tokens) for layer, x in wide.items() if layer not in given}
        return Found(given, pooler, pooled(self.wanted.columns, wide, shares), inside)

    def _layer(self, rows: tf.Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """Rows [B*T, H] as [B, T, H], in the type of the files where that holds them."""
        plan = self.wanted.pooled
        if plan and plan.dtype != "float32":
            narrow = tf.cast(rows, plan.dtype).numpy()
            if np.isfinite(narrow).all():
                return narrow.reshape(*shape, -1)
        return tf.cast(rows, tf.float32).numpy().reshape(*shape, -1)

    def _stack(self, length: int) -> Stack:
        if length <= LONG or self._tracing.config.attention.disentangled:
            return self.usual
        with self._lock:
            long = self._long = self._long or self._tracing.stack(by_blocks=True)
        return long


@dataclass(frozen=True, slots=True)
class Tracing:
    """How the graphs of a model are made."""

    config: Transformer
    arrays: Fixed

    def stack(self, by_blocks: bool) -> Stack:
        begin = self._begin(by_blocks)
        return Stack(begin, self._layers(begin.structured_outputs[1], by_blocks))

    def _begin(self, by_blocks: bool):
        embeddings = self.config.embeddings
        table = tf.TensorSpec([embeddings.vocab_size, embeddings.width], self.arrays.dtype)
        ids, lengths = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

        def run(words, ids, segments, lengths):
            tokens = tf.sequence_mask(lengths, tf.shape(ids)[1])
            return start(self.config, self.arrays, words, ids, segments, tokens, by_blocks)

        return _traced(run, table, ids, ids, lengths)

    def _layers(
        self, given: Sequence[Surroundings], by_blocks: bool
    ) -> list[tuple[Callable[..., tf.Tensor], int]]:
        """Of `given` surroundings; layers that compute the same are one graph."""
        config, kinds = self.config, reaches(self.config)
        made: dict[tuple[int, ...], Callable[..., tf.Tensor]] = {}
        found = []
        for number, reach in enumerate(config.reaches):
            kind = kinds.index(reach)
            ends = number == 0, number == config.layer_count - 1
            key = (config.source(number), kind, *(ends if config.ends_differ else ()))
            if key not in made:
                shapes = {name: _shape(one) for name, one in given[kind].items()}
                run = functools.partial(layer, config, number, self.arrays, by_blocks=by_blocks)
                made[key] = _traced(run, self._rows(), shapes)
            found.append((made[key], kind))
        return found

    def pooler(self):
        run = functools.partial(pooler, self.config, self.arrays)
        return _traced(run, self._rows(), tf.TensorSpec([], tf.int32))

    def _rows(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, self.config.hidden_size], self.arrays.dtype)


def _traced(function, *signature):
    def bound(*inputs):
        return function(*inputs)

    return tf.function(bound, autograph=False).get_concrete_function(*signature)


def _shape(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def start(
    config: Transformer, arrays: Arrays, words, ids, segments, tokens, by_blocks: bool = False
) -> tuple[tf.Tensor, list[Surroundings]]:
    """Words [V, W], ids and segments [B, T], and tokens [B, T], none where there is padding ->
    layer 0 as rows [B*T, H], and what each of the `reaches` is told.
    """
    x = embed(config.embeddings, arrays, words, ids, segments)
    around = [surroundings(config, reach, arrays, tokens, by_blocks) for reach in reaches(config)]
    return x, around


def reaches(config: Transformer) -> tuple[Reach, ...]:
    """Those of the layers, each once."""
    return tuple(dict.fromkeys(config.reaches))


def layer(
    config: Transformer,
    number: int,
    arrays: Arrays,
    x,
    around: Surroundings,
    by_blocks: bool = False,
) -> tf.Tensor:
    """Rows [B*T, H] -> rows [B*T, H]; `around` is of the layer's reach, made `by_blocks` or not."""
    name, embedded = layer_name(config, number), x
    places = norm_places(config, number)

    def half(x, before, compute, after):
        inner = arrays.norm(x, f"{name}/{before}", config.norm) if before in places else x
        found = compute(inner)
        if config.norms == AROUND:
            found = arrays.norm(found, f"{name}/{after}", config.norm)
        found += x
        return (
            found if config.norms != AFTER else arrays.norm(found, f"{name}/{after}", config.norm)
        )

    def attention(x):
        reach = config.reaches[number] if by_blocks else None
        return attend(config.attention, name, arrays, x, around, reach)

    def own(x):
        return feed_forward(config.feed_forward, name, arrays, x)

    x = half(x, "attention/input", attention, "attention/output")
    x = half(x, "intermediate/input", own, "output")
    if config.convolution and number == 0:
        x = convolved(config, arrays, embedded, x, around)
    if config.final_norm and number == config.layer_count - 1:
        x = arrays.norm(x, "encoder/final", config.norm)
    return x


def pooler(config: Transformer, arrays: Arrays, x, batch) -> tf.Tensor:
    """Rows [B*T, H] of the last layer -> [B, H], of each window's [CLS]."""
    first = tf.reshape(x, [batch, -1, config.hidden_size])[:, 0]
    return tf.tanh(arrays.dense(first, "pooler/dense"))
