"""What the README shows is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests import hub_modules, saved_models
from tests.conftest import ROOT
from tests.models import checkpoint_folder
from transforms.model_cache import Entry, kept
from transforms.specs import Asked

README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TABLE = re.findall(r"^\|.*`(corpusvec embed [^`]+)` \|$", README, re.MULTILINE)
EXPORTS = re.findall(r"^ {4}(corpusvec export-model .*)$", README, re.MULTILINE)


@pytest.fixture
def trial(tmp_path, monkeypatch, minilm):
    """A folder as a user has it after `./run_local.sh`: examples, the model, vectors in out."""
    from pipeline.cli import main

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "models").mkdir()
    os.symlink(minilm, tmp_path / "models" / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    names = ("notes.json", "lines.txt", "records.jsonl")
    flags = [f"--input={','.join(f'examples/{name}' for name in names)}", "--layers=-1"]
    flags += ["--output=out", "--model=models/all-MiniLM-L6-v2"]
    assert all(name in (ROOT / "run_local.sh").read_text("utf-8") for name in names)
    assert main(["embed", *flags]) == 0
    return tmp_path


def test_every_snippet_runs(trial, capsys):
    assert len(SNIPPETS) == 4
    names: dict = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "garden-notes/Growing tomatoes" in said
    assert "likeness" in said
    assert "second [" in said
    assert "'tomatoes'" in said


@pytest.fixture(scope="module")
def models(tmp_path_factory, minilm) -> Path:
    """A model for every name that the table of kinds has, and a cache that knows its handle."""
    folder = tmp_path_factory.mktemp("models")
    os.symlink(minilm, folder / "all-MiniLM-L6-v2")
    checkpoint_folder(folder / "bert-japanese", tokenizer="sentencepiece", layers=4)
    saved_models.bert_saved_model(folder / "bert-saved")
    saved_models.token_lookup(folder / "words")
    saved_models.unknown_signature(folder / "own")
    hub_modules.bert_module(folder / "bert-module")
    hub_modules.elmo(folder / "elmo")
    hub_modules.use(folder / "use")
    hub_modules.use_lite(folder / "use-lite")
    handle = "hf://sentence-transformers/all-MiniLM-L6-v2"
    kept(
        Entry(str(folder / "cache"), handle, handle),
        lambda new, scratch: shutil.copytree(minilm, new, dirs_exist_ok=True),
    )
    return folder


@pytest.mark.parametrize("command", TABLE, ids=[c.rpartition("/")[2] for c in TABLE])
def test_every_kind_of_model_in_the_table(command, models, tmp_path, monkeypatch, capsys):
    from pipeline.cli import main

    os.symlink(ROOT / "examples", tmp_path / "examples")
    os.symlink(models, tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models / "cache"))
    code = main(shlex.split(command)[1:])
    assert code == 0, capsys.readouterr().err
    assert len(list(Path("out/snapshots").glob("*/sentences/*.parquet"))) == 1
    assert bool(list(Path("out/snapshots").glob("*/tokens/*"))) == ("--layers" in command)


def test_the_table_has_every_kind(models):
    from transforms.encoders import KINDS, describe_model

    names = {match[1] for command in TABLE if (match := re.search(r"=models/(\S+)", command))}
    asked = Asked(signature="embed_v2", output_key="vec")
    kinds = {
        describe_model(str(models / name), asked if name == "own" else Asked()).kind
        for name in names
    }
    assert kinds == set(KINDS)


def test_the_exports_that_are_shown(models, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow_text")
    from pipeline.cli import main

    (tmp_path / "models").mkdir()
    os.symlink(models / "all-MiniLM-L6-v2", tmp_path / "models" / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    Path("glove.txt").write_text("cat 0.1 0.2\ndog 0.3 0.4\n")
    assert len(EXPORTS) == 3
    for command in EXPORTS:
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert sorted(os.listdir("models")) == [
        "all-MiniLM-L6-v2",
        "bert-saved",
        "minilm-strings",
        "minilm-strings.tar.gz",
        "words",
    ]


def test_notes_that_belong_together_are_neighbours(trial):
    from pipeline.cli import main

    flags = ["--input=examples/notes.json", "--output=out", "--model=models/all-MiniLM-L6-v2"]
    # Fewer than other examples have, and no tokens.
    assert main(["embed", *flags, "--max_shrink=1", "--new_recipe"]) == 0
    names: dict = {}
    exec(compile(SNIPPETS[0], "README.md", "exec"), names)
    nearest = names["notes"].set_index("id")["nearest"]
    assert nearest["garden-notes/Basil on the balcony"] == "garden-notes/Pesto"
    assert nearest["garden-notes/Growing tomatoes"] == "garden-notes/Tomato sauce"
    assert nearest["garden-notes/The Secret Garden"] == "garden-notes/Reading list"


def test_an_index_is_brought_up_to_date(trial, capsys):
    """Night after night, one of them missed, it is as if it were made anew."""
    from pipeline.cli import main

    names: dict = {"Path": Path}
    snippet = next(snippet for snippet in SNIPPETS if "bring_up_to_date" in snippet)
    exec(compile(snippet.partition("\n\n\nindex, state")[0], "README.md", "exec"), names)
    texts = {f"d{n}": f"text number {n}" for n in range(9)}
    index: dict = {}
    state: dict = {}
    for night in range(4):
        texts |= {f"new{night}": f"a text of night {night}", "d0": f"edited in night {night}"}
        texts[f"moved{night}"] = texts.pop(f"d{night + 1}")
        texts.pop(f"d{night + 5}")
        lines = [json.dumps({"id": id_, "text": text}) for id_, text in texts.items()]
        Path("in.jsonl").write_text("\n".join(lines))
        flags = ["--input=in.jsonl", "--output=nights", "--model=models/all-MiniLM-L6-v2"]
        assert main(["embed", *flags]) == 0, capsys.readouterr().err
        if night == 2:
            continue
        snapshot = Path("nights/snapshots") / Path("nights/LATEST").read_text().strip()
        names["bring_up_to_date"](index, state, snapshot)
        again: dict = {}
        names["bring_up_to_date"](again, {}, snapshot)
        assert index.keys() == again.keys() == texts.keys()
        assert all((index[id_] == again[id_]).all() for id_ in index)


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

    from pipeline import flags, options, snapshot_flags

    parser = argparse.ArgumentParser(conflict_handler="resolve")
    adds = (flags.add_plan_flags, flags.add_inspect_flags, flags.add_export_flags)
    for add in (*adds, snapshot_flags.add_verify_flags):
        add(parser)
    snapshot_flags.add_prune_flags(parser)
    snapshot_flags.add_rollback_flags(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--[a-z_]+", README)) - known - options.beam_flags() <= {
        "--all",
        "--help",
    }
