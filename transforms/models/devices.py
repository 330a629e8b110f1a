"""What computes, in words; and a GPU that is there and cannot be used."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from corpusvec.transforms.models.cores import available

_DRIVER = Path("/proc/driver/nvidia/gpus")
_SECONDS = 10  # that nvidia-smi may take


class NoGpu(ValueError):
    """What only a GPU does is asked of a machine that has none; the message names the flag."""


def in_use() -> str | None:
    """Of this process, once it has loaded a model: `cpu, 2 cores`, `NVIDIA L4, 22 GiB`."""
    hardware = sys.modules.get("corpusvec.transforms.models.hardware")
    if hardware is None:
        return None
    if not hardware.has_gpu():
        cores = available()
        return f"cpu, {cores} core{'' if cores == 1 else 's'}"
    found = Counter(nvidia_gpus() or ["GPU"])
    return ", ".join(name if n == 1 else f"{n} × {name}" for name, n in found.items())


def say_if_slower(precision: str) -> None:
    """Of this process, once it has loaded a model."""
    if hardware := sys.modules.get("corpusvec.transforms.models.hardware"):
        hardware.say_if_slower(precision)


def unused(has_gpu: bool, root: Path = _DRIVER) -> str:
    """A sentence where the machine has a GPU and TensorFlow none that it can use; else nothing, as
    where nobody wants it (CUDA_VISIBLE_DEVICES).
    """
    unwanted = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if has_gpu or unwanted or not (found := nvidia_gpus(root)):
        return ""
    return (
        f"{found[0]} is not used: TensorFlow finds no CUDA libraries for it; to compute there, pip"
        " install 'corpusvec[gpu]', which is tensorflow[and-cuda]"
    )


def nvidia_gpus(root: Path = _DRIVER) -> list[str]:
    """Those of this machine, as its driver calls them, with their memory where that can be had."""
    if not root.is_dir():
        return []
    if asked := _asked():
        return [f"{name}, {mib // 1024} GiB" for name, mib in asked]
    told = [file.read_text() for file in sorted(root.glob("*/information"))]
    models = [line for text in told for line in text.splitlines() if line.startswith("Model:")]
    return [model.partition(":")[2].strip() for model in models]


def gpu_memory() -> int:
    """Bytes of the smallest of this machine; 0 where nobody tells."""
    return min((mib for _, mib in _asked()), default=0) << 20


@functools.cache
def _asked() -> tuple[tuple[str, int], ...]:
    """The GPUs' names and MiB of memory, as a program of the driver tells them."""
    if program := shutil.which("nvidia-smi"):
        query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            said = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS).stdout
            rows = [line.rsplit(",", 1) for line in said.splitlines() if "," in line]
            return tuple((name.strip(), int(mib)) for name, mib in rows)
    return ()
