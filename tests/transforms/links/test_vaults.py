"""Links of a vault of Markdown notes: which note each means, and what the commands make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpusvec
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.links.pages import Pages, note_of
from corpusvec.transforms.links.vaults import Vault

PATHS = {
    "home": [],
    "note": [],
    "garden/note": [],
    "garden/deep/note": [],
    "garden/deep/bed": ["beet"],
    "kitchen/bed": [],
    "a/very/long/way/soup": [],
    "b/soup": ["beet", "broth"],
}
FOUND = {
    "by its name": ("home", "kitchen/bed", "home"),
    "from the root before the own folder": ("note", "garden/deep/bed", "note"),
    "in the own folder": ("bed", "kitchen/other", "kitchen/bed"),
    "below the own folder": ("bed", "garden/x", "garden/deep/bed"),
    "by the shortest path": ("soup", "home", "b/soup"),
    "by the end of its path": ("deep/bed", "home", "garden/deep/bed"),
    "not by the end of a word": ("oup", "home", None),
    "relative": ("garden/note", "garden/deep/note", "garden/note"),
    "as if relative": ("garden/soup", "garden/note", "b/soup"),
    "by an alias": ("broth", "home", "b/soup"),
    "by an alias that two have": ("beet", "home", "garden/deep/bed"),
    "nowhere": ("gone", "home", None),
}


@pytest.mark.parametrize(("link", "note", "path"), FOUND.values(), ids=FOUND)
def test_the_note_that_a_link_means(link, note, path):
    assert Vault(PATHS).find(link, note) == path


@pytest.mark.parametrize(
    ("id_", "source", "path"),
    [
        ("a/b.md", "v/a/b.md", "a/b.md"),
        ("a/b.md#One#2", "v/a/b.md", "a/b.md"),
        ("c#d.md#One", "v/c#d.md", "c#d.md"),
    ],
)
def test_the_path_of_a_note_is_told_from_that_of_a_section(id_, source, path):
    assert note_of(id_, source) == path


NOTES = {
    "Home.md": "[[Tomatoes]] and [[herbs/Basil|the green one]] #garden",
    "Tomatoes.md": "the red tomatoes grow in the garden\n\nthey like sun",
    "herbs/Basil.md": "---\naliases: [Sweet basil]\n---\nbasil grows beside the red tomatoes",
    "Sauce.md": "cook the red tomatoes with [[sweet basil]] in the [[Kitchen]]",
    "herbs/Bread.md": "flour and water, see [home](../Home.md#top) in the [[Kitchen#Shelf]]",
    "Rain.md": "rain falls at noon on the garden, the kitchen is dry",
    "x/Titled.md": "---\ntitle: The sun\n---\nit shines at noon on ![[Rain]]",
    "Late.md": "see [[The sun]] at noon",
}


@pytest.fixture(scope="module", params=["page", "section", "window"])
def output(request, tiny, tmp_path_factory) -> Path:
    """That of a vault."""
    folder = tmp_path_factory.mktemp("vault")
    for name, text in NOTES.items():
        file = folder / "vault" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    given = [f"--input={folder}/vault/**.md", f"--output={folder}/out", f"--model={tiny}"]
    assert main(["embed", *given, f"--unit={request.param}"]) == 0
    return folder / "out"


def pages_of(output: Path) -> Pages:
    return Pages([corpusvec.open(str(output))])


def test_links_lead_to_notes_and_red_ones_nowhere(output):
    pages = pages_of(output)
    graph = pages.graph
    found = {
        id_: {pages.ids[at] for at in graph.targets(row).tolist() if at < len(pages)}
        for row, id_ in enumerate(pages.ids)
    }
    assert found == {
        "Home.md": {"Tomatoes.md", "herbs/Basil.md"},
        "Tomatoes.md": set(),
        "herbs/Basil.md": set(),
        "Sauce.md": {"herbs/Basil.md"},
        "herbs/Bread.md": {"Home.md"},
        "Rain.md": set(),
        "x/Titled.md": {"Rain.md"},
        "Late.md": {"x/Titled.md"},
    }
    assert sorted(name for _, name in graph.reds) == ["garden", "kitchen"]
    assert {project.rpartition("/")[2] for project in pages.projects} == {"vault"}


def test_the_commands_know_the_links(output, capsys):
    assert main(["related", str(output), "--by=vectors", "--passages=0", "--format=json"]) == 0
    found: dict[str, set[str]] = {}
    for one in json.loads(capsys.readouterr().out):
        found.setdefault(one["document"], set()).add(one["target"])
    assert "Tomatoes.md" not in found["Home.md"]
    assert "herbs/Bread.md" not in found["Sauce.md"]  # by a red link
    assert "Rain.md" in found["Tomatoes.md"]
    assert main(["related", str(output), "--of=Rain", "--format=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"kitchen", "garden"} <= {one["target"] for one in told if one["red"]}
    assert main(["evaluate", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["links"] == 6
    assert main(["report", str(output), f"--file={output}/r.html"]) == 0


def test_the_words_of_links_to_notes_that_are_there_are_known(output):
    pages = pages_of(output)
    sauce, late = pages.rows["Sauce.md"], pages.rows["Late.md"]
    assert pages.has_target(sauce, "Sweet basil")
    assert pages.has_target(late, "The sun")
    assert not pages.has_target(sauce, "Kitchen")
