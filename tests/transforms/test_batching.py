"""The stage loses no window, and its batches go out while the next ones are gathered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms import batch as batching
from corpusvec.transforms.batch import _BatchFn
from corpusvec.transforms.batches import padded_length, padded_rows
from corpusvec.transforms.models.capacities import Capacity
from corpusvec.transforms.models.probes import id_windows


def sent(lengths, budget=64, longest=None):
    """For each window that comes in, and for the end of the bundle, the batches that go out."""
    stage = _BatchFn(budget, padding=True, longest=longest)
    stage.start_bundle()
    windows = [id_windows([n] * length) for n, length in enumerate(lengths)]
    outputs = [list(stage.process(one)) for one in windows] + [list(stage.finish_bundle())]
    return [[out.value for out in outs] for outs in outputs]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=200), st.integers(1, 50), st.integers(30, 500))
def test_every_window_goes_out_once(lengths, windows_at_once, size_at_once):
    before = batching._WINDOWS, batching._SIZE
    batching._WINDOWS, batching._SIZE = windows_at_once, size_at_once
    try:
        outputs = sent(lengths)
    finally:
        batching._WINDOWS, batching._SIZE = before
    found = [w for batches in outputs for batch in batches for w in batch]
    numbers = sorted((int(one.ids[0]), len(one)) for one in found)
    assert numbers == list(enumerate(lengths))


def test_batches_go_out_at_the_rate_of_what_comes_in(monkeypatch):
    """At no time is much more or much less sent of one buffer than came in of the next."""
    monkeypatch.setattr(batching, "_WINDOWS", 256)
    lengths = np.random.default_rng(1).integers(1, 32, 4 * 256)
    outputs = sent(lengths)
    assert not any(outputs[:256])  # nothing to sort by before
    for first in (256, 512, 768):
        came = went = 0
        for length, batches in zip(lengths[first : first + 256], outputs[first:]):
            assert abs(came - went) <= 4 * 64  # of 4,000
            came += length
            went += sum(len(w) for batch in batches for w in batch)


@pytest.mark.parametrize("tokens", [1 << 14, 1 << 16])
def test_a_gpu_is_given_large_batches_of_few_shapes_with_little_padding(monkeypatch, tokens):
    """More is sorted for them: of 2,048 windows, six batches would have a third of padding."""
    machine = Capacity()
    machine.want(tokens, few_shapes=True)
    monkeypatch.setattr(batching, "THIS_PROCESS", machine)
    drawn = np.random.default_rng(1).lognormal(np.log(35) - 0.18, 0.6, 2 * tokens)
    lengths = np.clip(drawn.round(), 4, 256).astype(int)
    stage = _BatchFn(1024, padding=True, longest=256)
    stage.start_bundle()
    some = [id_windows(*([0] * n for n in part)) for part in np.array_split(lengths, 64)]
    outputs = [out.value for windows in some for out in stage.process(windows)]
    outputs += [out.value for out in stage.finish_bundle()]
    shapes = [(padded_rows(batch, True), padded_length(batch, 256, True)) for batch in outputs]
    padded = [rows * length for rows, length in shapes]
    assert sum(map(len, outputs)) == len(lengths)
    assert max(padded) <= tokens
    assert np.mean(padded) > 0.7 * tokens
    assert sum(padded) <= 1.06 * lengths.sum()
    assert len(set(shapes)) < 40
