"""Word vectors as a TF2 SavedModel that looks tokens up, for anyone to run and to train.

Follows examples/text_embeddings_v2 of tensorflow/hub. Unlike the original, which splits sentences
and pools, it takes tokens and gives each its own vector.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from transforms.models.exports import repeatable
from transforms.models.hardware import tf
from transforms.models.exports.word_vectors import WordVectors, spool

VOCABULARY = "tokens.txt"


def save_lookup(source: Path, oov_buckets: int, folder: Path) -> WordVectors:
    """Write a SavedModel: `__call__(tokens [N])` -> [N, D], and a signature `default`.

    A token that is not in the file has the row of one of `oov_buckets` behind the table's own, by
    its hash. Those rows are zero, as the original's, and trained as all others. Raises `ValueError`
    where the file is wrong.
    """
    # Beside the target: a table may be larger than the system's folder for temporary files.
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        vocabulary, rows = Path(place, VOCABULARY), Path(place, "rows")
        found = spool(source, vocabulary, rows)
        with rows.open("ab") as stream:
            stream.write(bytes(4 * found.dimensions * oov_buckets))
        shape = (found.words + oov_buckets, found.dimensions)
        table = tf.Variable(np.memmap(rows, np.float32, "r", shape=shape), name="embeddings")
        model = _lookup(table, vocabulary, oov_buckets)
        repeatable.save(model, folder, {"default": model.serve})
    return found


def _lookup(table: tf.Variable, vocabulary: Path, oov_buckets: int) -> tf.train.Checkpoint:
    numbers = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        oov_buckets,
    )
    signature = [tf.TensorSpec([None], tf.string, "tokens")]

    def call(tokens):
        return tf.gather(table, numbers.lookup(tokens))

    model = tf.train.Checkpoint()
    model.numbers = numbers
    model.variables = model.trainable_variables = [table]
    model.regularization_losses = []
    model.__call__ = tf.function(call, input_signature=signature, autograph=False)
    model.serve = tf.function(
        lambda tokens: {"default": call(tokens)}, input_signature=signature, autograph=False
    )
    return model
