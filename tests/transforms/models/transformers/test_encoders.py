"""One BERT for every file form: equal to the float64 reference, alone or in a batch, on any thread,
and computing no more than is wanted.
"""

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.transformers.weights import shapes
from corpusvec.transforms.specs import POOLER, Wanted
from tests.elements import together, window
from tests.models import checkpoint_folder, hugging_face_folder, weights_of
from tests.oracles import bert


def pair(ids, second):
    """A window of a pair, with `second` tokens of the second text at its end."""
    places = np.arange(len(ids))
    return window(ids, segments=(places >= len(ids) - second).astype(np.int8))


def random_windows(spec, lengths, seed=0):
    generator = np.random.default_rng(seed)
    some = [
        pair(
            generator.integers(0, spec.transformer.vocab_size, length),
            generator.integers(0, length),
        )
        for length in lengths
    ]
    return together([replace(one, document=Document(str(n), "")) for n, one in enumerate(some)])


def everything(spec, precision="float32"):
    return Wanted(tuple(range(spec.layer_count + 1)), spec.outputs, precision)


def assert_equals_reference(spec, weights, config):
    """Windows of several lengths, the longest that there may be among them, in one batch."""
    windows = random_windows(spec, [1, 2, spec.max_seq_length, 7])
    results = load_encoder(spec, everything(spec)).encode(windows)
    for result, one in zip(results, windows):
        segments = one.segments if spec.segments else np.zeros_like(one.segments)
        layers, pooled = bert(weights, config, one.ids, segments=segments)
        assert list(result.layers) == list(range(len(layers)))
        for layer, values in enumerate(layers):
            assert result.layers[layer].dtype == np.float32
            np.testing.assert_allclose(result.layers[layer], values, rtol=0, atol=2e-5)
        assert list(result.outputs) == ([] if pooled is None else ["pooler"])
        if pooled is not None:
            np.testing.assert_allclose(result.outputs["pooler"], pooled, rtol=0, atol=2e-5)


# A model is built for each example: a failure is told as it is found, not made smaller.
FEW = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])

SIZES = st.fixed_dictionaries(
    {
        "heads": st.sampled_from([1, 2, 3, 4]),
        "hidden": st.sampled_from([12, 24, 48]),
        "layers": st.integers(1, 3),
        "inner": st.sampled_from([None, 10]),
        "positions": st.sampled_from([12, 20]),
        "with_pooler": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)


@settings(FEW, max_examples=12)
@given(
    options=SIZES,
    hidden_act=st.sampled_from(["gelu", "relu", "tanh"]),
    tokenizer=st.sampled_from(["wordpiece", "sentencepiece"]),
    config=st.sampled_from(["bert_config.json", "config.ini"]),
)
def test_checkpoint_equals_the_reference(options, hidden_act, tokenizer, config):
    with tempfile.TemporaryDirectory() as place:
        folder = checkpoint_folder(
            place, hidden_act=hidden_act, tokenizer=tokenizer, config=config, **options
        )
        assert_equals_reference(describe_model(str(folder)), *weights_of(folder))


ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh", "silu", "swish"]


@settings(FEW, max_examples=25)
@given(
    options=SIZES,
    hidden_act=st.sampled_from(ACTIVATIONS),
    epsilon=st.sampled_from([1e-12, 1e-5, 1e-2]),
    form=st.sampled_from([("bert", "tokenizer.json"), ("bert", "xlmr"), ("xlm-roberta", "xlmr")]),
    prefix=st.sampled_from(["", "bert.", "roberta."]),
    dtype=st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]),
    old_names=st.booleans(),
    shards=st.sampled_from([1, 1, 3]),
)
def test_hugging_face_folder_equals_the_reference(
    options, hidden_act, epsilon, form, prefix, dtype, old_names, shards
):
    with tempfile.TemporaryDirectory() as place:
        folder = hugging_face_folder(
            place,
            hidden_act=hidden_act,
            layer_norm_eps=epsilon,
            model_type=form[0],
            tokenizer=form[1],
            prefix=prefix,
            **options,
        )
        tensors = {k: v.astype(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        save_file(tensors, folder / "model.safetensors")
        weights, config = weights_of(folder)
        if old_names:  # of models converted in 2019
            tensors = {
                key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
                for key, value in tensors.items()
            }
        save_shards(folder, tensors, shards)
        assert_equals_reference(describe_model(str(folder)), weights, config)


def save_shards(folder: Path, tensors, count):
    """As `transformers` saves what is too large for one file."""
    if count == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    (folder / "model.safetensors").unlink()
    names = [f"model-{n + 1:05}-of-{count:05}.safetensors" for n in range(count)]
    where = {key: names[n % count] for n, key in enumerate(sorted(tensors))}
    for name in names:
        save_file({k: v for k, v in tensors.items() if where[k] == name}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = hugging_face_folder(
        tmp_path_factory.mktemp("model") / "m", layers=3, hidden_act="relu", positions=40
    )
    return describe_model(str(folder))


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 5e-6), ("bfloat16", 0.1)], ids=["float32", "bfloat16"]
)
def test_neighbours_change_nothing(spec, precision, tolerance):
    """A window alone gives what it gives in a batch of others, longer and shorter."""
    encoder = load_encoder(spec, everything(spec, precision))
    windows = random_windows(spec, [5, 40, 1, 17, 5, 30])
    for beside, one in zip(encoder.encode(windows), windows):
        (alone,) = encoder.encode(together([one]))
        assert beside.window.document == one.document
        for layer, values in alone.layers.items():
            assert values.shape == (len(one), 16)
            np.testing.assert_allclose(beside.layers[layer], values, rtol=0, atol=tolerance)
        np.testing.assert_allclose(
            beside.outputs["pooler"], alone.outputs["pooler"], rtol=0, atol=tolerance
        )


def test_threads_do_not_disturb_each_other(spec):
    encoder = load_encoder(spec, Wanted((0, 3)))
    batches = [random_windows(spec, range(1, 2 + n % 9), seed=n) for n in range(40)]
    expected = [encoder.encode(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(encoder.encode, batches))
    for batch, wanted in zip(results, expected):
        for result, one in zip(batch, wanted):
            assert result.window.document == one.window.document
            for layer in (0, 3):
                np.testing.assert_allclose(result.layers[layer], one.layers[layer], atol=5e-6)


def test_text_b_adds_nothing_where_a_checkpoint_has_one_segment_type(tmp_path):
    """As the original's one-hot vectors: the other row is zero."""
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

    spec = describe_model(str(checkpoint_folder(tmp_path)))
    arrays = {name.removeprefix("bert/"): value for name, value in weights_of(spec.path)[0].items()}
    segments = "embeddings/token_type_embeddings"
    row = arrays[segments][:1]
    zero = {**arrays, segments: np.concatenate([row, np.zeros_like(row)])}
    embeddings = replace(spec.transformer.embeddings, segment_types=1)
    one = replace(spec, transformer=replace(spec.transformer, embeddings=embeddings))
    windows = together([pair([1, 2, 3, 4, 5], second=2)])
    (found,) = TransformerEncoder(one, Wanted((0, 2)), {**arrays, segments: row}).encode(windows)
    (expected,) = TransformerEncoder(spec, Wanted((0, 2)), zero).encode(windows)
    for layer in (0, 2):
        np.testing.assert_array_equal(found.layers[layer], expected.layers[layer])


GREETINGS = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795270026.320433    8054 port.cc:153] oneDNN custom operations are on.\n"
)


@pytest.mark.parametrize(
    ("raised", "shown"),
    [(None, b""), (KeyboardInterrupt, b""), (ImportError, GREETINGS)],
    ids=["nothing", "Ctrl-C", "failed"],
)
def test_only_tensorflows_greetings_are_kept_from_stderr(raised, shown, capfdbinary):
    """What other threads say in the seconds of its import comes after it."""
    from corpusvec.transforms.models.libraries.tensorflow import _quietly

    capfdbinary.readouterr()
    with pytest.raises(raised) if raised else nullcontext(), _quietly():
        os.write(2, GREETINGS + b"12 of 40 documents\n")
        if raised:
            raise raised
    assert capfdbinary.readouterr().err == shown + b"12 of 40 documents\n"


WANTED = [
    Wanted((0,)),
    Wanted((1,)),
    Wanted((2, 0)),
    Wanted((3,)),
    Wanted((), (POOLER,)),
    Wanted((1,), (POOLER,)),
]
WANTED_IDS = ["embeddings", "lowest", "two", "last", "pooler", "lowest and pooler"]


@pytest.mark.parametrize("wanted", WANTED, ids=WANTED_IDS)
def test_only_what_is_wanted_comes_back(spec, wanted):
    (one,) = random_windows(spec, [6])
    (result,) = load_encoder(spec, wanted).encode(together([one]))
    (full,) = load_encoder(spec, everything(spec)).encode(together([one]))
    assert set(result.layers) == set(wanted.layers)
    assert list(result.outputs) == (["pooler"] if wanted.pooler else [])
    for layer in wanted.layers:
        np.testing.assert_allclose(result.layers[layer], full.layers[layer], rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("precision", "amx", "small", "in_graph"),
    [
        ("float32", True, True, False),
        ("bfloat16", False, False, False),
        ("bfloat16", True, False, True),
        ("bfloat16", False, True, True),
    ],
)
@pytest.mark.parametrize("wanted", WANTED, ids=WANTED_IDS)
def test_graph_holds_only_what_is_wanted(
    spec, wanted, precision, amx, small, in_graph, monkeypatch
):
    """Its constants, or the tensors beside it, are the weights up to the highest layer wanted, no
    more, and no variables.
    """
    import tensorflow as tf

    from corpusvec.transforms.models.transformers import forward as module
    from corpusvec.transforms.models.transformers.forward import Graphs

    monkeypatch.setattr(module, "has_amx", lambda: amx)
    monkeypatch.setattr(module, "SMALL_HIDDEN", spec.hidden_size + 1 if small else 0)
    arrays = {name.removeprefix("bert/"): value for name, value in weights_of(spec.path)[0].items()}
    graphs = Graphs.build(spec.transformer, replace(wanted, precision=precision), arrays)
    layers = [function for function, _ in graphs.usual.layers]
    functions = [graphs.usual.begin, *layers, *([graphs.pool] if graphs.pool else [])]
    highest = spec.layer_count if wanted.pooler else max(wanted.layers)
    needed = shapes(spec.transformer.lower(highest), wanted.pooler)
    matrix = spec.hidden_size**2  # no vector is as large; TensorFlow may hold those both ways
    weights = sum(size for shape in needed.values() if (size := int(np.prod(shape))) >= matrix)
    assert len(layers) == highest
    operations = [o for function in functions for o in function.graph.get_operations()]
    constants = [
        size
        for operation in operations
        if operation.type == "Const"
        and (size := tf.make_ndarray(operation.get_attr("value")).size) >= matrix
    ]
    beside = [
        size
        for function in functions
        for tensor in function.captured_inputs
        if (size := int(tf.size(tensor))) >= matrix
    ]
    found = sum(constants) + sum(beside) + int(tf.size(graphs.words))
    assert found == weights
    assert not (beside if in_graph else constants)
    types = {operation.type for operation in operations}
    assert ("Tanh" in types) == wanted.pooler
    assert not {"ReadVariableOp", "VarHandleOp", "ResourceGather"} & types
    for function in functions:
        assert not function.graph.as_graph_def().library.function


def test_weights_in_the_graph_and_beside_it_give_the_same(spec, monkeypatch):
    from corpusvec.transforms.models.transformers import forward as module

    windows = random_windows(spec, [3, 9, 20])
    wanted = Wanted((spec.layer_count,), precision="bfloat16")
    monkeypatch.setattr(module, "SMALL_HIDDEN", 0)
    found = []
    for amx in (True, False):
        monkeypatch.setattr(module, "has_amx", lambda amx=amx: amx)
        found.append(load_encoder(spec, wanted).encode(windows))
    for one, other in zip(*found):
        for layer, values in one.layers.items():
            np.testing.assert_allclose(values, other.layers[layer], rtol=0, atol=0.05)


def test_where_the_fused_norm_does_not_run_the_plain_one_does(spec, monkeypatch):
    import tensorflow as tf

    from corpusvec.transforms.models.transformers.blocks import norms

    def unheard_of(x, gamma, beta, epsilon):
        failing = tf.debugging.assert_equal(0, tf.size(x), "cannot run here")
        with tf.control_dependencies([failing]):
            return tf.identity(x)

    expected = load_encoder(spec, Wanted((1,))).encode(random_windows(spec, [5]))
    norms.fuse.cache_clear()
    monkeypatch.setattr(norms, "fused", unheard_of)
    try:
        found = load_encoder(spec, Wanted((1,))).encode(random_windows(spec, [5]))
        assert not norms.fuse(tf.float32)
    finally:
        norms.fuse.cache_clear()
    np.testing.assert_allclose(found[0].layers[1], expected[0].layers[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_fused_norm_is_the_norm(precision):
    """Rows of large mean are where a careless variance shows."""
    import tensorflow as tf

    from corpusvec.transforms.models.transformers.blocks import norms

    if not norms.fuse(tf.as_dtype(precision)):
        pytest.skip("TensorFlow has no fused layer normalization here")
    rows = np.random.default_rng(5).normal(30, 2, (37, 64)).astype(np.float32)
    gamma, beta = np.linspace(-2, 2, 64, dtype=np.float32), np.linspace(0, 1, 64, dtype=np.float32)
    arguments = [tf.constant(array, precision) for array in (rows, gamma, beta)]
    fused = tf.function(norms.fused)(*arguments, 1e-12)
    wide = np.asarray(tf.cast(arguments[0], tf.float64))
    centred = wide - wide.mean(axis=1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True)) * gamma + beta
    tolerance = {"float32": 2e-5, "bfloat16": 0.06}[precision]
    for found in (fused, norms.layer(*arguments, 1e-12)):
        np.testing.assert_allclose(tf.cast(found, tf.float64), exact, rtol=0, atol=tolerance)


def test_new_shapes_do_not_trace_again(spec, monkeypatch):
    """A graph for each shape would cost more than the encoding."""
    from corpusvec.transforms.models.transformers import forward as module

    traced, layer = [], module.layer

    def counting(*arguments, **options):
        traced.append(arguments[1])
        return layer(*arguments, **options)

    monkeypatch.setattr(module, "layer", counting)
    encoder = load_encoder(spec, Wanted((3,)))
    for n in range(1, 12):
        encoder.encode(random_windows(spec, [n] * (12 - n)))
    assert len(traced) == len(set(traced)) == 3


def test_encoder_says_what_it_is(spec):
    encoder = load_encoder(spec, Wanted((3,)))
    assert (encoder.hidden_size, encoder.layer_count, encoder.max_seq_length) == (16, 3, 40)
    assert encoder.streams >= 1
