"""The half of a layer in which tokens look at each other."""

from __future__ import annotations

from corpusvec.transforms.architectures import Attention, Disentangled, Reach
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays
from corpusvec.transforms.models.transformers.blocks.surroundings import (
    Surroundings,
    part_of_mask,
)

BLOCK = 512  # queries at once in long texts


def attend(
    config: Attention, name: str, arrays: Arrays, x, around: Surroundings, reach: Reach | None
) -> tf.Tensor:
    """Rows [B*T, H] -> rows [B*T, H]. With a `reach` the surroundings are those of long texts, and
    the queries are taken block by block: scores are as many as a block has queries times keys, and
    of a window the keys of that alone.
    """
    own = f"{name}/attention/self"
    queries, keys, values = _heads(config, own, arrays, x, around)
    if reach is None:
        scores = _products(queries, keys)
        if config.disentangled:
            scores += _of_distances(config, own, arrays, queries, keys, around["distances"])
        context = _context(config, arrays, scores, around["mask"], values)
    else:
        context = _by_blocks(config, arrays, queries, keys, values, around, reach)
    # Of the shape of x where it has that: so TensorFlow adds x in the product.
    width = config.heads * config.head_size
    context = tf.reshape(context, tf.shape(x) if x.shape[1] == width else [-1, width])
    return arrays.dropped(arrays.dense(context, f"{name}/attention/output/dense"))


def _context(config: Attention, arrays: Arrays, scores, mask, values) -> tf.Tensor:
    """Scores and mask [B, N, T, S], values [B, G, S, D] -> [B, T, N, D]."""
    scores = scores * tf.cast(config.scale, arrays.dtype) + mask
    shares = arrays.dropped_attention(tf.nn.softmax(scores))
    return tf.transpose(_mixed(shares, values), [0, 2, 1, 3])


def _by_blocks(
    config: Attention, arrays: Arrays, queries, keys, values, around: Surroundings, reach: Reach
) -> tf.Tensor:
    """Queries [B, N, T, D], keys and values [B, G, T, D] -> [B, T, N, D]."""
    length = tf.shape(queries)[2]

    def block(start, found):
        stop = tf.minimum(start + BLOCK, length)
        first = 0 if reach.back is None else tf.maximum(start - reach.back, 0)
        last = length if reach.ahead is None else tf.minimum(stop + reach.ahead, length)
        mask = part_of_mask(reach, around, start, stop, first, last)
        scores = _products(queries[:, :, start:stop], keys[:, :, first:last])
        context = _context(config, arrays, scores, mask, values[:, :, first:last])
        rows = tf.transpose(context, [1, 0, 2, 3])
        return stop, found.write(found.size(), rows)

    found = tf.TensorArray(arrays.dtype, 0, dynamic_size=True, infer_shape=False)
    found = tf.while_loop(
        lambda start, _: start < length, block, (0, found), parallel_iterations=1
    )[1]
    return tf.transpose(found.concat(), [1, 0, 2, 3])


def _heads(
    config: Attention, own: str, arrays: Arrays, x, around: Surroundings
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows -> queries [B, N, T, D], keys and values [B, G, T, D]."""
    shape = tf.shape(around["mask"])
    batch, length = shape[0], shape[3]
    rows = arrays.dense(x, *(f"{own}/{part}" for part in ("query", "key", "value")))
    if config.groups == config.heads and not config.head_norm and "cos" not in around:
        parts = tf.reshape(rows, [batch, length, 3, config.heads, config.head_size])
        return tuple(tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), num=3))
    count = config.heads + 2 * config.groups
    parts = tf.reshape(rows, [batch, length, count, config.head_size])
    queries, keys, values = tf.split(parts, [config.heads, *[config.groups] * 2], axis=2)
    if config.head_norm:
        queries = arrays.norm(queries, f"{own}/query", config.head_norm)
        keys = arrays.norm(keys, f"{own}/key", config.head_norm)
    if "cos" in around:
        queries, keys = (_turned(part, around["cos"], around["sin"]) for part in (queries, keys))
    return tuple(tf.transpose(part, [0, 2, 1, 3]) for part in (queries, keys, values))


def _turned(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor) -> tf.Tensor:
    """[B, T, N, D]: each number of the first half of a head and its fellow in the second half,
    turned by the angle of its position.
    """
    first, second = tf.split(x, 2, axis=-1)
    return tf.concat([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _products(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Queries [B, N, T, D], keys [B, G, S, D] -> [B, N, T, S]."""
    if queries.shape[1] == keys.shape[1]:
        return tf.matmul(queries, keys, transpose_b=True)
    shape = tf.shape(queries)
    # The heads of a group, one below the other, are one product.
    grouped = tf.reshape(queries, [shape[0], keys.shape[1], -1, shape[3]])
    products = tf.matmul(grouped, keys, transpose_b=True)
    return tf.reshape(products, [shape[0], queries.shape[1], shape[2], tf.shape(keys)[2]])


def _mixed(shares: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Shares [B, N, T, S], values [B, G, S, D] -> [B, N, T, D]."""
    if shares.shape[1] == values.shape[1]:
        return tf.matmul(shares, values)
    shape = tf.shape(shares)
    grouped = tf.reshape(shares, [shape[0], values.shape[1], -1, shape[3]])
    mixed = tf.matmul(grouped, values)
    return tf.reshape(mixed, [shape[0], shares.shape[1], shape[2], values.shape[3]])


def _of_distances(
    config: Attention, own: str, arrays: Arrays, queries, keys, distances
) -> tf.Tensor:
    """[B, N, T, T]: queries against the keys of distances, and keys against the queries of
    distances.

    A distance needs one product with each token, not one with each pair that is so far apart.
    """
    places = config.disentangled
    assert places is not None
    length, found = tf.shape(queries)[2], []
    if places.to_position:
        table = _table(config, places, own, arrays, "key")
        rows = tf.gather(table, distances[::-1], axis=1)  # [N, 2T-1, D], by key minus query
        found.append(_slanted(_with_distances(queries, rows), length))
    if places.from_position:
        table = _table(config, places, own, arrays, "query")
        rows = tf.gather(table, distances, axis=1)
        by_key = _slanted(_with_distances(keys, rows), length)
        found.append(tf.transpose(by_key, [0, 1, 3, 2]))
    return tf.add_n(found) if found else tf.zeros([], arrays.dtype)


def _with_distances(heads: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """[B, N, T, D] and [N, P, D] -> [B, N, T, P]."""
    if heads.shape[1] == 1:  # a matmul would read beyond the rows (TensorFlow 2.21)
        return tf.einsum("bntd,npd->bntp", heads, rows)
    return tf.matmul(heads, rows, transpose_b=True)


def _table(
    config: Attention, places: Disentangled, own: str, arrays: Arrays, part: str
) -> tf.Tensor:
    """[N, 2 spans, D]: the keys or the queries of all distances."""

    def made(arrays: Arrays) -> tf.Tensor:
        rows = arrays("encoder/rel_embeddings")
        if places.norm:
            rows = arrays.norm(rows, "encoder/rel_embeddings", places.norm)
        name = f"{own}/{part}" if places.shared else f"{own}/position_{part}"
        heads = tf.reshape(arrays.dense(rows, name), [-1, config.heads, config.head_size])
        return tf.transpose(heads, [1, 0, 2])

    return arrays.once(made)


def _slanted(x: tf.Tensor, length) -> tf.Tensor:
    """[B, N, T, 2T-1] whose columns are distances from -(T-1) on -> [B, N, T, T] whose columns are
    places: row i begins at column T-1-i.
    """
    shape = tf.shape(x)
    flat = tf.reshape(tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1]]), [shape[0], shape[1], -1])
    flat = flat[:, :, length - 1 : length * 2 * length - 1]
    return tf.reshape(flat, [shape[0], shape[1], length, 2 * length - 1])[:, :, :, :length]
