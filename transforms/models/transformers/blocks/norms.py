"""Normalization of each row by itself, computed in float32 whatever the rows are."""

from __future__ import annotations

import functools

from corpusvec.transforms.models.hardware import has_gpu, tf


def layer(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor | None, epsilon: float) -> tf.Tensor:
    """[..., H] -> [..., H], each row with mean 0 and variance 1, times gamma plus beta [H]."""
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, axes=[-1], keepdims=True)
    scaled = tf.cast((wide - mean) * tf.math.rsqrt(variance + epsilon), x.dtype) * gamma
    return scaled if beta is None else scaled + beta


def root_mean_square(x: tf.Tensor, gamma: tf.Tensor, epsilon: float) -> tf.Tensor:
    """[..., H] -> [..., H], each row divided by the root of the mean of its squares, times gamma
    [H].
    """
    squares = tf.reduce_mean(tf.square(tf.cast(x, tf.float32)), axis=-1, keepdims=True)
    return x * tf.cast(tf.math.rsqrt(squares + epsilon), x.dtype) * gamma


def fused(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """`layer` of rows [rows, H], in the form that TensorFlow replaces by oneDNN's layer
    normalization: rows as the channels of one picture. Rounded otherwise in the last digit. Without
    beta, TensorFlow would take for it whatever is added next, and fail or crash.
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
def fuse(dtype: tf.DType) -> bool:
    """Whether `fused` runs here: TensorFlow has that layout where it has oneDNN, and for GPUs,
    where it gains nothing. Not to be asked while a graph is traced.
    """
    if has_gpu():
        return False
    one = tf.ones([2, 2], dtype)
    try:
        tf.function(fused, autograph=False)(one, one[0], one[0], 1e-12)
    except tf.errors.OpError:
        return False
    return True
