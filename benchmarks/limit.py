"""`python -m benchmarks.limit PRECISION`: the matrix products of BERT-base's layers and nothing
else, as a server; its unit is the GFLOP.

What the machine gives in TensorFlow: constant weights, as many rows as a batch has tokens, one
stream a core with one thread each.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.peers.serving import serve

ROWS = 1024
# [rows x in x out]: query, key and value side by side, the attention's output, the two dense layers
PRODUCTS = ((768, 2304), (768, 768), (768, 3072), (3072, 768))
_LAYERS = 24  # a slice, over all streams; more where they do not share it evenly


def main(precision: str) -> None:
    from corpusvec.transforms.models.hardware import prepare_threads, tf

    streams = prepare_threads(precision)
    dtype = tf.as_dtype(precision)
    chance = np.random.default_rng(0)

    def product(rows: int, columns: int):
        weights = tf.constant(chance.standard_normal((rows, columns)), dtype).numpy()
        function = tf.function(lambda x: tf.matmul(x, tf.constant(weights)), autograph=False)
        inputs = tf.constant(chance.standard_normal((ROWS, rows)), dtype)
        return function.get_concrete_function(tf.TensorSpec([None, rows], dtype)), inputs

    # Each stream has its own, as inputs in a cache are its core's.
    sets = [[product(*shape) for shape in PRODUCTS] for _ in range(streams)]

    each = -(-_LAYERS // streams)

    def layers(products) -> None:
        for _ in range(each):
            for function, inputs in products:
                function(inputs)

    flops = 2 * ROWS * sum(rows * columns for rows, columns in PRODUCTS)  # of a layer
    with ThreadPoolExecutor(streams) as threads:

        def multiply() -> float:
            list(threads.map(layers, sets))
            return flops * each * streams / 1e9

        serve(multiply)


if __name__ == "__main__":
    main(*sys.argv[1:])
