"""What a SavedModel is said to be, without loading it, and what is said of broken ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.saved_models import integrity, signatures
from corpusvec.transforms.specs import Tensor
from tests.repository.test_oracles import GOLDEN

LETTERS = list("abc")


class Module(tf.Module):
    """A vocabulary in a file, a table of words, a matrix, and an optimizer's leavings."""

    def __init__(self, vocabulary: Path, width: int):
        super().__init__()
        vocabulary.write_text("\n".join(LETTERS))
        index = tf.lookup.TextFileIndex
        initializer = tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(initializer, 0)
        self.words = tf.Variable(tf.ones([len(LETTERS), width]))
        self.dense = tf.Module()
        self.dense.kernel = tf.Variable(tf.ones([width, 4]))
        self.optimizer = tf.Module()
        self.optimizer.momentum = tf.Variable(tf.ones([width, 4]))
        self.steps = tf.Variable(7)

    @tf.function
    def __call__(self, inputs, training=False, mask=None):
        tokens, weights = inputs["tokens"], inputs["Weights"]
        x = tf.gather(self.words, self.table.lookup(tokens)) * weights[:, None]
        x = x @ self.dense.kernel + tf.cast(0 * self.steps, tf.float32)
        return {"pooled": x, "layers": [x, 2.0 * x], "training": tf.constant(training)}


def save_tf2(folder: Path, width: int = 8) -> Path:
    module = Module(folder.with_suffix(".txt"), width)
    inputs = {
        "tokens": tf.TensorSpec([None], tf.string),
        "Weights": tf.TensorSpec([None], tf.float32, name="w"),
    }
    for training in (True, False):
        module.__call__.get_concrete_function(inputs, training=training)

    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.int32, name="ids")])
    def serve(ids):
        return {"z": tf.zeros([3]), "a": tf.shape(ids)}

    tf.saved_model.save(module, str(folder), signatures={"serve": serve})
    return folder


def save_tf1(folder: Path, width: int = 8, tags: tuple[str, ...] = ()) -> Path:
    """A TF1 Hub module has no tags, and a second graph for training."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(folder))
    vocabulary = folder.with_suffix(".txt")
    vocabulary.write_text("\n".join(LETTERS))
    for graph_tags in [tags] if tags else [("train",), ()]:
        with tf.Graph().as_default(), v1.Session() as session:
            rows = v1.get_variable(
                "rows", [9, width], partitioner=v1.fixed_size_partitioner(2), use_resource=True
            )
            kernel = v1.get_variable("kernel", [width, 4], use_resource="train" not in graph_tags)
            v1.train.get_or_create_global_step()
            v1.get_variable("kernel/Adam", [width, 4])
            v1.get_variable("counter", [], tf.int32, collections=[v1.GraphKeys.LOCAL_VARIABLES])
            ids = v1.placeholder(tf.int32, [None, None])
            sparse = v1.sparse_placeholder(tf.float32)
            asset = tf.constant(str(vocabulary))
            v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
            x = tf.matmul(tf.nn.embedding_lookup(list(rows), ids[:, 0]), kernel)
            tensor_info = v1.saved_model.utils.build_tensor_info
            signature = v1.saved_model.build_signature_def(
                {"ids": tensor_info(ids), "bag": tensor_info(sparse)}, {"default": tensor_info(x)}
            )
            session.run(v1.global_variables_initializer())
            arguments = {
                "signature_def_map": {"train" if "train" in graph_tags else "default": signature},
                "assets_collection": v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            }
            if graph_tags == ():
                builder.add_meta_graph([], **arguments) if not tags else None
            else:
                builder.add_meta_graph_and_variables(session, list(graph_tags), **arguments)
    builder.save()
    if not tags:
        (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


@pytest.fixture(scope="module")
def tf2(tmp_path_factory) -> Path:
    return save_tf2(tmp_path_factory.mktemp("tf2") / "model")


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    return save_tf1(tmp_path_factory.mktemp("hub") / "module")


def test_traces_are_told_apart_and_nested_tensors_named_by_their_place(tf2):
    model = signatures.read(str(tf2))
    assert not model.is_hub_module
    assert [s.name for s in model.signatures] == ["__call__", "__call__", "serve"]
    assert {s.training for s in model.signatures[:2]} == {True, False}
    assert len({s.function for s in model.signatures[:2]}) == 2
    for trace in model.signatures[:2]:
        assert trace.inputs == (
            Tensor("Weights", "float32", (None,)),
            Tensor("tokens", "string", (None,)),
        )
        assert trace.outputs == (
            Tensor("layers/0", "float32", (None, 4)),
            Tensor("layers/1", "float32", (None, 4)),
            Tensor("pooled", "float32", (None, 4)),
            Tensor("training", "bool", ()),
        )
    serve = model.signatures[2]
    assert (serve.function, serve.training) == ("", None)
    assert serve.inputs == (Tensor("ids", "int32", (None, 16)),)
    assert serve.outputs == (Tensor("a", "int32", (2,)), Tensor("z", "float32", (3,)))


def test_variables_assets_and_parameters_of_a_saved_model(tf2):
    model = signatures.read(str(tf2))
    assert model.assets == ("assets/model.txt",)
    assert model.variables == {
        "words": (3, 8),
        "steps": (),
        "dense/kernel": (8, 4),
        "optimizer/momentum": (8, 4),
    }
    assert model.parameters == 3 * 8 + 8 * 4  # no integers, nothing of the optimizer's
    assert model.tags == ("serve",)


def test_a_hub_module_is_read_as_it_is_for_inference(hub):
    model = signatures.read(str(hub))
    assert model.is_hub_module
    assert model.tags == ()
    assert [s.name for s in model.signatures] == ["default"]
    assert model.signatures[0].inputs == (
        Tensor("bag_indices", "int64", (None, None)),
        Tensor("bag_values", "float32", (None,)),
        Tensor("bag_dense_shape", "int64", (None,)),
        Tensor("ids", "int32", (None, None)),
    )
    assert model.variables["rows/part_0"] == (5, 8)
    assert "counter" in model.variables  # though no checkpoint has it
    assert model.parameters == 9 * 8 + 8 * 4


def test_a_tf1_saved_model_is_no_hub_module(tmp_path):
    model = signatures.read(str(save_tf1(tmp_path / "model", tags=("serve",))))
    assert not model.is_hub_module
    assert model.tags == ("serve",)
    assert [s.name for s in model.signatures] == ["default"]


SPEC = tf.TensorSpec([None, 2], tf.float32)
NAMED = tf.TensorSpec([None], tf.int64, name="ids")


@pytest.mark.parametrize(
    ("function", "arguments", "inputs", "outputs"),
    [
        (lambda x: x, [SPEC], ["x"], ["default"]),
        (lambda x: [x, (x,)], [NAMED], ["ids"], ["0", "1/0"]),
        (lambda both: both[0], [[SPEC, SPEC]], ["both_0", "both_1"], ["default"]),
        (lambda both: both[0], [[NAMED, SPEC]], ["ids", "both_1"], ["default"]),
        (lambda a, b: {"y": a["k"] + b["k"]}, [{"k": SPEC}, {"k": SPEC}], ["a_k", "b_k"], ["y"]),
        (
            lambda x: x,
            [tf.SparseTensorSpec([None, 3], tf.string)],
            ["x/indices", "x/values", "x/dense_shape"],
            ["default/indices", "default/values", "default/dense_shape"],
        ),
        (
            lambda x: x,
            [tf.RaggedTensorSpec([None, None], tf.int32, 1)],
            ["x/flat_values", "x/row_splits_0"],
            ["default/flat_values", "default/row_splits_0"],
        ),
    ],
    ids=["one", "named", "list", "list, one named", "same key", "sparse", "ragged"],
)
def test_inputs_and_outputs_of_any_structure_have_names(
    tmp_path, function, arguments, inputs, outputs
):
    module = tf.Module()
    module.__call__ = tf.function(function)
    module.__call__.get_concrete_function(*arguments)
    tf.saved_model.save(module, str(tmp_path))
    trace = signatures.read(str(tmp_path)).signatures[0]
    assert [tensor.name for tensor in trace.inputs] == inputs
    assert [tensor.name for tensor in trace.outputs] == outputs
    assert trace.training is None


def test_the_reference_modules():
    bert = signatures.read(str(GOLDEN / "tf1_hub" / "bert"))
    assert bert.is_hub_module
    assert [s.name for s in bert.signatures] == ["tokenization_info", "tokens"]
    assert bert.signatures[1].outputs[1] == Tensor("sequence_output", "float32", (None, None, 16))
    assert bert.assets == ("assets/vocab.txt",)
    assert bert.parameters == 30522 * 16 + 2 * 16 + 16 * 16 + 16 * 16


def test_a_model_is_read_once_until_its_files_change(tf2, tmp_path):
    folder = shutil.copytree(tf2, tmp_path / "model")
    model = signatures.read(str(folder))
    assert signatures.read(str(folder)) is model
    (folder / "assets" / "more.txt").write_text("more")
    assert signatures.read(str(folder)).assets == ("assets/model.txt", "assets/more.txt")
    os.remove(folder / "assets" / "model.txt")
    with pytest.raises(ValueError, match=r"asset 'model\.txt'"):
        signatures.read(str(folder))


def cut(name: str, count: int):
    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:count])

    return apply


def remove(pattern: str):
    return lambda folder: next(folder.glob(pattern)).unlink()


def lose_a_part(folder: Path) -> None:
    (folder / DATA).rename(folder / DATA.replace("00001", "00002"))


def swap_variables(folder: Path) -> None:
    """Those of the same model, only wider."""
    save = save_tf1 if (folder / "tfhub_module.pb").exists() else save_tf2
    other = save(folder.parent / "wider", 9)
    shutil.rmtree(folder / "variables")
    shutil.copytree(other / "variables", folder / "variables")


def rename_op(before: bytes, after: bytes):
    assert len(before) == len(after)

    def apply(folder: Path) -> None:
        content = (folder / "saved_model.pb").read_bytes()
        assert before in content
        (folder / "saved_model.pb").write_bytes(content.replace(before, after))

    return apply


DATA = "variables/variables.data-00000-of-00001"
BROKEN = {
    "no graph": (remove("saved_model.pb"), "has no saved_model.pb, so it is no SavedModel; copy"),
    "graph cut short": (cut("saved_model.pb", 500), r"saved_model\.pb: cut short, or not a Saved"),
    "graph empty": (cut("saved_model.pb", 0), r"saved_model\.pb: holds no graph; copy"),
    "no index": (remove("variables/variables.index"), r"variables\.index: is missing, and the mod"),
    "index cut short": (cut("variables/variables.index", 50), r"variables\.index: not an index th"),
    "no data": (remove(DATA), r"variables\.index: has no variables\.data-… beside it; copy"),
    "no second part": (lose_a_part, r"variables\.data-00001-of-00002: is missing; copy"),
    "data one byte short": (cut(DATA, -1), r"variables\.(index|data).*cut off"),
    "most data gone": (cut(DATA, 60), r"variables\.(index|data).*cut off"),
    "no asset": (remove("assets/*.txt"), r"names an asset '.*\.txt', which is not in its"),
    "another's variables": (swap_variables, r"has the shape \[.*9.*\], in the graph it is \[.*8"),
    "unknown op": (rename_op(b"MatMul", b"MatMux"), "needs the op MatMux, which TensorFlow"),
}


@pytest.mark.parametrize("kind", ["tf2", "hub"])
@pytest.mark.parametrize(("break_it", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_refused_in_one_sentence(request, tmp_path, kind, break_it, said):
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "broken")
    break_it(folder)
    with pytest.raises(ValueError, match=said) as caught:
        signatures.read(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "it is not installed",
            r"cannot be used here \(it is not installed\); pip install 'tensor",
        ),
        ("", r"cannot be used here \(this version of it has no such op\); pip install 'tensorfl"),
    ],
    ids=["not installed", "without the op"],
)
def test_a_model_that_needs_tensorflow_text_says_so(tf2, tmp_path, monkeypatch, reason, said):
    folder = shutil.copytree(tf2, tmp_path / "model")
    rename_op(b"LookupTableFindV2", b"SentencepieceAbcd")(folder)
    monkeypatch.setattr(integrity, "import_text", lambda: reason)
    with pytest.raises(
        ValueError, match="needs the op SentencepieceAbcd of tensorflow-text.*" + said
    ):
        signatures.read(str(folder))


def test_tensorflow_text_is_imported_where_a_model_needs_it(tmp_path):
    text = pytest.importorskip("tensorflow_text")
    module = tf.Module()
    tokenizer = text.WhitespaceTokenizer()
    module.__call__ = tf.function(lambda lines: tokenizer.tokenize(lines).row_lengths())
    module.__call__.get_concrete_function(tf.TensorSpec([None], tf.string))
    tf.saved_model.save(module, str(tmp_path))
    script = (
        "import sys\n"
        "from corpusvec.transforms.models.saved_models import signatures\n"
        "from corpusvec.transforms.models.saved_models.freezing import Function\n"
        "assert 'tensorflow_text' not in sys.modules\n"
        "trace = signatures.read(sys.argv[1]).signatures[0]\n"
        "function = Function.load(sys.argv[1], trace, ['default'])\n"
        "print(function({'lines': ['a b', 'c']})['default'].tolist())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout == "[2, 1]\n"


def test_what_keras_3_keeps_twice_is_counted_once(tmp_path):
    import keras

    text = keras.Input([None], dtype="int32", name="ids")
    vectors = keras.layers.Dense(4)(keras.layers.Embedding(7, 3)(text))
    keras.Model(text, vectors).export(str(tmp_path / "model"), verbose=False)
    assert signatures.read(str(tmp_path / "model")).parameters == 7 * 3 + 3 * 4 + 4
