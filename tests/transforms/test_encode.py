"""The stage sends every window to the encoder once, in batches as they come."""

from types import SimpleNamespace

import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms import encode
from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.encode import _EncodeFn
from corpusvec.transforms.models.probes import id_windows
from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.specs import VectorPlan, Wanted


class Echo:
    """An encoder that keeps what it was called with: of each window its number."""

    streams = 2

    def __init__(self):
        self.calls = []

    def encode(self, windows):
        self.calls.append(windows)
        return Encoded(windows, {}, {})


def model():
    return SimpleNamespace(longest_padded=None, tokenizer=True)


def batches_of(lengths):
    """Batches, all of one buffer, of windows that are numbered by their owners."""
    windows = id_windows(*([0] * n for batch in lengths for n in batch))
    edges = edges_of(np.array([len(batch) for batch in lengths], np.int64))
    return [windows.take(slice(a, b)) for a, b in zip(edges, edges[1:])]


def encoded(batches):
    """The encoder's calls for these batches, and the numbers of what came out."""
    encoder = Echo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "load_encoder", lambda model, wanted: encoder)
        stage = _EncodeFn(model(), Wanted(()), VectorPlan(()), None)
        stage.setup()
        stage.start_bundle()
        found = [out for batch in batches for out in stage.process(batch)]
        found += stage.finish_bundle()
    parts = [out.value for out in found if not is_count(out)]
    return encoder.calls, [owner for part in parts for owner in part.windows.owners.tolist()]


def is_count(output):
    return isinstance(output, TaggedOutput)


LENGTHS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), max_size=20)


@settings(max_examples=50, deadline=None)
@given(LENGTHS)
def test_every_window_is_encoded_once_and_comes_out_in_order(lengths):
    batches = batches_of(lengths)
    calls, found = encoded(batches)
    sent = list(range(sum(map(len, lengths))))
    assert found == sent
    assert sorted(owner for call in calls for owner in call.owners.tolist()) == sent
    assert sorted(map(len, calls)) == sorted(map(len, batches))


def test_what_is_done_is_given_out_together_but_for_other_buffers():
    """What follows takes many at once; those of two buffers have other tokens."""
    stage = _EncodeFn(model(), Wanted(()), VectorPlan(()), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "load_encoder", lambda model, wanted: Echo())
        stage.setup()
        stage.start_bundle()
        batches = [*batches_of([[3, 2], [4], [1]]), *batches_of([[3, 2], [1]])]
        found = [out for batch in batches for out in stage.process(batch)]
        found += stage.finish_bundle()
    assert [len(out.value.windows) for out in found if not is_count(out)] == [4, 3]


def test_a_bundle_counts_its_own_work(monkeypatch):
    """And the process's load once: in the first bundle that ends."""
    monkeypatch.setattr(encode, "load_encoder", lambda model, wanted: Echo())
    stage = _EncodeFn(model(), Wanted(()), VectorPlan(()), None)
    stage.setup()
    told = []
    for lengths in ([[5, 3], [2]], [[1]]):
        stage.start_bundle()
        for batch in batches_of(lengths):
            list(stage.process(batch))
        outputs = [out for out in stage.finish_bundle() if is_count(out)]
        assert {out.tag for out in outputs} == {"counts"}
        told.append({out.value.value.name: out.value.value.n for out in outputs})
    loading = [counts.pop("model_load_ms", None) for counts in told]
    assert loading[0] >= 0
    assert loading[1] is None
    assert all(counts.pop("encode_ms") >= 0 for counts in told)
    assert all(counts.pop("peak_memory_bytes") > 1 << 20 for counts in told)
    assert told == [
        {"models": 1, "batches": 2, "padded_tokens": 12, "encoded_tokens": 10},
        {"batches": 1, "padded_tokens": 1, "encoded_tokens": 1},
    ]
