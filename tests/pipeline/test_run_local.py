"""`run_local.sh`: what it hands to the program. The program, its environment and the default model
are stand-ins here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from corpusvec.pipeline.flags.commands import COMMANDS
from tests.conftest import ROOT

INPUT = "--input={0}examples/notes.json,{0}examples/lines.txt,{0}examples/records.jsonl"
PROGRAM = '#!/bin/sh\nprintf "%s\\n" "$CORPUSVEC_TYPED" "$@"\n'


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "run_local.sh", folder)
    (folder / "scripts" / "environment.sh").write_text("python=true\n")
    program = folder / ".venv" / "bin" / "corpusvec"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return folder


def said(command: list[str], folder: Path) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


MODEL = "--model=models/all-MiniLM-L6-v2"
EMBED = {
    "alone": ([], [INPUT.format(""), "--layers=-1", "--output=out", MODEL]),
    "input": (["--input=a b.txt"], ["--input=a b.txt", "--output=out", MODEL]),
    "all": (
        ["--input=a", "--output", "b", "--model=m"],
        ["--input=a", "--output", "b", "--model=m"],
    ),
    "layers": (["--layers", "-2"], ["--layers", "-2", INPUT.format(""), "--output=out", MODEL]),
    "help": (["--help"], ["--help"]),
}


@pytest.mark.parametrize(("typed", "handed"), EMBED.values(), ids=EMBED)
def test_flags_are_those_of_embed_and_what_is_missing_is_the_example(checkout, typed, handed):
    assert said(["./run_local.sh", *typed], checkout) == ["./run_local.sh", "embed", *handed]


@pytest.mark.parametrize("command", [*COMMANDS, "a-later-one"])
def test_any_command_goes_through_as_it_is(checkout, command):
    typed = [command, "out", "--layers", "-1", "a b"]
    assert said(["./run_local.sh", *typed], checkout) == ["./run_local.sh", *typed]


RELATED = {
    "input": (
        ["--input=a b.json"],
        ["--input=a b.json", "--output=out", MODEL],
        ["out", "--file=out/related.html"],
    ),
    "all": (
        ["--lang=ja", "--input", "a", "--output", "my out", "--model=m", "--file=b c.html"],
        ["--input", "a", "--output", "my out", "--model=m"],
        ["my out", "--lang=ja", "--file=b c.html"],
    ),
}


@pytest.mark.parametrize(("typed", "embed", "report"), RELATED.values(), ids=RELATED)
def test_related_with_an_input_embeds_it_and_writes_a_page(checkout, typed, embed, report):
    name = "./run_local.sh"
    found = said([name, "related", *typed], checkout)
    assert found == [name, "embed", *embed, name, "report", *report]


def test_no_page_is_written_where_embedding_fails(checkout):
    program = checkout / ".venv" / "bin" / "corpusvec"
    program.write_text('#!/bin/sh\necho "$1"\nexit 3\n')
    command = ["./run_local.sh", "related", "--input=a"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "embed\n")


def test_from_another_folder(checkout, tmp_path):
    script = os.path.join("a checkout", "run_local.sh")
    assert said([script, "snapshots", "list", "out"], tmp_path) == [
        script,
        "snapshots",
        "list",
        "out",
    ]
    name, command, files, *_ = said([script], tmp_path)
    assert (name, command, files) == (script, "embed", INPUT.format(f"{checkout}/"))


def test_by_its_name_alone(checkout):
    name, *_ = said(["bash", "run_local.sh", "plan"], checkout)
    assert name == "./run_local.sh"
