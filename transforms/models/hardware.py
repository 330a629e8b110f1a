"""TensorFlow on this machine: its threads, its memory, its GPUs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from pathlib import Path

from corpusvec.transforms.models.cores import available
from corpusvec.transforms.models.devices import unused
from corpusvec.transforms.models.libraries.tensorflow import tf
from corpusvec.transforms.specs import TF32

_ARENA_MAX = -8  # of mallopt(), in glibc's malloc.h

__all__ = ["has_amx", "has_gpu", "prepare_threads", "tf"]


def prepare_threads(precision: str) -> int:
    """One stream a core, each with one thread, or one for a GPU -> the number of streams.

    TensorFlow takes it only before it starts: in someone's own program, where it is running
    already, its threads stay as they are.
    """
    _say_unused()
    if has_gpu():
        # float32 means float32, unless the user says otherwise.
        tf.config.experimental.enable_tensor_float_32_execution(precision == TF32)
        _share_gpus()
        return 1
    cores = _cores()
    _share_heaps(cores)
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    return cores


def _cores() -> int:
    """Those that this process may use: where CORPUSVEC_CORES says so, a share of them."""
    cores = available()
    share = os.environ.get("CORPUSVEC_CORES", "")
    return min(cores, int(share)) if share.isdecimal() and int(share) else cores


def _share_heaps(count: int) -> None:
    """Let the threads share `count` heaps where glibc would give them eight times as many: each
    keeps what it once needed for the products of a stream.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another libc, which has no such
        ctypes.CDLL(None).mallopt(_ARENA_MAX, count)


def _share_gpus() -> None:
    """Take a GPU's memory as it is needed: there may be other processes."""
    for gpu in tf.config.get_visible_devices("GPU"):
        with contextlib.suppress(RuntimeError, ValueError):  # it is running, or has its limits
            tf.config.experimental.set_memory_growth(gpu, True)


@functools.cache  # once a process
def _say_unused() -> None:
    if told := unused(has_gpu()):
        print(f"note: {told}", file=sys.stderr)


def has_gpu() -> bool:
    """Whether TensorFlow sees one that it can use."""
    return bool(tf.config.get_visible_devices("GPU"))


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 as such (Linux tells)."""
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
