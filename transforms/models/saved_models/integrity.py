"""What a SavedModel asks for, ops, assets and variables, against what is there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.text_ops import import_text, install_text

# What tensorflow-text brings: its newer ops say so, its older ones are known by what they do.
_OF_TEXT = re.compile(
    r"TFText>|Sentencepiece|Wordpiece|CaseFoldUTF8|NormalizeUTF8|NormalizeUTF8WithOffsetsMap|"
    r"WhitespaceTokenize|UnicodeScriptTokenize|SplitMerge|RegexSplitWithOffsets|SentenceFragments|"
    r"ConstrainedSequence|NgramsStringJoin|RougeL|MaxSpanningTree|FindSourceOffsets"
)
# Names of what an optimizer keeps beside the weights, in TensorFlow 1 and in object paths.
_OPTIMIZERS = re.compile(
    r"(^|/)(_?optimizers?|global_step|beta[12]_power|save_counter|keras_api)(/|$)|"
    r"/(Adam(_\d+)?|adam_[mv]|Momentum|RMSProp(_\d+)?|Adagrad|ExponentialMovingAverage)$"
)
# Keras 3 keeps the variables of an export a second time, under this attribute of the root.
_AGAIN = re.compile(r"_all_variables/\d+$")
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_PART = re.compile(r"/part_\d+$")
_HANDLES = ("VarHandleOp", "VariableV2", "Variable")


class UnknownOp(ValueError):
    """A model is whole, and what would run it is not installed."""


def check_ops(graph: Any, file: Path) -> None:
    """Raises `UnknownOp` where `graph` (a MetaGraphDef) has an op that no installed library has.

    tensorflow-text is imported where it is needed and there.
    """
    unknown = _unknown(graph)
    if unknown:
        reason = import_text()
        unknown = _unknown(graph)
    if not unknown:
        return
    from corpusvec.transforms.models.hardware import tf

    of_text = [op for op in unknown if _OF_TEXT.match(op)]
    if of_text:
        raise UnknownOp(
            f"{file}: needs the op {of_text[0]} of tensorflow-text, which cannot be used here"
            f" ({reason or 'this version of it has no such op'}); {install_text()}"
        )
    raise UnknownOp(
        f"{file}: needs the op {unknown[0]}, which TensorFlow {tf.__version__} does not have;"
        " export the model without it, or for this TensorFlow"
    )


def _unknown(graph: Any) -> list[str]:
    from corpusvec.transforms.models.hardware import tf  # noqa: F401, I001 - first, to keep it quiet
    from tensorflow.python.framework import op_def_registry

    library = graph.graph_def.library.function
    named = {node.op for node in graph.graph_def.node}
    named |= {node.op for function in library for node in function.node_def}
    named -= {function.signature.name for function in library}  # a call can be written so
    return sorted(op for op in named if op_def_registry.get(op) is None)


def check_assets(graph: Any, assets: Sequence[str], folder: Path) -> None:
    """Raises `ValueError` where `graph` (a MetaGraphDef) names a file that is not in `assets`,
    which are paths below `folder`.
    """
    from tensorflow.core.protobuf import meta_graph_pb2

    named = [asset.filename for asset in graph.asset_file_def]
    for packed in graph.collection_def["saved_model_assets"].any_list.value:
        asset = meta_graph_pb2.AssetFileDef()
        packed.Unpack(asset)
        named.append(asset.filename)
    for name in named:
        if f"assets/{name.removeprefix('assets/')}" not in assets:
            raise ValueError(
                f"{folder}: the model names an asset {name!r}, which is not in its folder assets;"
                " copy or download all of its files"
            )


@dataclass(frozen=True, slots=True)
class Declared:
    """A variable of the graph; `shape` is None where the graph leaves it open. `key` is its name
    in the checkpoint, empty where that cannot be told.
    """

    name: str
    key: str
    dtype: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Variables:
    """Shapes by name, and the number of values that are the model's own."""

    shapes: Mapping[str, tuple[int, ...]]
    parameters: int

    @classmethod
    def read(cls, graph: Any, folder: Path) -> Variables:
        """Of `graph` (a MetaGraphDef). Raises `ValueError` where the checkpoint does not fit it."""
        from corpusvec.transforms.models.hardware import tf

        prefix = folder / "variables" / "variables"
        objects = graph.object_graph_def.nodes
        has_variables = any(node.HasField("variable") for node in objects) or any(
            node.op in _HANDLES for node in graph.graph_def.node
        )
        if not has_variables:
            return cls({}, 0)
        there = _checkpoint(prefix)
        declared = list(_of_objects(objects, prefix) if objects else _of_graph(graph, there))
        shapes = {variable.name: _fitting(variable, there, prefix) for variable in declared}
        twice = any(name.startswith("variables/") for name in shapes)
        return cls(
            shapes,
            sum(
                math.prod(shapes[variable.name])
                for variable in declared
                if tf.as_dtype(variable.dtype).is_floating
                and not _OPTIMIZERS.search(variable.name)
                and not (twice and _AGAIN.match(variable.name))
            ),
        )


def _checkpoint(prefix: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of its arrays. Raises `ValueError` where it is not whole."""
    from corpusvec.transforms.models.hardware import tf

    index = Path(f"{prefix}.index")
    if not index.is_file():
        raise ValueError(
            f"{index}: is missing, and the model has variables; copy or download all of its files"
        )
    number = "[0-9]" * 5
    data = sorted(prefix.parent.glob(f"{prefix.name}.data-{number}-of-{number}"))
    _check_data_files(index, data)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        needed = sum(
            _stored(reader.get_tensor(name))
            if types[name] == tf.string
            else math.prod(shape) * types[name].size
            for name, shape in shapes.items()
        )
    except Exception as error:  # TensorFlow raises its own, by what is wrong with the bytes
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{index}: not an index that TensorFlow reads, or its data is cut off ({reason});"
            " copy or download it again"
        ) from error
    found = sum(file.stat().st_size for file in data)
    if found < needed:
        raise ValueError(
            f"{prefix}.data-…: {len(data)} files with {found} bytes, the index asks for {needed};"
            " one is cut off, copy or download it again"
        )
    return {name: tuple(shape) for name, shape in shapes.items()}


def _check_data_files(index: Path, data: list[Path]) -> None:
    name = index.stem
    if not data:
        raise ValueError(f"{index}: has no {name}.data-… beside it; copy or download all files")
    count = int(data[-1].name.rpartition("-")[2])
    for number in range(count):
        file = index.with_name(f"{name}.data-{number:05}-of-{count:05}")
        if not file.is_file():
            raise ValueError(f"{file}: is missing; copy or download all of the model's files")


def _stored(strings: Any) -> int:
    """Bytes that a tensor of strings takes in a data file: lengths, their checksum, the strings."""
    values = [strings] if isinstance(strings, bytes) else strings.ravel().tolist()
    return 4 + sum(max(1, -(-len(value).bit_length() // 7)) + len(value) for value in values)


def _of_graph(graph: Any, there: Mapping[str, Any]) -> Iterator[Declared]:
    """Local variables are in no checkpoint, nor in the list of those that are restored."""
    from tensorflow.core.framework import variable_pb2

    listed = graph.collection_def["variables"].bytes_list.value
    restored = {
        variable_pb2.VariableDef.FromString(variable).variable_name.partition(":")[0]
        for variable in listed
    }
    for node in graph.graph_def.node:
        if node.op in _HANDLES:
            name = node.attr["shared_name"].s.decode() or node.name
            key = name if name in there or node.name in restored else ""
            yield Declared(name, key, node.attr["dtype"].type, _known(node.attr["shape"].shape))


def _of_objects(nodes: Any, prefix: Path) -> Iterator[Declared]:
    """Each variable once, by the shortest path to it; the checkpoint has the same objects."""
    from corpusvec.transforms.models.hardware import tf  # noqa: I001 - first, to keep it quiet
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    saved = trackable_object_graph_pb2.TrackableObjectGraph()
    reader = tf.train.load_checkpoint(str(prefix))
    if reader.has_tensor(_OBJECTS):
        saved.ParseFromString(reader.get_tensor(_OBJECTS))
    queue: list[tuple[str, int, int | None]] = [("", 0, 0 if saved.nodes else None)]
    seen = {0}
    for path, here, there in queue:  # grows as it goes
        node = nodes[here]
        if node.HasField("variable"):
            keys = (
                [a.checkpoint_key for a in saved.nodes[there].attributes]
                if there is not None
                else []
            )
            yield Declared(
                path, keys[0] if keys else "", node.variable.dtype, _known(node.variable.shape)
            )
        beside = (
            {child.local_name: child.node_id for child in saved.nodes[there].children}
            if there is not None
            else {}
        )
        for child in node.children:
            if child.node_id not in seen:
                seen.add(child.node_id)
                name = f"{path}/{child.local_name}".lstrip("/")
                queue.append((name, child.node_id, beside.get(child.local_name)))


def _known(shape: Any) -> tuple[int, ...] | None:
    sizes = tuple(dim.size for dim in shape.dim)
    return None if shape.unknown_rank or min(sizes, default=0) < 0 else sizes


def _fitting(
    variable: Declared, there: Mapping[str, tuple[int, ...]], prefix: Path
) -> tuple[int, ...]:
    """The variable's shape, which the checkpoint agrees to."""
    if not variable.key:
        return variable.shape or ()
    stored = there.get(variable.key)
    if stored is None and _PART.sub("", variable.key) in there:  # stored with its other parts
        return variable.shape or ()
    if stored is None:
        raise ValueError(
            f"{prefix}.index: has no {variable.key}, which the graph names; copy or download all"
            " files of the model, from one place"
        )
    if variable.shape is not None and stored != variable.shape:
        raise ValueError(
            f"{prefix}.index: {variable.key} has the shape {list(stored)}, in the graph it is"
            f" {list(variable.shape)}; the files are of two models, copy or download them again"
        )
    return stored
