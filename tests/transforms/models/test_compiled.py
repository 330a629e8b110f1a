"""On a GPU a batch is one graph for its shape: compiled beside what runs, for shapes that come
often, and without it the same, slower.
"""

from __future__ import annotations

import numpy as np
import pytest

from corpusvec.transforms.models import compiled as compiling
from corpusvec.transforms.models.hardware import tf

pytestmark = pytest.mark.usefixtures("program")

_ANY = [tf.TensorSpec([None], tf.float32)]


class Doubled:
    """A function that knows whether it was called as it is, or traced."""

    def __init__(self):
        self.plain = 0

    def __call__(self, x):
        self.plain += tf.executing_eagerly()
        return {"twice": 2 * x}


def of(size):
    return np.arange(size, dtype=np.float32)


def test_a_shape_is_compiled_when_it_comes_again_and_nobody_waits():
    function = Doubled()
    compiled = compiling.Compiled(function, _ANY, "CPU:0")
    for calls in (1, 2):
        np.testing.assert_array_equal(compiled(of(3))["twice"], 2 * of(3))
        assert function.plain == calls
    compiled.wait()
    np.testing.assert_array_equal(compiled(of(3))["twice"], 2 * of(3))
    assert function.plain == 2  # it was compiled
    compiled(of(4))
    compiled.wait()
    assert function.plain == 3  # another shape, which may never come again
    assert len(compiled.seconds) == 1


def test_so_many_shapes_are_compiled_and_no_more(monkeypatch):
    monkeypatch.setattr(compiling, "MOST", 2)
    function = Doubled()
    compiled = compiling.Compiled(function, _ANY, "CPU:0", at_once=True)
    for size in (1, 2, 3, 1, 2, 3):
        np.testing.assert_array_equal(compiled(of(size))["twice"], 2 * of(size))
    assert function.plain == 2
    assert len(compiled.seconds) == 2


def test_what_xla_cannot_compile_is_computed_nevertheless_and_said_once(capsys):
    def text(x):
        return tf.strings.length(tf.strings.as_string(x))

    compiled = compiling.Compiled(text, _ANY, "CPU:0", at_once=True)
    for size in (1, 2):
        assert compiled(of(size)).shape == (size,)
    assert capsys.readouterr().err.count("note: XLA cannot compile this model here (") == 1
    assert not compiled.seconds


def test_no_room_to_compile_is_not_said_and_tried_again(capsys, monkeypatch):
    function = Doubled()
    compiled = compiling.Compiled(function, _ANY, "CPU:0", at_once=True)
    whole, tries = compiled._whole, []

    def crowded(*given):
        tries.append(given)
        if len(tries) == 1:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return whole(*given)

    monkeypatch.setattr(compiled, "_whole", crowded)
    np.testing.assert_array_equal(compiled(of(3))["twice"], 2 * of(3))
    assert function.plain == 1
    compiled(of(3))
    assert function.plain == 1
    assert capsys.readouterr().err == ""
