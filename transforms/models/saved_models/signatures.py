"""What a SavedModel's folder says of itself, read without loading the model.

`saved_model.pb` names the functions, their inputs and outputs, the variables, the assets and the
ops: enough to choose a function, and to say in one sentence what is missing or does not fit before
TensorFlow fails on it in many.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.saved_models.integrity import (
    UnknownOp,
    Variables,
    check_assets,
    check_ops,
)
from corpusvec.transforms.specs import Signature, Tensor

CALL = "__call__"  # the object's own function, as `--signature` names it

_FILE = "saved_model.pb"
_HUB_FILE = "tfhub_module.pb"
# What the parts of ragged and other composite tensors are named, after it.
PART = re.compile(r"/flat_values$|_component_\d+$")

_INIT = "__saved_model_init_op"
_COMPONENTS = ("indices", "values", "dense_shape")  # of a sparse tensor, in TensorFlow's order


Path_ = tuple[str, ...]
_TRAINING = ("training", "is_training")


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A SavedModel, or a TF1 Hub module, as its files describe it.

    `signatures` are the traces of `__call__` in the file's order, then the signatures by name.
    `assets` are paths relative to the folder. `variables` are shapes by the name in the graph
    (TensorFlow 1) or the path of the object, `made_as` by the names that TensorFlow 2 made its
    variables with. `parameters` counts the values of all float variables but an optimizer's.
    `tags` are those of the graph that was read.
    """

    path: str
    is_hub_module: bool
    signatures: tuple[Signature, ...]
    assets: tuple[str, ...]
    variables: Mapping[str, tuple[int, ...]]
    made_as: Mapping[str, tuple[int, ...]]
    parameters: int
    tags: tuple[str, ...]


def read(path: str) -> SavedModel:
    """What `path` holds; read once for as long as its files stay as they are.

    Raises `ValueError` where `saved_model.pb` cannot be read, a file that it needs is missing or
    cut off, a variable has another shape in the checkpoint, or an op is not known to TensorFlow.
    """
    folder = Path(path)
    if not (folder / _FILE).is_file():
        raise ValueError(f"{folder}: has no {_FILE}, so it is no SavedModel; copy all of its files")
    return _read(path, _stamps(folder))


def check_whole(path: str) -> None:
    """Raises `ValueError` where a SavedModel's files are damaged; whether anything here could run
    the model is not asked.
    """
    try:
        read(path)
    except UnknownOp:
        pass


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    places = [folder, folder / "variables", *(folder / "assets").rglob("**")]
    files = sorted(file for place in places for file in place.glob("*") if file.is_file())
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@functools.lru_cache(maxsize=4)
def _read(path: str, stamps: tuple[tuple[str, int, int], ...]) -> SavedModel:
    folder = Path(path)
    meta_graphs = _meta_graphs(folder / _FILE)
    is_hub_module, graph = _chosen(meta_graphs, (folder / _HUB_FILE).is_file())
    assets = tuple(
        file.relative_to(folder).as_posix()
        for file in sorted((folder / "assets").rglob("*"))
        if file.is_file()
    )
    check_assets(graph, assets, folder)
    variables = Variables.read(graph, folder)
    check_ops(graph, folder / _FILE)
    return SavedModel(
        path=path,
        is_hub_module=is_hub_module,
        signatures=(*_traces(graph), *_signatures(graph)),
        assets=assets,
        variables=variables.shapes,
        made_as={
            node.variable.name: tuple(dim.size for dim in node.variable.shape.dim)
            for node in graph.object_graph_def.nodes
            if node.HasField("variable")
        },
        parameters=variables.parameters,
        tags=tuple(graph.meta_info_def.tags),
    )


def meta_graph(path: str) -> Any:
    """The graph that `read` describes, a MetaGraphDef."""
    return _chosen(_meta_graphs(Path(path) / _FILE), (Path(path) / _HUB_FILE).is_file())[1]


def _meta_graphs(file: Path) -> Sequence[Any]:
    from corpusvec.transforms.models.hardware import tf  # noqa: F401, I001 - first, to keep it quiet
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(
            f"{file}: cut short, or not a SavedModel ({error}); copy or download it again"
        ) from error
    if not model.meta_graphs:
        raise ValueError(f"{file}: holds no graph; copy or download it again")
    return model.meta_graphs


def _chosen(meta_graphs: Sequence[Any], hub_file: bool) -> tuple[bool, Any]:
    """Whether it is a TF1 Hub module, and the graph for inference."""
    untagged = [graph for graph in meta_graphs if not graph.meta_info_def.tags]
    if untagged and (hub_file or not untagged[0].object_graph_def.nodes):
        return True, untagged[0]
    serving = [graph for graph in meta_graphs if "serve" in graph.meta_info_def.tags]
    # That for a plain CPU has the fewest tags: others are for GPUs, TPUs or training.
    graphs = serving or meta_graphs
    return False, min(graphs, key=lambda graph: len(graph.meta_info_def.tags))


def _signatures(graph: Any) -> Iterator[Signature]:
    for name in sorted(graph.signature_def):
        if name != _INIT:
            signature = graph.signature_def[name]
            yield Signature(name, _infos(signature.inputs), _infos(signature.outputs))


def _infos(infos: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """The tensors of a signature, by name; those of a sparse one have a name each."""
    found: list[Tensor] = []
    for name in sorted(infos):
        info = infos[name]
        if info.WhichOneof("encoding") == "coo_sparse":
            found += _sparse(name, info.dtype, info.tensor_shape, "_")
        elif info.WhichOneof("encoding") == "composite_tensor":
            found += (
                _tensor(f"{name}_component_{i}", part.dtype, part.tensor_shape)
                for i, part in enumerate(info.composite_tensor.components)
            )
        else:
            found.append(_tensor(name, info.dtype, info.tensor_shape))
    return tuple(found)


def _tensor(name: str, dtype: int, shape: Any) -> Tensor:
    from corpusvec.transforms.models.hardware import tf

    sizes = None if shape.unknown_rank else tuple(_size(dim.size) for dim in shape.dim)
    return Tensor(name, tf.as_dtype(dtype).base_dtype.name, sizes)


def _size(size: int) -> int | None:
    return None if size < 0 else size


def _sparse(name: str, dtype: int, shape: Any, joint: str) -> list[Tensor]:
    from corpusvec.transforms.models.hardware import tf

    rank = None if shape.unknown_rank else len(shape.dim)
    sizes: list[tuple[int | None, ...]] = [(None, rank), (None,), (rank,)]
    types = ["int64", tf.as_dtype(dtype).name, "int64"]
    names = [f"{name}{joint}{part}" for part in _COMPONENTS]
    return [Tensor(*parts) for parts in zip(names, types, sizes)]


def _traces(graph: Any) -> Iterator[Signature]:
    """The concrete functions of the root object's `__call__`, in the file's order."""
    objects = graph.object_graph_def
    calls = [
        objects.nodes[child.node_id].function
        for child in (objects.nodes[0].children if objects.nodes else ())
        if child.local_name == CALL and objects.nodes[child.node_id].HasField("function")
    ]
    for call in calls:
        arguments, defaults = names_of(call.function_spec), defaults_of(call.function_spec)
        for name in call.concrete_functions:
            function = objects.concrete_functions[name]
            given = function.canonicalized_input_signature
            inputs = list(leaves(given, ()))
            yield Signature(
                CALL,
                _inputs(inputs, arguments),
                _outputs(function.output_signature),
                function=name,
                training=training(inputs, arguments),
                usual=is_usual(given, arguments, defaults),
            )


def _tensors(name: str, value: Any) -> list[Tensor]:
    """The tensors of one leaf: several for a sparse or ragged one, none for a Python value."""
    from tensorflow.core.protobuf import struct_pb2

    kind = value.WhichOneof("kind")
    if kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        spec = getattr(value, kind)
        return [_tensor(name, spec.dtype, spec.shape)]
    if kind != "type_spec_value":
        return []
    state = list(value.type_spec_value.type_state.tuple_value.values)
    classes = struct_pb2.TypeSpecProto
    if value.type_spec_value.type_spec_class == classes.SPARSE_TENSOR_SPEC:
        return _sparse(name, state[1].tensor_dtype_value, state[0].tensor_shape_value, "/")
    if value.type_spec_value.type_spec_class == classes.RAGGED_TENSOR_SPEC:
        from corpusvec.transforms.models.hardware import tf

        inner, splits = (tf.as_dtype(state[i].tensor_dtype_value).name for i in (1, 3))
        return [
            Tensor(f"{name}/flat_values", inner, None),
            *(
                Tensor(f"{name}/row_splits_{i}", splits, (None,))
                for i in range(state[2].int64_value)
            ),
        ]
    return [Tensor(name, "resource", None)]


def _outputs(structure: Any) -> tuple[Tensor, ...]:
    return tuple(
        tensor
        for path, value in leaves(structure, ())
        for tensor in _tensors("/".join(path) or "default", value)
    )


def _inputs(given: list[tuple[Path_, Any]], arguments: list[str]) -> tuple[Tensor, ...]:
    """Named by the last key of a dictionary, else as the tensor is, else by the argument."""
    tensors = [(path, value) for path, value in given if _tensors("", value)]
    names = [_input_name(path, value, arguments) for path, value in tensors]
    counts = Counter(names)
    return tuple(
        tensor
        for (path, value), name in zip(tensors, names)
        for tensor in _tensors(name if counts[name] == 1 else _place(path, arguments), value)
    )


def _input_name(path: Path_, value: Any, arguments: list[str]) -> str:
    if not path[-1].isdigit():
        return path[-1]
    return value.tensor_spec_value.name or _place(path, arguments)


def _place(path: Path_, arguments: list[str]) -> str:
    """The argument, and where in it: `inputs_0`."""
    argument = argument_at(path, arguments)
    return "_".join([argument or f"inputs_{path[1]}", *path[2:]])


def names_of(spec: Any) -> list[str]:
    """The names of the positional arguments, without `self`."""
    for pair in spec.fullargspec.named_tuple_value.values:
        if pair.key == "args":
            names = [value.string_value for value in pair.value.list_value.values]
            return names[1:] if names and (spec.is_method or names[0] == "self") else names
    return []


def defaults_of(spec: Any) -> dict[str, Any]:
    """What arguments are, by name, where a caller leaves them away."""
    values = {pair.key: pair.value for pair in spec.fullargspec.named_tuple_value.values}
    if "args" not in values or "defaults" not in values:
        return {}
    names = [value.string_value for value in values["args"].list_value.values]
    last = values["defaults"].tuple_value.values
    return dict(zip(names[len(names) - len(last) :], last))


def is_usual(inputs: Any, arguments: Sequence[str], defaults: Mapping[str, Any]) -> bool:
    """Whether what a trace was given beside tensors, and training, is what it would be anyway."""
    positional, named = inputs.tuple_value.values
    given = {**dict(zip(arguments, positional.tuple_value.values)), **named.dict_value.fields}
    return all(
        value == defaults[name]
        for name, value in given.items()
        if name in defaults and name not in _TRAINING and not _has_tensors(value)
    )


def _has_tensors(value: Any) -> bool:
    kinds = ("tensor_spec_value", "bounded_tensor_spec_value", "type_spec_value")
    return any(leaf.WhichOneof("kind") in kinds for _, leaf in leaves(value, ()))


def leaves(value: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    """What a nested structure holds, in the order in which TensorFlow flattens it."""
    kind = value.WhichOneof("kind")
    if kind in ("list_value", "tuple_value"):
        for i, item in enumerate(getattr(value, kind).values):
            yield from leaves(item, (*path, str(i)))
    elif kind == "dict_value":
        for key in sorted(value.dict_value.fields):
            yield from leaves(value.dict_value.fields[key], (*path, key))
    elif kind == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from leaves(pair.value, (*path, pair.key))
    else:
        yield path, value


def argument_at(path: Path_, arguments: list[str]) -> str:
    """Of a path in `((positional…), {keyword: …})`."""
    if path[0] == "1":
        return path[1]
    return arguments[int(path[1])] if int(path[1]) < len(arguments) else ""


def training(leaves: list[tuple[Path_, Any]], arguments: list[str]) -> bool | None:
    """What a trace was told of training, None where nothing."""
    for path, value in leaves:
        kind = value.WhichOneof("kind")
        if argument_at(path, arguments) in _TRAINING and kind in ("bool_value", "int64_value"):
            return bool(getattr(value, kind))
    return None
