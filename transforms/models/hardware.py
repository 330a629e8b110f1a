"""TensorFlow on this machine: its threads, its memory, its GPUs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import time
from pathlib import Path

from corpusvec.transforms.models.capacities import THIS_PROCESS, USUAL
from corpusvec.transforms.models.cores import share
from corpusvec.transforms.models.devices import NoGpu, unused
from corpusvec.transforms.models.libraries.tensorflow import tf
from corpusvec.transforms.specs import TF32

_LOG = logging.getLogger(__name__)
_STREAMS = 3  # of a GPU
_SLOWER = 1.2  # times: less is chance
_ARENA_MAX = -8  # of mallopt(), in glibc's malloc.h

__all__ = [
    "gpus",
    "has_amx",
    "has_gpu",
    "may_gain_by_bfloat16",
    "prepare_threads",
    "say_if_slower",
    "tf",
]


def prepare_threads(precision: str) -> int:
    """One stream a core, each with one thread, or three for each GPU: while one computes, the next
    batch is assembled and copied, and the results of a third are fetched -> number of streams.

    TensorFlow accepts this only before it starts. If it already runs in a user's own program, its
    threads stay as they are. Raises `NoGpu` for a precision that needs a GPU, if there is none.
    """
    _say_unused()
    if has_gpu():
        # float32 means float32, unless the user says otherwise.
        tf.config.experimental.enable_tensor_float_32_execution(precision == TF32)
        _share_gpus()
        THIS_PROCESS.want(USUAL)
        return _STREAMS * len(gpus())
    if precision == TF32:
        raise NoGpu(
            f"--precision={TF32}: is for GPUs, and TensorFlow has none here; use float32, of which"
            f" {TF32} is a faster form there"
        )
    cores = share()
    _share_heaps(cores)
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    return cores


def _share_heaps(count: int) -> None:
    """Let the threads share `count` heaps where glibc would give them eight times as many: each
    keeps what it once needed for the products of a stream.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another libc, which has no such
        ctypes.CDLL(None).mallopt(_ARENA_MAX, count)


def _share_gpus() -> None:
    """Allocate a GPU's memory only as it is needed, for the sake of other processes."""
    for gpu in tf.config.get_visible_devices("GPU"):
        with contextlib.suppress(RuntimeError, ValueError):  # it is running, or has its limits
            tf.config.experimental.set_memory_growth(gpu, True)


@functools.cache  # once a process
def _say_unused() -> None:
    if told := unused(has_gpu()):
        _LOG.warning(told)


@functools.cache  # once a process
def say_if_slower(precision: str) -> None:
    """Warn if the precision is bfloat16 and this processor is slower with it."""
    if precision != "bfloat16" or has_gpu():
        return
    times = [_product_seconds(dtype) for dtype in (tf.float32, tf.bfloat16)]
    if (factor := times[1] / times[0]) > _SLOWER:
        _LOG.warning(
            "--precision=bfloat16 is slower than float32 on this processor: a product takes"
            " %.1f times as long; `plan` times the model with both",
            factor,
        )


def _product_seconds(dtype: tf.DType) -> float:
    """The shortest of three times that a product of usual size takes."""
    rows, weights = tf.ones([512, 768], dtype), tf.ones([768, 3072], dtype)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        tf.matmul(rows, weights).numpy()
        times.append(time.perf_counter() - started)
    return min(times)


def gpus() -> list[str]:
    """The names of the GPUs that TensorFlow can use."""
    found = tf.config.get_visible_devices("GPU")
    return [f"GPU:{number}" for number in range(len(found))]


def has_gpu() -> bool:
    """Whether TensorFlow sees one that it can use."""
    return bool(gpus())


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 as such (Linux tells)."""
    return _has(" amx_bf16")


def may_gain_by_bfloat16() -> bool:
    """Whether this run uses a processor that has bfloat16, which may be faster or slower."""
    return not has_gpu() and (has_amx() or _has(" avx512_bf16"))


def _has(feature: str) -> bool:
    try:
        return feature in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
