"""A function's graph in one piece, in which variables can be replaced by tensors.

Grappler, TensorFlow's optimizer, puts the bodies of calls, loops and branches in place of them.
After that a variable is a handle and a few kinds of ops that read it, each of which has a twin that
reads a tensor.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusvec.transforms.models.hardware import tf  # noqa: F401 - first, to keep TensorFlow quiet
from corpusvec.transforms.models.saved_models.optimized_graphs import (
    CONTROL,
    data_inputs,
    graph_of,
    inlined,
    placeholder,
    variable,
)

# isort: split
from tensorflow.core.framework import node_def_pb2, types_pb2

# They hand on what they are given.
_CARRIERS = {"Identity"} | CONTROL
# What reads a variable, its twin that reads a tensor, and how their attributes correspond.
_TWINS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ReadVariableOp": ("Identity", {"dtype": "T"}),
    "ResourceGather": (
        "GatherV2",
        {"dtype": "Tparams", "Tindices": "Tindices", "batch_dims": "batch_dims"},
    ),
    "ResourceGatherNd": ("GatherNd", {"dtype": "Tparams", "Tindices": "Tindices"}),
    "VariableShape": ("Shape", {"out_type": "out_type"}),
}
_REFERENCES = {"Variable", "VariableV2"}  # TensorFlow 1's first kind, which are no resources
_CHANGERS = ("Assign", "Scatter", "Ref", "Apply")
_INT32 = types_pb2.DT_INT32
_LOWERED = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}


@dataclass(frozen=True, slots=True, eq=False)
class InlinedGraph:
    """`graph` is a GraphDef that holds what `outputs` need, and nothing else; `readers` are the
    nodes that take an output of a node, by its name. `branches`: there are loops or branches.
    """

    graph: Any
    outputs: tuple[str, ...]
    readers: Mapping[str, Sequence[Any]]
    branches: bool

    @classmethod
    def of(cls, concrete: Any, outputs: Sequence[Any], precision: str) -> InlinedGraph:
        """Of a concrete function, down to `outputs`, which are tensors of its graph."""
        names = tuple(tensor.name for tensor in outputs)
        graph = _inlined(concrete, names, precision)
        _free_constants(graph)
        graph = _needed(graph, names)
        _rename_functions(graph)
        readers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for source in dict.fromkeys(_source(name) for name in data_inputs(node)):
                readers[source].append(node)
        return cls(graph, names, readers, _has_branches(graph))

    @property
    def nodes(self) -> set[str]:
        return {node.name for node in self.graph.node}

    def references(self) -> list[str]:
        """Variables of TensorFlow 1's first kind, which live in the graph, that are only read."""
        return [
            node.name
            for node in self.graph.node
            if node.op in _REFERENCES
            and not any(reader.op.startswith(_CHANGERS) for reader in self.readers[node.name])
        ]

    def reached(self, handle: str) -> list[Any] | None:
        """The nodes that a variable's handle reaches; None where one of them needs a handle."""
        found: dict[str, Any] = {}
        names = [handle]
        for name in names:  # grows as it goes
            for node in self.readers.get(name, ()):
                if node.name not in found and node.op in _CARRIERS:
                    names.append(node.name)
                elif node.op not in _CARRIERS | set(_TWINS):
                    return None
                found[node.name] = node
        merges = (node for node in found.values() if node.op == "Merge")
        if all(_source(name) in names for node in merges for name in data_inputs(node)):
            return list(found.values())
        return None

    def only_rows(self, reached: Iterable[Any]) -> bool:
        """Whether these nodes read rows of their variable, never all of it."""
        return all(
            node.op != "ReadVariableOp"
            or all(reader.op == "GatherV2" for reader in self.readers.get(node.name, ()))
            for node in reached
        )

    def replace(self, reached: Iterable[Any], dtype: int) -> None:
        """Let the nodes take their variable's value, of `dtype`, in place of its handle."""
        for node in reached:
            if node.op in _CARRIERS:
                node.attr["T"].type = dtype
                for name in ("_output_shapes", "shape"):
                    if name in node.attr:
                        del node.attr[name]
            else:
                self._take_tensor(node, dtype)
            if not self.branches:  # what never changes has nothing to wait for
                inputs = data_inputs(node)
                del node.input[:]
                node.input.extend(inputs)

    def _take_tensor(self, node: Any, dtype: int) -> None:
        was = node_def_pb2.NodeDef()
        was.CopyFrom(node)
        op, attributes = _TWINS[was.op]
        node.Clear()
        node.name, node.op, node.device = was.name, op, was.device
        node.input.extend(data_inputs(was))
        for before, after in attributes.items():
            if before in was.attr:
                node.attr[after].CopyFrom(was.attr[before])
        if op == "Shape":
            node.attr["T"].type = dtype
        if op == "GatherV2":
            node.input.append(self._add_axis(was))
            node.attr["Taxis"].type = _INT32
        node.input.extend(name for name in was.input if name.startswith("^"))

    def _add_axis(self, gather: Any) -> str:
        """Where loops are, a constant has to hang on something inside of its loop."""
        axis = self.graph.node.add(name=f"{gather.name}/axis", op="Const")
        indices = _source(gather.input[1])
        axis.input.append(f"^{indices}")
        axis.attr["dtype"].type = axis.attr["value"].tensor.dtype = _INT32
        axis.attr["value"].tensor.int_val.append(gather.attr["batch_dims"].i)
        axis.attr["value"].tensor.tensor_shape.SetInParent()
        return axis.name

    def with_shapes(self, values: Mapping[str, Any], variables: Mapping[str, Any]) -> Any:
        """The GraphDef with stand-ins, of the types and shapes given by name, for its values and
        for the variables that are left.
        """
        known = {name: placeholder(name, like) for name, like in values.items()}
        known |= {name: variable(name, like) for name, like in variables.items()}
        return graph_of([known.get(node.name, node) for node in self.graph.node], self.graph)


def _source(name: str) -> str:
    """The node of an input."""
    return name.removeprefix("^").split(":")[0]


def _inlined(concrete: Any, outputs: Sequence[str], precision: str) -> Any:
    graph = concrete.graph.as_graph_def()
    library = graph.library.function
    for function in library:  # another body for other devices, which keeps from inlining
        if "api_implements" in function.attr:
            del function.attr["api_implements"]
    for nodes in (graph.node, *(function.node_def for function in library)):
        for node in nodes:
            if node.op in _LOWERED:
                node.attr["_lower_using_switch_merge"].b = True
    return inlined(graph, [*outputs, *(tensor.name for tensor in concrete.inputs)], precision)


def _needed(graph: Any, outputs: Sequence[str]) -> Any:
    """Only the nodes that the outputs hang on."""
    nodes = {node.name: node for node in graph.node}
    names = list(dict.fromkeys(_source(name) for name in outputs))
    seen = set(names)
    for name in names:  # grows as it goes
        for source in map(_source, nodes[name].input):
            if source not in seen:
                seen.add(source)
                names.append(source)
    kept = [node for node in graph.node if node.name in seen]
    for node in kept:  # places tied to variables that are gone
        if "_class" in node.attr:
            del node.attr["_class"]
    return graph_of(kept, graph)


def _free_constants(graph: Any) -> None:
    """Inlining lets them wait for a call's inputs, which hides many a pattern from Grappler. Only
    where loops or branches are do they have to wait.
    """
    if not _has_branches(graph):
        for node in graph.node:
            if node.op == "Const":
                del node.input[:]


def _has_branches(graph: Any) -> bool:
    return any(node.op in CONTROL for node in graph.node)


def _rename_functions(graph: Any) -> None:
    """Grappler changed some: TensorFlow must not take them for those of the same name."""
    suffix = f"_{uuid.uuid4().hex}"
    old = {function.signature.name for function in graph.library.function}
    for function in graph.library.function:
        function.signature.name += suffix
    del graph.library.gradient[:]
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op in old:
                node.op += suffix
            for attribute in node.attr.values():
                for called in (attribute.func, *attribute.list.func):
                    if called.name in old:
                        called.name += suffix
