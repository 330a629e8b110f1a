"""Types in which a model computes: what each keeps of float32, and what a run says of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.models import devices, hardware
from corpusvec.transforms.models.capacities import Capacity
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.models.probes import TOLERANCES, id_windows
from corpusvec.transforms.specs import Wanted
from tests.models import hugging_face_folder

pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hugging_face_folder(tmp_path_factory.mktemp("model") / "m")


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_precision_stays_within_its_tolerance_of_float32(folder, precision):
    spec = describe_model(str(folder))
    windows = id_windows([1, 2, 3], [4, 5, 6, 7, 8], [9])
    wide, narrow = (
        load_encoder(spec, Wanted((0, 2), spec.outputs, which)).encode(windows)
        for which in ("float32", precision)
    )
    for one, other in zip(wide, narrow):
        for key, values in [*one.layers.items(), *one.outputs.items()]:
            found = {**other.layers, **other.outputs}[key]
            assert found.dtype == np.float32
            close = TOLERANCES[precision] * np.abs(values).max()
            np.testing.assert_allclose(found, values, rtol=0, atol=close)
    assert not any(np.array_equal(wide.layers[key], narrow.layers[key]) for key in wide.layers)


def test_tf32_is_refused_where_there_is_no_gpu(embed, tiny, tmp_path):
    (tmp_path / "a.txt").write_text("a b\n")
    out = embed(tiny, tmp_path / "a.txt", "--precision=tf32")
    assert out.code == 2
    assert "--precision=tf32: is for GPUs, and TensorFlow has none here; use float32" in out.err
    assert "Traceback" not in out.err


@pytest.mark.parametrize("precision", ["tf32", "float32"])
def test_only_tf32_is_computed_as_such_and_each_gpu_has_three_streams(monkeypatch, precision):
    """While one batch is computed, one is put together and copied, and one is taken."""
    machine = Capacity()
    monkeypatch.setattr(hardware, "gpus", lambda: ["GPU:0", "GPU:1"])
    monkeypatch.setattr(hardware, "THIS_PROCESS", machine)
    set_to: list[bool] = []
    experimental = hardware.tf.config.experimental
    monkeypatch.setattr(experimental, "enable_tensor_float_32_execution", set_to.append)
    assert hardware.prepare_threads(precision) == 6
    assert set_to == [precision == "tf32"]
    assert machine.tokens == 1 << 14


@pytest.mark.parametrize(("factor", "said"), [(1.7, True), (1.1, False), (0.5, False)])
def test_a_run_says_once_that_bfloat16_is_the_slower_one_here(monkeypatch, capsys, factor, said):
    times = {hardware.tf.float32: 1.0, hardware.tf.bfloat16: factor}
    monkeypatch.setattr(hardware, "_product_seconds", times.get)
    hardware.say_if_slower.cache_clear()
    for precision in ("float32", "bfloat16", "bfloat16"):
        devices.say_if_slower(precision)
    told = capsys.readouterr().err
    note = (
        "note: --precision=bfloat16 is slower than float32 on this processor: a product takes 1.7"
    )
    assert told.count(note) == told.count("bfloat16 is slower") == said


def test_a_product_is_timed_in_little_time():
    assert 0 < hardware._product_seconds(hardware.tf.bfloat16) < 5


def test_the_manifest_says_the_precision(embed, tiny, tmp_path):
    (tmp_path / "a.txt").write_text("a b\n")
    out = embed(tiny, tmp_path / "a.txt", "--precision=float16")
    assert out.code == 0, out.err
    manifest = json.loads((out.latest / "manifest.json").read_text())
    assert manifest["run"]["precision"] == "float16"


def test_a_precision_that_is_none_is_refused(folder):
    with pytest.raises(ValueError, match="precision"):
        Settings(model=str(folder), precision="float8").resolve()
