"""SavedModels whose files are the same bytes each time.

TensorFlow numbers functions, tables and more through the whole process, writes functions in the
order of a hash table and with the settings of the process, and gives every model a random identity
in `fingerprint.pb`, which nothing needs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from corpusvec.transforms.models.hardware import tf

_TABLE = "HashTableV2"
_INITIALIZER = re.compile(r"\b(key_value_init|text_file_init)\d+")


def save(model: tf.train.Checkpoint, folder: Path, signatures: Mapping[str, Any]) -> None:
    """Write a SavedModel, each time the same bytes. Raises `OSError` where the disk fails."""
    try:
        tf.saved_model.save(model, str(folder), dict(signatures))
    except tf.errors.OpError as error:
        raise OSError(error.message.splitlines()[0].rpartition("; ")[2]) from error
    _make_repeatable(folder)


def _make_repeatable(folder: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2  # `runtime` imports TensorFlow first

    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        library = graph.graph_def.library
        names = _numbered([function.signature.name for function in library.function])
        for function in library.function:
            _clean(function, names)
        _rename_calls(graph.graph_def.node, names)
        library.function.sort(key=lambda function: function.signature.name)
        _rename_objects(graph.object_graph_def, names)
        _name_tables([graph.graph_def.node, *(f.node_def for f in library.function)], folder)
    file.write_bytes(model.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _numbered(names: Iterable[str]) -> dict[str, str]:
    """Names that end in a number of the process -> the same, numbered from 0 in the same order."""
    parts = {name: name.rpartition("_") for name in names}
    order = sorted((name for name in parts if parts[name][2].isdigit()), key=_number)
    numbers = {name: number for number, name in enumerate(order)}
    return {
        name: f"{stem}_{numbers[name]}" if name in numbers else name
        for name, (stem, _, _) in parts.items()
    }


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _clean(function, names: Mapping[str, str]) -> None:
    if any(_INITIALIZER.match(argument.name) for argument in function.signature.input_arg):
        text = _INITIALIZER.sub(r"\1", text_format.MessageToString(function))
        function.Clear()
        text_format.Parse(text, function)
    function.signature.name = names[function.signature.name]
    _rename_calls(function.node_def, names)
    for argument in function.arg_attr.values():
        # A captured tensor is called by its number.
        if argument.attr["_user_specified_name"].s.isdigit():
            del argument.attr["_user_specified_name"]


def _rename_calls(nodes: Iterable, names: Mapping[str, str]) -> None:
    for node in nodes:
        node.op = names.get(node.op, node.op)
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = b""  # the threads and devices of this process
        for value in node.attr.values():
            for function in [value.func] if value.HasField("func") else value.list.func:
                function.name = names.get(function.name, function.name)


def _rename_objects(objects, names: Mapping[str, str]) -> None:
    for node in objects.nodes:
        if node.HasField("function"):
            functions = node.function.concrete_functions
            functions[:] = sorted((names[name] for name in functions), key=_number)
        elif node.HasField("bare_concrete_function"):
            bare = node.bare_concrete_function
            bare.concrete_function_name = names[bare.concrete_function_name]
    old = type(objects).FromString(objects.SerializeToString()).concrete_functions
    objects.concrete_functions.clear()
    for name, value in old.items():
        objects.concrete_functions[names[name]].CopyFrom(value)


def _name_tables(graphs: Iterable[Iterable], folder: Path) -> None:
    """Tables of the same name are one table, in whichever models of a process: the name is that of
    the content.
    """
    content = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.name != "saved_model.pb"):
        if file.is_file() and file.name != "fingerprint.pb":
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
    tables = [node for graph in graphs for node in graph if node.op == _TABLE]
    names = {node.attr["shared_name"].s for node in tables}
    numbers = sorted(names, key=lambda name: (len(name), name))
    for node in tables:
        number = numbers.index(node.attr["shared_name"].s)
        node.attr["shared_name"].s = f"table_{number}_{content.hexdigest()}".encode()
