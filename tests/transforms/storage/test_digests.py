"""The set that finds duplicate ids in little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.storage import digests
from corpusvec.transforms.storage.digests import DigestSet

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=2)  # lone surrogates too


@settings(deadline=None)
@given(st.lists(ANY_TEXT | st.sampled_from("abc")))
def test_it_tells_what_a_set_tells(texts):
    found, expected = DigestSet(), set()
    for text in texts:
        assert found.add(text) == (text not in expected)
        expected.add(text)
    assert len(found) == len(expected)


def test_a_digest_across_two_entries_is_not_an_entry(monkeypatch):
    class Fixed:
        def __init__(self, data, digest_size):
            self._digest = {
                b"a": b"\0" * 16,
                b"b": b"\0" * 8 + b"\1" * 8,
                b"c": b"\0" * 15 + b"\1",
            }[data]

        def digest(self):
            return self._digest

    monkeypatch.setattr(digests, "blake2b", Fixed)
    found = DigestSet()
    assert [found.add(text) for text in "abcabc"] == [True, True, True, False, False, False]


def test_an_entry_takes_close_to_16_bytes():
    n = 200_000
    tracemalloc.start()
    try:
        found = DigestSet()
        assert all(found.add(f"project/page {i}") for i in range(n))
        assert tracemalloc.get_traced_memory()[0] < 20 * n
    finally:
        tracemalloc.stop()
    assert not any(found.add(f"project/page {i}") for i in range(0, n, 97))


def test_adding_takes_as_long_in_a_large_set_as_in_a_small_one():
    """What is searched and what is moved at once is a bucket: it must not grow with the set."""
    found = DigestSet()
    for size in (1_000, 30_000, 400_000):
        while len(found) < size:
            found.add(str(len(found)))
        longest = max(map(len, found._buckets))
        assert longest < 16 * 64 * 4
