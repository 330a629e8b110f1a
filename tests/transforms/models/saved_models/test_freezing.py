"""A frozen function gives what the model gave, whatever the model is made of."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.saved_models import freezing, optimized_graphs, signatures
from corpusvec.transforms.models.saved_models.freezing import Function
from corpusvec.transforms.models.saved_models.inlined_graphs import InlinedGraph
from corpusvec.transforms.specs import Signature
from tests.repository.test_oracles import GOLDEN

LETTERS = list("abcdef")
WIDTH = 8


def normal(*shape: int) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed=[1, len(shape)])


class Module(tf.Module):
    """A table of 50 rows, a square matrix, and what a test hangs on it."""

    def __init__(self):
        super().__init__()
        self.rows = tf.Variable(normal(50, WIDTH), name="rows")
        self.square = tf.Variable(normal(WIDTH, WIDTH), name="square")


def save(folder: Path, call, *specs, **kept) -> str:
    """A SavedModel whose `__call__` is `call(module, …)`, with `kept` as attributes."""
    module = Module()
    for name, value in kept.items():
        setattr(module, name, value)
    module.__call__ = tf.function(lambda *inputs: call(module, *inputs), input_signature=specs)
    tf.saved_model.save(module, str(folder))
    return str(folder)


def vocabulary(folder: Path) -> str:
    file = folder.with_suffix(".txt")
    file.write_text("\n".join(LETTERS))
    return str(file)


def from_file(folder: Path):
    return tf.lookup.TextFileInitializer(
        vocabulary(folder),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )


def mutable(kind):
    def build(folder):
        extra = {"empty_key": "", "deleted_key": "$"} if kind == "DenseHashTable" else {}
        table = getattr(tf.lookup.experimental, kind)(tf.string, tf.int64, 7, **extra)
        table.insert(tf.constant(LETTERS[:2]), tf.constant([11, 12], tf.int64))
        return table

    return build


TABLES = {
    "file": lambda folder: tf.lookup.StaticHashTable(from_file(folder), 9),
    "key and value": lambda folder: tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(LETTERS, tf.range(6, dtype=tf.int64)), 9
    ),
    "buckets": lambda folder: tf.lookup.StaticVocabularyTable(from_file(folder), 3),
    "mutable": mutable("MutableHashTable"),
    "dense": mutable("DenseHashTable"),
}


def save_table(folder: Path, kind: str) -> str:
    def call(module, tokens):
        return tf.matmul(tf.gather(module.rows, module.table.lookup(tokens)), module.square)

    return save(folder, call, tf.TensorSpec([None], tf.string), table=TABLES[kind](folder))


def dense(module, x):
    return {"b": tf.nn.relu(x @ module.square), "a": [x @ module.square + 1.0, tf.shape(x)]}


def loops_and_branches(module, ids, which):
    x = tf.gather(module.rows, ids)
    looped = tf.while_loop(
        lambda i, x: i < 3,
        lambda i, x: (
            i + 1,
            tf.cond(i > 1, lambda: x @ module.square, lambda: x + tf.gather(module.rows, 3)),
        ),
        (0, x),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, WIDTH])),
    )[1]
    mapped = tf.map_fn(lambda row: tf.linalg.matvec(module.square, row), x)
    cases = [lambda: x @ module.square, lambda: x + module.rows[0]]
    return looped, mapped, tf.switch_case(which, cases), tf.gather_nd(module.rows, ids[:, None])


def counting(module, x):
    module.count.assign_add(1.0)
    return x @ module.square + 0.0 * module.count


FLOATS = tf.TensorSpec([None, WIDTH], tf.float32)
IDS, SCALAR = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)


def lstm(folder: Path) -> str:
    import tf_keras

    layer = tf_keras.layers.LSTM(5, return_sequences=True)
    model = tf_keras.Sequential([tf_keras.Input([None, WIDTH]), layer])
    tf.saved_model.save(model, str(folder))
    return str(folder)


def attention(folder: Path) -> str:
    """What BERTs are made of, by Keras, with a trace for training and one without."""
    import tf_keras

    names = ("input_word_ids", "input_type_ids")
    ids, types = (tf_keras.Input([None], dtype="int32", name=name) for name in names)
    x = tf_keras.layers.Embedding(50, WIDTH)(ids) + tf_keras.layers.Embedding(2, WIDTH)(types)
    layers = []
    for _ in range(2):
        x = tf_keras.layers.LayerNormalization()(x + tf_keras.layers.MultiHeadAttention(2, 4)(x, x))
        x = tf_keras.layers.Dropout(0.5)(tf_keras.layers.Dense(WIDTH, activation="gelu")(x))
        layers.append(x)
    outputs = {"sequence_output": x, "encoder_outputs": layers}
    tf.saved_model.save(tf_keras.Model([ids, types], outputs), str(folder))
    return str(folder)


def tensorflow_1(folder: Path, resource: bool) -> str:
    """A TF1 Hub module: a partitioned table, a vocabulary in a file, a loop, and a signature
    that takes a sparse tensor. Without `resource`, variables of TensorFlow 1's first kind.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        with v1.variable_scope("m", use_resource=resource):
            initializer = v1.random_normal_initializer(seed=1)
            parts = v1.fixed_size_partitioner(3)
            rows = v1.get_variable("rows", [9, WIDTH], None, initializer, partitioner=parts)
            square = v1.get_variable("square", [WIDTH, WIDTH], None, initializer)
        tokens = v1.placeholder(tf.string, [None], name="the_tokens")
        ids = tf.lookup.StaticVocabularyTable(from_file(folder), 3).lookup(tokens)
        x = tf.matmul(tf.nn.embedding_lookup(list(rows), ids), square)
        looped = v1.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x @ square), (0, x))[1]
        sparse = v1.sparse_placeholder(tf.float32, [None, WIDTH])
        product = tf.sparse.sparse_dense_matmul(sparse, square)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        tensor_info = v1.saved_model.utils.build_tensor_info
        outputs = {"z": x, "default": x, "looped": looped, "ids": ids, "echo": tokens}
        signature = v1.saved_model.build_signature_def
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [],
            {
                "default": signature(
                    {"text": tensor_info(tokens)}, {k: tensor_info(v) for k, v in outputs.items()}
                ),
                "sparse": signature({"s": tensor_info(sparse)}, {"out": tensor_info(product)}),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    return str(folder)


MODELS = {
    "dense": lambda folder: save(folder, dense, FLOATS),
    "loops and branches": lambda folder: save(folder, loops_and_branches, IDS, SCALAR),
    "lstm": lstm,
    "attention": attention,
    "tf1, resource variables": lambda folder: tensorflow_1(folder, resource=True),
    "tf1, reference variables": lambda folder: tensorflow_1(folder, resource=False),
    **{f"table: {kind}": lambda f, kind=kind: save_table(f, kind) for kind in TABLES},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a model of `MODELS`, made once."""
    made: dict[str, str] = {}

    def folder(name: str) -> str:
        if name not in made:
            made[name] = MODELS[name](tmp_path_factory.mktemp("models") / "model")
        return made[name]

    return folder


def feed(signature: Signature, batch: int = 3, length: int = 4) -> dict[str, np.ndarray]:
    """Inputs that any of these models takes."""
    numbers = np.random.default_rng(batch * 100 + length)
    fed = {}
    for tensor in signature.inputs:
        shape = [size or (batch, length)[i] for i, size in enumerate(tensor.shape)]
        if tensor.name.endswith("dense_shape"):
            fed[tensor.name] = np.array([batch, WIDTH])
        elif tensor.name.endswith("indices"):
            fed[tensor.name] = np.array([[row, 0] for row in range(batch)])
        elif tensor.dtype == "string":
            fed[tensor.name] = np.array(numbers.choice([*LETTERS, "xyz", "a b"], shape), object)
        elif tensor.dtype == "float32":
            fed[tensor.name] = numbers.normal(size=shape)
        else:
            fed[tensor.name] = numbers.integers(0, 2, shape)
    return fed


def unfrozen(path: str, signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict:
    """The same from TensorFlow's own loading, by the names of the outputs."""
    model = signatures.read(path)
    loaded = tf.saved_model.load(path, tags=list(model.tags))
    fed = [tf.constant(inputs[tensor.name], tensor.dtype) for tensor in signature.inputs]
    if signature.name == "__call__":
        traces = [trace for trace in model.signatures if trace.name == "__call__"]
        function = loaded.__call__.concrete_functions[traces.index(signature)]
        structure = iter(fed)
        args, kwargs = tf.nest.map_structure(
            lambda spec: next(structure) if isinstance(spec, tf.TensorSpec) else spec,
            function.structured_input_signature,
        )
        found = tf.nest.flatten(function(*args, **kwargs))
        return {tensor.name: each.numpy() for tensor, each in zip(signature.outputs, found)}
    names = [tensor.name for tensor in signature.inputs]
    found = loaded.signatures[signature.name](**dict(zip(names, fed)))
    return {name: tensor.numpy() for name, tensor in found.items()}


def assert_same(path: str, tolerance: float = 0.0) -> list[Function]:
    """Every signature, all outputs."""
    functions = []
    for signature in signatures.read(path).signatures:
        if signature.training:  # dropout
            continue
        function = Function.load(path, signature, [tensor.name for tensor in signature.outputs])
        gc.collect()  # nothing that it needs is held by what is gone
        inputs = feed(signature)
        found, expected = function(inputs), unfrozen(path, signature, inputs)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert value.shape == np.shape(expected[name])
            if value.dtype == object:
                assert np.array_equal(value, np.asarray(expected[name], object))
            else:
                np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance)
        functions.append(function)
    return functions


@pytest.mark.parametrize("name", MODELS)
def test_a_frozen_function_gives_the_same_and_has_no_variables(model, name):
    tolerance = 2e-6 if name in ("attention", "lstm") else 0.0  # sums in another order
    functions = assert_same(model(name), tolerance)
    assert functions
    assert [function.frozen_share for function in functions] == [1.0] * len(functions)
    assert not any(function.variables for function in functions)


@pytest.mark.parametrize("name", ["bert", "elmo", "nnlm", "use", "use_lite"])
def test_every_signature_of_the_reference_modules_freezes(name):
    functions = assert_same(str(GOLDEN / "tf1_hub" / name), 1e-6)
    assert [function.frozen_share for function in functions] == [1.0] * len(functions)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_weights_that_are_left_out_while_the_graph_is_optimized_come_to_the_same(
    model, monkeypatch, name
):
    monkeypatch.setattr(optimized_graphs, "SMALL", 0)
    assert_same(model(name), 2e-6 if name in ("attention", "lstm") else 0.0)


def nodes_of(function: Function) -> list:
    return list(function._run.graph.as_graph_def().node)


READERS = {"VarHandleOp", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableV2"}


@pytest.mark.parametrize("name", MODELS)
def test_a_frozen_graph_reads_no_variable(model, name):
    for signature in signatures.read(model(name)).signatures:
        if not signature.training:
            outputs = [tensor.name for tensor in signature.outputs]
            found = nodes_of(Function.load(model(name), signature, outputs))
            assert found
            assert not READERS & {node.op for node in found}


def of_weights_alone(module, x):
    both = tf.concat([module.square, tf.transpose(module.other)], 1)
    wide = tf.tile(module.square, [1, 100]) * 2.0
    return [tf.nn.relu(tf.nn.bias_add(x @ both, tf.reshape(module.rows, [-1])[:16])), x @ wide]


def test_what_is_computed_of_weights_alone_is_computed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(optimized_graphs, "SMALL", 0)
    other = tf.Variable(normal(WIDTH, WIDTH), name="other")
    path = save(tmp_path / "model", of_weights_alone, FLOATS, other=other)
    found = {node.op for node in nodes_of(assert_same(path, 1e-6)[0])}
    assert not found & {"ConcatV2", "Transpose", "Reshape", "StridedSlice"}
    assert "Tile" in found  # but for what is larger than the weights are


def test_products_are_fused_with_what_follows(tmp_path):
    other = tf.Variable(normal(WIDTH, WIDTH), name="other")
    path = save(tmp_path / "model", of_weights_alone, FLOATS, other=other)
    assert "_FusedMatMul" in {node.op for node in nodes_of(load(path))}


def only(path: str) -> Signature:
    return signatures.read(path).signatures[0]


def load(path: str, precision: str = "float32") -> Function:
    signature = only(path)
    return Function.load(path, signature, [t.name for t in signature.outputs], precision)


def test_a_variable_that_the_function_writes_stays_one(tmp_path):
    path = save(tmp_path / "model", counting, FLOATS, count=tf.Variable(0.0, name="count"))
    function = load(path)
    assert function.variables == ("count",)
    assert 0.98 < function.frozen_share < 1.0  # the matrix is a constant all the same
    inputs = feed(only(path))
    expected = inputs["inputs_0"].astype(np.float32) @ normal(WIDTH, WIDTH).numpy()
    np.testing.assert_allclose(function(inputs)["default"], expected, atol=1e-5)


TABLE, MATRIX = 50 * WIDTH * 4, WIDTH * WIDTH * 4  # bytes


@pytest.mark.parametrize(
    ("name", "limits", "variables"),
    [
        ("table: file", {"LARGEST_TABLE": TABLE - 1}, {"rows"}),
        ("loops and branches", {"LARGEST_TABLE": TABLE - 1}, set()),
        ("table: file", {"LARGEST_CONSTANT": MATRIX - 1}, {"square"}),
        ("loops and branches", {"LARGEST_CONSTANT": TABLE - 1}, {"rows"}),
        ("loops and branches", {"ALL_CONSTANTS": TABLE}, {"square"}),
        ("table: mutable", {"ALL_CONSTANTS": 0}, {"rows", "square"}),
    ],
    ids=["table", "table read as a whole", "matrix", "in loops", "together", "no room at all"],
)
def test_what_is_too_large_for_a_constant_stays_a_variable(
    model, monkeypatch, name, limits, variables
):
    for limit, size in limits.items():
        monkeypatch.setattr(freezing, limit, size)
    function = assert_same(model(name))[0]
    assert set(function.variables) == variables


def test_reference_variables_that_are_too_large_stay_as_they_are(model, monkeypatch):
    monkeypatch.setattr(freezing, "ALL_CONSTANTS", 0)
    function = assert_same(model("tf1, reference variables"))[0]
    assert function.frozen_share == 0.0


def test_only_what_the_outputs_need_is_built(model):
    path = model("attention")
    signature = next(s for s in signatures.read(path).signatures if s.training is False)
    first = Function.load(path, signature, ["encoder_outputs/0"])
    both = Function.load(path, signature, ["sequence_output", "encoder_outputs/0"])

    def products(function):
        products = ("MatMul", "_FusedMatMul", "BatchMatMulV2", "Einsum")
        return sum(node.op in products for node in nodes_of(function))

    assert 0 < products(first) < products(both)
    inputs = feed(signature)
    assert list(first(inputs)) == ["encoder_outputs/0"]
    assert list(both(inputs)) == ["sequence_output", "encoder_outputs/0"]
    np.testing.assert_allclose(*(f(inputs)["encoder_outputs/0"] for f in (first, both)), atol=1e-6)


def test_bfloat16_reaches_the_products_and_outputs_stay_float32(model):
    path = model("attention")
    signature = next(s for s in signatures.read(path).signatures if s.training is False)
    function = Function.load(path, signature, ["sequence_output"], "bfloat16")
    nodes = function._run.graph.as_graph_def().node
    narrow = {node.op for node in nodes if node.attr["T"].type == tf.bfloat16.as_datatype_enum}
    assert narrow & {"MatMul", "Einsum"}
    inputs = feed(signature)
    found = function(inputs)["sequence_output"]
    expected = unfrozen(path, signature, inputs)["sequence_output"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05


@pytest.mark.parametrize("amx", [True, False])
def test_bfloat16_weights_are_narrow_and_not_cast_in_every_call(model, monkeypatch, amx):
    """In the graph for AMX, else beside it."""
    monkeypatch.setattr(optimized_graphs, "SMALL", 0)
    monkeypatch.setattr(freezing, "has_amx", lambda: amx)
    path = model("attention")
    signature = next(s for s in signatures.read(path).signatures if s.training is False)
    function = Function.load(path, signature, ["sequence_output"], "bfloat16")
    nodes = nodes_of(function)
    fed = {tensor.op.name for tensor in function._run.graph.internal_captures}
    assert bool(fed) != amx
    weights = {n.name: n for n in nodes if n.name in fed or (amx and n.op == "Const")}
    bfloat16 = tf.bfloat16.as_datatype_enum
    assert [n for n in weights.values() if n.attr["dtype"].type == bfloat16]
    assert not [node for node in nodes if node.op == "Cast" and node.input[0] in weights]


def test_calls_of_changing_shapes_build_nothing(model, monkeypatch):
    path = model("attention")
    signature = next(s for s in signatures.read(path).signatures if s.training is False)
    function = Function.load(path, signature, ["sequence_output"])
    shapes = [(1 + i % 7, 1 + i * 7 % 40) for i in range(200)]
    for batch, length in shapes:  # oneDNN keeps what it made for a shape, up to a limit
        function(feed(signature, batch, length))

    def never(*args, **kwargs):
        raise AssertionError("a graph is built")

    monkeypatch.setattr(InlinedGraph, "of", never)
    monkeypatch.setattr(tf.Graph, "_create_op_internal", never)
    resident = _resident()
    for batch, length in shapes:
        found = function(feed(signature, batch, length))["sequence_output"]
        assert found.shape == (batch, length, WIDTH)
    assert _resident() - resident < 16


def _resident() -> float:
    """MiB of memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_threads_share_a_function(model):
    path = model("table: file")
    function, signature = load(path), only(path)
    inputs = [feed(signature, batch) for batch in range(1, 30)]
    alone = [function(each)["default"] for each in inputs]
    barrier = threading.Barrier(4)

    def all_of_them(_):
        barrier.wait()
        return [function(each)["default"] for each in inputs]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(all_of_them, range(4)):
            assert all(map(np.array_equal, found, alone))


def test_variables_that_are_constants_now_hold_no_memory(model, monkeypatch):
    released = []
    release = freezing._Loaded.release

    def watched(loaded, kept):
        release(loaded, kept)
        released.extend(loaded.function.graph.variables)

    monkeypatch.setattr(freezing._Loaded, "release", watched)
    load(model("loops and branches"))
    assert [tf.shape(variable).numpy().tolist() for variable in released] == [[0], [0]]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "the model takes inputs_0, not nothing"),
        ({"inputs_0": np.zeros((1, WIDTH)), "more": 1}, "takes inputs_0, not inputs_0, more"),
    ],
    ids=["missing", "one too many"],
)
def test_inputs_are_those_of_the_signature(model, inputs, said):
    with pytest.raises(ValueError, match=said):
        load(model("dense"))(inputs)


def test_an_output_that_is_not_there_is_named(model):
    path = model("dense")
    with pytest.raises(ValueError, match=r"has no output 'c'; it has a/0, a/1, b$"):
        Function.load(path, only(path), ["c"])


def test_what_tensorflow_cannot_load_is_one_sentence(model, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise tf.errors.DataLossError(None, None, "bad checksum\nmore\nof it")

    path = model("dense")
    monkeypatch.setattr(tf.compat.v1.saved_model, "load_v2", fail)
    with pytest.raises(ValueError, match=r"model: TensorFlow cannot load .* bad checksum\); copy"):
        load(path)


@pytest.mark.slow
def test_a_model_above_two_gibibytes(tmp_path):
    def call(module, ids):
        return [tf.gather(module.wide, ids)[:, :WIDTH] @ module.square]

    wide = tf.Variable(tf.zeros([600_000, 1000]), name="wide")
    wide.scatter_nd_update([[5, 1]], [2.0])
    path = save(tmp_path / "model", call, IDS, wide=wide)
    del wide
    function = load(path)
    assert function.variables == ("wide",)
    found = function({"inputs_0": np.array([5, 6])})["0"]
    np.testing.assert_allclose(found[0], 2 * normal(WIDTH, WIDTH)[1], rtol=1e-6)
    assert not found[1].any()
