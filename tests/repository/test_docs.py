"""What README and docs show is run as it stands there; their links, flags and messages exist."""

from __future__ import annotations

import ast
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

from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.snapshots import Command
from corpusvec.pipeline.runners.options import beam_flags
from corpusvec.transforms.models.sources.caches import Entry, cached
from corpusvec.transforms.snapshots.schemas import SENTENCE_COLUMNS
from corpusvec.transforms.specs import Asked
from corpusvec.transforms.vectors.poolings import POOLINGS
from tests import hub_modules, saved_models, static_folders
from tests.conftest import ROOT
from tests.models import checkpoint_folder

README = "README.md"
NIGHTS = "docs/nights.md"
OUTPUT = "docs/output.md"
# Of each page, by its path: the text.
PAGES = {
    str(file.relative_to(ROOT)): file.read_text("utf-8")
    for file in [ROOT / README, *sorted((ROOT / "docs").glob("*.md"))]
}
ALL = "\n".join(PAGES.values())
SNIPPETS = {
    page: found
    for page, text in PAGES.items()
    if (found := re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    and page != "docs/recipes.md"  # has a test of its own, for each tool
}
TABLE = re.findall(r"^\|.*`(corpusvec embed [^`]+)` \|$", ALL, re.MULTILINE)
SHOWN = {
    page: re.findall(r"^ {4}(corpusvec .*)$", text.replace("\\\n", ""), re.MULTILINE)
    for page, text in PAGES.items()
}
EXPORTS = [
    command for commands in SHOWN.values() for command in commands if " export-model " in command
]
# What a page's snippets print, among other things.
PRINTED = {
    README: ["second ["],
    OUTPUT: ["garden-notes/Growing tomatoes", "likeness"],
    NIGHTS: [],
    "docs/push.md": ["nearest first The tomatoes are ripe."],
    "docs/python.md": ["second [", "'tomatoes'"],
    "docs/links.md": ["garden-notes/Basil on the balcony", " | "],
}


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


@pytest.mark.parametrize("page", sorted(SNIPPETS))
def test_every_snippet_runs(page, trial, capsys):
    if "qdrant_client" in PAGES[page]:
        pytest.importorskip("qdrant_client")
    names: dict = {}
    for snippet in SNIPPETS[page]:
        exec(compile(snippet, page, "exec"), names)
    said = capsys.readouterr().out
    assert all(text in said for text in PRINTED[page])


def test_the_extra_for_notebooks_installs_what_reading_vectors_takes(monkeypatch):
    section = PAGES[OUTPUT].partition("\n## Read the vectors\n")[2].partition("\n## ")[0]
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
    static_folders.write(static_folders.KINDS["model2vec"], folder / "static")
    handle = "hf://sentence-transformers/all-MiniLM-L6-v2"
    cached(
        Entry(str(folder / "cache"), handle, handle),
        lambda new, scratch: shutil.copytree(minilm, new, dirs_exist_ok=True),
    )
    return folder


def test_the_table_has_every_kind(models):
    from corpusvec.transforms.models.kinds import describe_model
    from corpusvec.transforms.models.sources.kinds import KINDS

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
import os, shlex, sys
from corpusvec.pipeline.cli import main
for line in sys.argv[1:]:
    folder, _, command = line.partition(": ")
    os.chdir(folder)
    print(f"$ {line}", file=sys.stderr)
    print(f"$ {line}\\n-> {main(shlex.split(command)[1:])}", flush=True)
"""


def place_of(page: str, models: Path, place: Path) -> Path:
    """A folder for the commands of a page, with all that they read."""
    shutil.copytree(ROOT / "examples", place / "examples")
    (place / "models").mkdir()
    for name in ("bert-japanese", "bert-module", "elmo", "use", "use-lite", "own", "static"):
        os.symlink(models / name, place / "models" / name)
    for name in ("models/all-MiniLM-L6-v2", "models/e5"):
        os.symlink(models / "all-MiniLM-L6-v2", place / name)
    (place / "texts").mkdir()
    with gzip.open(place / "texts" / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"the garden, day {n}"}) + "\n" for n in range(30))
    shutil.copy(place / "examples" / "notes.json", place / "my-project.json")
    (place / "glove.txt").write_text("cat 0.1 0.2\ndog 0.3 0.4\n")
    return place


def commands_of(page: str) -> list[str]:
    """Those of a page that need no other machine. Every run has an output of its own, but from the
    nightly one on, which is run twice.
    """
    table = TABLE if page == "docs/models.md" else []
    shown = [c for c in SHOWN[page] if not re.search(r"(s3|gs|lance|postgresql)://|--runner=", c)]
    exports = [command for command in shown if command in EXPORTS]
    commands = [*exports, *table, *(command for command in shown if command not in exports)]
    nightly = next((n for n, c in enumerate(commands) if "--if_running" in c), len(commands))
    alone = [re.sub(r"=out\b", f"=out{n}", c) for n, c in enumerate(commands[:nightly])]
    return alone + commands[nightly : nightly + 1] + commands[nightly:]


def test_all_that_is_shown_runs_from_the_wheel(models, installed, tmp_path):
    """In one process: exports, every kind of model into an output of its own, then two nights."""
    folders = {
        page: place_of(page, models, tmp_path / str(n))
        for n, page in enumerate(PAGES)
        if commands_of(page)
    }
    lines = [f"{folders[page]}: {c}" for page in folders for c in commands_of(page)]
    done = installed.run(
        "python", "-c", WALK, *lines, cwd=tmp_path, TFHUB_CACHE_DIR=str(models / "cache")
    )
    codes = re.findall(r"^\$ (.*)\n-> (\d+)$", done.stdout, re.MULTILINE)
    failed = {line.partition(": ")[2] for line, code in codes if code != "0"}
    assert [line for line, _ in codes] == lines, done.stderr
    assert failed == {command for command in EXPORTS if "--strings" in command}, done.stderr
    for line in lines:
        if output := re.search(r"corpusvec embed .*--output=(out\d+)", line):
            snapshots = Path(line.partition(": ")[0]) / output[1] / "snapshots"
            assert len(list(snapshots.glob("*/sentences/*.parquet"))) == 1
            assert bool(list(snapshots.glob("*/tokens/*"))) == ("--layers" in line)


def test_notes_that_belong_together_are_neighbours(trial):
    from corpusvec.pipeline.cli import main

    flags = ["--input=examples/notes.json", "--output=out", "--model=models/all-MiniLM-L6-v2"]
    # Fewer than other examples have, and no tokens.
    assert main(["embed", *flags, "--max_shrink=1", "--new_recipe"]) == 0
    names: dict = {}
    exec(compile(SNIPPETS[OUTPUT][0], OUTPUT, "exec"), names)
    nearest = names["notes"].set_index("id")["nearest"]
    assert nearest["garden-notes/Basil on the balcony"] == "garden-notes/Pesto"
    assert nearest["garden-notes/Growing tomatoes"] == "garden-notes/Tomato sauce"
    assert nearest["garden-notes/The Secret Garden"] == "garden-notes/Reading list"


def test_an_index_is_brought_up_to_date(trial, capsys):
    """Night after night, one of them missed, it is as if it were new."""
    from corpusvec.pipeline.cli import main

    names: dict = {}
    (snippet,) = SNIPPETS[NIGHTS]
    exec(compile(snippet.partition("\n\n\nindex, state")[0], NIGHTS, "exec"), names)
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


LINKED = [
    file.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "deploy/**/*.md", "benchmarks/*.md", "examples/*.md")
    for file in sorted(ROOT.glob(pattern))
]


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=str)
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]+`", "", (ROOT / page).read_text("utf-8"))  # in code there is no link
    dead = []
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            dead.append(link)
    assert not dead


def test_every_page_is_linked_from_the_readme_and_begins_with_its_question():
    for page, text in PAGES.items():
        if page != README:
            assert f"]({page}" in PAGES[README]
            assert re.match(r"# .+\n\n\*[^*]+\?\*\n", text), page


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


def flags_of(command: Command) -> set[str]:
    """The flags that a command and its parts take."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    command.add_flags(parser)
    own = {name for action in parser._actions for name in action.option_strings}
    return own.union(*(flags_of(part) for part in command.parts.values()))


FLAGS = {name: flags_of(command) for name, command in COMMANDS.items()}
# Of other programs.
OTHERS = {
    "run_tests.sh": {"--all"},
    "cluster.sh": {"--task_managers", "--slots", "--rest_port", "--start_timeout"},
    "benchmarks": {
        "--peers",
        "--openvino",
        "--only",
        "--rounds",
        "--base",
        "--documents",
        "--batches",
        "--size",
    },
    "gcloud": {"--parameters"},
    "pytest": {"--lf"},
    "node_exporter": {"--collector"},
    "SentencePiece": {"--control_symbols"},
    "tensorboard": {"--logdir"},
    "embedding-atlas": {"--neighbors", "--text", "--vector"},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_documented(command):
    named = set(re.findall(r"--[a-z_]+", ALL))
    assert {flag for flag in FLAGS[command] if not flag.startswith("--no-")} - named == set()


@pytest.mark.parametrize("page", LINKED, ids=str)
def test_every_flag_that_is_shown_exists(page):
    """Flags of other programs are on lines of theirs, or have a hyphen, as ours never have."""
    text = (ROOT / page).read_text("utf-8").replace("\\\n", "")
    text = re.sub(
        r"^ {4}.*\b(gcloud|docker|pip|iconv|moto_server|gcp-storage\S+|useradd|systemctl) .*$",
        "",
        text,
        flags=re.MULTILINE,
    )
    shown = {flag for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text) if "-" not in flag[2:]}
    known = set.union({"--help"}, *FLAGS.values(), *OTHERS.values())
    known |= beam_flags() | parsing._FLINK
    assert shown - known == set()


def test_each_column_of_sentences_is_described():
    section = PAGES[OUTPUT].partition("\n## Sentences\n")[2].partition("\n## ")[0]
    names = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[1:]
    described = [name for cell in names for name in re.findall("`(\\w+)`", cell)]
    assert described == [*SENTENCE_COLUMNS, "vector"]


def test_each_pooling_is_defined():
    section = PAGES["docs/poolings.md"].partition("\n## Definitions\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \| .+ \| .* \| .+ \|$", section, re.MULTILINE)) == set(
        POOLINGS
    )


def messages() -> str:
    """All texts of the program, each on a line; those with values have … where a value stands."""
    found = []
    for top in ("pipeline", "transforms"):
        for file in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        part.value if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    ]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def test_each_message_that_is_explained_is_one_of_the_program():
    page = PAGES["docs/troubleshooting.md"]
    explained = re.findall(r"^\| `(.+?)` \| .+ \| .+ \|$", page, re.MULTILINE)
    said = messages()
    assert len(explained) > 30
    assert [text for text in explained if text.replace("\\|", "|") not in said] == []
