"""What the README shows is run as it stands there."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def trial(tmp_path, monkeypatch, minilm):
    """A folder as a user has it after `./run_local.sh`: examples, the model, vectors in out."""
    from pipeline.cli import main

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "models").mkdir()
    os.symlink(minilm, tmp_path / "models" / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    flags = ["--input=examples/notes.json", "--output=out", "--model=models/all-MiniLM-L6-v2"]
    assert main(["embed", *flags]) == 0
    return tmp_path


def test_every_snippet_runs(trial, capsys):
    assert len(SNIPPETS) == 3
    names: dict = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "garden-notes/Growing tomatoes" in said
    assert "likeness" in said
    assert "second [" in said
    assert "'tomatoes'" in said


def test_notes_that_belong_together_are_neighbours(trial):
    names: dict = {}
    exec(compile(SNIPPETS[0], "README.md", "exec"), names)
    nearest = names["notes"].set_index("id")["nearest"]
    assert nearest["garden-notes/Basil on the balcony"] == "garden-notes/Pesto"
    assert nearest["garden-notes/Growing tomatoes"] == "garden-notes/Tomato sauce"
    assert nearest["garden-notes/The Secret Garden"] == "garden-notes/Reading list"


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!https?:)[^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_the_map_names_every_module():
    there = {path.name for path in (ROOT / "transforms").glob("*.py")} - {"__init__.py"}
    shared = {"elements.py", "specs.py", "metrics.py", "stamps.py", "counting.py"}
    missing = {name for name in there - shared if f"`{name}`" not in README}
    assert not missing


def test_every_flag_that_is_shown_exists():
    import argparse

    from pipeline.flags import add_embed_flags

    parser = argparse.ArgumentParser()
    add_embed_flags(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--[a-z_]+", README)) - known <= {"--all", "--help"}
