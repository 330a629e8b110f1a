"""Passages, phrases, words, fused ranks, and what is measured with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.pipeline.links.rankings import LEXICAL, by_links, by_mentions, by_passages
from corpusvec.transforms.links.evaluations import (
    Found,
    best_weights,
    found_links,
    held_out,
    parse_pairs,
    pearson,
    spearman,
)
from corpusvec.transforms.links.fusions import fused, ranking_of
from corpusvec.transforms.links.lexical import LexicalIndex, terms
from corpusvec.transforms.links.link_graphs import LinkGraph
from corpusvec.transforms.links.names import SHORTEST, Names
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
    one = ranking_of([[1, 2, 3], [2, 3, 0], [0], [], []], 3)
    other = ranking_of([[2, 1], [], [], [], []], 3)
    weights = {"a": 1.0, "b": 1.0}
    assert [row for row, _ in fused({"a": one, "b": other}, weights, 0, False)] == [1, 2, 3]
    both = fused({"a": one, "b": other}, weights, 0, True)
    assert [row for row, _ in both] == [2, 1, 3]
    assert all(0 < score <= 1 for _, score in both)
    assert fused({"a": ranking_of([[1], [0]], 2)}, weights, 0, True) == [(1, 1.0)]
    assert fused({"a": one}, weights, 4, True) == []


@given(st.integers(0, 9_999), st.booleans())
def test_fused_scores_are_those_of_the_definition(seed, both_ways):
    random = np.random.default_rng(seed)
    orders = [random.permutation(6) for _ in range(12)]
    each = {"a": ranking_of(orders[:6], 4), "b": ranking_of(orders[6:], 2)}
    weights = {"a": 1.0, "b": 0.5}

    def share(ranking, query, row) -> float:
        there = np.flatnonzero(ranking[query] == row)
        return 61 / (61 + there[0]) if len(there) else 0

    for query in range(6):
        expected = {
            row: sum(
                weights[name]
                * (share(one, query, row) + both_ways * share(one, row, query))
                / (1 + both_ways)
                for name, one in each.items()
            )
            / 1.5
            for row in {*each["a"][query], *each["b"][query]} - {-1}
        }
        found = fused(each, weights, query, both_ways)
        assert dict(found) == pytest.approx(expected)
        assert [row for row, _ in found] == sorted(
            expected, key=lambda row: (-round(dict(found)[row], 12), row)
        )


def test_names_that_stand_in_a_text_are_found_in_one_reading():
    names = Names(["Red tomatoes", "tomato", "最適化", "ab", "RED", "tomato"])
    assert names.within("ｒｅｄ tomatoes").tolist() == [0, 1, 4, 5]
    assert names.within("早すぎる最適化").tolist() == [2]
    assert names.within("").tolist() == []


@given(st.lists(st.text("ab ", min_size=1, max_size=5)), st.text("ab ", max_size=30))
def test_names_within_are_those_of_python(names, text):
    found = [at for at, name in enumerate(names) if len(name) >= SHORTEST and name in text]
    assert Names(names).within(text).tolist() == found


def is_there(page: str) -> bool:
    return page.lower().removeprefix("./") == "there"


def test_words_of_links_to_pages_that_are_there_are_masked():
    text = "Home\n[There] is [gone] and #there [x.icon]"
    assert shown(text, SCRAPBOX, is_there) == "Home\n is gone and  "
    text = "# Home\n[[There|over there]] is [[gone]] and [*this*](there.md) ![[there]]"
    assert shown(text, MARKDOWN, is_there) == "Home\n is gone and  "
    assert shown("[there]", PLAIN, is_there) == "[there]"


def test_recall_and_mrr():
    ranking = [np.arange(1, 20), np.array([5, -1]), np.array([-1, -1])]
    found = found_links(ranking, [[1, 11], [5], [0]])
    assert found == Found(2 / 4, pytest.approx((1 + 1 / 11 + 1 + 0) / 4))
    assert found.as_json() == {"recall@10": 0.5, "mrr": 0.5227}
    assert found_links([], []) == Found(0.0, 0.0)


def test_weights_are_measured_on_pages_that_had_no_part_in_them():
    """The first weights do well on one page alone, the second on all others."""
    gains = np.zeros((2, 10, 2))
    gains[0, 0] = 5
    gains[1, 1:] = 1
    assert best_weights(gains) == 1
    assert held_out(gains, 5).tolist() == [9, 9]  # the page's own 5 would choose the first


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


def rows_of(ranking, row: int) -> list[int]:
    return [at for at in ranking[row].tolist() if at >= 0]


def test_titles_that_stand_in_texts_are_mentions_and_rare_ones_come_first():
    titles = ["Home", "Tomatoes", "Red tomatoes", "ab"]
    texts = ["home of red tomatoes", "tomatoes", "red tomatoes", "ab home"]
    ranking = by_mentions(titles, texts, texts)
    assert rows_of(ranking, 0) == [2, 3, 1]
    assert rows_of(ranking, 3) == [0]
    left = by_mentions(titles, texts, ["", *texts[1:]], lambda row: np.array([3]))
    assert rows_of(left, 0) == []


def test_a_title_that_stands_everywhere_says_nothing():
    count = 2_000
    titles = [f"page{at}." for at in range(count)]
    ranking = by_mentions(
        ["Home", *titles], [f"home {title}" for title in ["", *titles]], [""] * (count + 1)
    )
    assert rows_of(ranking, 0) == []


def test_pages_are_near_that_near_pages_link_to_and_own_links_have_no_part():
    """1 and 2 are near to 0; both link to 3, one of them to 4, and 5 to all."""
    near = ranking_of([[1, 2], [], [], [], [], []], 2)
    titles = [*"abcdef"]
    links = [[], ["d"], ["d", "e"], [], [], titles]
    ranking = by_links({LEXICAL: near}, LinkGraph(["p"] * 6, titles, links))
    assert rows_of(ranking, 0) == [3, 5, 4]
    assert rows_of(ranking, 3) == []
    left = by_links({LEXICAL: near}, LinkGraph(["p"] * 6, titles, links), lambda _: np.array([5]))
    assert rows_of(left, 0) == [3, 4]
    own = [["d", "e"], *links[1:]]
    again = by_links({LEXICAL: near}, LinkGraph(["p"] * 6, titles, own))
    assert rows_of(again, 0) == rows_of(ranking, 0)


def test_passages_rank_the_pages_of_a_pool():
    one, other = unit([1, 0]), unit([0, 1])
    vectors = [one, other, one, one[:0]]
    pools = [np.array(pool, np.int64) for pool in ([1, 2, 3], [], [], [0])]
    ranking = by_passages(vectors, vectors, pools)
    assert rows_of(ranking, 0) == [2, 1]
    assert rows_of(ranking, 3) == []
