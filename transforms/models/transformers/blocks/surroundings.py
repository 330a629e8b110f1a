"""What a layer is told of a batch beside its rows: who attends to whom, and how far apart they are.
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
# and keys, `distances` [2T-1] are rows of the table of `Disentangled`, `tokens` [B*T, 1] is 0 for
# padding.
Surroundings = Mapping[str, tf.Tensor]


def surroundings(config: Transformer, reach: Reach, arrays: Arrays, tokens) -> Surroundings:
    """Tokens [B, T], false where there is padding -> see `Surroundings`."""
    length = tf.shape(tokens)[1]
    mask = _mask(reach, tokens, arrays.dtype)
    if buckets := config.attention.buckets:
        mask += _bias(buckets, arrays, length)
    found = {"mask": mask}
    if reach.rotary:
        found |= _turns(reach.rotary, length, arrays.dtype)
    if places := config.attention.disentangled:
        found["distances"] = _distances(places, length)
    if config.convolution:
        found["tokens"] = tf.cast(tf.reshape(tokens, [-1, 1]), arrays.dtype)
    return found


def _mask(reach: Reach, tokens, dtype: tf.DType) -> tf.Tensor:
    """[B, 1, 1 or T, T]: 0 where a token is attended to, and far below 0 where not: exp() of it is
    0, and a row of them alone is no NaN.
    """
    seen = tokens[:, None, None, :]
    if reach.back is not None or reach.ahead is not None:
        place = tf.range(tf.shape(tokens)[1])
        ahead = place[None, :] - place[:, None]  # [T, T], how far a key is ahead of a query
        if reach.back is not None:
            seen = tf.logical_and(seen, ahead >= -reach.back)
        if reach.ahead is not None:
            seen = tf.logical_and(seen, ahead <= reach.ahead)
    return tf.cast(tf.where(seen, 0.0, -1e4 if dtype == tf.float16 else -1e9), dtype)


def _turns(rotary: Rotary, length, dtype: tf.DType) -> dict[str, tf.Tensor]:
    """Cosine and sine for each position and pair of numbers, made in float32."""
    places = tf.cast(tf.range(length), tf.float32)
    angles = places[:, None] * tf.constant(rotary.frequencies, tf.float32)  # [T, D/2]
    turns = {"cos": tf.cos(angles), "sin": tf.sin(angles)}
    return {key: tf.cast(turn * rotary.factor, dtype)[:, None, :] for key, turn in turns.items()}


def _bias(buckets: Buckets, arrays: Arrays, length) -> tf.Tensor:
    """[1, heads, T, T]: what each head adds for the distance from query to key."""
    place = tf.range(length)
    ahead = place[None, :] - place[:, None]
    nearer = tf.minimum(tf.abs(ahead), buckets.furthest)
    bucket = tf.gather(tf.constant(bucket_numbers(buckets)), nearer)
    bucket += tf.where(ahead > 0, buckets.count // 2, 0)
    biases = tf.gather(arrays("encoder/relative_attention_bias"), bucket)  # [T, T, heads]
    return tf.transpose(biases, [2, 0, 1])[None]


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
