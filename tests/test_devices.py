"""What a run says of the device that computes, and of a GPU that it cannot use."""

from __future__ import annotations

import re

import pytest

from corpusvec.transforms.models import devices


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The driver's folder with two GPUs, and no other program of it."""
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
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
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices.nvidia_gpus(driver) == ["NVIDIA L4", "NVIDIA L4"]


def test_a_run_says_what_computed(embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("a b\n")
    told = embed(tiny, source)
    assert re.search(r"^device: (cpu, \d+ cores?|.*GiB)$", told.out, re.MULTILINE), told.out
    again = embed(tiny, source)
    assert "device: " not in again.out  # nothing was computed
