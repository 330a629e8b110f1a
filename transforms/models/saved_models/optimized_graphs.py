"""A graph made ready to run before its weights are in it.

TensorFlow's optimizer, Grappler, copies a graph's constants many times over. Here it sees weights
as placeholders, and what is computed of weights alone is computed once and becomes a weight itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from corpusvec.transforms.models.hardware import has_gpu, tf

# isort: split
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer

Values = Mapping[str, Callable[[], np.ndarray]]

_INLINE = "function"
# They belong to loops and branches, where a value has to be computed each time.
CONTROL = {"Enter", "Exit", "NextIteration", "Switch", "_SwitchN", "Merge"}
# In bytes. Shapes and biases: with them in its sight Grappler simplifies more.
SMALL = 1 << 16
# What is fused depends on where it runs.
_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"


def inlined(graph: Any, kept: Iterable[str], precision: str) -> Any:
    """A GraphDef with the bodies of its calls, loops and branches in place of them. `kept` are the
    tensors to keep. With `precision` bfloat16 TensorFlow chooses what is computed so.
    """
    narrow = ["auto_mixed_precision_onednn_bfloat16"] if precision == "bfloat16" else []
    return _rewritten(graph, kept, [_INLINE, *narrow])


def optimized(graph: Any, values: Values, kept: Sequence[str]) -> tuple[Any, Values]:
    """`values` stand for placeholders of `graph`, a GraphDef, by their names -> the GraphDef that
    is to be run, on a CPU as it is, and the values for its placeholders.
    """
    graph, values = _folded(*_with_small(graph, values), kept)
    # Where there is a GPU, Grappler has to wait until it is decided what runs where.
    return graph if has_gpu() else _rewritten(graph, kept, []), values


def _with_small(graph: Any, values: Values) -> tuple[Any, Values]:
    """With constants for the small ones."""
    nodes, large = [], {}
    for node in graph.node:
        if node.name in values:
            shape = tf.TensorShape(node.attr["shape"].shape)
            size = (shape.num_elements() or 0) * tf.as_dtype(node.attr["dtype"].type).size
            if size <= SMALL:
                node = _constant(node.name, values[node.name]())
            else:
                large[node.name] = values[node.name]
        nodes.append(node)
    return graph_of(nodes, graph), large


def _constant(name: str, value: np.ndarray) -> Any:
    with tf.Graph().as_default() as graph:
        tf.constant(value, name=name)
    return graph.as_graph_def().node[0]


def _rewritten(graph: Any, kept: Iterable[str], passes: Sequence[str]) -> Any:
    """Through Grappler: these passes of it, or where there are none those that TensorFlow runs."""
    meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=graph)
    for node in meta_graph.graph_def.node:
        node.device = node.device or _CPU
    fetched = meta_graph.collection_def["train_op"].node_list.value  # what Grappler keeps
    fetched.extend(dict.fromkeys(kept))
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1  # small graphs too
    rewriting.optimizers.extend(passes)
    if _INLINE in passes:
        rewriting.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    rewriting.remapping = rewriter_config_pb2.RewriterConfig.AGGRESSIVE  # believes placeholders
    found = tf_optimizer.OptimizeGraph(config, meta_graph)
    for node in found.node:
        if node.device == _CPU:
            node.device = ""
    return found


def _folded(definition: Any, values: Values, kept: Iterable[str]) -> tuple[Any, Values]:
    """With a placeholder for each tensor that is computed of weights alone."""
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(definition, name=""), []
    )
    sources = _sources(wrapped.graph.get_operations(), values)
    wanted = {name.split(":")[0] for name in kept}
    found: dict[str, Callable[[], np.ndarray]] = {}
    nodes, gone = [], []
    for node in definition.node:
        if not sources.get(node.name):
            nodes.append(node)
            continue
        tensor = wrapped.graph.get_tensor_by_name(f"{node.name}:0")
        if node.name in wanted or any(reader.name not in sources for reader in tensor.consumers()):
            nodes.append(placeholder(node.name, tensor))
            of = sorted(sources[node.name])
            found[node.name] = values.get(
                node.name, functools.partial(_computed, wrapped, tensor, of, values)
            )
        else:
            gone.append(node.name)
    return without(graph_of(nodes, definition), gone)[0], found


def _sources(operations: Iterable[Any], values: Values) -> dict[str, set[str]]:
    """The weights that an operation's result is computed of, for those that hang on nothing else.

    What is larger than they are is left to be computed when it is needed.
    """
    sources: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    for operation in operations:
        name = operation.name
        if name in values:
            sources[name], sizes[name] = {name}, _size(operation.outputs[0]) or 0
        elif operation.type == "Const" and not operation.control_inputs:
            sources[name] = set()
        elif _may_be_folded(operation) and all(x.op.name in sources for x in operation.inputs):
            of = set().union(*(sources[x.op.name] for x in operation.inputs))
            size = _size(operation.outputs[0])
            if of and size is not None and size <= SMALL + sum(sizes[one] for one in of):
                sources[name] = of
    return sources


def _may_be_folded(operation: Any) -> bool:
    return (
        len(operation.outputs) == 1
        and bool(operation.inputs)
        and not operation.control_inputs
        and not operation.op_def.is_stateful
        and operation.type not in CONTROL | {"LoopCond"}
        and operation.outputs[0].dtype.is_floating
    )


def _size(tensor: Any) -> int | None:
    """In bytes, None where it depends on what is fed."""
    count = tensor.shape.num_elements()
    return None if count is None else count * tensor.dtype.size


def _computed(wrapped: Any, tensor: Any, of: Sequence[str], values: Values) -> np.ndarray:
    feeds = [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in of]
    compute = wrapped.prune(feeds, tensor)
    return compute(*(tf.constant(values[name]()) for name in of)).numpy()


def placeholder(name: str, like: Any) -> Any:
    """A node that stands for a tensor of the type and shape of this one."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(like.dtype, like.shape, name)
    return graph.as_graph_def().node[0]


def variable(name: str, like: Any) -> Any:
    """A node that stands for the handle of a variable of this type and shape."""
    node = placeholder(name, like)
    node.op = "VarHandleOp"
    return node


def graph_of(nodes: Iterable[Any], like: Any) -> Any:
    """A GraphDef of these nodes, with the functions of another."""
    graph = type(like)()
    graph.node.extend(nodes)
    graph.versions.CopyFrom(like.versions)
    graph.library.CopyFrom(like.library)
    return graph


def without(graph: Any, names: Iterable[str]) -> tuple[Any, set[str]]:
    """A GraphDef without these nodes, whose first outputs are to come from elsewhere, and which
    tensors it takes.
    """
    dropped = set(names)
    kept = [node for node in graph.node if node.name not in dropped]
    for node in kept:
        waits = {name for name in node.input if name.startswith("^")}
        if gone := {name for name in waits if name[1:] in dropped}:
            inputs = [name for name in node.input if name not in gone]
            del node.input[:]
            node.input.extend(inputs)
    used = {name if ":" in name else f"{name}:0" for node in kept for name in data_inputs(node)}
    return graph_of(kept, graph), used


def data_inputs(node: Any) -> list[str]:
    return [name for name in node.input if not name.startswith("^")]
