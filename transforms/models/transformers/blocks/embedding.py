"""What a model makes of ids before its layers: rows of tables, added, and a norm over them."""

from __future__ import annotations

from corpusvec.transforms.architectures import BEFORE, Embeddings
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays


def embed(config: Embeddings, arrays: Arrays, words, ids, segments) -> tf.Tensor:
    """Words [V, W], ids and segments [B, T] -> layer 0 as rows [B*T, H]."""
    x = tf.gather(words, ids)  # [B, T, W]
    if config.scale != 1:
        x *= tf.cast(config.scale, arrays.dtype)
    if config.segment_types:
        # With one segment type, text B adds nothing: the original's one-hot vector of it is zero.
        known = tf.pad(arrays("embeddings/token_type_embeddings"), [[0, 1], [0, 0]])
        x += tf.gather(known, segments)
    if config.positions:
        x += _places(config, arrays, ids)
    x = tf.reshape(x, [-1, config.width])  # [B*T, W]
    if config.projection == BEFORE:
        x = arrays.dense(x, "embeddings/projection")
    if config.norm:
        x = arrays.norm(x, "embeddings", config.norm)
    if config.projection and config.projection != BEFORE:
        x = arrays.dense(x, "embeddings/projection")
    return arrays.dropped(x)


def _places(config: Embeddings, arrays: Arrays, ids) -> tf.Tensor:
    """Ids [B, T] -> rows of the table of positions, [T, W] or [B, T, W]."""
    table = arrays("embeddings/position_embeddings")
    first = config.first_position
    if not first:
        return table[: tf.shape(ids)[1]]
    # As in fairseq, whatever has the number of the padding is not counted.
    counted = tf.cast(ids != first - 1, tf.int32)
    return tf.gather(table, tf.cumsum(counted, axis=1) * counted + first - 1)
