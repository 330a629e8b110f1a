"""Spans lead back to the very characters that a tokenizer saw."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.elements import Alignment
from corpusvec.transforms.tokens import spans

unhurried = settings(deadline=None, max_examples=200)

# İ is the one character that lower-casing makes longer; Σ looks at its neighbours.
texts = st.text(st.sampled_from("aBİΣς Éß\u3000\u2028\t\u0307中😀") | st.characters(codec="utf-8"))


@st.composite
def texts_with_spans(draw, texts=texts):
    """A text and ascending spans [T, 2] in it, some of them empty."""
    text = draw(texts)
    places = st.integers(0, len(text))
    pairs = sorted(map(sorted, draw(st.lists(st.tuples(places, places), max_size=8))))
    return text, np.array(pairs, np.int32).reshape(-1, 2)


@unhurried
@given(texts)
def test_origins_of_lower_case_name_the_character_each_one_came_from(text):
    low, origins = spans.lowercase(text)
    assert low == text.lower()
    if origins is None:
        assert len(low) == len(text)
        return
    assert len(origins) == len(low) + 1
    assert origins[-1] == len(text)
    assert set(origins[:-1].tolist()) == set(range(len(text)))
    for char, origin in zip(low.replace("ς", "σ"), origins[:-1]):
        assert char in text[origin].lower().replace("ς", "σ")


@unhurried
@given(st.lists(st.tuples(st.characters(codec="utf-8"), st.integers(1, 3)), max_size=20))
def test_spans_through_origins_cover_what_their_characters_came_from(grown_characters):
    """A text in which every character became one to three of it stands for any that grew."""
    text = "".join(char for char, _ in grown_characters)
    grown = "".join(char * length for char, length in grown_characters)
    origins = spans.origins_of([length for _, length in grown_characters])
    assert len(origins) == len(grown) + 1
    every = np.array(list(itertools.combinations_with_replacement(range(len(grown) + 1), 2)))
    for (start, stop), (first, last) in zip(every, spans.through_origins(every, origins)):
        assert 0 <= first <= last <= len(text)
        assert set(grown[start:stop]) == set(text[first:last])


@st.composite
def alignments(draw):
    """A text and the runs of it that a model reads."""
    text = draw(texts)
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return text, Alignment(tuple(zip(edges[0::2], edges[1::2])))


@unhurried
@given(alignments(), st.data())
def test_spans_through_an_alignment_begin_and_end_with_the_same_characters(example, data):
    text, alignment = example
    read = alignment.apply(text)
    _, inside = data.draw(texts_with_spans(st.just(read)))
    mapped = spans.through_alignment(inside, alignment, len(text))
    assert mapped.shape == inside.shape
    for (start, stop), (first, last) in zip(inside.tolist(), mapped.tolist()):
        assert 0 <= first <= last <= len(text)
        if start == stop:
            assert first == last
            continue
        assert text[first] == read[start]
        assert text[last - 1] == read[stop - 1]
        kept = [(max(a, first), min(b, last)) for a, b in alignment.runs]
        assert "".join(text[a:b] for a, b in kept if a < b) == read[start:stop]


@unhurried
@given(texts_with_spans(), st.data())
def test_white_space_before_a_word_is_left_out_and_nothing_else(example, data):
    """But for tokens that say they are white space: they keep it, or have nothing."""
    text, before = example
    n = len(before)
    blanks = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    after = spans.without_space(before.copy(), text, blanks)
    assert after.shape == before.shape
    for (start, stop), (first, last), blank in zip(before.tolist(), after.tolist(), blanks):
        inside = text[start:stop]
        if blank and not inside[:1].isspace():
            assert first == last == start
        else:
            assert last == stop
            assert text[first:last] == (inside.lstrip() or inside)


@unhurried
@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_pieces_along_a_text_that_nothing_changed_are_its_parts(lengths):
    edges = list(itertools.accumulate(lengths, initial=0))
    laid = along(lengths, list(range(edges[-1] + 1)), "x" * edges[-1])
    assert laid == list(map(list, itertools.pairwise(edges)))


def along(lengths: list[int], offsets: list[int], text: str) -> list[list[int]]:
    """Of one text."""
    owners = np.zeros(len(lengths), np.int64)
    return spans.along_each(np.array(lengths), owners, [offsets], [text]).tolist()


def test_pieces_of_an_expansion_all_have_the_character_that_was_expanded():
    """㍿x is normalized to 株式会社x: four characters from place 0, one from place 1."""
    assert along([2, 2, 1], [0, 0, 0, 0, 1, 2], "㍿x") == [[0, 1], [0, 1], [1, 2]]


def test_a_piece_of_no_characters_has_the_place_of_the_next():
    """The first bytes of a character take none of it, its last byte all."""
    assert along([0, 0, 1, 1], [0, 1, 2], "ab") == [[0, 1], [0, 1], [0, 1], [1, 2]]


def test_pieces_lie_each_in_its_own_text():
    """However its neighbours end: with what normalizing took away, or with nothing at all."""
    owners = np.array([0, 0, 2, 3])
    offsets = [[0, 0, 2], [0], [1, 2], [0, 1]]
    texts = ["㍿x  ", "", " a", "b"]
    laid = spans.along_each(np.ones(4), owners, offsets, texts).tolist()
    assert laid == [[0, 2], [0, 2], [7, 8], [9, 10]]
    assert spans.starts_of(texts).tolist() == [0, 5, 6, 9]
