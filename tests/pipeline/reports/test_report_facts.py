"""What the report says of a corpus."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.pipeline.reports.facts import facts, histogram
from corpusvec.pipeline.reports.writing import in_letters, totals

LETTERS = {
    "kana and kanji": ("トマトを育てる", "japanese"),
    "kanji alone": ("一貫性", "chinese"),
    "chinese": ("我用中文向你问好", "chinese"),
    "korean": ("토마토", "korean"),
    "english": ("tomatoes", "latin"),
    "accents": ("Äpfel", "latin"),
    "russian": ("помидоры", "cyrillic"),
    "some english in japanese": ("Python で CSV を読む", "latin"),
    "an address in japanese": ("見る https://example.com/a/long/address/in/latin", "japanese"),
    "digits": ("1234 !", "none"),
    "nothing": ("", "none"),
    "armenian": ("լոլիկ", "other"),
}


@pytest.mark.parametrize(("text", "letters"), LETTERS.values(), ids=LETTERS)
def test_letters_of_a_text(text, letters):
    assert in_letters(text) == letters


def test_kanji_alone_are_japanese_among_kana():
    assert totals(Counter(japanese=1, chinese=2, latin=7)) == [("latin", 7), ("japanese", 3)]
    assert totals(Counter(japanese=1, chinese=99)) == [("chinese", 99), ("japanese", 1)]


@given(st.lists(st.integers(0, 100_000), min_size=1))
def test_every_length_is_in_one_bar(lengths):
    found = histogram(np.array(lengths))
    edges = found["edges"]
    assert sum(found["counts"]) == len(lengths)
    assert edges == sorted(set(edges))
    assert len(edges) == len(found["counts"]) + 1
    assert edges[-1] > max(lengths)


def batch(*rows: tuple) -> pa.RecordBatch:
    names = ("text", "text_sha256", "n_tokens", "n_dropped", "n_unknown")
    kinds = (pa.string(), pa.string(), pa.int32(), pa.int32(), pa.int32())
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows), kinds)]
    return pa.record_batch(columns, list(names))


def test_facts_are_of_all_and_lists_of_what_is_shown():
    batches = [
        batch(("aaaa", "x", 10, 0, 5), ("bb", "y", 10, 7, 0)),
        batch(("aaaa", "x", 20, 9, 1), ("c", "z", None, None, None), ("bb", "y", 1, 8, 0)),
    ]
    told = facts(batches, {"windows": 6, "rejected": 2}, {0: 0, 1: 1, 2: 2, 3: 3})
    assert (told["documents"], told["characters"], told["tokens"]) == (5, 13, 41)
    assert (told["unknown"], told["windows"], told["rejected"], told["empty"]) == (6, 6, 2, 0)
    assert told["languages"] == [("latin", 5)]
    assert told["truncated"] == [(2, 9), (1, 7)]
    assert told["unknown_list"] == [(0, 0.5), (2, 0.05)]
    assert told["duplicates"] == [[0, 2]]
