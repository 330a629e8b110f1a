"""Tiny TF2 SavedModels with random weights, what each should give, and broken copies of models.

The same arguments always make the same values. References are plain NumPy on the same weights (the
hashes of words alone are TensorFlow's); they share no code with the program, nor with the models.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from tests.models import TEXTS, bert_weights, sentence_piece_model, word_piece_vocabulary

# ------------------------------------------------------------------------------ BERT, arithmetic


def bert_in_tensorflow(weights: Mapping[str, Any], heads: int, ids, mask, segments, dropout=0.0):
    """`ids`, `mask`, `segments` [B, T] int32 -> (layers 0 to L [B, T, H], pooled [B, H]);
    that is None for weights without pooler. `weights` are variables.
    """
    import tensorflow as tf

    def dense(x, name):
        return tf.matmul(x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]

    def norm(x, name):
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        gamma, beta = weights[f"{name}/LayerNorm/gamma"], weights[f"{name}/LayerNorm/beta"]
        normed = gamma * (x - mean) * tf.math.rsqrt(variance + 1e-12) + beta
        return tf.nn.dropout(normed, dropout) if dropout else normed

    batch, length = tf.shape(ids)[0], tf.shape(ids)[1]
    hidden = weights["bert/embeddings/word_embeddings"].shape[1]

    def split(x):  # [B, T, H] -> [B, heads, T, H / heads]
        return tf.transpose(tf.reshape(x, [batch, length, heads, hidden // heads]), [0, 2, 1, 3])

    unseen = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * -1e9  # [B, 1, 1, T]
    x = tf.gather(weights["bert/embeddings/word_embeddings"], ids)
    x += tf.gather(weights["bert/embeddings/token_type_embeddings"], segments)
    x += tf.gather(weights["bert/embeddings/position_embeddings"], tf.range(length))
    layers = [norm(x, "bert/embeddings")]
    while f"bert/encoder/layer_{len(layers) - 1}/output/dense/kernel" in weights:
        x, name = layers[-1], f"bert/encoder/layer_{len(layers) - 1}"
        query, key, value = (
            split(dense(x, f"{name}/attention/self/{part}")) for part in ("query", "key", "value")
        )
        scores = tf.matmul(query, key, transpose_b=True) * (hidden // heads) ** -0.5 + unseen
        context = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        context = tf.reshape(context, [batch, length, hidden])
        attended = dense(context, f"{name}/attention/output/dense") + x
        attended = norm(attended, f"{name}/attention/output")
        inner = tf.nn.gelu(dense(attended, f"{name}/intermediate/dense"), approximate=True)
        layers.append(norm(dense(inner, f"{name}/output/dense") + attended, f"{name}/output"))
    if "bert/pooler/dense/kernel" not in weights:
        return layers, None
    return layers, tf.tanh(dense(layers[-1][:, 0], "bert/pooler/dense"))


def bert_parts(
    *,
    layers: int = 2,
    hidden: int = 16,
    heads: int = 2,
    vocab: Sequence[str] | None = None,
    do_lower_case: bool | None = True,
    sentencepiece: bool = False,
    positions: int = 64,
    with_pooler: bool = True,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, Any], str, bytes]:
    """Weights and configuration for `oracles.bert`; the vocabulary's file name and content."""
    if sentencepiece:
        name, content = "wiki-ja.model", lower_case_pieces()
        size = _piece_count(content)
    else:
        vocab = word_piece_vocabulary(do_lower_case is not False) if vocab is None else vocab
        name, content = "vocab.txt", "".join(f"{token}\n" for token in vocab).encode()
        size = len(vocab)
    weights = bert_weights(
        vocab_size=size,
        hidden=hidden,
        layers=layers,
        positions=positions,
        with_pooler=with_pooler,
        seed=seed,
    )
    config = {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": "gelu_tanh",
    }
    return weights, config, name, content


def lower_case_pieces() -> bytes:
    """The SentencePiece model of `bert_parts`: `[PAD]`, `[CLS]`, `[SEP]`, `[MASK]` are 3 to 6."""
    return sentence_piece_model(("[PAD]", "[CLS]", "[SEP]", "[MASK]"), lower=True)


def _piece_count(model: bytes) -> int:
    return sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()


# ---------------------------------------------------------------------------- BERT, SavedModels

BERT_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def bert_saved_model(
    path: str | Path,
    *,
    encoder_outputs: bool = True,
    default: bool = True,
    training_traces: Sequence[bool] = (False,),
    fixed_length: int | None = None,
    positional: bool = False,
    signatures: bool = True,
    asset: bool = True,
    do_lower_case: bool | None = True,
    ids: str = "int32",
    **parts,
) -> Path:
    """A BERT as TF2 SavedModels of TF Hub hold it; `bert_saved_model_weights(**parts)` are its own.

    `__call__(inputs, training)` is traced for each of `training_traces`, in this order; with
    `training=True` there is dropout. With `fixed_length` there is only a serving signature of
    [None, fixed_length] and no `__call__`; else `signatures` says whether there is one. With
    `positional`, inputs are a list and outputs `[pooled, sequence]`, as in the first versions.
    Without `asset` the vocabulary is left out, with `do_lower_case=None` that variable.
    """
    import tensorflow as tf

    weights, config, name, content = bert_parts(
        **_positions_for(fixed_length), do_lower_case=do_lower_case, **parts
    )
    root = tf.train.Checkpoint()
    kept = _keep_weights(root, weights)

    def outputs(inputs, training=False):
        cast = [tf.cast(one, tf.int32) for one in inputs]
        dropout = 0.5 if training else 0.0
        layers, pooled = bert_in_tensorflow(kept, config["num_attention_heads"], *cast, dropout)
        if positional:
            return [pooled, layers[-1]]
        found = {"sequence_output": layers[-1]}
        if pooled is not None:
            found["pooled_output"] = pooled
        if default:
            found["default"] = layers[-1] if pooled is None else pooled
        if encoder_outputs:
            found["encoder_outputs"] = layers[1:]
        return found

    if fixed_length is None:
        root.__call__ = _traced_call(outputs, positional, training_traces, ids)
    served = None
    if signatures or fixed_length is not None:
        shape = [None, fixed_length]
        specs = {key: tf.TensorSpec(shape, ids, key) for key in BERT_INPUTS}
        served = tf.function(lambda **named: _flat(outputs([named[key] for key in BERT_INPUTS])))
        served = served.get_concrete_function(**specs)
    if do_lower_case is not None:
        root.do_lower_case = tf.Variable(do_lower_case, trainable=False)
    if not asset:
        return _save(root, path, served)
    kind = "vocab_file" if name == "vocab.txt" else "sp_model_file"
    return _save(root, path, served, kind, name, content)


def bert_saved_model_weights(
    fixed_length: int | None = None, **parts
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `oracles.bert` needs to be the `bert_saved_model` of the same arguments."""
    weights, config, _, _ = bert_parts(**_positions_for(fixed_length), **parts)
    return weights, config


def _positions_for(fixed_length: int | None) -> dict[str, int]:
    return {} if fixed_length is None else {"positions": fixed_length}


def _keep_weights(root, weights):
    """Variables as attributes by which TF Hub's layers find them -> by the weights' names."""
    import tensorflow as tf

    kept = {name: tf.Variable(value, name=name) for name, value in weights.items()}
    root.variables = list(kept.values())
    root.trainable_variables = list(kept.values())
    root.regularization_losses = []
    return kept


def _traced_call(outputs, positional: bool, training_traces: Sequence[bool], ids: str):
    import tensorflow as tf

    if positional:
        specs = [tf.TensorSpec([None, None], ids, f"inputs/{n}") for n in range(3)]
        call = tf.function(lambda inputs, training=False: outputs(inputs, training))
    else:
        specs = {key: tf.TensorSpec([None, None], ids, f"inputs/{key}") for key in BERT_INPUTS}
        call = tf.function(
            lambda inputs, training=False: outputs([inputs[key] for key in BERT_INPUTS], training)
        )
    for training in training_traces:
        call.get_concrete_function(specs, training=training)
    return call


def _flat(outputs):
    """A serving signature's outputs: those that are one tensor, as names -> tensors."""
    if isinstance(outputs, list):
        return dict(zip(("bert_model", "bert_model_1"), outputs))
    return {key: value for key, value in outputs.items() if not isinstance(value, list)}


def _save(root, path, signatures=None, asset="", name="", content=b"") -> Path:
    """`content` becomes `assets/name`, `root`'s attribute `asset`."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch:
        if asset:
            file = Path(scratch) / name
            file.write_bytes(content)
            setattr(root, asset, tf.saved_model.Asset(str(file)))
        tf.saved_model.save(root, str(path), signatures=signatures)
    return Path(path)


def keras_bert_saved_model(
    path: str | Path, *, how: str = "save", do_lower_case: bool = True, **parts
) -> Path:
    """A BERT re-exported by Keras 2 after fine-tuning; `bert_saved_model_weights(**parts)` its own.

    `how` is "save" (`__call__(inputs, training, mask)`, traced for `training=True` first, and a
    serving signature with outputs `encoder`, `encoder_1`, ...) or "export" (signatures `serve` and
    `serving_default`; without `encoder_outputs`, and the vocabulary is lost).
    """
    import tensorflow as tf
    import tf_keras

    weights, config, name, content = bert_parts(do_lower_case=do_lower_case, **parts)

    class Encoder(tf_keras.layers.Layer):
        def __init__(self):
            super().__init__(name="encoder")
            self.kept = {key: tf.Variable(value, name=key) for key, value in weights.items()}

        def call(self, inputs, training=False):
            ids, mask, segments = (inputs[key] for key in BERT_INPUTS)
            dropout = 0.5 if training else 0.0
            heads = config["num_attention_heads"]
            layers, pooled = bert_in_tensorflow(self.kept, heads, ids, mask, segments, dropout)
            found = {"sequence_output": layers[-1], "pooled_output": pooled, "default": pooled}
            # An endpoint of `export` is a signature too, and those take no lists.
            return {**found, "encoder_outputs": layers[1:]} if how == "save" else found

    inputs = {key: tf_keras.Input([None], dtype="int32", name=key) for key in BERT_INPUTS}
    model = tf_keras.Model(inputs, Encoder()(inputs))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_bytes(content)
        model.vocab_file = tf.saved_model.Asset(str(file))
        model.do_lower_case = tf.Variable(do_lower_case, trainable=False)
        if how == "save":
            model.save(str(path), include_optimizer=False, save_format="tf")
        elif how == "export":
            with contextlib.redirect_stdout(io.StringIO()):  # it tells of every variable
                model.export(str(path))
        else:
            raise ValueError(f"no way to save is called {how!r}")
    return Path(path)


def tf1_style_bert(path: str | Path, *, info: Callable[[], Any] | None = None, **parts) -> Path:
    """A TF2 SavedModel of the signature `tokens`, with the inputs and outputs of TF1 Hub modules,
    and of `tokenization_info` where `info` gives what it says of `do_lower_case`, a tensor or a
    variable that the model keeps; `bert_saved_model_weights(**parts)` are its own.
    """
    import tensorflow as tf

    weights, config, name, content = bert_parts(**parts)
    root = tf.train.Checkpoint()
    kept = _keep_weights(root, weights)

    def tokens(input_ids, input_mask, segment_ids):
        inputs = (input_ids, input_mask, segment_ids)
        layers, pooled = bert_in_tensorflow(kept, config["num_attention_heads"], *inputs)
        return {"sequence_output": layers[-1], "pooled_output": pooled}

    specs = [
        tf.TensorSpec([None, None], tf.int32, key)
        for key in ("input_ids", "input_mask", "segment_ids")
    ]
    served = {"tokens": tf.function(tokens).get_concrete_function(*specs)}
    if info is not None:
        said = info()
        if isinstance(said, tf.Variable):
            root.do_lower_case = said
        about = tf.function(lambda: {"about": tf.constant(7), "do_lower_case": tf.identity(said)})
        served["tokenization_info"] = about.get_concrete_function()
    return _save(root, path, served, "vocab_file", name, content)


# ---------------------------------------------------------------------------------- word vectors

WORDS = tuple(sorted({word for text in TEXTS for word in text.lower().split() if word.isalpha()}))
OOV_BUCKETS = 3
HASH_BUCKETS = 97


def table(rows: int, width: int, seed: int) -> np.ndarray:
    """[rows, width] float32, random."""
    return np.random.default_rng(seed).normal(0, 1, (rows, width)).astype(np.float32)


def buckets(words: Sequence[str], count: int) -> np.ndarray:
    """Each word's hash bucket, as TensorFlow's string operations and lookup tables number them."""
    import tensorflow as tf

    return tf.strings.to_hash_bucket_fast(tf.constant(list(words), tf.string), count).numpy()


def vocabulary_rows(words: Sequence[str], vocabulary: Sequence[str] = WORDS) -> np.ndarray:
    """Each word's row: its line in the vocabulary, after those an out-of-vocabulary bucket."""
    lines = {word: line for line, word in enumerate(vocabulary)}
    other = buckets(words, OOV_BUCKETS) + len(vocabulary) if words else []
    return np.array([lines.get(word, bucket) for word, bucket in zip(words, other)], np.int64)


def unit(vector: np.ndarray) -> np.ndarray:
    """As `tf.math.l2_normalize`: zeros stay zeros."""
    return vector / np.sqrt(max(np.sum(np.square(vector)), 1e-12))


def _vocabulary_file(words: Sequence[str] = WORDS) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def token_lookup(path: str | Path, *, width: int = 16, seed: int = 0) -> Path:
    """`__call__(tokens [None] string)` -> [None, width]; `tokens_reference` gives the same."""
    import tensorflow as tf

    root = tf.train.Checkpoint()
    kept = _keep_weights(root, {"embeddings": table(len(WORDS) + OOV_BUCKETS, width, seed)})

    def call(tokens):
        return tf.gather(kept["embeddings"], root.table.lookup(tokens))

    return _save_with_table(root, path, call, tf.TensorSpec([None], tf.string, "tokens"))


def tokens_reference(tokens: Sequence[str], *, width: int = 16, seed: int = 0) -> np.ndarray:
    return table(len(WORDS) + OOV_BUCKETS, width, seed)[vocabulary_rows(tokens)]


def _save_with_table(root, path, call, spec) -> Path:
    """`root.table` numbers the `WORDS` of an asset; `call` becomes `__call__` and the signature."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tokens.txt"
        file.write_bytes(_vocabulary_file())
        numbering = tf.lookup.TextFileInitializer(
            str(file),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        root.table = tf.lookup.StaticVocabularyTable(numbering, OOV_BUCKETS)
        root.__call__ = tf.function(call, input_signature=[spec])
        served = tf.function(lambda value: {"outputs": call(value)})
        tf.saved_model.save(root, str(path), served.get_concrete_function(spec))
    return Path(path)


# ------------------------------------------------------------------------------ models of strings

NAN_WORD = "nothing"  # a text with it gets NaN from "nan_on"
RAISING_WORD = "explode"  # a batch with it fails in "raises_on"
STRING_KINDS = (
    "use",
    "nnlm",
    "multi",
    "signature_only",
    "padding_sensitive",
    "batch_of_one",
    "nan_on",
    "raises_on",
)


def strings_saved_model(
    path: str | Path, kind: str, *, width: int = 16, seed: int = 0, batch: int = 1
) -> Path:
    """A model of whole texts; `strings_reference` of the same arguments gives what it gives.

    "use": `__call__([None] string)` -> [None, width], of length 1, and `serving_default` with
    `inputs` and `outputs`. "nnlm": the same with a vocabulary table from an asset. "multi": outputs
    `narrow` [None, width / 2] and `wide` [None, 2 * width]. "signature_only": "use" without
    `__call__`; "batch_of_one": that with an input of [batch]. "padding_sensitive": a vector depends
    on the longest text beside it. "nan_on", "raises_on": see `NAN_WORD` and `RAISING_WORD`.
    """
    import tensorflow as tf

    if kind not in STRING_KINDS:
        raise ValueError(f"no model of strings is called {kind!r}")
    root = tf.train.Checkpoint()
    kept = _keep_weights(root, _string_weights(kind, width, seed))
    call = _string_calls(kept, root)[kind]
    spec = tf.TensorSpec([batch if kind == "batch_of_one" else None], tf.string, "inputs")
    if kind == "nnlm":
        return _save_with_table(root, path, call, spec)
    if kind not in ("signature_only", "batch_of_one"):
        root.__call__ = tf.function(call, input_signature=[spec])

    def served(inputs):
        found = call(inputs)
        return found if isinstance(found, dict) else {"outputs": found}

    return _save(root, path, tf.function(served).get_concrete_function(spec))


def _string_weights(kind: str, width: int, seed: int) -> dict[str, np.ndarray]:
    rows = len(WORDS) + OOV_BUCKETS if kind == "nnlm" else HASH_BUCKETS
    weights = {"embeddings": table(rows, width, seed)}
    if kind == "multi":
        weights["narrow"] = table(width, width // 2, seed + 1)
        weights["wide"] = table(width, 2 * width, seed + 2)
    return weights


def _string_calls(kept, root):
    """[B] string -> [B, width] float32 or a dictionary of such, for each kind."""
    import tensorflow as tf

    def words(texts):  # -> the words [all words], the text of each, their counts [B]
        split = tf.strings.split(texts)
        return split.values, split.value_rowids(), tf.cast(split.row_lengths(), tf.float32)

    def summed(rows, owners, texts):
        vectors = tf.gather(kept["embeddings"], rows)
        return tf.math.unsorted_segment_sum(vectors, owners, tf.shape(texts)[0])

    def mean(texts):
        flat, owners, counts = words(texts)
        rows = tf.strings.to_hash_bucket_fast(flat, HASH_BUCKETS)
        return summed(rows, owners, texts) / tf.maximum(counts, 1.0)[:, None]

    def use(texts):
        return tf.math.l2_normalize(mean(texts), axis=1)

    def nnlm(texts):
        flat, owners, counts = words(texts)
        rows = root.table.lookup(flat)
        return summed(rows, owners, texts) / tf.sqrt(tf.maximum(counts, 1.0))[:, None]

    def multi(texts):
        return {name: tf.matmul(mean(texts), kept[name]) for name in ("narrow", "wide")}

    def padding_sensitive(texts):
        dense = tf.strings.split(texts).to_tensor("")  # [B, the most words of any text]
        rows = tf.strings.to_hash_bucket_fast(dense, HASH_BUCKETS)
        return tf.reduce_mean(tf.gather(kept["embeddings"], rows), axis=1)

    def holds(texts, word):
        return tf.strings.regex_full_match(texts, f"(?s).*{word}.*")

    def nan_on(texts):
        return tf.where(holds(texts, NAN_WORD)[:, None], np.float32("nan"), use(texts))

    def raises_on(texts):
        bad = tf.reduce_any(holds(texts, RAISING_WORD))
        with tf.control_dependencies([tf.debugging.Assert(~bad, ["a text that explodes"])]):
            return use(tf.identity(texts))

    return {
        "use": use,
        "nnlm": nnlm,
        "multi": multi,
        "signature_only": use,
        "padding_sensitive": padding_sensitive,
        "batch_of_one": use,
        "nan_on": nan_on,
        "raises_on": raises_on,
    }


def strings_reference(
    kind: str, texts: Sequence[str], *, width: int = 16, seed: int = 0
) -> dict[str, np.ndarray]:
    """Outputs by name, `default` where it is the only one, of one batch: [texts, width]."""
    weights = _string_weights(kind, width, seed)
    embeddings = weights["embeddings"]
    split = [text.split() for text in texts]
    if kind == "padding_sensitive":
        most = max(map(len, split))
        split = [words + [""] * (most - len(words)) for words in split]
    vectors = np.zeros((len(texts), width), np.float32)
    for n, words in enumerate(split):
        if kind == "nnlm" and words:
            vectors[n] = embeddings[vocabulary_rows(words)].sum(0) / len(words) ** 0.5
        elif words:
            vectors[n] = embeddings[buckets(words, HASH_BUCKETS)].mean(0)
        if kind not in ("nnlm", "multi", "padding_sensitive"):
            vectors[n] = unit(vectors[n])
        if kind == "nan_on" and NAN_WORD in texts[n]:
            vectors[n] = np.nan
    if kind == "multi":
        return {name: vectors @ weights[name] for name in ("narrow", "wide")}
    return {"default": vectors}


# --------------------------------------------------------------------


def unknown_signature(path: str | Path, kind: str = "strings", *, seed: int = 0) -> Path:
    """One signature `embed_v2` that follows no contract; `unknown_reference` gives what it gives.

    "strings": `sentence` [None] string -> `vec` [None, 16], `logits` [None, 3], `tokens_out`
    [None, None, 16] (words cut at white space, padded with zeros). "ids": `ids` [None, None] int64
    -> `states` [None, None, 16], `vec` [None, 16], the mean of the states of all ids but 0.
    """
    import tensorflow as tf

    root = tf.train.Checkpoint()
    kept = _keep_weights(root, _unknown_weights(seed))

    def pooled(states, seen):  # [B, T, 16], [B, T] -> [B, 16]
        seen = tf.cast(seen, tf.float32)[:, :, None]
        return tf.reduce_sum(states * seen, 1) / tf.maximum(tf.reduce_sum(seen, 1), 1.0)

    def of_strings(sentence):
        words = tf.strings.split(sentence).to_tensor("")
        rows = tf.strings.to_hash_bucket_fast(words, HASH_BUCKETS)
        states = tf.gather(kept["embeddings"], rows)
        vec = pooled(states, words != "")
        seen = tf.cast(words != "", tf.float32)[:, :, None]
        logits = tf.matmul(vec, kept["logits"])
        return {"vec": vec, "logits": logits, "tokens_out": states * seen}

    def of_ids(ids):
        states = tf.gather(kept["embeddings"], ids)
        return {"states": states, "vec": pooled(states, ids != 0)}

    if kind == "strings":
        spec, call = tf.TensorSpec([None], tf.string, "sentence"), of_strings
    elif kind == "ids":
        spec, call = tf.TensorSpec([None, None], tf.int64, "ids"), of_ids
    else:
        raise ValueError(f"no unknown signature is called {kind!r}")
    return _save(root, path, {"embed_v2": tf.function(call).get_concrete_function(spec)})


def unknown_reference(
    inputs: Sequence[str] | Sequence[Sequence[int]], *, seed: int = 0
) -> list[dict[str, np.ndarray]]:
    """For each text, or sequence of ids, the outputs without padding: `tokens_out` or `states`
    [T, 16], `vec` [16] and, of a text, `logits` [3].
    """
    weights, found = _unknown_weights(seed), []
    for one in inputs:
        strings = isinstance(one, str)
        rows = buckets(one.split(), HASH_BUCKETS) if strings else np.array(one, np.int64)
        states = weights["embeddings"][rows]  # [T, 16]
        counted = states if strings else states[rows != 0]
        vec = counted.sum(0) / max(len(counted), 1)
        outputs = {"vec": vec, "tokens_out" if strings else "states": states}
        found.append({**outputs, "logits": vec @ weights["logits"]} if strings else outputs)
    return found


def _unknown_weights(seed: int) -> dict[str, np.ndarray]:
    return {"embeddings": table(HASH_BUCKETS, 16, seed), "logits": table(16, 3, seed + 1)}


# ---------------------------------------------------------------------------------- broken models

BROKEN = (
    "pb_cut",
    "not_a_pb",
    "variables_cut",
    "variables_missing",
    "index_missing",
    "wrong_shape",
    "asset_missing",
    "unknown_op",
    "vocab_too_long",
)


def break_model(folder: str | Path, how: str, target: str | Path) -> Path:
    """A copy of a SavedModel or TF1 Hub module at `target`, damaged as one of `BROKEN` says.

    "wrong_shape": the checkpoint's largest array lacks a column. "unknown_op": products and
    look-ups become an operation that nobody has registered. "vocab_too_long": the text files of
    `assets/` have 50 lines more than the embedding table has rows.
    """
    target = Path(shutil.copytree(folder, target))
    graph, data = target / "saved_model.pb", target / "variables/variables.data-00000-of-00001"
    assets = sorted(file for file in target.glob("assets/*") if file.is_file())
    if how == "pb_cut":
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    elif how == "not_a_pb":
        graph.write_bytes(b"<html><body>404 Not Found</body></html>\n")
    elif how == "variables_cut":
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    elif how == "variables_missing":
        data.unlink()
    elif how == "index_missing":
        data.with_name("variables.index").unlink()
    elif how == "wrong_shape":
        _narrow_largest(target / "variables/variables")
    elif how == "asset_missing":
        _first(assets, "asset", folder).unlink()
    elif how == "unknown_op":
        _rename_operations(graph)
    elif how == "vocab_too_long":
        file = _first([file for file in assets if file.suffix == ".txt"], "vocabulary", folder)
        more = "".join(f"onemore{n}\n" for n in range(50))
        file.write_bytes(file.read_bytes() + more.encode())
    else:
        raise ValueError(f"no damage is called {how!r}")
    return target


def _first(files: Sequence[Path], what: str, folder: str | Path) -> Path:
    if not files:
        raise ValueError(f"{folder} has no {what} to damage")
    return files[0]


def _narrow_largest(prefix: Path) -> None:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    largest = max(arrays, key=lambda name: arrays[name].size)
    values[largest] = arrays[largest][..., :-1]
    write_checkpoint(prefix, values)


def write_checkpoint(prefix: Path, values: Mapping[str, Any]) -> None:
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )


def _rename_operations(graph: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    for meta_graph in model.meta_graphs:
        functions = meta_graph.graph_def.library.function
        bodies = [meta_graph.graph_def.node, *(function.node_def for function in functions)]
        for node in (node for body in bodies for node in body):
            if node.op in ("MatMul", "BatchMatMulV2", "Mul", "ResourceGather"):
                node.op = "UnheardOf"
    graph.write_bytes(model.SerializeToString(deterministic=True))
