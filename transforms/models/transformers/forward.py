"""The forward pass of a transformer, put together of blocks, and the encoder that runs it: a graph
for each layer, with its weights beside it or in it.

TensorFlow copies a graph's constants while it optimizes the graph: one graph for a layer keeps that
small. Exported models run the same functions, with their weights in variables.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from corpusvec.transforms.architectures import AFTER, AROUND, Reach, Transformer
from corpusvec.transforms.batches import filled, padded_length, padded_rows
from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.capacities import THIS_PROCESS, tokens_for
from corpusvec.transforms.models.compiled import Compiled
from corpusvec.transforms.models.devices import gpu_memory
from corpusvec.transforms.models.hardware import gpus, has_amx, prepare_threads, tf
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

# Of ids, segments, lengths and shares.
_SIGNATURE = [
    *[tf.TensorSpec([None, None], tf.int32)] * 2,
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None, None, None], tf.float32),
]


class TransformerEncoder:
    """A model with everything but what is wanted left out. Calls from several threads run side by
    side.
    """

    def __init__(
        self, spec: ModelSpec, wanted: Wanted, weights: Weights, devices: Sequence[str] = ()
    ):
        """`weights` by the names of `weights.shapes`. On `devices`, for tests, it computes as on
        GPUs.
        """
        assert spec.transformer is not None
        self.streams = prepare_threads(wanted.precision)
        self.hidden_size, self.layer_count = spec.hidden_size, spec.layer_count
        self.max_seq_length, self._longest = spec.max_seq_length, spec.longest_padded
        self._segments, self._few = spec.segments, bool(devices or gpus())
        self._wanted = wanted if self._few else replace(wanted, pooled=None)
        if gpus():
            longest, width = min(spec.max_seq_length or LONG, LONG), tf.as_dtype(wanted.dtype).size
            tokens = tokens_for(spec.transformer, longest, width, gpu_memory())
            THIS_PROCESS.want(tokens, few_shapes=True)
        self.graphs = [
            Graphs.build(spec.transformer, self._wanted, weights, device, bool(devices))
            for device in devices or gpus() or (None,)
        ]
        self._next = itertools.cycle(self.graphs)

    def encode(self, windows: Windows) -> Encoded:
        """Layers and pooled output as TensorFlow has them; on a GPU what is pooled of them."""
        ids, segments = filled(windows, padded_length(windows, self._longest, self._few))
        if not self._segments:
            segments[:] = 0
        lengths, shares = windows.lengths.astype(np.int32), self._shares(windows, ids.shape[1])
        given = _with_rows(padded_rows(windows, self._few), ids, segments, lengths, shares)
        found = next(self._next).run(*given).first(len(windows))
        return Encoded(
            windows,
            found.layers,
            found.outputs,
            states=poolings.states(self._wanted.columns, found.pooled, shares),
            finite=found.finite,
        )

    def _shares(self, windows: Windows, width: int) -> np.ndarray:
        if (plan := self._wanted.pooled) is None:
            return np.zeros((0, len(windows), width), np.float32)
        owned = poolings.Owned(windows, width)
        return poolings.shares(self._wanted.columns, owned, plan.mask_special)


def _with_rows(rows: int, ids, segments, lengths, shares) -> list[np.ndarray]:
    """With empty windows, so many that there are `rows` of them."""
    more = (0, rows - len(ids))
    pads = (more, (0, 0)), (more, (0, 0)), (more,), ((0, 0), more, (0, 0))
    given = ids, segments, lengths, shares
    return [np.pad(one, pad) if more[1] else one for one, pad in zip(given, pads)]


class Found(NamedTuple):
    """What comes out of the graphs: tensors on the device, or arrays. Layers are rows [B*T, H]
    there, and [B, T, H] here; outputs are [B, H], `pooled` [B, H] for each pooling of the columns,
    and `finite` [B] of each layer that is pooled.
    """

    layers: dict[Layer, Any]
    outputs: dict[str, Any]
    pooled: list[Any]
    finite: dict[Layer, Any]

    def first(self, count: int) -> Found:
        """Of the first windows."""
        return tf.nest.map_structure(lambda values: values[:count], self)


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
        device: str | None,
        at_once: bool,
    ):
        self.wanted, self.words, self.pool = wanted, words, pool
        self.usual = tracing.stack(by_blocks=False)
        self._device, self._run = device, functools.partial(self._compute, self.usual)
        self.compiled = device and Compiled(self._run, _SIGNATURE, device, at_once)
        self._tracing, self._lock = tracing, Lock()
        self._long: Stack | None = None

    @classmethod
    def build(
        cls,
        config: Transformer,
        wanted: Wanted,
        weights: Weights,
        device: str | None = None,
        at_once: bool = False,
    ) -> Graphs:
        """All that is wanted, no more; on a `device` as GPUs want it, see `Compiled`."""
        dtype = tf.as_dtype(wanted.dtype)
        count = config.layer_count if wanted.pooler else max(map(int, wanted.layers), default=0)
        config = config.lower(count)
        in_graph = dtype == tf.bfloat16 and (has_amx() or config.hidden_size < SMALL_HIDDEN)
        for_cpu = not device and in_graph, not device and norms.fuse(dtype)
        with tf.device(device):
            tracing = Tracing(config, Fixed(weights, dtype, *for_cpu))
            pool = tracing.pooler() if wanted.pooler else None
            words = held(weights, WORDS, dtype)
            return cls(wanted, words, tracing, pool, device, at_once)

    def run(
        self, ids: np.ndarray, segments: np.ndarray, lengths: np.ndarray, shares: np.ndarray
    ) -> Found:
        """ids and segments [B, T], lengths [B], all int32, and the tokens' shares in what is
        pooled [poolings, B, T] float32 -> what is wanted, in float32; layers of the token table in
        the type of the files, and states of poolings in float64.
        """
        given = ids, segments, lengths, shares
        if self._is_long(ids.shape[1]):
            with tf.device(self._device):
                found = self._compute(self._blocks(), *map(tf.constant, given))
        elif self.compiled:
            found = self.compiled(*given)
        else:
            found = self._run(*map(tf.constant, given))
        layers = {layer: self._layer(rows, ids.shape) for layer, rows in found.layers.items()}
        rest = tf.nest.map_structure(lambda values: values.numpy(), found._replace(layers={}))
        return rest._replace(layers=layers)

    def _compute(self, stack: Stack, ids, segments, lengths, shares) -> Found:
        x, around = stack.begin(self.words, ids, segments, lengths)
        rows: dict[Layer, tf.Tensor] = {}
        for index in range(len(stack.layers) + 1):
            if index > 0:
                function, reach = stack.layers[index - 1]
                x = function(x, around[reach])
            if index in self.wanted.layers:
                rows[index] = x
        outputs = {}
        if self.pool:
            outputs[POOLER] = tf.cast(self.pool(x, tf.shape(ids)[0]), tf.float32)
        given = {layer: rows[layer] for layer in self.wanted.given}
        if not self.wanted.columns:
            return Found(given, outputs, [], {})
        batch, length = tf.unstack(tf.shape(ids))
        wide = {
            layer: tf.cast(tf.reshape(one, [batch, length, one.shape[1]]), tf.float32)
            for layer, one in rows.items()
        }
        tokens = tf.sequence_mask(lengths, length)
        inside = {layer: finite(x, tokens) for layer, x in wide.items() if layer not in given}
        return Found(given, outputs, pooled(self.wanted.columns, wide, shares), inside)

    def _layer(self, rows: tf.Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """Rows [B*T, H] as [B, T, H], in the type of the files where that holds them."""
        plan = self.wanted.pooled
        if plan and plan.dtype == "float16":
            narrow = tf.cast(rows, tf.float16).numpy()
            if np.isfinite(narrow).all():
                return narrow.reshape(*shape, -1)
        return tf.cast(rows, tf.float32).numpy().reshape(*shape, -1)

    def _is_long(self, length: int) -> bool:
        return length > LONG and not self._tracing.config.attention.disentangled

    def _blocks(self) -> Stack:
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
    layer 0 as rows [B*T, H], and the surroundings of each of the `reaches`.
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
