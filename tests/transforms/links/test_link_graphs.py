"""Links between pages: as Scrapbox reads them, and how far pages are from each other."""

from __future__ import annotations

import numpy as np
import pytest

from corpusvec.transforms.documents.scrapbox_markup import link_targets, links_of
from corpusvec.transforms.links.link_graphs import LinkGraph

NOTATION = {
    "page, tag, another project": (
        "a [Two words] #tag [/proj/Page]",
        ["Two words", "tag", "/proj/Page"],
    ),
    "icons are none": ("[a.icon] [/icons/b.icon*3] [c]", ["c"]),
    "neither are addresses and maps": (
        "[https://x.org] [label https://x.org] [N35.6,E139.7 place] [https://gyazo.com/a]",
        [],
    ),
    "code and formulas": ("`[a]` [$ [b] ] [c]", ["c"]),
    "inside decorations": ("[* [a] b] [[bold]]", ["a"]),
    "a line of a page": ("[a#0123456789abcdef01234567]", ["a"]),
    "a tag in a link": ("[a #b] #c", ["a #b", "c"]),
    "a command line": ("$ [a]", []),
    "a quote": ("> [a]", ["a"]),
    "a tag before a bracket": ("#[a] ##b", ["a"]),
    "nothing": ("[] [ ] #", []),
}


@pytest.mark.parametrize(("line", "pages"), NOTATION.values(), ids=NOTATION)
def test_links_are_those_of_scrapbox(line, pages):
    (found,) = links_of([line])
    assert [link.page for link in found] == pages


def test_code_blocks_have_no_links_and_cells_of_tables_have():
    lines = ["code:a", " [b]", "[c]", "table:t", " [d]\t#e\tf", "x"]
    assert [[link.page for link in one] for one in links_of(lines)] == [
        [],
        [],
        ["c"],
        [],
        ["d"],
        [],
    ]


def test_a_link_says_where_its_words_are():
    (found,) = links_of(["x [ab] #cd"])
    assert [("x [ab] #cd"[link.start : link.stop]) for link in found] == ["ab", "cd"]


def test_targets_are_compared_as_scrapbox_compares_titles():
    (found,) = links_of(["[Two Words] [two_words] #B"])
    assert link_targets(found) == ("two_words", "b")


@pytest.fixture
def graph() -> LinkGraph:
    """a -> b -> c; d and e share a red link; f links to a page of another project; g is alone."""
    titles = ["A", "b", "C c", "d", "e", "f", "g", "x"]
    links = [["b"], ["c_c"], [], ["red"], ["red"], ["/other/x", "/gone/y"], ["g"], []]
    return LinkGraph([*["p"] * 7, "other"], titles, links)


def test_near_are_pages_up_to_two_links_away_and_a_red_link_counts(graph):
    near = [graph.near(row).tolist() for row in range(8)]
    assert near == [[1, 2], [0, 2], [0, 1], [4], [3], [7], [], [5]]


def test_what_is_linked_both_ways_and_alone(graph):
    assert [graph.linked(row).tolist() for row in (0, 1, 3)] == [[1], [0, 2], []]
    assert graph.targets(1).tolist() == [2]
    assert np.flatnonzero(graph.orphans).tolist() == [3, 4, 6]
    assert graph.reds == [("p", "red"), ("gone", "y")]


def test_of_pages_with_one_title_the_first_is_meant():
    assert LinkGraph(["p"] * 3, ["a", "A", "b"], [[], [], ["a"]]).edges.tolist() == [[2, 0]]


def test_without_links_nothing_is_near():
    graph = LinkGraph(["p"], ["a"], [[]])
    assert graph.near(0).tolist() == []
    assert graph.orphans.all()
