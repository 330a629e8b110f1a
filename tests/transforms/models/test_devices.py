"""What a run says of the device that computes, and of a GPU that it cannot use."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from corpusvec.transforms.models import devices
from tests.models import hugging_face_folder


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The driver's folder with two GPUs, and no other program of it."""
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices._asked.cache_clear()
    for number in range(2):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text("Model: \t\t NVIDIA L4\nIRQ:   \t\t 39\n")
    return tmp_path


def test_a_gpu_that_cannot_be_used_is_named_with_what_to_install(driver):
    told = devices.unused(False, driver)
    assert told.startswith("NVIDIA L4 is not used: ")
    assert "corpusvec[gpu]" in told
    assert "tensorflow[and-cuda]" in told


@pytest.mark.parametrize("unwanted", ["", "-1"])
def test_a_gpu_that_nobody_wants_is_not_told_of(driver, monkeypatch, unwanted):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", unwanted)
    assert devices.unused(False, driver) == ""


def test_nothing_is_told_where_there_is_none_or_it_is_used(driver, tmp_path):
    assert devices.unused(True, driver) == ""
    assert devices.unused(False, tmp_path / "none") == ""


def test_a_program_of_the_driver_tells_the_memory(driver, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559'\n")
    program.chmod(0o755)
    monkeypatch.setattr(devices.shutil, "which", lambda name: str(program))
    assert devices.nvidia_gpus(driver) == ["NVIDIA H100 80GB HBM3, 79 GiB"]
    assert devices.gpu_memory() == 81559 << 20
    devices._asked.cache_clear()
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices.nvidia_gpus(driver) == ["NVIDIA L4", "NVIDIA L4"]


def test_a_run_says_what_computed(embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("a b\n")
    told = embed(tiny, source)
    assert re.search(r"^device: (cpu, \d+ cores?|.*GiB)$", told.out, re.MULTILINE), told.out
    again = embed(tiny, source)
    assert "device: " not in again.out  # nothing was computed


_TWO = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.models.probes import id_windows
from corpusvec.transforms.models.transformers.forward import TransformerEncoder
from corpusvec.transforms.specs import VectorColumn, VectorPlan, Wanted

spec = describe_model({folder!r})
wanted = Wanted((1,), pooled=VectorPlan((VectorColumn("v", "mean", (1,)),)))
arrays = KINDS[spec.kind].load_module().read_arrays(spec, False)
encoder = TransformerEncoder(spec, wanted, arrays, devices=["CPU:0", "CPU:1"])
found = [encoder.encode(id_windows([1, 2, 3], [4])).states["v"][0].values for _ in range(2)]
print((found[0] == found[1]).all())
for graphs in encoder.graphs:
    inputs = [*graphs.usual.begin.captured_inputs, *graphs.usual.layers[0][0].captured_inputs]
    print({{one.device[-5:] for one in [graphs.words, *inputs]}}, len(graphs.compiled.seconds))
"""


def test_each_device_has_the_model_and_its_turn(tmp_path):
    """Two devices of a CPU, which TensorFlow makes only before it starts."""
    folder = hugging_face_folder(tmp_path / "m", layers=1)
    script = _TWO.format(folder=str(folder))
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert ran.stdout.splitlines() == ["True", "{'CPU:0'} 1", "{'CPU:1'} 1"], ran.stderr
