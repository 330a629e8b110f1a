"""The tables are true: one module or class and one row make a new kind, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpusvec.transforms.models.hardware import tf
from tests.conftest import ROOT

# File of the package -> what is put before a line of it; a file that is not there is made.
MODULES = {
    "transforms/documents/shouts.py": """
import io
from corpusvec.transforms.documents.lines import read_text

def read_shouts(open_file, path, name):
    def shouted():
        with open_file() as stream:
            return io.BytesIO(stream.read().upper())
    return read_text(shouted, path, name)
""",
    "transforms/models/boxes.py": """
import dataclasses
from pathlib import Path
from corpusvec.transforms.models.transformers import hugging_face

def recognises(path, asked):
    return Path(path, "box").is_dir()

def describe(path, asked):
    spec = hugging_face.describe(str(Path(path, "box")), asked)
    return dataclasses.replace(spec, kind="box")

load = hugging_face.load
""",
    "pipeline/commands/echo.py": """
def echo(flags):
    return [f"echo: {flags.output}"]
""",
}
CLASS = """
class Doubled(Mean):
    def finish(self, state):
        return 2 * super().finish(state)

"""
ROWS = {
    "transforms/documents/formats.py": (
        "FORMATS: Mapping",
        '    "shouts": Format("shouts:read_shouts", (".shouts",)),\n',
    ),
    "transforms/models/sources/kinds.py": (
        "KINDS: Mapping",
        '    "box": Kind("boxes", "a box (a model in the folder box)", ("*.box",)),\n',
    ),
    "transforms/snapshots/schemas.py": (
        "SENTENCE_COLUMNS: Mapping",
        '    "n_links": SentenceColumn('
        "pa.int32(), lambda documents: [*map(len, documents.links)], fresh=True),\n",
    ),
    "transforms/vectors/poolings.py": (
        "POOLINGS: Mapping",
        '    "doubled": (Pooling(Doubled()),),\n',
    ),
    "pipeline/flags/commands.py": (
        "COMMANDS: Mapping",
        '    "echo": Command("say it", "Say it.", add_output, run="echo:echo"),\n',
    ),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A copy of the package, with a module and a row of each kind."""
    top = tmp_path_factory.mktemp("package")
    left = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "corpusvec", top / "corpusvec", ignore=left)
    for name, text in MODULES.items():
        (top / "corpusvec" / name).write_text(text)
    for name, (table, row) in ROWS.items():
        file = top / "corpusvec" / name
        before, head, rest = file.read_text("utf-8").partition(f"\n{table}")
        opened, brace, rows = rest.partition("{\n")
        assert head, name
        assert brace, name
        made = CLASS if "poolings" in name else ""
        file.write_text(f"{before}\n{made}{head}{opened}{brace}{row}{rows}", "utf-8")
    commands = top / "corpusvec" / "pipeline" / "flags" / "commands.py"
    text = commands.read_text("utf-8").replace("import add_json", "import add_json, add_output")
    commands.write_text(text, "utf-8")
    return top


def run(package: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "corpusvec", *map(str, arguments)],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_a_new_format_pooling_and_kind_of_model_are_embedded_with(package, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "model" / "box")
    (tmp_path / "a.shouts").write_text("hello\n")
    flags = [f"--input={tmp_path}/a.shouts", f"--model={tmp_path}/model", f"--output={tmp_path}/o"]
    done = run(package, "embed", *flags, "--vectors=vector=mean@-1,twice=doubled@-1")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "o" / "snapshots").glob("*/sentences/*.parquet")
    (row,) = pq.read_table(file).to_pylist()
    assert row["text"] == "HELLO"
    assert row["twice"] == pytest.approx([2 * value for value in row["vector"]])


def test_a_new_column_of_sentences_is_written_copied_and_reserved(package, tiny, embed, tmp_path):
    """Copied from a snapshot of a version that did not have it, too."""
    source = tmp_path / "a.scrapbox.json"
    page = {"title": "a", "lines": ["a", "[b] and [c]"], "created": 1, "updated": 2}
    source.write_text(json.dumps({"name": "p", "pages": [page]}))
    outcome = embed(tiny, source, "--input_format=scrapbox")
    assert outcome.code == 0, outcome.err
    flags = [f"--input={source}", f"--model={tiny}", f"--output={tmp_path}/out", "--new_recipe"]
    flags += ["--input_format=scrapbox"]
    for made in ("reused", "reused", "embedded"):
        more = ["--vectors=mean@-1"] * (made == "embedded")
        done = run(package, "embed", *flags, *more)
        assert done.returncode == 0, done.stderr
        table = outcome.table("sentences")
        assert table["n_links"].to_pylist() == [2]
        assert json.loads((outcome.latest / "manifest.json").read_text())["counts"][made] == 1
    done = run(package, "embed", *flags, "--vectors=n_links=mean@-1")
    assert "--vectors: 'n_links' is a column of its own in the output" in done.stderr


def test_a_new_kind_of_model_is_inspected_and_named_where_none_is_found(package, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "model" / "box")
    done = run(package, "inspect", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert "box" in done.stdout.splitlines()[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no model")
    assert "a box (a model in the folder box)" in run(package, "inspect", tmp_path / "other").stderr


def test_files_with_the_weights_of_a_new_kind_are_fetched_and_are_a_model(package, tmp_path):
    (tmp_path / "weights.box").touch()
    script = """
import sys
from corpusvec.transforms.models.sources import caches, kinds
print(caches.missing_part(sys.argv[1]), "*.box" in kinds.patterns("files", "weights"))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    told = subprocess.run(command, cwd=package, capture_output=True, text=True, check=True).stdout
    assert told == "None True\n"


def test_a_new_pooling_is_computed_inside_a_saved_model(package, tiny, tmp_path):
    pytest.importorskip("tensorflow_text")
    flags = ["--strings", "--vectors=once=mean@-1,twice=doubled@-1"]
    done = run(package, "export-model", tiny, tmp_path / "target", *flags)
    assert done.returncode == 0, done.stderr
    found = tf.saved_model.load(str(tmp_path / "target"))(["the garden"])
    assert found["twice"].numpy() == pytest.approx(2 * found["once"].numpy())


def test_a_new_command_is_run_and_listed(package):
    assert run(package, "echo", "out").stdout == "echo: out\n"
    assert "say it" in run(package, "--help").stdout
