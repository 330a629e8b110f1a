"""Records by columns: nothing is lost between readers and files, and batches stay within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.columns import Documents, Records, gathered, joined_records
from corpusvec.transforms.elements import Document, Failure, Place
from corpusvec.transforms.measures.batch_coders import as_batches
from corpusvec.transforms.snapshots import copies
from corpusvec.transforms.snapshots.copies import Waiting, places_table
from corpusvec.transforms.snapshots.schemas import about_documents


def records(good: Sequence[bool], text: str = "a text") -> list[Document | Failure]:
    return [
        Document(f"d{row}", text, None, "f", row, {"n": str(row)})
        if is_good
        else Failure("read", f"d{row}", "f", row, "bad")
        for row, is_good in enumerate(good, 1)
    ]


def as_row(record):
    if isinstance(record, Failure):
        return record
    return tuple(getattr(record, name) for name in Document.__dataclass_fields__)


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 25))
def test_records_keep_their_order_and_the_first_are_the_first(good, n):
    some = records(good)
    (found,) = gathered(map(as_row, some)) if some else [Records(Documents.of([]))]
    assert (list(found), len(found)) == (some, len(some))
    assert list(found.first(n)) == some[:n]


@pytest.mark.parametrize("text", ["x", "x" * 300_000], ids=["short", "long"])
def test_batches_are_bounded_by_what_they_hold_and_lose_nothing(text):
    some = records([row % 7 > 0 for row in range(1, 1200)] if text == "x" else [True] * 11, text)
    parts = list(gathered(map(as_row, some)))
    assert max(map(len, parts)) <= (512 if text == "x" else 4)
    assert len(parts) == 3
    joined = joined_records(parts)
    assert list(joined) == some


_PLACES = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 99))


@settings(deadline=None)
@given(places=st.lists(_PLACES, min_size=1, max_size=30), held=st.sampled_from([1, 1 << 20]))
def test_copies_wait_by_their_files_in_memory_and_on_the_disk(places, held):
    before, copies._HELD_BYTES = copies._HELD_BYTES, held
    try:
        waiting = Waiting()
        for start in range(0, len(places), 4):
            some = [Place(file, row) for file, row in places[start : start + 4]]
            documents = Documents.of(records([True] * len(places))[start : start + 4])
            waiting.add(about_documents(documents), places_table(some))
        found = [
            (file, row["row"], row["id"], row["metadata"])
            for file, rows in waiting.all()
            for row in rows.to_pylist()
        ]
    finally:
        copies._HELD_BYTES = before
    expected = [(*place, f"d{n}", f'{{"n": "{n}"}}') for n, place in enumerate(places, 1)]
    assert sorted(found) == sorted(expected)
    assert not list(waiting.all())


class _Batch(list):
    def __reduce__(self):
        raise AssertionError("pickled for its size")


_SEEN: list[int] = []  # the runner works in this process


def _batches(n: int):
    return [_Batch([number]) for number in range(n)]


def _see(batch: _Batch) -> None:
    _SEEN.extend(batch)


def test_a_batch_is_not_pickled_for_its_size():
    _SEEN.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        batches = pipeline | beam.Create([20], reshuffle=False) | beam.FlatMap(_batches)
        as_batches(batches, _Batch)
        batches | beam.Map(_see)
    assert list(range(20)) == _SEEN
