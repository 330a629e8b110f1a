"""What the README shows is run as it stands there."""

from __future__ import annotations

import gzip
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from corpusvec.pipeline.runners.options import beam_flags
from corpusvec.transforms.models.sources.caches import Entry, cached
from corpusvec.transforms.specs import Asked
from tests import hub_modules, saved_models
from tests.conftest import ROOT
from tests.models import checkpoint_folder

README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TABLE = re.findall(r"^\|.*`(corpusvec embed [^`]+)` \|$", README, re.MULTILINE)
SHOWN = re.findall(r"^ {4}(corpusvec .*)$", README, re.MULTILINE)
EXPORTS = [command for command in SHOWN if " export-model " in command]


@pytest.fixture
def trial(tmp_path, monkeypatch, minilm):
    """A folder as a user has it after `./run_local.sh`: examples, the model, vectors in out."""
    from corpusvec.pipeline.cli import main

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
    assert len(SNIPPETS) == 5
    names: dict = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "garden-notes/Growing tomatoes" in said
    assert "likeness" in said
    assert "second [" in said
    assert "'tomatoes'" in said
    assert 0.1 < float(re.findall(r"^cosine (.*)$", said, re.MULTILINE)[0]) < 0.9


def test_the_extra_for_notebooks_installs_what_reading_vectors_takes(monkeypatch):
    section = README.partition("\n## Read the vectors\n")[2].partition("\n## ")[0]
    snippets = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(snippets), re.MULTILINE))
    package: dict = {}
    monkeypatch.setattr("setuptools.setup", package.update)
    runpy.run_path(str(ROOT / "setup.py"))
    extra = names(package["extras_require"]["notebook"])
    assert "[notebook]" in section
    assert imported - set(sys.stdlib_module_names) - names(package["install_requires"]) == extra
    assert extra <= names((ROOT / "constraints.txt").read_text("utf-8").splitlines())


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"\W", requirement, maxsplit=1)[0] for requirement in requirements}


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
    cached(
        Entry(str(folder / "cache"), handle, handle),
        lambda new, scratch: shutil.copytree(minilm, new, dirs_exist_ok=True),
    )
    return folder


def test_the_table_has_every_kind(models):
    from corpusvec.transforms.models.kinds import KINDS, describe_model

    names = {match[1] for command in TABLE if (match := re.search(r"=models/(\S+)", command))}
    asked = Asked(signature="embed_v2", output_key="vec")
    kinds = {
        describe_model(str(models / name), asked if name == "own" else Asked()).kind
        for name in names
    }
    assert kinds == set(KINDS)


def test_the_exports_that_are_shown(models, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow_text")
    from corpusvec.pipeline.cli import main

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


WALK = """
import shlex, sys
from corpusvec.pipeline.cli import main
for command in sys.argv[1:]:
    print(f"$ {command}", file=sys.stderr)
    print(f"$ {command}\\n-> {main(shlex.split(command)[1:])}", flush=True)
"""


def test_all_that_is_shown_runs_from_the_wheel(models, installed, tmp_path):
    """In one process: exports, every kind of model into an output of its own, then two nights."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "models").mkdir()
    for name in ("bert-japanese", "bert-module", "elmo", "use", "use-lite", "own"):
        os.symlink(models / name, tmp_path / "models" / name)
    for name in ("models/all-MiniLM-L6-v2", "models/e5", "e5", "bert"):
        os.symlink(models / "all-MiniLM-L6-v2", tmp_path / name)
    (tmp_path / "texts").mkdir()
    with gzip.open(tmp_path / "texts" / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"the garden, day {n}"}) + "\n" for n in range(30))
    (tmp_path / "a.txt").write_text("The garden is quiet.\n")
    (tmp_path / "glove.txt").write_text("cat 0.1 0.2\ndog 0.3 0.4\n")
    elsewhere = [c for c in SHOWN if "s3://" in c or "--runner=flink" in c]
    nightly = next(c for c in SHOWN if "--if_running" in c)
    alone = [*TABLE, *SHOWN[: SHOWN.index(nightly)]]
    alone = [c.replace("=out ", f"=out{n} ") for n, c in enumerate(alone) if c not in EXPORTS]
    commands = [*EXPORTS, *alone, nightly, *SHOWN[SHOWN.index(nightly) :]]
    commands = [command for command in commands if command not in elsewhere]
    done = installed.run(
        "python", "-c", WALK, *commands, cwd=tmp_path, TFHUB_CACHE_DIR=str(models / "cache")
    )
    codes = re.findall(r"^\$ (.*)\n-> (\d+)$", done.stdout, re.MULTILINE)
    failed = {command for command, code in codes if code != "0"}
    assert [command for command, _ in codes] == commands, done.stderr
    assert failed == {command for command in EXPORTS if "--strings" in command}, done.stderr
    for command in alone[: len(TABLE)]:
        snapshots = tmp_path / re.findall(r"--output=(\w+)", command)[0] / "snapshots"
        assert len(list(snapshots.glob("*/sentences/*.parquet"))) == 1
        assert bool(list(snapshots.glob("*/tokens/*"))) == ("--layers" in command)


def test_notes_that_belong_together_are_neighbours(trial):
    from corpusvec.pipeline.cli import main

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
    from corpusvec.pipeline.cli import main

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


def test_the_map_names_every_room():
    drawn = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {
        file.parent
        for top in ("transforms", "pipeline")
        for file in ROOT.glob(f"{top}/**/__init__.py")
    }
    assert len(rooms) > 15
    missing = [
        str(room) for room in rooms if not re.search(rf"^ *{room.name}/  ", drawn, re.MULTILINE)
    ]
    assert not missing


def test_every_flag_that_is_shown_exists():
    import argparse

    from corpusvec.pipeline.flags import commands as flags
    from corpusvec.pipeline.flags import snapshots as snapshot_flags

    parser = argparse.ArgumentParser(conflict_handler="resolve")
    adds = (flags.add_plan_flags, flags.add_inspect_flags, flags.add_export_flags)
    for add in (*adds, snapshot_flags.add_verify_flags):
        add(parser)
    snapshot_flags.add_prune_flags(parser)
    snapshot_flags.add_rollback_flags(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--[a-z_]+", README)) - known - beam_flags() <= {
        "--all",
        "--help",
        "--no",  # pip's --no-deps
    }
