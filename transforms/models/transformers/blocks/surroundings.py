"""What a layer needs besides the rows of a batch: who attends to whom, and how far apart they are.
It is made once for all layers of one reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from corpusvec.transforms.architectures import Buckets, Disentangled, Reach, Rotary, Transformer
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays

# `mask` [B, 1 or heads, 1 or T, T] is added to the scores, `cos` and `sin` [T, 1, D/2] turn queries
# and keys (where a window's length matters [B, T, 1, D/2]), `distances` [2T-1] are rows of the
# table of `Disentangled`, `tokens` [B*T, 1] is 0 for padding. Of long texts `mask` [B, 1, 1, T] is
# of the padding alone, and `biases` [heads, 2T-1] are what is added for distances.
Surroundings = Mapping[str, tf.Tensor]


def surroundings(
    config: Transformer, reach: Reach, arrays: Arrays, tokens, by_blocks: bool = False
) -> Surroundings:
    """Tokens [B, T], false where there is padding -> see `Surroundings`."""
    length = tf.shape(tokens)[1]
    everything = Reach() if by_blocks else reach
    found = {"mask": _added(_seen(everything, tokens), arrays.dtype)}
    if buckets := config.attention.buckets:
        biases = _biases(buckets, arrays, length)
        if by_blocks:
            found["biases"] = biases
        else:
            found["mask"] += tf.gather(biases, _ahead(length) + length - 1, axis=1)[None]
    if reach.rotary:
        found |= _turns(reach.rotary, tokens, arrays.dtype)
    if places := config.attention.disentangled:
        found["distances"] = _distances(places, length)
    if config.convolution:
        found["tokens"] = tf.cast(tf.reshape(tokens, [-1, 1]), arrays.dtype)
    return found


def part_of_mask(reach: Reach, around: Surroundings, start, stop, first, last) -> tf.Tensor:
    """The mask of queries from `start` to `stop` and keys from `first` to `last`: [B, 1 or heads, 1
    or queries, keys].
    """
    mask = around["mask"][:, :, :, first:last]
    ahead = tf.range(first, last)[None, :] - tf.range(start, stop)[:, None]
    if reach.back is not None or reach.ahead is not None:
        mask += _added(_within(reach, ahead), mask.dtype)
    if (biases := around.get("biases")) is not None:
        mask += tf.gather(biases, ahead + tf.shape(around["mask"])[3] - 1, axis=1)[None]
    return mask


def _seen(reach: Reach, tokens) -> tf.Tensor:
    """[B, 1, 1 or T, T]: which keys each query attends to."""
    seen = tokens[:, None, None, :]
    if reach.back is None and reach.ahead is None:
        return seen
    return tf.logical_and(seen, _within(reach, _ahead(tf.shape(tokens)[1])))


def _ahead(length) -> tf.Tensor:
    """[T, T]: how far each key is ahead of each query."""
    place = tf.range(length)
    return place[None, :] - place[:, None]


def _within(reach: Reach, ahead) -> tf.Tensor:
    within = tf.ones_like(ahead, tf.bool)
    if reach.back is not None:
        within = tf.logical_and(within, ahead >= -reach.back)
    if reach.ahead is not None:
        within = tf.logical_and(within, ahead <= reach.ahead)
    return within


def _added(seen, dtype: tf.DType) -> tf.Tensor:
    """0 where a key is attended to, and far below 0 where not: exp() of it is 0, and a row of them
    alone is no NaN.
    """
    return tf.cast(tf.where(seen, 0.0, -1e4 if dtype == tf.float16 else -1e9), dtype)


def _turns(rotary: Rotary, tokens, dtype: tf.DType) -> dict[str, tf.Tensor]:
    """Cosine and sine for each position and pair of numbers, made in float32."""
    places = tf.cast(tf.range(tf.shape(tokens)[1]), tf.float32)
    frequencies = tf.constant(rotary.frequencies, tf.float32)
    if rotary.long:
        lengths = tf.reduce_sum(tf.cast(tokens, tf.int32), axis=1)[:, None, None]
        long = tf.constant(rotary.long, tf.float32)
        frequencies = tf.where(lengths > rotary.usual_length, long, frequencies)  # [B, 1, D/2]
    angles = places[:, None] * frequencies  # [T, D/2] or [B, T, D/2]
    turns = {"cos": tf.cos(angles), "sin": tf.sin(angles)}
    return {key: tf.cast(turn * rotary.factor, dtype)[..., None, :] for key, turn in turns.items()}


def _biases(buckets: Buckets, arrays: Arrays, length) -> tf.Tensor:
    """[heads, 2T-1]: what each head adds for a key that is T-1 behind the query to T-1 ahead."""
    ahead = tf.range(1 - length, length)
    nearer = tf.minimum(tf.abs(ahead), buckets.furthest)
    bucket = tf.gather(tf.constant(bucket_numbers(buckets)), nearer)
    bucket += tf.where(ahead > 0, buckets.count // 2, 0)
    return tf.transpose(tf.gather(arrays("encoder/relative_attention_bias"), bucket))


def bucket_numbers(buckets: Buckets) -> np.ndarray:
    """The bucket of each distance from 0 to `furthest` on one side.

    Source: transformers 5.23, T5Attention and MPNetEncoder: half of them are exact, the others
    grow as the logarithm, which is computed in float32.
    """
    side = buckets.count // 2
    exact = side // 2
    distance = np.arange(buckets.furthest + 1)
    logs = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    scale = np.float32(math.log(buckets.furthest / exact))
    far = exact + (logs / scale * np.float32(side - exact)).astype(np.int32)
    return np.where(distance < exact, distance, np.minimum(far, side - 1)).astype(np.int32)


def _distances(config: Disentangled, length) -> tf.Tensor:
    """[2T-1]: rows of the table for queries that are T-1 behind the key to T-1 ahead of it."""
    ahead = tf.range(1 - length, length)
    if config.buckets:
        nearer = tf.minimum(tf.abs(ahead), config.furthest)
        ahead = tf.sign(ahead) * tf.gather(tf.constant(log_buckets(config)), nearer)
    return tf.clip_by_value(ahead + config.span, 0, 2 * config.span - 1)


def log_buckets(config: Disentangled) -> np.ndarray:
    """The bucket of each distance from 0 to `furthest`, from where they do not differ.

    Source: transformers 5.23, models/deberta_v2, make_log_bucket_position, in float32.
    """
    middle = config.buckets // 2
    distance = np.arange(config.furthest + 1)
    logs = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(middle))
    scale = np.log(np.float32((config.furthest - 1) / middle))
    far = np.ceil(logs / scale * np.float32(middle - 1)).astype(np.int32) + middle
    return np.where(distance <= middle, distance, far).astype(np.int32)
