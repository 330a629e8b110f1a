"""The flex template's metadata says what the flags of `embed` say; its parameters become them."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

import pytest

from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.embed import add_embed_flags
from corpusvec.pipeline.runners import dataflow
from corpusvec.pipeline.runners.flex_templates import flags_of, metadata
from corpusvec.pipeline.runners.options import beam_flags
from tests.conftest import ROOT

FILE = ROOT / "deploy" / "dataflow" / "metadata.json"
PARAMETERS = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
GOOD = {
    "input": ["gs://a/*.txt", "gs://a/b.json,gs://c/d.jsonl.gz", "gs://a/b, gs://c/d"],
    "output": ["gs://a/out"],
    "previous": ["gs://a/other"],
    "vector_ranges": ["gs://a/ranges.npy", "/opt/corpusvec/ranges.json"],
    "max_shrink": ["0", "0.25", "1", "1.0"],
    "max_input_age": ["3d", "36h", "90m"],
    "id_root": ["gs://a/in"],
    "model": [
        "gs://a/m",
        "s3://a/m.tar.gz",
        "hf://o/n@main",
        "https://h/m",
        "/opt/corpusvec/model",
    ],
    "tokenizer": ["/opt/corpusvec/model/vocab.txt"],
    "model_cache": ["/var/models"],
    "layers": ["-1", "-1,-2", "elmo,0"],
    "vectors": ["wide=mean@-4:-1/sum,pooler"],
    "prompt": ["query: ", "two\nlines"],
    "signature": ["__call__"],
    "output_key": ["encoder_outputs/0"],
    "text_column": ["body", "the text"],
    "id_column": ["body", "the text"],
    "pair_column": ["body", "the text"],
    "metadata_columns": ["stars,date"],
}
BAD = {
    "input": ["a.txt", "gs://a,b.txt", "gs://", ""],
    "output": ["out", "s3://a/out", ""],
    "previous": ["other"],
    "vector_ranges": ["ranges.npy", "/tmp/ranges.npy"],
    "max_shrink": ["", "2", "half", "-0.1"],
    "max_input_age": ["", "3", "0d", "3 days"],
    "id_root": ["in"],
    "model": ["models/bert", "/models/bert", "ftp://h/m", "gs://"],
    "tokenizer": ["vocab.txt", "gs://a/vocab.txt"],
    "model_cache": ["cache"],
    "layers": ["", "-1,,0"],
    "vectors": [""],
    "prompt": [""],
    "signature": ["two\nlines"],
    "output_key": [""],
    "text_column": [""],
    "id_column": [""],
    "pair_column": [""],
    "metadata_columns": [""],
}


def parser() -> argparse.ArgumentParser:
    made = parsing.Parser(allow_abbrev=False)
    add_embed_flags(made)
    return made


def fits(name: str, value: str) -> bool:
    return all(re.search(pattern, value) for pattern in PARAMETERS[name]["regexes"])


def test_the_file_is_what_the_flags_say():
    made = subprocess.run(
        [sys.executable, "-m", "corpusvec.pipeline.runners.flex_templates"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert FILE.read_text("utf-8") == made.stdout.decode(), "write it again: docs/dataflow.md"


def test_every_flag_but_those_of_the_launcher_is_described():
    groups = {group.title: group for group in parser()._action_groups}
    flags = {action.dest for group in groups.values() for action in group._group_actions}
    of_the_run = {action.dest for action in groups["the run"]._group_actions}
    assert set(PARAMETERS) == flags - {"help"} - (of_the_run - {"verbose"})
    assert all(parameter["helpText"] and parameter["label"] for parameter in PARAMETERS.values())


def test_googles_own_type_reads_it():
    templates = pytest.importorskip("google.cloud.dataflow_v1beta3.types.templates")
    read = templates.TemplateMetadata.from_json(FILE.read_text("utf-8"))  # refuses unknown names
    kinds = {parameter.name: parameter.param_type.name for parameter in read.parameters}
    assert kinds["output"] == "GCS_WRITE_FOLDER"
    assert kinds["limit"] == "NUMBER"
    assert kinds["normalize"] == "BOOLEAN"
    assert kinds["long_text"] == "ENUM"
    assert [p.name for p in read.parameters if not p.is_optional] == ["input", "output", "model"]


def test_what_is_needed_is_what_the_program_misses():
    for name, parameter in PARAMETERS.items():
        given = {"input": ["gs://a"], "output": "gs://b", "model": "gs://m", name: None}
        flags = parser().parse_args([])
        vars(flags).update(given)
        if parameter["isOptional"]:
            parsing.refuse_incomplete(flags, COMMANDS["embed"].needs)
        else:
            with pytest.raises(parsing.UsageError, match=f"--{name} is missing"):
                parsing.refuse_incomplete(flags, COMMANDS["embed"].needs)


def test_choices_and_defaults_are_the_flags_own():
    for action in parser()._actions:
        parameter = PARAMETERS.get(action.dest)
        if parameter is None:
            continue
        shown = [option["value"] for option in parameter.get("enumOptions", [])]
        assert shown == list(action.choices or [])
        assert all(fits(action.dest, value) for value in shown)
        assert not shown or not fits(action.dest, "neither")
        default = parameter.get("defaultValue")
        if action.default in (None, ""):
            assert default is None
        else:
            assert default == str(action.default).lower()
            assert fits(action.dest, default)


@pytest.mark.parametrize("value", ["0", "1", "007", "-1", "1.5", "ten", "", " 1", "00"])
def test_a_number_is_one_for_both(value):
    numbers = [name for name, about in PARAMETERS.items() if about["paramType"] == "NUMBER"]
    assert numbers == [
        *("limit", "max_rejected", "keep", "dimensions", "max_seq_length", "window_overlap"),
        "chunk_tokens",
    ]
    for name in numbers:
        try:
            parser().parse_args([f"--{name}={value}"])
        except parsing.UsageError:
            assert not fits(name, value)
        else:
            assert fits(name, value)


def test_every_text_has_its_shape():
    texts = {
        name
        for name, about in PARAMETERS.items()
        if about["paramType"] in ("TEXT", "GCS_WRITE_FOLDER")
    }
    assert texts == set(GOOD) == set(BAD)
    for name in texts:
        assert all(fits(name, value) for value in GOOD[name]), name
        assert not any(fits(name, value) for value in BAD[name]), name


def test_parameters_become_flags():
    parameters = ["--input=gs://a", "--normalize=true", "--refresh_model=false", "--prompt=a=true"]
    assert flags_of([*parameters, "--layers=-1,-2", "--project=p"]) == [
        "--input=gs://a",
        "--normalize",
        "--prompt=a=true",
        "--layers=-1,-2",
        "--project=p",
    ]
    flags = parser().parse_args(flags_of(parameters))
    assert (flags.normalize, flags.refresh_model, flags.prompt) == (True, False, "a=true")


def test_the_launchers_file_starts_embed(tmp_path):
    main = ROOT / "deploy" / "dataflow" / "main.py"
    begun = subprocess.run(
        [sys.executable, str(main), "--input=gs://a/b.txt", "--verbose=false"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert begun.returncode == 2
    assert begun.stderr == "corpusvec: --output is missing: a folder (--help lists all flags)\n"


def test_the_settings_that_are_shown_are_those_that_are_made():
    """On the page about Dataflow: options that exist, values as they are."""
    shown = (ROOT / "docs" / "dataflow.md").read_text("utf-8")
    settings = shown[shown.index("## The settings") :]
    known = beam_flags() | {f"--{name}" for name in PARAMETERS} | {"--runner"}
    assert set(re.findall(r"`(--[a-z_0-9]+)[=`]", settings)) <= known
    for name, value in dataflow._WORKERS.items():
        shown_as = f"`--{name}`" if value is True else f"`--{name}={value}`"
        assert shown_as in settings
    (command,) = re.findall(r"^ {4}(corpusvec embed (?:.*\\\n)*.*)$", shown, re.MULTILINE)
    assert set(re.findall(r"(--[a-z_]+)=", command)) <= known
