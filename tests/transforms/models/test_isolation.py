"""One bad window takes none of its neighbours along; a broken model is told from a bad window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.isolation import BrokenModel, encode_each
from tests.elements import together, window

GOOD, RAISES, NAN, INFINITE = 1, 2, 3, 4


def of(kind, name="d", index=0, count=1):
    document = Document(name, "text", source="file", source_row=7)
    return window([kind] * 4, document=document, index=index, count=count)


class Fake:
    """An encoder that raises on poison, as a real one does: for the whole batch."""

    hidden_size, max_seq_length, layer_count, streams = 2, 8, 1, 1

    def __init__(self, broken=False):
        self.broken, self.calls = broken, 0

    def encode(self, windows):
        self.calls += 1
        kinds = np.array([window.ids[0] for window in windows])
        if self.broken or (kinds == RAISES).any():
            raise RuntimeError("out of luck\nwith a second line")
        values = np.ones((len(windows), 5, 2), np.float32)
        values[:, 4] = np.nan  # padding, which may hold anything
        values[kinds == NAN, 1, 0] = np.nan
        pooled = np.ones((len(windows), 2), np.float32)
        pooled[kinds == INFINITE, 1] = -np.inf
        return Encoded(windows, {-1: values}, {"pooler": pooled})


def each(encoder, windows):
    """What came of each window."""
    return [one for found in encode_each(encoder, together(windows)) for one in found]


@given(st.lists(st.sampled_from([GOOD, GOOD, RAISES, NAN, INFINITE]), min_size=1, max_size=30))
def test_only_poisonous_windows_fail_and_order_is_kept(kinds):
    windows = [of(kind, name=str(n)) for n, kind in enumerate(kinds)]
    results = each(Fake(), windows)
    assert [result.window.document for result in results] == [one.document for one in windows]
    assert [result.failure is None for result in results] == [kind == GOOD for kind in kinds]
    for result, kind in zip(results, kinds):
        assert bool(result.layers) == (kind == GOOD)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (RAISES, "RuntimeError: out of luck"),
        (NAN, "the model gave values that are not finite in layer -1"),
        (INFINITE, "the model gave values that are not finite in pooler"),
    ],
    ids=["raises", "NaN", "infinite"],
)
def test_failure_says_which_record_and_why_in_one_line(kind, error):
    (result,) = each(Fake(), [of(kind, "doc", index=1, count=3)])
    failure = result.failure
    assert (failure.stage, failure.document_id, failure.error) == ("encode", "doc", error)
    assert (failure.source, failure.source_row) == ("file", 7)
    second = ": with a second line" if kind == RAISES else ""
    assert failure.detail == f"window 2 of 3{second}"


@pytest.mark.parametrize(
    ("said", "error", "detail"),
    [
        (
            "Graph execution error:\n\nDetected at node Gather defined at (most recent call last)"
            ":\n<stack traces unavailable>\nindices[0,0] = 99 is not in [0, 10)\n"
            "\t [[{{node Gather}}]]",
            "RuntimeError: indices[0,0] = 99 is not in [0, 10)",
            "Graph execution error: Detected at node Gather defined at (most recent call last):"
            " <stack traces unavailable> [[{{node Gather}}]]",
        ),
        ("Graph execution error:", "RuntimeError: Graph execution error:", ""),
        ("", "RuntimeError: ", ""),
        ("no memory\n" + "x" * 5000, "RuntimeError: no memory", "x" * 1000),
    ],
    ids=["TensorFlow's", "nothing more", "nothing", "long"],
)
def test_the_line_that_tells_the_cause_is_the_error(said, error, detail):
    class Failing(Fake):
        def encode(self, windows):
            if windows.documents.ids[0] != "probe":
                raise RuntimeError(said)
            return super().encode(windows)

    (result,) = each(Failing(), [of(GOOD)])
    assert (result.failure.error, result.failure.detail) == (error, detail)


def test_good_batch_is_encoded_once():
    encoder = Fake()
    each(encoder, [of(GOOD)] * 16)
    assert encoder.calls == 1


def test_one_poisonous_window_among_many_costs_few_calls():
    """Halving: two calls a level, and the probe."""
    encoder = Fake()
    each(encoder, [of(RAISES if n == 5 else GOOD) for n in range(64)])
    assert encoder.calls == 1 + 2 * 6 + 1


def test_broken_model_is_no_documents_fault():
    """After one single window and the probe it is clear: nothing is left to try."""
    encoder = Fake(broken=True)
    with pytest.raises(BrokenModel, match=r"fails on every input, first seen at .*'0'") as error:
        each(encoder, [of(GOOD, name=str(n)) for n in range(8)])
    assert isinstance(error.value.__cause__, RuntimeError)
    assert encoder.calls == 4 + 1


def test_interruption_is_not_taken_for_a_bad_record():
    class Interrupted(Fake):
        def encode(self, windows):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(Interrupted(), [of(GOOD)])
