"""How far pages are apart, in links."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.links import link_distances
from corpusvec.transforms.links.link_distances import FARTHEST, distances
from corpusvec.transforms.links.link_graphs import LinkGraph


def test_distances_go_over_red_links_and_in_both_directions():
    titles = ["A", "B c", "d", "E", "F", "Alone"]
    links = [("b_c", "red"), ("d",), (), ("red",), ("/other/a", "f"), ()]
    pairs = [(0, 1), (1, 0), (0, 2), (2, 3), (0, 3), (0, 4), (0, 5)]
    found = distances(LinkGraph(["p"] * 6, titles, links), pairs)
    assert found == [1, 1, 2, 4, 2, None, None]


def test_links_to_another_project_lead_there():
    graph = LinkGraph(["p", "other"], ["A", "A"], [("/other/a",), ()])
    assert distances(graph, [(0, 1)]) == [1]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 10_000))
def test_distances_are_those_of_a_walk(count, links, seed):
    dice = random.Random(seed)
    linked: list[list[str]] = [[] for _ in range(count)]
    for _ in range(links):
        linked[dice.randrange(count)].append(f"t{dice.randrange(count + 5)}")
    pairs = [(dice.randrange(count), dice.randrange(count)) for _ in range(20)]
    pairs = [(a, b) for a, b in pairs if a != b]
    titles = [f"T{n}" for n in range(count)]
    found = distances(LinkGraph(["p"] * count, titles, linked), pairs)
    assert found == [walk(linked, f"t{a}", f"t{b}") for a, b in pairs]


def walk(linked: list[list[str]], start: str, end: str) -> int | None:
    near: dict[str, set[str]] = {}
    for n, keys in enumerate(linked):
        for key in keys:
            near.setdefault(f"t{n}", set()).add(key)
            near.setdefault(key, set()).add(f"t{n}")
    steps, waiting = {start: 0}, deque([start])
    while waiting:
        here = waiting.popleft()
        for there in near.get(here, ()):
            if there not in steps:
                steps[there] = steps[here] + 1
                waiting.append(there)
    found = steps.get(end)
    return found if found is not None and found <= FARTHEST else None


def test_of_many_documents_some_are_walked_at_a_time(monkeypatch):
    """Blocks of eight, of a chain that is longer than they are."""
    monkeypatch.setattr(link_distances, "_AT_ONCE", 1)
    titles = [f"T{n}" for n in range(30)]
    graph = LinkGraph(["p"] * 30, titles, [(f"t{n + 1}",) for n in range(30)])  # the last is red
    pairs = [(n, min(n + n % 9, 30)) for n in range(30) if n % 9]
    wanted = [b - a if b - a <= FARTHEST else None for a, b in pairs]
    assert distances(graph, pairs) == wanted
    assert distances(graph, pairs[::-1]) == wanted[::-1]
