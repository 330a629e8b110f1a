"""Runs over every format at once, and over a pipe: the same text has the same vector."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.formats import TEXTS, write_each


@pytest.fixture
def corpus(tmp_path) -> Path:
    return write_each(tmp_path / "in")


def test_the_same_text_in_each_format_has_the_same_vector_and_digest(embed, tiny, corpus):
    outcome = embed(tiny, f"{corpus}/**", "--max_seq_length=32")
    assert outcome.code == 0, outcome.err
    table = outcome.table("sentences")
    assert table.num_rows == 7 * len(TEXTS)
    for text in TEXTS:
        rows = [row for row in table.to_pylist() if row["text"].strip() == text]
        assert len(rows) == 7
        assert len({row["text_sha256"] for row in rows}) == 1
        assert len({tuple(row["vector"]) for row in rows}) == 1
    formats = json.loads((outcome.latest / "manifest.json").read_text())["input"]["formats"]
    assert formats == {
        "text": 1,
        "jsonl": 1,
        "parquet": 1,
        "csv": 1,
        "tsv": 1,
        "markdown": 3,
        "scrapbox": 3,
    }
    ids = {row["id"] for row in table.to_pylist()}
    assert {"a.txt:1", "b.jsonl:1", "c.parquet:3", "d.csv:2", "e.tsv:4", "0.md", "backup/T0"} <= ids


def test_a_plan_reads_every_format(tiny, corpus, capsys):
    from corpusvec.pipeline.cli import main

    assert main(["plan", f"--model={tiny}", f"--input={corpus}/**", "--output=x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["documents"] == 7 * len(TEXTS)


def test_columns_are_named_by_flags(embed, tiny, tmp_path):
    source = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": ["x"], "body": ["a cat"], "by": ["me"], "n": [1]}), source)
    flags = ("--text_column=body", "--id_column=key", "--metadata_columns=by")
    outcome = embed(tiny, source, *flags)
    assert outcome.code == 0, outcome.err
    (row,) = outcome.table("sentences").to_pylist()
    assert (row["id"], row["text"], json.loads(row["metadata"])) == ("x", "a cat", {"by": "me"})
    refused = embed(tiny, source)
    assert refused.code == 2
    assert "has no column `text`, but key, body, by, n; name another with --text_col" in refused.err


PIPED = {"text": ("a cat\na dog\n", 2), "json": ('{"text": "a cat"}\n', 1)}


@pytest.mark.parametrize(("data", "documents"), PIPED.values(), ids=PIPED)
def test_a_pipe_is_read(tiny, tmp_path, data, documents):
    command = [sys.executable, "-m", "corpusvec.pipeline", "embed", f"--model={tiny}"]
    command += ["--input=-", f"--output={tmp_path}/out"]
    ended = subprocess.run(command, input=data, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    name = (tmp_path / "out" / "LATEST").read_text().strip()
    manifest = json.loads((tmp_path / "out" / "snapshots" / name / "manifest.json").read_text())
    assert manifest["counts"]["documents"] == documents


def test_a_pipe_does_not_travel_to_a_cluster(tiny, tmp_path, capsys):
    from corpusvec.pipeline.cli import main

    flags = [f"--model={tiny}", "--input=-", f"--output={tmp_path}", "--runner=FnApiRunner"]
    assert main(["embed", *flags]) == 2
    assert "workers on other machines cannot read a pipe" in capsys.readouterr().err


def test_an_id_that_a_line_of_another_file_has_is_rejected(embed, tiny, tmp_path):
    """Only where all files are lines of text nobody looks for ids that are there twice."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("a cat\na dog\n")
    (folder / "b.jsonl").write_text('{"id": "a.txt:2", "text": "a bird"}\n')
    outcome = embed(tiny, f"{folder}/*", "--max_rejected=1")
    assert outcome.code == 0, outcome.err
    rows = {row["id"]: row["text"] for row in outcome.table("sentences").to_pylist()}
    assert rows == {"a.txt:1": "a cat", "a.txt:2": "a dog"}
    (file,) = (outcome.latest / "rejected").iterdir()
    failure = json.loads(file.read_text())
    assert (failure["id"], failure["source"]) == ("a.txt:2", f"{folder}/b.jsonl")
    assert "an earlier record has the same id" in failure["error"]
