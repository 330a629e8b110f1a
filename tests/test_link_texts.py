"""Passages, phrases, words, fused ranks, and what is measured with them."""

from __future__ import annotations

import numpy as np
import pytest

from corpusvec.pipeline.links.rankings import by_mentions, by_passages
from corpusvec.transforms.links.evaluations import (
    Found,
    found_links,
    parse_pairs,
    pearson,
    spearman,
)
from corpusvec.transforms.links.fusions import fused, ranks
from corpusvec.transforms.links.lexical import LexicalIndex, terms
from corpusvec.transforms.links.notations import MARKDOWN, PLAIN, SCRAPBOX, shown
from corpusvec.transforms.links.passages import (
    LONGEST,
    likeness,
    marked,
    passages_of,
    reasons,
    shared_phrase,
)


def test_passages_are_lines_as_a_reader_sees_them():
    text = "Title\n[a] and #b\n\nTitle\nhttps://example.com/long\ncode:x\n [yes]"
    assert passages_of(text, SCRAPBOX) == ["Title", "a and b", "[yes]"]
    assert passages_of("- [[a]] *b*", MARKDOWN) == ["a b"]
    assert passages_of("[a] b", PLAIN) == ["[a] b"]


@pytest.mark.parametrize("text", ["A sentence. " * 60, "長い文。" * 200, "x" * 1_000])
def test_long_lines_are_cut_and_nothing_is_lost(text):
    parts = passages_of(f"{text}end", PLAIN)
    assert all(len(part) <= LONGEST for part in parts)
    assert set("".join(parts).replace(" ", "")) == set(f"{text}end".replace(" ", ""))


PHRASES = {
    "a phrase": ("We keep the red tomatoes warm", "They like red tomatoes here", "red tomatoes"),
    "no part of a word": ("a singing bird", "the winging birch", ""),
    "a short word is none": ("so we go", "go we must", ""),
    "Japanese": ("早すぎる最適化は悪い", "しかし最適化は難しい", "最適化は"),
    "width and case": ("ＡＢＣ表記の統一", "abc表記", "ＡＢＣ表記"),
    "nothing": ("abc", "xyz", ""),
}


@pytest.mark.parametrize(("one", "other", "phrase"), PHRASES.values(), ids=PHRASES)
def test_the_phrase_that_two_passages_share(one, other, phrase):
    assert shared_phrase(one, other) == phrase


def test_a_phrase_is_marked_where_it_is():
    assert marked("We like Red tomatoes.", "red tomatoes") == "We like «Red tomatoes»."
    assert marked("We like them.", "") == "We like them."


def unit(*rows) -> np.ndarray:
    found = np.array(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_passage_that_stands_everywhere_says_nothing():
    mine = unit([1, 0, 0], [0, 1, 0])  # the first is in all, the second in one
    everywhere = unit([1, 0, 0])
    others = [everywhere, unit([1, 0, 0], [0, 1, 0.1]), everywhere, unit([0, 0, 1])[:0]]
    best = likeness(mine, others).max(axis=0)
    assert best.argmax() == 1
    assert best[3] < best[0]


def test_reasons_name_no_passage_twice_and_those_with_a_phrase_first():
    mine = ["the red tomatoes are ripe", "something else again"]
    theirs = ["we like the red tomatoes", "quite other words there"]
    vectors = unit([1, 0], [1, 0.1])
    first, second = reasons(mine, theirs, vectors, vectors, 3)
    assert (first.mine, first.theirs, first.phrase) == (mine[0], theirs[0], "the red tomatoes")
    assert (second.mine, second.theirs, second.phrase) == (mine[1], theirs[1], "")
    assert reasons([], theirs, vectors[:0], vectors, 3) == ()


def test_terms_are_words_and_pairs_of_dense_characters():
    assert terms("Part AB-123 の最適化、ok") == ["part", "ab", "123", "の最", "最適", "適化", "ok"]


def test_an_index_finds_words_and_is_the_same_when_it_is_read_again(tmp_path):
    pytest.importorskip("bm25s")
    index = LexicalIndex.of(["the part ZX81", "another part", "", "最適化の話"])
    index.save(str(tmp_path / "words"))
    for one in (index, LexicalIndex.load(str(tmp_path / "words"))):
        assert one.best("zx81", 3) == [0]
        assert one.best("part", 3) == [1, 0]
        assert one.best("part", 3, [1]) == [0]
        assert one.best("最適化", 1) == [3]
        assert one.best("nowhere", 3) == []
        assert one.scores("").tolist() == [0, 0, 0, 0]
    assert LexicalIndex.of(["", "!"]).best("a", 2) == []


def test_ranks_are_fused_and_what_is_near_to_everything_comes_later():
    one = {0: ranks([1, 2, 3]), 1: ranks([2, 3, 0]), 2: ranks([0])}
    other = {0: ranks([2, 1])}
    weights = {"a": 1.0, "b": 1.0}
    assert [row for row, _ in fused({"a": one, "b": other}, weights, 0, False)] == [1, 2, 3]
    both = fused({"a": one, "b": other}, weights, 0, True)
    assert [row for row, _ in both] == [2, 1, 3]
    assert all(0 < score <= 1 for _, score in both)
    assert fused({"a": {0: ranks([1]), 1: ranks([0])}}, weights, 0, True) == [(1, 1.0)]
    assert fused({"a": one}, weights, 9, True) == []


def is_there(page: str) -> bool:
    return page.lower().removeprefix("./") == "there"


def test_words_of_links_to_pages_that_are_there_are_masked():
    text = "Home\n[There] is [gone] and #there [x.icon]"
    assert shown(text, SCRAPBOX, is_there) == "Home\n is gone and  "
    text = "# Home\n[[There|over there]] is [[gone]] and [*this*](there.md) ![[there]]"
    assert shown(text, MARKDOWN, is_there) == "Home\n is gone and  "
    assert shown("[there]", PLAIN, is_there) == "[there]"


def test_recall_and_mrr():
    ranking = {0: ranks(range(1, 20)), 1: ranks([5])}
    found = found_links(lambda row: ranking.get(row, {}), {0: [1, 11], 1: [5], 2: [0]})
    assert found == Found(2 / 4, (1 + 1 / 11 + 1 + 0) / 4)
    assert found.as_json() == {"recall@10": 0.5, "mrr": 0.5227}
    assert found_links(dict, {}) == Found(0.0, 0.0)


def test_correlations():
    """The figures are scipy's."""
    one, other = np.array([1.0, 2, 2, 4, 9]), np.array([1.0, 3, 2, 5, 4])
    assert spearman(one, other) == pytest.approx(0.8720815992723809)
    assert pearson(one, other) == pytest.approx(0.6404640308067906)
    assert pearson(one, np.ones(5)) == 0


def test_pairs_have_a_separator_and_a_score():
    assert parse_pairs(["a ||| b\t1", "", "c ||| d ||| e\t0.5\n"], "f") == [
        ("a", "b", 1.0),
        ("c ||| d", "e", 0.5),
    ]


@pytest.mark.parametrize("line", ["a ||| b", "a b\t1", "a ||| b\tx", "||| b\t1", "a ||| b\tnan"])
def test_a_line_that_is_no_pair_is_named(line):
    with pytest.raises(ValueError, match="f: line 2 is not"):
        parse_pairs(["a ||| b\t1", line], "f")


def test_titles_that_stand_in_texts_are_mentions_and_rare_ones_come_first():
    titles = ["Home", "Tomatoes", "Red tomatoes", "ab"]
    texts = ["home of red tomatoes", "tomatoes", "red tomatoes", "ab home"]
    ranking = by_mentions(titles, texts, texts)
    assert list(ranking[0]) == [2, 3, 1]
    assert list(ranking[3]) == [0]
    left = by_mentions(titles, texts, ["", *texts[1:]], lambda row: np.array([3]))
    assert list(left[0]) == []


def test_passages_rank_the_pages_of_a_pool():
    one, other = unit([1, 0]), unit([0, 1])
    vectors = [one, other, one, one[:0]]
    ranking = by_passages(vectors, vectors, {0: [1, 2, 3], 3: [0]})
    assert list(ranking[0]) == [2, 1]
    assert list(ranking[3]) == []
