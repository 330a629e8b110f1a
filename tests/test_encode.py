"""The stage sends every window to the encoder once, in calls of the size that the machine wants."""

from types import SimpleNamespace

import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms import encode
from corpusvec.transforms.elements import Encoded
from corpusvec.transforms.encode import _EncodeFn
from corpusvec.transforms.measures.beam_times import OF_THE_RUN
from tests.elements import window


class Echo:
    """An encoder that keeps what it was called with."""

    streams = 2

    def __init__(self):
        self.calls = []

    def encode(self, windows):
        self.calls.append(list(windows))
        return [Encoded(one, {}, {}) for one in windows]


def model(padding=True):
    return SimpleNamespace(padding=padding, longest_padded=None, tokenizer=True)


def encoded(lengths, at_once, padding=True):
    """Batches of windows of these lengths -> them, the encoder's calls, and what came out."""
    batches = [[window([0] * n, stamp=OF_THE_RUN) for n in batch] for batch in lengths]
    encoder = Echo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "load_encoder", lambda model, wanted: encoder)
        patch.setattr(encode, "tokens_at_once", lambda: at_once)
        stage = _EncodeFn(model(padding), None, None)
        stage.setup()
        stage.start_bundle()
        found = [out for batch in batches for out in stage.process(batch)]
        found += stage.finish_bundle()
    return batches, encoder.calls, [out.value.window for out in found if not is_count(out)]


def is_count(output):
    return isinstance(output, TaggedOutput)


LENGTHS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), max_size=20)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(0, 400))
def test_every_window_is_encoded_once_and_comes_out_in_order(lengths, at_once):
    batches, calls, found = encoded(lengths, at_once)
    sent = [id(one) for batch in batches for one in batch]
    assert [id(one) for one in found] == sent
    assert sorted(id(one) for call in calls for one in call) == sorted(sent)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 400))
def test_small_batches_are_put_together_where_the_machine_wants_more(lengths, at_once):
    """Within the size it wants, unless a single batch is larger; no two that follow each other
    would have fitted together.
    """
    batches, calls, found = encoded(lengths, at_once)
    place = {id(one): number for number, one in enumerate(found)}
    calls.sort(key=lambda call: place[id(call[0])])  # threads call side by side

    def padded(call):
        return len(call) * max(map(len, call))

    first = {id(batch[0]): batch for batch in batches}
    for call, following in zip(calls, [*calls[1:], None]):
        assert padded(call) <= at_once or len(call) == len(first[id(call[0])])
        if following:
            assert padded(call) >= at_once or padded(call + first[id(following[0])]) > at_once


@pytest.mark.parametrize(("at_once", "padding"), [(0, True), (1000, False)])
def test_batches_stay_as_they_are(at_once, padding):
    """On a CPU, and where a model takes no padding: those batches are of one length each."""
    batches, calls, _ = encoded([[5, 5], [4], [4, 4, 4]], at_once, padding)
    assert sorted(map(len, calls)) == sorted(map(len, batches))


def test_a_bundle_counts_its_own_work(monkeypatch):
    """And the process's load once: in the first bundle that ends."""
    monkeypatch.setattr(encode, "load_encoder", lambda model, wanted: Echo())
    stage = _EncodeFn(model(), None, None)
    stage.setup()
    told = []
    for lengths in ([[5, 3], [2]], [[1]]):
        stage.start_bundle()
        for batch in lengths:
            list(stage.process([window([0] * n, stamp=OF_THE_RUN) for n in batch]))
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
