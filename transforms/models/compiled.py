"""Functions that XLA compiles as a whole, for shapes that occur again: GPUs run them faster."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np

from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.isolation import kind_and_reason

_LOG = logging.getLogger(__name__)
MOST = 64  # shapes that are compiled

_Shapes = tuple[tuple[int, ...], ...]


class Compiled:
    """A function of arrays, on a device. It runs operation by operation until it is compiled for
    the shapes of the arrays. Compiling takes seconds, so another thread does it while calls go on:
    one shape at a time, from its second call, for at most `MOST` shapes. Results differ in the last
    digit.

    `at_once`, for tests, compiles each shape at its first call. `seconds` has the time that each
    shape took.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Sequence[tf.TensorSpec],
        device: str,
        at_once: bool = False,
    ):
        self._plain, self._device, self._at_once = function, device, at_once
        self._whole = tf.function(
            lambda *given: function(*given),
            input_signature=signature,
            autograph=False,
            jit_compile=True,
        )
        self._seen: Counter[_Shapes] = Counter()
        self._made: set[_Shapes] = set()
        self._busy = self._gave_up = False
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self.seconds: list[float] = []

    def __call__(self, *given: np.ndarray) -> Any:
        shapes = tuple(one.shape for one in given)
        if self._is_next(shapes):
            if self._at_once:
                self._compile(shapes, given)
            else:
                self._thread.submit(self._compile, shapes, given)
        return self._run(self._whole if shapes in self._made else self._plain, given)

    def wait(self) -> None:
        """Wait until nothing is being compiled."""
        self._thread.submit(lambda: None).result()

    def _run(self, function: Callable[..., Any], given: Sequence[np.ndarray]) -> Any:
        with tf.device(self._device):
            return function(*map(tf.constant, given))

    def _is_next(self, shapes: _Shapes) -> bool:
        with self._lock:
            self._seen[shapes] += 1
            often = self._at_once or self._seen[shapes] > 1
            wanted = often and shapes not in self._made and len(self._made) < MOST
            if not wanted or self._busy or self._gave_up:
                return False
            self._busy = True
            return True

    def _compile(self, shapes: _Shapes, given: Sequence[np.ndarray]) -> None:
        started = time.monotonic()
        try:
            self._run(self._whole, given)
            self._made.add(shapes)
            self.seconds.append(time.monotonic() - started)
        except tf.errors.ResourceExhaustedError:
            pass  # no memory left by what runs now: another time
        except Exception as error:  # whatever keeps XLA from it
            self._gave_up = True
            _LOG.warning(
                "XLA cannot compile this model here (%s); each operation runs by itself, which is"
                " slower",
                kind_and_reason(error)[0],
            )
        finally:
            self._busy = False
