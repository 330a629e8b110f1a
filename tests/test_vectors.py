"""A document's vectors from the parts of its windows: gathered, pooled, narrowed, counted."""

import weakref

import numpy as np
import pytest

from corpusvec.transforms.elements import OWN, SPECIAL, Document, Encoded, Failure, Window
from corpusvec.transforms.specs import VectorColumn
from corpusvec.transforms.vectors.documents import DocumentVectors, Gathering, Overflow, VectorPlan
from tests.models import hugging_face_folder

MEAN = VectorColumn("mean", "mean", (1,))


def encoded(values, index=0, count=1, start=0, stop=None, n_dropped=0, n_unknown=0):
    """Layers 0 and 1 of a window: `values`, and twice that."""
    values = np.asarray(values, np.float32)  # [T, H]
    length = len(values)
    window = Window(
        document=Document("d", "text"),
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
    return Encoded(window, {0: values, 1: 2 * values}, {})


def made(plan, *windows):
    vectors = DocumentVectors(plan)
    return vectors.finish([vectors.part(window) for window in windows])


def test_windows_become_one_row_and_each_token_one_row():
    plan = VectorPlan((MEAN,), token_layers=(("layer@-1", 1), ("layer@0", 0)))
    sentence, tokens = made(
        plan,
        encoded([[1, 0], [2, 0], [9, 9]], index=0, count=2, stop=2, n_unknown=1, n_dropped=3),
        encoded([[9, 9], [3, 0], [6, 4]], index=1, count=2, start=1, n_unknown=1),
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
    _, tokens = made(VectorPlan((MEAN,)), encoded([[1, 2]]))
    assert tokens is None


def test_columns_stand_in_the_order_asked_for():
    columns = (VectorColumn("b", "cls", (0,)), MEAN, VectorColumn("a", "max", (0, 1)))
    sentence, _ = made(VectorPlan(columns), encoded([[1, 2], [3, 0]]))
    assert {name: vector.tolist() for name, vector in sentence.vectors.items()} == {
        "b": [1, 2],
        "mean": [4, 2],
        "a": [3, 2, 6, 4],
    }
    assert list(sentence.vectors) == ["b", "mean", "a"]


def test_normalize_is_for_every_sentence_vector_and_no_token_vector():
    plan = VectorPlan((MEAN, VectorColumn("cls", "cls", (0,))), (("layer@0", 0),), normalize=True)
    sentence, tokens = made(plan, encoded([[3, 4], [0, 0]]))
    for vector in sentence.vectors.values():
        np.testing.assert_allclose(vector, [0.6, 0.8], atol=1e-7)
    np.testing.assert_array_equal(tokens.layers["layer@0"], [[3, 4], [0, 0]])


def test_vector_of_zeros_stays_as_it_is():
    sentence, _ = made(VectorPlan((MEAN,), normalize=True), encoded([[0, 0]]))
    np.testing.assert_array_equal(sentence.vectors["mean"], [0, 0])


def test_a_models_own_steps_are_for_its_column_only(tmp_path):
    folder = hugging_face_folder(tmp_path, hidden=4, modules=("pooling", "dense", "normalize"))
    own = VectorColumn("vector", "mean", (1,), modules=(str(folder / "2_Dense"), "normalize"))
    sentence, _ = made(VectorPlan((own, MEAN)), encoded([[1, 2, 3, 4]]))
    assert sentence.vectors["vector"].shape == (2,)
    assert np.linalg.norm(sentence.vectors["vector"]) == pytest.approx(1)
    np.testing.assert_array_equal(sentence.vectors["mean"], [2, 4, 6, 8])


def test_half_precision_is_rounded_to_the_nearest():
    plan = VectorPlan((MEAN,), (("layer@0", 0),), dtype="float16")
    sentence, tokens = made(plan, encoded([[0.1, 32000.0]]))
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
    with pytest.raises(Overflow, match=message):
        made(VectorPlan((MEAN,), dtype=dtype), encoded([[value, 1]]))


def test_token_vector_that_overflows_is_named_too():
    plan = VectorPlan((VectorColumn("first", "cls", (0,)),), (("layer@-1", 1),), dtype="float16")
    with pytest.raises(Overflow, match=r"^layer@-1 has a value of 80000"):
        made(plan, encoded([[1, 1], [40_000, 1]]))


def test_parts_wait_for_each_other_and_come_in_order():
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,))), Gathering()
    parts = [vectors.part(encoded([[n, 0]], index=n, count=3)) for n in range(3)]
    other = vectors.part(encoded([[7, 7]]))
    assert gathering.add("a", 3, parts[2]) is None
    assert gathering.add("b", 1, other) == [other]
    assert gathering.add("a", 3, parts[0]) is None
    assert gathering.add("a", 3, parts[1]) == parts
    gathering.check_empty()


@pytest.mark.parametrize("layers", [(), (("layer@0", 0),)], ids=["sentences", "tokens too"])
def test_part_that_waits_holds_neither_its_window_nor_its_batch(layers):
    """Of a text of millions of tokens all windows wait for the last one."""
    window = encoded([[1, 2], [3, 4], [5, 6]], count=2, stop=2)
    columns = (MEAN, VectorColumn("max", "max+cls", (0, 1)))
    part = DocumentVectors(VectorPlan(columns, layers)).part(window)
    left = [weakref.ref(array) for array in (window.window.ids, *window.layers.values())]
    del window
    assert [array() for array in left] == [None] * 3
    assert part.n_tokens == 2


def test_failed_window_fails_its_document_once_all_windows_are_there():
    """Not before: a later window would wait for the others for ever."""
    vectors, gathering = DocumentVectors(VectorPlan((MEAN,))), Gathering()
    failure = Failure("encode", "d", "", 0, "poison")
    assert gathering.add("a", 2, failure) is None
    assert gathering.add("a", 2, vectors.part(encoded([[1, 0]], index=1, count=2))) is failure
    assert gathering.add("b", 1, failure) is failure
    gathering.check_empty()


@pytest.mark.parametrize("failed", [False, True], ids=["a part waits", "a failure waits"])
def test_windows_that_never_arrive_are_noticed(failed):
    part = DocumentVectors(VectorPlan((MEAN,))).part(encoded([[1, 0]], count=2))
    gathering = Gathering()
    gathering.add("a", 2, Failure("encode", "d", "", 0, "poison") if failed else part)
    with pytest.raises(RuntimeError, match=r"1 documents have windows missing .* 'd' first"):
        gathering.check_empty()
