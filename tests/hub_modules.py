"""Tiny TF1 Hub modules with random weights, one other model that TF1 saved, and what each gives.

The form of the modules is the one in which tensorflow-hub wrote them: `tfhub_module.pb`; meta
graphs without the tag `serve`, object graph and saver; variables that are zero until the checkpoint
is read; assets in a collection, their paths in the graph overwritten. References are as in
`saved_models.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.models import sentence_piece_model
from tests.saved_models import (
    OOV_BUCKETS,
    WORDS,
    bert_in_tensorflow,
    bert_parts,
    buckets,
    table,
    unit,
    vocabulary_rows,
    write_checkpoint,
)

# Inputs and outputs of a signature, by name.
Signatures = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def _write_module(
    path: str | Path,
    weights: Mapping[str, np.ndarray],
    build: Callable[..., Signatures],
    *,
    assets: Mapping[str, bytes] | None = None,
    tags: Sequence[Collection[str]] = ((),),
    init_collection: str = "",
    parts: int = 1,
) -> Path:
    """`build(variables, training)` makes the graph of each set of tags; `assets` by file name.

    `init_collection` names an operation that initialises tables, as TF1 SavedModels do; tables are
    else in a collection of their own. Every variable is cut into `parts` by its rows.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    folder = Path(path)
    (folder / "variables").mkdir(parents=True)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    for name, content in (assets or {}).items():
        (folder / "assets").mkdir(exist_ok=True)
        (folder / "assets" / name).write_bytes(content)
    model = saved_model_pb2.SavedModel()
    for one in tags:
        meta_graph = model.meta_graphs.add()
        meta_graph.CopyFrom(_meta_graph(weights, build, "train" in one, init_collection, parts))
        meta_graph.meta_info_def.tags.extend(one)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString(deterministic=True))
    write_checkpoint(folder / "variables" / "variables", weights)
    return folder


def _meta_graph(weights, build, training: bool, init_collection: str, parts: int):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        variables = {
            name: v1.get_variable(
                name,
                value.shape,
                initializer=v1.zeros_initializer(),
                partitioner=v1.fixed_size_partitioner(parts) if parts > 1 else None,
                use_resource=True,
            )
            for name, value in weights.items()
        }
        signatures = build(variables, training)
        if init_collection:
            v1.add_to_collection(init_collection, v1.tables_initializer())
            v1.get_default_graph().clear_collection(v1.GraphKeys.TABLE_INITIALIZERS)
        meta_graph = v1.train.export_meta_graph(graph=graph, strip_default_attrs=True)
    meta_graph.ClearField("saver_def")
    for name, (inputs, outputs) in signatures.items():
        definition = meta_graph.signature_def[name]
        for tensors, infos in ((inputs, definition.inputs), (outputs, definition.outputs)):
            for key, tensor in tensors.items():
                infos[key].name, infos[key].dtype = tensor.name, tensor.dtype.as_datatype_enum
                infos[key].tensor_shape.CopyFrom(tensor.shape.as_proto())
    _hide_asset_paths(meta_graph)
    return meta_graph


def _hide_asset_paths(meta_graph) -> None:
    """Asset files are in a collection by name, and no path of the machine that wrote them is left.

    Source: tensorflow/hub `saved_model_lib.py`, `_make_assets_key_collection`.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import meta_graph_pb2

    nodes = {node.name: node for node in meta_graph.graph_def.node}
    for tensor in meta_graph.collection_def["asset_filepaths"].node_list.value:
        value = nodes[tensor.split(":")[0]].attr["value"].tensor
        asset = meta_graph_pb2.AssetFileDef(filename=Path(value.string_val[0].decode()).name)
        asset.tensor_info.name = tensor
        files = meta_graph.collection_def["saved_model_assets"].any_list.value
        files.add().Pack(asset)
        value.CopyFrom(tf.make_tensor_proto("SAVEDMODEL-ASSET"))
    if not meta_graph.collection_def["asset_filepaths"].node_list.value:
        del meta_graph.collection_def["asset_filepaths"]


def _asset(name: str):
    """The path of an asset, as the machine had it that wrote the module."""
    import tensorflow as tf

    path = tf.constant(f"/tmp/export/{name}", name=name.replace(".", "_"))
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS, path)
    return path


def _placeholder(dtype: str, shape: Sequence[int | None], name: str):
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, shape, name)


# ------------------------------------------------------------------------------------------ ELMo

ELMO_BUCKETS = 199
ELMO_WIDTH = 12  # of `word_emb`; the other outputs are twice as wide


def elmo(path: str | Path, *, padding_sensitive: bool = True, seed: int = 0) -> Path:
    """ELMo's signatures and outputs; `elmo_reference` gives what it gives.

    `default` takes strings and cuts them at spaces, `tokens` takes tokens and their counts. If
    `padding_sensitive`, padding has vectors that the backward layers carry into the text's last
    tokens; else it counts nowhere and its vectors are zeros. An empty text's `default` is NaN.
    """
    import tensorflow as tf

    v1 = tf.compat.v1

    def outputs(variables, tokens, lengths):
        length = tf.shape(tokens)[1]
        mask = tf.cast(tf.sequence_mask(lengths, length), tf.float32)[:, :, None]
        seen = tf.ones_like(mask) if padding_sensitive else mask
        steps = tf.range(length)[:, None] - tf.range(length)[None, :]
        fading = tf.where(steps >= 0, 0.5 ** tf.cast(tf.maximum(steps, 0), tf.float32), 0.0)

        def run(x, name, backward):  # [B, T, 12] -> [B, T, 12]
            x = tf.tensordot(x * seen, variables[name], 1)
            return tf.tanh(tf.matmul(tf.transpose(fading) if backward else fading, x)) * seen

        rows = tf.strings.to_hash_bucket_fast(tokens, ELMO_BUCKETS)
        words = tf.gather(variables["embeddings"], rows) * seen
        below, above = (run(words, "forward1", False), run(words, "backward1", True))
        first = tf.concat([below, above], 2)
        second = tf.concat([run(below, "forward2", False), run(above, "backward2", True)], 2)
        mixed = (tf.concat([words, words], 2) + first + second) / 3.0
        count = tf.cast(lengths, tf.float32)[:, None]
        return {
            "word_emb": words,
            "lstm_outputs1": first,
            "lstm_outputs2": second,
            "elmo": mixed,
            "default": tf.reduce_sum(mixed * mask, 1) / count,
        }

    def build(variables, training):
        strings = _placeholder("string", [None], "strings")
        split = v1.string_split(strings, " ")
        cut = v1.sparse_tensor_to_dense(split, default_value="")
        counts = tf.reduce_sum(tf.cast(tf.not_equal(cut, ""), tf.int32), 1)
        tokens = _placeholder("string", [None, None], "tokens")
        lengths = _placeholder("int32", [None], "sequence_len")
        return {
            "default": ({"strings": strings}, outputs(variables, cut, counts)),
            "tokens": (
                {"tokens": tokens, "sequence_len": lengths},
                outputs(variables, tokens, lengths),
            ),
        }

    return _write_module(path, _elmo_weights(seed), build)


def _elmo_weights(seed: int) -> dict[str, np.ndarray]:
    names = ("forward1", "backward1", "forward2", "backward2")
    weights = {
        name: table(ELMO_WIDTH, ELMO_WIDTH, seed + n) * np.float32(0.3)
        for n, name in enumerate(names, start=1)
    }
    return {"embeddings": table(ELMO_BUCKETS, ELMO_WIDTH, seed), **weights}


def elmo_reference(
    sentences: Sequence[Sequence[str]],
    *,
    longest: int | None = None,
    padding_sensitive: bool = True,
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """For each sentence, a sequence of tokens, its outputs [T, width] and its `default` [24].

    `longest`: as they are where sentences are padded to so many tokens; None: alone, unpadded.
    """
    weights, found = _elmo_weights(seed), []
    for tokens in sentences:
        count = len(tokens)
        width = count if longest is None or not padding_sensitive else longest
        padded = [*tokens, *[""] * (width - count)]
        words = weights["embeddings"][buckets(padded, ELMO_BUCKETS)]  # [T, 12]
        below = _fading(words @ weights["forward1"])
        above = _fading((words @ weights["backward1"])[::-1])[::-1]
        first = np.concatenate([below, above], 1)
        below = _fading(below @ weights["forward2"])
        above = _fading((above @ weights["backward2"])[::-1])[::-1]
        second = np.concatenate([below, above], 1)
        mixed = ((np.concatenate([words, words], 1) + first + second) / 3)[:count]
        found.append(
            {
                "word_emb": words[:count],
                "lstm_outputs1": first[:count],
                "lstm_outputs2": second[:count],
                "elmo": mixed,
                "default": mixed.mean(0) if count else np.full(2 * ELMO_WIDTH, np.nan),
            }
        )
    return found


def _fading(x: np.ndarray) -> np.ndarray:
    """[T, H] -> tanh of each row and half of what the row before it brought along."""
    rows, carried = [], np.zeros(x.shape[1])
    for row in x:
        carried = row + carried / 2
        rows.append(np.tanh(carried))
    return np.array(rows).reshape(x.shape)


# ---------------------------------------------------------------------- sentences: USE and NNLM

USE_BUCKETS = 211


def use(path: str | Path, *, width: int = 16, seed: int = 0) -> Path:
    """`default`: `text` [None] -> `default` [None, width] of length 1, zeros for an empty text.

    Words are cut at spaces, lower-cased; `use_reference` gives the same.
    """
    import tensorflow as tf

    def build(variables, training):
        text = _placeholder("string", [None], "text")
        words = tf.compat.v1.string_split(tf.strings.lower(text), " ")
        rows = tf.SparseTensor(
            words.indices,
            tf.strings.to_hash_bucket_fast(words.values, USE_BUCKETS),
            words.dense_shape,
        )
        mean = tf.compat.v1.nn.safe_embedding_lookup_sparse(variables["embeddings"], rows)
        return {"default": ({"text": text}, {"default": tf.math.l2_normalize(mean, 1)})}

    return _write_module(path, {"embeddings": table(USE_BUCKETS, width, seed)}, build)


def use_reference(texts: Sequence[str], *, width: int = 16, seed: int = 0) -> np.ndarray:
    embeddings = table(USE_BUCKETS, width, seed)
    vectors = np.zeros((len(texts), width), np.float32)
    for n, text in enumerate(texts):
        words = [word for word in _ascii_lower(text).split(" ") if word]
        if words:
            vectors[n] = unit(embeddings[buckets(words, USE_BUCKETS)].mean(0))
    return vectors


def _ascii_lower(text: str) -> str:
    """TensorFlow's `lower` leaves all but ASCII as it is."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def nnlm(
    path: str | Path,
    *,
    width: int = 16,
    input_name: str = "text",
    init_collection: str = "",
    parts: int = 1,
    train_graph: bool = False,
    seed: int = 0,
) -> Path:
    """`default`: texts [None] -> `default` [None, width]; `nnlm_reference` gives the same.

    Words are cut at spaces and numbered by a table of the asset `tokens.txt`, others by buckets. An
    empty text is one empty word. `input_name` is `sentences` in modules made of word vectors;
    `init_collection` may be `legacy_init_op` or `saved_model_main_op`; see `_write_module`.
    """
    import tensorflow as tf

    def build(variables, training):
        text = _placeholder("string", [None], input_name)
        words = tf.compat.v1.string_split(text, " ")
        words, _ = tf.sparse.fill_empty_rows(words, "")
        words = tf.sparse.reset_shape(words)
        rows = tf.SparseTensor(words.indices, _word_table().lookup(words.values), words.dense_shape)
        vectors = tf.compat.v1.nn.embedding_lookup_sparse(
            variables["embeddings"], rows, None, partition_strategy="div", combiner="sqrtn"
        )
        return {"default": ({input_name: text}, {"default": vectors})}

    return _write_module(
        path,
        {"embeddings": table(len(WORDS) + OOV_BUCKETS, width, seed)},
        build,
        assets={"tokens.txt": _lines(WORDS)},
        tags=((), ("train",)) if train_graph else ((),),
        init_collection=init_collection,
        parts=parts,
    )


def nnlm_reference(texts: Sequence[str], *, width: int = 16, seed: int = 0) -> np.ndarray:
    embeddings = table(len(WORDS) + OOV_BUCKETS, width, seed)
    split = [[word for word in text.split(" ") if word] or [""] for text in texts]
    rows = [embeddings[vocabulary_rows(words)].sum(0) / len(words) ** 0.5 for words in split]
    return np.array(rows, np.float32).reshape(len(texts), width)


def word2vec_lookup(
    path: str | Path, *, width: int = 16, train_graph: bool = True, seed: int = 0
) -> Path:
    """`default`: `tokens` [None] -> `default` [None, width]; `saved_models.tokens_reference` gives
    the same. A second meta graph is tagged `train`.

    Source: tensorflow/hub `examples/text_embeddings/export.py`.
    """
    import tensorflow as tf

    def build(variables, training):
        tokens = _placeholder("string", [None], "tokens")
        vectors = tf.gather(variables["embeddings"], _word_table().lookup(tokens))
        return {"default": ({"tokens": tokens}, {"default": vectors})}

    return _write_module(
        path,
        {"embeddings": table(len(WORDS) + OOV_BUCKETS, width, seed)},
        build,
        assets={"tokens.txt": _lines(WORDS)},
        tags=((), ("train",)) if train_graph else ((),),
    )


def _word_table():
    """The lines of `tokens.txt`, numbered, and buckets after them."""
    import tensorflow as tf

    lookup = tf.compat.v1.lookup
    numbering = tf.lookup.TextFileInitializer(
        "/tmp/export/tokens.txt",
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return lookup.StaticVocabularyTable(numbering, OOV_BUCKETS)


def _lines(words: Sequence[str]) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


# --------------------------------------------------------------------------- ids: USE-lite, BERT


def use_lite(path: str | Path, *, width: int = 16, seed: int = 0) -> Path:
    """`default`: sparse ids -> `default` [None, width] of length 1; `spm_path`: the asset's path.

    `use_lite_reference` gives the same, with the pieces of `models.sentence_piece_model()`.
    """
    import tensorflow as tf

    def build(variables, training):
        values = _placeholder("int64", [None], "values")
        indices = _placeholder("int64", [None, 2], "indices")
        dense_shape = _placeholder("int64", [2], "dense_shape")
        rows = tf.SparseTensor(indices, values, dense_shape)
        mean = tf.compat.v1.nn.safe_embedding_lookup_sparse(variables["embeddings"], rows)
        inputs = {"values": values, "indices": indices, "dense_shape": dense_shape}
        return {
            "default": (inputs, {"default": tf.math.l2_normalize(mean, 1)}),
            "spm_path": ({}, {"default": _asset("spm.model")}),
        }

    return _write_module(
        path, _use_lite_weights(width, seed), build, assets={"spm.model": sentence_piece_model()}
    )


def _use_lite_weights(width: int, seed: int) -> dict[str, np.ndarray]:
    return {"embeddings": table(_pieces().get_piece_size(), width, seed)}


def _pieces():
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=sentence_piece_model())


def use_lite_reference(texts: Sequence[str], *, width: int = 16, seed: int = 0) -> np.ndarray:
    embeddings, pieces = _use_lite_weights(width, seed)["embeddings"], _pieces()
    vectors = np.zeros((len(texts), width), np.float32)
    for n, text in enumerate(texts):
        if ids := pieces.encode(text):
            vectors[n] = unit(embeddings[ids].mean(0))
    return vectors


def bert_module(
    path: str | Path,
    *,
    do_lower_case: bool = True,
    train_graph: bool = False,
    mlm: bool = False,
    **parts,
) -> Path:
    """`tokens` and `tokenization_info`, and `mlm` if asked; `bert_module_weights(**parts)` are its
    own. With `train_graph` a second meta graph, tagged `train`, has dropout.
    """
    import tensorflow as tf

    parts = {"do_lower_case": do_lower_case, **parts}
    weights, config, name, content = bert_parts(**parts)
    heads = config["num_attention_heads"]

    def build(variables, training):
        dropout = 0.5 if training else 0.0
        info = {"vocab_file": _asset(name), "do_lower_case": tf.constant(do_lower_case)}
        signatures = {
            "tokens": _bert_tokens(variables, heads, dropout),
            "tokenization_info": ({}, info),
        }
        if mlm:
            inputs, outputs = _bert_tokens(variables, heads, dropout, "mlm/")
            places = _placeholder("int32", [None, None], "mlm/positions")
            states = tf.gather(outputs["sequence_output"], places, batch_dims=1)
            embeddings = variables["bert/embeddings/word_embeddings"]
            outputs["mlm_logits"] = tf.matmul(states, embeddings[None], transpose_b=True)
            signatures["mlm"] = ({**inputs, "mlm_positions": places}, outputs)
        return signatures

    tags = ((), ("train",)) if train_graph else ((),)
    return _write_module(path, weights, build, assets={name: content}, tags=tags)


def _bert_tokens(variables, heads: int, dropout: float = 0.0, scope: str = ""):
    """Inputs and outputs of the signature `tokens`, by name."""
    names = ("input_ids", "input_mask", "segment_ids")
    inputs = {key: _placeholder("int32", [None, None], scope + key) for key in names}
    layers, pooled = bert_in_tensorflow(variables, heads, *inputs.values(), dropout)
    return inputs, {"sequence_output": layers[-1], "pooled_output": pooled}


def tf1_saved_bert(path: str | Path, **parts) -> Path:
    """A BERT that TF1 saved for serving, no Hub module: tag `serve`, a saver, the signature
    `tokens`, its vocabulary an asset; `bert_module_weights(**parts)` are its own.
    """
    import tensorflow as tf

    v1, folder = tf.compat.v1, Path(path)
    weights, config, name, content = bert_parts(**parts)
    with tf.Graph().as_default(), v1.Session() as session, tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_bytes(content)
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(file)))
        variables = {
            key: v1.get_variable(key, initializer=value, use_resource=True)
            for key, value in weights.items()
        }
        inputs, outputs = _bert_tokens(variables, config["num_attention_heads"])
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            {"tokens": v1.saved_model.predict_signature_def(inputs, outputs)},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()
    return folder


def bert_module_weights(**parts) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `oracles.bert` needs to be the `bert_module` of the same arguments."""
    weights, config, _, _ = bert_parts(**parts)
    return weights, config
