"""A function of a SavedModel with its weights frozen, ready to be called: constants of its graph,
or tensors beside it, as is faster and smaller.

Unlike TensorFlow's own
`convert_variables_to_constants_v2`, a graph may hold lookup tables, loops and more weights than a
graph can carry: what cannot be a constant, or had better not be, stays a variable.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpusvec.transforms.models.hardware import has_amx, has_gpu, prepare_threads, tf
from corpusvec.transforms.models.isolation import kind_and_reason
from corpusvec.transforms.models.saved_models import signatures
from corpusvec.transforms.models.saved_models.inlined_graphs import InlinedGraph
from corpusvec.transforms.models.saved_models.optimized_graphs import optimized, without
from corpusvec.transforms.models.saved_models.signatures import SavedModel
from corpusvec.transforms.models.sources.hubs import hub
from corpusvec.transforms.specs import Signature, Tensor

# isort: split
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context

# In bytes. A graph carries less than 2 GiB, and TensorFlow copies its constants while it optimizes.
LARGEST_CONSTANT = 256 << 20
ALL_CONSTANTS = 1536 << 20
# Rows are read from a variable as fast as from a constant: large tables need not be copied.
LARGEST_TABLE = 16 << 20


class Function:
    """One signature, cut down to the outputs wanted and built once for all shapes. Calls from
    several threads run side by side.

    `inputs` are those of the signature. `frozen_share` is the part of its variables' bytes that are
    frozen now, `variables` the names of those that are not. `streams` is how many calls at once
    keep the machine busy.
    """

    def __init__(
        self, model: SavedModel, signature: Signature, outputs: Sequence[str], precision: str
    ):
        """See `load`."""
        self.inputs, self.outputs = signature.inputs, tuple(outputs)
        self.streams = prepare_threads(precision)
        loaded = _Loaded.read(model, signature)
        graph = InlinedGraph.of(loaded.function, [loaded.outputs[n] for n in outputs], precision)
        weights = _Weights.choose(graph, loaded)
        in_graph = precision == "bfloat16" and has_amx()
        self._run = _built(graph, loaded, weights, signature, in_graph)
        self._mode = contextlib.nullcontext if has_gpu() else _as_it_is
        loaded.release(weights.handles.values())
        self._alive = loaded.model if weights.handles else None  # its tables live as long as it
        size = weights.frozen + weights.kept
        self.frozen_share = weights.frozen / size if size else 1.0
        self.variables = tuple(weights.variables)

    @classmethod
    def load(
        cls, path: str, signature: Signature, outputs: Sequence[str], precision: str = "float32"
    ) -> Function:
        """`signature` is one that `signatures.read(path)` gave, `outputs` are names of its outputs.

        With `precision` bfloat16 TensorFlow chooses the products that are computed so; outputs have
        their type as before. Raises `ValueError` where the model cannot be loaded.
        """
        model = signatures.read(path)
        known = [tensor.name for tensor in signature.outputs]
        for name in outputs:
            if name not in known:
                raise ValueError(
                    f"{path}: {signature.name} has no output {name!r}; it has {_listed(known)}"
                )
        try:
            return cls(model, signature, outputs, precision)
        except MemoryError:
            raise
        except Exception as error:  # TensorFlow raises what it likes, by what it stumbles over
            raise ValueError(
                f"{path}: TensorFlow cannot load this model ({kind_and_reason(error)[0][:300]});"
                " copy or download it again, or export it again"
            ) from error

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Arrays by the names of the inputs, all of them -> arrays by output; they are cast to the
        inputs' types, and strings come as bytes.
        """
        names = [tensor.name for tensor in self.inputs]
        if set(names) != set(inputs):
            raise ValueError(f"the model takes {_listed(names)}, not {_listed(inputs)}")
        fed = [_fed(inputs[tensor.name], tensor) for tensor in self.inputs]
        with self._mode():
            found = self._run(*fed)
        return {name: _array(tensor) for name, tensor in zip(self.outputs, found)}


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """A loaded model and the one function of it that is wanted: `inputs` in the signature's order
    and `outputs` by name are tensors of its graph.
    """

    model: Any
    function: Any
    inputs: Sequence[Any]
    outputs: Mapping[str, Any]

    @classmethod
    def read(cls, model: SavedModel, signature: Signature) -> _Loaded:
        with _fewer_words():
            loaded = hub().load(model.path, tags=list(model.tags))
        if signature.name == signatures.CALL:
            traces = [trace for trace in model.signatures if trace.name == signatures.CALL]
            function = loaded.__call__.concrete_functions[traces.index(signature)]
        else:
            function = loaded.signatures[signature.name]
        count = len(function.inputs) - len(function.graph.captures)
        if (count, len(function.outputs)) != (len(signature.inputs), len(signature.outputs)):
            raise ValueError(
                f"{signature.name} takes {count} tensors and gives {len(function.outputs)}, its"
                f" description says {len(signature.inputs)} and {len(signature.outputs)}"
            )
        outputs = {tensor.name: found for tensor, found in zip(signature.outputs, function.outputs)}
        return cls(loaded, function, function.inputs[:count], outputs)

    def reference(self, name: str) -> np.ndarray:
        """The value of a variable of the kind that lives in a graph."""
        with self.model.graph.as_default():
            value = tf.identity(self.model.graph.as_graph_element(f"{name}:0"))
        return self.model.prune([], value)().numpy()

    def release(self, kept: Iterable[Any]) -> None:
        """Let go of the variables' memory, but for the handles that a graph still reads."""
        held = {id(handle) for handle in kept}
        for variable in self.function.graph.variables:
            if id(variable.handle) not in held and not tf.is_symbolic_tensor(variable.handle):
                tf.raw_ops.AssignVariableOp(
                    resource=variable.handle, value=tf.zeros([0], variable.dtype)
                )


@dataclass(slots=True, eq=False)
class _Weights:
    """What stands for the captures and variables of a graph, by the name of the node: values, made
    when the graph is built, or handles. `variables` are those that stay, in a user's words.
    """

    values: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    shapes: dict[str, Any] = field(default_factory=dict)  # type and shape of each value
    kept_shapes: dict[str, Any] = field(default_factory=dict)  # of the variables among the handles
    handles: dict[str, Any] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    frozen: int = 0  # bytes
    kept: int = 0

    @classmethod
    def choose(cls, graph: InlinedGraph, loaded: _Loaded) -> _Weights:
        """Freezes what can be: the graph's readers of those variables then take tensors."""
        weights = cls()
        variables = {id(variable.handle): variable for variable in loaded.function.graph.variables}
        there = graph.nodes
        for outer, inner in loaded.function.graph.captures:
            if (name := inner.op.name) not in there:
                continue
            if id(outer) in variables:
                weights._place(name, variables[id(outer)], outer, graph)
            elif outer.dtype in (tf.resource, tf.variant):
                weights.handles[name] = outer
            else:
                weights._keep(name, outer, outer.numpy)
        for name in graph.references():
            variable = loaded.model.graph.as_graph_element(f"{name}:0")
            if weights._take(variable, LARGEST_CONSTANT):
                weights._keep(name, variable, functools.partial(loaded.reference, name))
        return weights

    def _keep(self, name: str, like: Any, read: Callable[[], np.ndarray]) -> None:
        """A value, of the type and shape of a tensor or variable."""
        self.values[name] = read
        self.shapes[name] = _shape(like)

    def _place(self, name: str, variable: Any, handle: Any, graph: InlinedGraph) -> None:
        """Frozen where that is possible and of use, else the variable as it is."""
        reached = graph.reached(name)
        if reached is None:
            largest = -1
        else:
            largest = LARGEST_TABLE if graph.only_rows(reached) else LARGEST_CONSTANT
        if self._take(variable, largest):
            graph.replace(reached or (), variable.dtype.as_datatype_enum)
            self._keep(name, variable, variable.numpy)
        else:
            self.handles[name], self.kept_shapes[name] = handle, _shape(variable)

    def _take(self, variable: Any, largest: int) -> bool:
        """Whether there is room for it among what is frozen."""
        size = (variable.shape.num_elements() or 0) * variable.dtype.size
        if size <= min(largest, ALL_CONSTANTS - self.frozen):
            self.frozen += size
            return True
        self.variables.append(variable.name.partition(":")[0])
        self.kept += size
        return False


def _built(
    graph: InlinedGraph, loaded: _Loaded, weights: _Weights, signature: Signature, in_graph: bool
) -> Any:
    """A concrete function: the signature's inputs in order -> the graph's outputs. The weights are
    constants `in_graph` or tensors beside it, whatever the size.
    """
    fed = [tensor.op.name for tensor in loaded.inputs]
    there = graph.nodes
    given = [name for name in (*fed, *weights.handles) if name in there]
    kept = [*graph.outputs, *(f"{name}:0" for name in given)]
    known = graph.with_shapes(weights.shapes, weights.kept_shapes)
    definition, values = optimized(known, weights.values, kept)
    definition, used = without(definition, [*fed, *values, *weights.handles])

    def imported(*inputs):
        here = tf.compat.v1.get_default_graph()
        known = dict(zip(fed, inputs))
        known |= {name: _tensor(read, in_graph) for name, read in values.items()}
        known |= {name: here.capture(outer) for name, outer in weights.handles.items()}
        known = {f"{name}:0": tensor for name, tensor in known.items()}
        mapped = {name: tensor for name, tensor in known.items() if name in used}
        inside = [name for name in graph.outputs if name not in known]
        found = tf.graph_util.import_graph_def(definition, mapped, inside, name="")
        known |= zip(inside, found)
        return [known[name] for name in graph.outputs]

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in signature.inputs]
    with _fewer_words():
        return tf.compat.v1.wrap_function(imported, specs)


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    """This thread's calls are not optimized: Grappler was done before the weights were in."""
    here = context.context()
    before = here.function_call_options
    here.function_call_options = _unoptimized(before.config_proto_serialized)
    try:
        yield
    finally:
        here.function_call_options = before


@functools.cache
def _unoptimized(serialized: bytes) -> context.FunctionCallOptions:
    config = config_pb2.ConfigProto.FromString(serialized)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return context.FunctionCallOptions(config_proto=config)


@contextlib.contextmanager
def _fewer_words() -> Iterator[None]:
    """TensorFlow warns of each variable of the old kind, to those who mean to train it."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _tensor(read: Callable[[], np.ndarray], in_graph: bool) -> Any:
    with tf.init_scope():  # out of the graph that is being built
        value = read()
        held = None if in_graph else tf.constant(value)
    return tf.constant(value) if held is None else tf.compat.v1.get_default_graph().capture(held)


def _shape(like: Any) -> Any:
    return tf.TensorSpec(like.shape, like.dtype.base_dtype)


def _fed(value: Any, tensor: Tensor) -> Any:
    if tensor.dtype == "string":
        return tf.constant(value, tf.string)
    return tf.constant(np.asarray(value, tf.as_dtype(tensor.dtype).as_numpy_dtype))


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.numpy(), object if tensor.dtype == tf.string else None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
