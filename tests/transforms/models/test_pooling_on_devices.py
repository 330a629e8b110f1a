"""Poolings where the model is: the vectors are those of NumPy, and no layer leaves the device but
for the token table, in the type of the files.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.models.transformers.weights import shapes
from corpusvec.transforms.specs import VectorColumn, VectorPlan, Wanted
from corpusvec.transforms.vectors.documents import DocumentVectors
from tests.elements import together, window
from tests.models import hugging_face_folder

FAMILIES = Path(__file__).parents[2] / "golden" / "families"
ALIKE = ("distilbert", "electra", "eurobert", "luke", "roberta")  # in what is left to the GPU
COLUMNS = (
    VectorColumn("mean", "mean", (2,)),
    VectorColumn("both", "mean_max", (1, 2), "concat"),
    VectorColumn("weighted", "weighted_mean", (1, 2), "mean"),
    VectorColumn("ends", "cls+last", (0,)),
    VectorColumn("own", "output", output="pooler"),
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return describe_model(str(hugging_face_folder(tmp_path_factory.mktemp("model") / "m")))


def loaded(spec, plan, like_gpu, change=lambda arrays: arrays, precision="float32"):
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

    read = KINDS[spec.kind].load_module().read_arrays(spec, spec.has_pooler)
    arrays = {name: read[name] for name in shapes(spec.transformer, spec.has_pooler)}
    layers = {layer for column in plan.columns for layer in column.layers}
    layers |= {layer for _, layer in plan.token_layers}
    outputs = spec.outputs if spec.has_pooler else ()
    wanted = Wanted(tuple(sorted(layers)), outputs, precision, pooled=plan)
    return TransformerEncoder(spec, wanted, change(arrays), devices=["CPU:0"] if like_gpu else [])


def some_windows(spec, lengths=(5, 16, 1, 9)):
    generator = np.random.default_rng(3)
    count = spec.transformer.vocab_size
    ids = [generator.integers(0, count, length) for length in lengths]
    parts = [window(one, document=Document(str(n), "")) for n, one in enumerate(ids)]
    return together([replace(one, spans=np.zeros((len(one), 2), np.int32)) for one in parts])


@pytest.mark.parametrize("mask_special", [False, True])
def test_vectors_are_those_of_numpy(spec, mask_special):
    plan = VectorPlan(COLUMNS, mask_special=mask_special)
    windows = some_windows(spec)
    there, here = (loaded(spec, plan, like_gpu).encode(windows) for like_gpu in (True, False))
    assert not there.layers
    assert sorted(here.layers) == [0, 1, 2]
    vectors = DocumentVectors(plan)
    found, expected = (vectors.finish(vectors.parts(one)).sentences for one in (there, here))
    for column in COLUMNS:
        assert found.vectors[column.name].dtype == np.float32
        np.testing.assert_allclose(
            found.vectors[column.name], expected.vectors[column.name], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_layers_of_the_token_table_leave_in_the_type_of_the_files(spec, dtype):
    plan = VectorPlan(COLUMNS, (("layer@1", 1),), dtype=dtype)
    windows = some_windows(spec)
    there, here = (loaded(spec, plan, like_gpu).encode(windows) for like_gpu in (True, False))
    assert list(there.layers) == [1]
    assert there.layers[1].dtype == dtype
    vectors = DocumentVectors(plan)
    found, expected = (vectors.finish(vectors.parts(one)).tokens for one in (there, here))
    close = {"float32": 1e-6, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(
        found.layers["layer@1"], expected.layers["layer@1"], rtol=0, atol=close
    )


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in ALIKE else [])
        for path in sorted(FAMILIES.glob("*.npz"))
    ],
)
def test_xla_makes_one_graph_of_each_family_for_a_gpu(family, precision):
    """It gives the vectors of the graphs that run here, and each operation can be compiled for a
    GPU: XLA tells without one.
    """
    spec = describe_model(str(FAMILIES / family))
    ends = VectorColumn("ends", "cls+last", (0, spec.layer_count), "concat")
    plan = VectorPlan((VectorColumn("mean", "mean", (spec.layer_count,)), ends))
    vectors, windows = DocumentVectors(plan), some_windows(spec)
    there, here = (loaded(spec, plan, like_gpu, precision=precision) for like_gpu in (True, False))
    (graphs,) = there.graphs
    given, run = [], graphs.run
    graphs.run = lambda *arrays: given.append(arrays) or run(*arrays)
    found, expected = (
        vectors.finish(vectors.parts(one.encode(windows))).sentences.vectors
        for one in (there, here)
    )
    assert len(graphs.compiled.seconds) == 1
    close = {"float32": 1e-5, "float16": 2e-2}[precision]
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=close)
    lowered = graphs.compiled._whole.experimental_get_compiler_ir(*map(tf.constant, given[0]))
    assert lowered(stage="hlo", platform_name="GPU").startswith("HloModule")


def _times(factor):
    def change(arrays):
        name = "layer_0/output/LayerNorm/gamma"
        (key,) = (one for one in arrays if one.endswith(name))
        return {**arrays, key: arrays[key] * np.float32(factor)}

    return change


def test_what_float16_does_not_hold_leaves_as_it_is(spec):
    """So that its document's failure says how large it was."""
    plan = VectorPlan(COLUMNS[:1], (("layer@1", 1),), dtype="float16")
    encoder = loaded(spec, plan, True, _times(1e6))
    found = encoder.encode(some_windows(spec))
    assert found.layers[1].dtype == np.float32
    assert np.abs(found.layers[1]).max() > 65504
    vectors = DocumentVectors(plan)
    failures = vectors.finish(vectors.parts(found)).failures
    assert all("more than float16 holds" in why for why in failures.values())
    assert failures


def test_values_that_are_not_finite_are_found_though_no_layer_leaves(spec):
    """Also those of tokens that no pooling counts: the layer is named, as it is elsewhere."""
    plan = VectorPlan((VectorColumn("cls", "cls", (1,)),))

    def change(arrays):
        (key,) = (one for one in arrays if one.endswith("embeddings/word_embeddings"))
        broken = arrays[key].copy()
        broken[7] = np.nan
        return {**arrays, key: broken}

    windows = together(
        [window(ids, document=Document(str(ids), "")) for ids in ([1, 2, 7], [1, 2, 3], [4])]
    )
    said = []
    for like_gpu in (True, False):
        (found,) = encode_each(loaded(spec, plan, like_gpu, change), windows)
        said.append({row: failure.error for row, failure in found.failures.items()})
    assert said[0] == {0: "the model gave values that are not finite in layer 1"}
    assert said[0] == said[1]


def test_a_run_as_on_a_gpu_has_the_rows_of_another(embed, tiny, tmp_path, monkeypatch):
    """Batches of few shapes, compiled while it runs, for windows of long documents too."""
    from corpusvec.transforms.models import capacities, hardware
    from corpusvec.transforms.models.transformers import forward
    from corpusvec.transforms.models.transformers.blocks import norms

    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    source = tmp_path / "lines.txt"
    source.write_text(
        "".join(" ".join(words[: n % 9 + 1] * (1 + n % 40)) + "\n" for n in range(400))
    )
    flags = ("--layers=1", "--vectors=mean@-1,max@1", "--max_seq_length=12")
    expected = embed(tiny, source, *flags)
    tables = {name: expected.table(name) for name in ("sentences", "tokens")}
    shutil.rmtree(expected.output)
    for module in (forward, hardware):
        monkeypatch.setattr(module, "gpus", lambda: ["CPU:0"])
    for name in ("few_shapes", "_wanted"):
        monkeypatch.setattr(capacities.THIS_PROCESS, name, 0)
    norms.fuse.cache_clear()
    found = embed(tiny, source, *flags)
    norms.fuse.cache_clear()
    assert found.code == expected.code == 0
    assert capacities.THIS_PROCESS.few_shapes
    for name, table in tables.items():
        made = found.table(name)
        vectors = [one for one in table.column_names if "@" in one]
        assert len(vectors) == {"sentences": 2, "tokens": 1}[name]
        key = [(one, "ascending") for one in ("id", "token_index") if one in table.column_names]
        one, other = (some.sort_by(key) for some in (table, made))
        assert one.drop_columns(vectors) == other.drop_columns(vectors)
        for column in vectors:
            pair = [np.array(some[column].to_pylist(), np.float32) for some in (one, other)]
            np.testing.assert_allclose(*pair, rtol=0, atol=1e-5)
