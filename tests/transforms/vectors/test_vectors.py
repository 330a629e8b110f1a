"""A document's vectors from the parts of its windows: gathered, pooled, narrowed, counted."""

import re
import weakref
from dataclasses import replace

import numpy as np
import pytest

from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.elements import OWN, SPECIAL, Document, Failure, Window
from corpusvec.transforms.specs import VectorColumn, VectorPlan
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering
from tests.elements import together
from tests.models import hugging_face_folder

MEAN = VectorColumn("mean", "mean", (1,))


DOCUMENT = Document("d", "text")


def part(values, index=0, count=1, start=0, stop=None, n_dropped=0, n_unknown=0):
    """A window of the document, and its values [T, H]."""
    values = np.asarray(values, np.float32)
    length = len(values)
    window = Window(
        document=DOCUMENT,
        index=index,
        count=count,
        tokens=tuple(f"{index}.{n}" for n in range(length)),
        ids=np.zeros(length, np.int32),
        segments=np.full(length, index, np.int8),
        roles=np.array([SPECIAL] + [OWN] * (length - 1), np.int8),
        spans=np.arange(2 * length, dtype=np.int32).reshape(-1, 2),
        start=start,
        stop=length if stop is None else stop,
        position=0,
        n_dropped=n_dropped,
        n_unknown=n_unknown,
    )
    return window, values


def encoded(*parts):
    """A batch of windows, whose layers 0 and 1 are their values and twice that."""
    windows = together([window for window, _ in parts])
    longest = max(len(values) for _, values in parts)
    layer = np.full((len(parts), longest, parts[0][1].shape[1]), 99, np.float32)
    for row, (_, values) in enumerate(parts):
        layer[row, : len(values)] = values
    return Encoded(windows, {0: layer, 1: 2 * layer}, {})


def finished(plan, *parts):
    vectors = DocumentVectors(plan)
    return vectors.finish(vectors.parts(encoded(*parts)))


def made(plan, *parts):
    found = finished(plan, *parts)
    assert not found.failures
    (sentence,) = found.sentences
    if found.tokens is None:
        return sentence, None
    (tokens,) = found.tokens
    return sentence, tokens


def test_windows_become_one_row_and_each_token_one_row():
    plan = VectorPlan((MEAN,), token_layers=(("layer@-1", 1), ("layer@0", 0)))
    sentence, tokens = made(
        plan,
        part([[1, 0], [2, 0], [9, 9]], index=0, count=2, stop=2, n_unknown=2, n_dropped=3),
        part([[9, 9], [3, 0], [6, 4]], index=1, count=2, start=1),
    )
    np.testing.assert_array_equal(sentence.vectors["mean"], [6, 2])
    assert (sentence.n_tokens, sentence.n_windows) == (4, 2)
    assert (sentence.n_dropped, sentence.n_unknown) == (3, 2)
    assert tokens.tokens == ("0.0", "0.1", "1.1", "1.2")
    assert tokens.segments.tolist() == [0, 0, 1, 1]
    assert tokens.spans.tolist() == [[0, 1], [2, 3], [2, 3], [4, 5]]
    assert list(tokens.layers) == ["layer@-1", "layer@0"]
    np.testing.assert_array_equal(tokens.layers["layer@0"], [[1, 0], [2, 0], [3, 0], [6, 4]])
    np.testing.assert_array_equal(tokens.layers["layer@-1"], 2 * tokens.layers["layer@0"])


def test_no_token_table_where_none_is_asked_for():
    _, tokens = made(VectorPlan((MEAN,)), part([[1, 2]]))
    assert tokens is None


def test_columns_stand_in_the_order_asked_for():
    columns = (VectorColumn("b", "cls", (0,)), MEAN, VectorColumn("a", "max", (0, 1)))
    sentence, _ = made(VectorPlan(columns), part([[1, 2], [3, 0]]))
    assert {name: vector.tolist() for name, vector in sentence.vectors.items()} == {
        "b": [1, 2],
        "mean": [4, 2],
        "a": [3, 2, 6, 4],
    }
    assert list(sentence.vectors) == ["b", "mean", "a"]


def test_normalize_is_for_every_sentence_vector_and_no_token_vector():
    plan = VectorPlan((MEAN, VectorColumn("cls", "cls", (0,))), (("layer@0", 0),), normalize=True)
    sentence, tokens = made(plan, part([[3, 4], [0, 0]]))
    for vector in sentence.vectors.values():
        np.testing.assert_allclose(vector, [0.6, 0.8], atol=1e-7)
    np.testing.assert_array_equal(tokens.layers["layer@0"], [[3, 4], [0, 0]])


def test_vector_of_zeros_stays_as_it_is():
    sentence, _ = made(VectorPlan((MEAN,), normalize=True), part([[0, 0]]))
    np.testing.assert_array_equal(sentence.vectors["mean"], [0, 0])


def test_a_models_own_steps_are_for_its_column_only(tmp_path):
    folder = hugging_face_folder(tmp_path, hidden=4, modules=("pooling", "dense", "normalize"))
    own = VectorColumn("vector", "mean", (1,), modules=(str(folder / "2_Dense"), "normalize"))
    sentence, _ = made(VectorPlan((own, MEAN)), part([[1, 2, 3, 4]]))
    assert sentence.vectors["vector"].shape == (2,)
    assert np.linalg.norm(sentence.vectors["vector"]) == pytest.approx(1)
    np.testing.assert_array_equal(sentence.vectors["mean"], [2, 4, 6, 8])


def test_half_precision_is_rounded_to_the_nearest():
    plan = VectorPlan((MEAN,), (("layer@0", 0),), dtype="float16")
    sentence, tokens = made(plan, part([[0.1, 32000.0]]))
    assert sentence.vectors["mean"].dtype == tokens.layers["layer@0"].dtype == np.float16
    np.testing.assert_array_equal(sentence.vectors["mean"], np.float16([0.2, 64000]))


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (40_000, "float16", r"^mean has a value of 80000, more than float16 holds; use --vector"),
        (np.nan, "float16", r"^mean has a value that is not finite$"),
        (np.nan, "float32", r"^mean has a value that is not finite$"),
        (3e38, "float32", r"^mean has a value that is not finite$"),
    ],
    ids=["too large", "NaN, narrow", "NaN", "infinite"],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_value_that_the_files_cannot_hold_is_named(value, dtype, message):
    good = replace(part([[1, 1]])[0], document=Document("e", "good")), np.ones((1, 2), np.float32)
    found = finished(VectorPlan((MEAN,), dtype=dtype), part([[value, 1]]), good)
    assert re.search(message, found.failures[0])
    assert list(found.failures) == [0]
    assert found.sentences.documents.ids == ["e"]


def test_token_vector_that_overflows_is_named_too():
    plan = VectorPlan((VectorColumn("first", "cls", (0,)),), (("layer@-1", 1),), dtype="float16")
    found = finished(plan, part([[1, 1], [40_000, 1]]))
    assert found.failures[0].startswith("layer@-1 has a value of 80000")
    assert not len(found.sentences)
    assert not len(found.tokens)


def batches_of(*sizes):
    """Windows of a document, cut into batches of so many; each window's value is its number."""
    count = sum(sizes)
    whole = encoded(*(part([[n, 0]], index=n, count=count) for n in range(count)))
    edges = np.cumsum([0, *sizes])
    return [
        Encoded(whole.windows.take(slice(a, b)), {k: v[a:b] for k, v in whole.layers.items()}, {})
        for a, b in zip(edges, edges[1:])
    ]


def test_parts_wait_for_each_other_and_come_in_order():
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,))), Gathering()
    last, first = reversed(batches_of(2, 1))
    assert gathering.add(vectors.parts(last)) == (None, [])
    other, failures = gathering.add(vectors.parts(encoded(part([[7, 7]]))))
    assert not failures
    np.testing.assert_array_equal(vectors.finish(other).sentences.vectors["mean"], [[14, 14]])
    whole, failures = gathering.add(vectors.parts(first))
    assert not failures
    assert whole.windows.indices.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(vectors.finish(whole).sentences.vectors["mean"], [[2, 0]])
    gathering.check_empty()


@pytest.mark.parametrize("layers", [(), (("layer@0", 0),)], ids=["sentences", "tokens too"])
def test_part_that_waits_holds_nothing_of_its_batch(layers):
    """Of a text of millions of tokens all windows wait for the last one."""
    columns = (MEAN, VectorColumn("max", "max+cls", (0, 1)))
    vectors, gathering = DocumentVectors(VectorPlan(columns, layers)), Gathering()
    windows = [part([[1, 2], [3, 4], [5, 6]], index=n, count=3, stop=2) for n in (0, 1)]
    batch = encoded(*windows)
    parts = vectors.parts(batch)
    left = [weakref.ref(array) for array in batch.layers.values()]
    states = [state.values for states in parts.states for state in states]
    assert gathering.add(parts) == (None, [])
    (waiting,) = gathering._waiting.values()
    kept = [state.values for one in waiting for states in one.states for state in states]
    kept += [values for one in waiting for values in one.layers.values()]
    assert not any(np.shares_memory(a, b) for a in kept for b in [*states, *parts.layers.values()])
    del batch, parts
    assert [array() for array in left] == [None] * 2


def test_failed_window_fails_its_document_once_all_windows_are_there():
    """Not before: a later window would wait for the others for ever."""
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,))), Gathering()
    first, second = batches_of(1, 1)
    failure = Failure("encode", "d", "", 0, "poison")
    failed = Encoded(first.windows, {}, {}, {0: failure})
    assert gathering.add(vectors.parts(failed)) == (None, [])
    assert gathering.add(vectors.parts(second)) == (None, [(0, failure)])
    gathering.check_empty()


@pytest.mark.parametrize("failed", [False, True])
def test_window_that_never_came_is_a_fault_of_the_program(failed):
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,))), Gathering()
    first, _ = batches_of(1, 1)
    failures = {0: Failure("encode", "d", "", 0, "poison")} if failed else {}
    gathering.add(vectors.parts(replace(first, failures=failures)))
    with pytest.raises(RuntimeError, match=r"1 documents have windows missing .* 'd' first"):
        gathering.check_empty()


def test_a_window_that_gave_no_numbers_takes_none_of_its_neighbours_along():
    whole = encoded(
        part([[1, 2]]), (replace(part([[0, 0]])[0], document=Document("e", "")), part([[3, 4]])[1])
    )
    whole.layers[0][0] = whole.layers[1][0] = np.nan
    failed = replace(whole, failures={0: Failure("encode", "d", "", 0, "not finite")})
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,), (("layer@0", 0),))), Gathering()
    found, failures = gathering.add(vectors.parts(failed))
    assert [row for row, _ in failures] == [0]
    sentences, tokens, *_ = vectors.finish(found)
    assert (sentences.documents.ids, tokens.documents.ids) == (["e"], ["e"])
    np.testing.assert_array_equal(sentences.vectors["mean"], [[6, 8]])
    np.testing.assert_array_equal(tokens.layers["layer@0"], [[3, 4]])
