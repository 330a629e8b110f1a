"""Large files in parts: all parts together give the records of the whole file, with its ids."""

from __future__ import annotations

import io
import itertools
import json
import operator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusvec.transforms.documents import parts
from corpusvec.transforms.documents.ages import Dates
from corpusvec.transforms.documents.formats import Reading
from corpusvec.transforms.documents.inputs import match_inputs
from corpusvec.transforms.documents.parts import (
    Part,
    blocks_of,
    count_lines,
    groups_of,
    numbered,
)
from corpusvec.transforms.read import _records
from tests.transforms.test_read import run

# Blocks of a few bytes, so that each line end and each quote is at the edge of one.
SMALL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def parts_of(file, reading=Reading()):  # noqa: B008
    blocks = blocks_of(file, reading)
    counted = [count_lines(block, reading) for block in blocks]
    return list(numbered(counted[::-1], reading)) if counted else groups_of(file, reading)


def records_of(part):
    return list(itertools.chain.from_iterable(_records(part, Dates(), Reading())))


def compare(path, data: bytes, block: int) -> int:
    """Checks that parts are as the whole, however many; gives their number."""
    path.write_bytes(data)
    (file,) = match_inputs([str(path)])
    whole = records_of(Part(file))
    before, parts.BLOCK = parts.BLOCK, block
    try:
        found = parts_of(file)
        records = [record for part in found for record in records_of(part)]
    finally:
        parts.BLOCK = before
    assert records == whole if found else True
    return len(found)


LINES = st.lists(
    st.sampled_from(["", "a", "\u3000", "庭のトマト", "\r", "x" * 9, "\ufeff"]), max_size=12
)


@SMALL
@given(LINES, st.sampled_from(["", "\n"]), st.integers(1, 20))
def test_blocks_of_text(tmp_path, lines, end, block):
    compare(tmp_path / "a.txt", ("\n".join(lines) + end).encode(), block)


@SMALL
@given(st.lists(st.binary(max_size=4), max_size=9), st.integers(1, 9))
def test_blocks_of_lines_that_are_no_text(tmp_path, lines, block):
    compare(tmp_path / "a.txt", b"a line of words\n" * 4 + b"\n".join(lines), block)


@SMALL
@given(
    st.lists(st.sampled_from(["a", '"b"', '"c,""d"', "", "e,f", '"g\nh"', '"i']), max_size=9),
    st.integers(1, 20),
)
def test_blocks_of_csv(tmp_path, rows, block):
    data = "\n".join(["text", *rows])
    n = compare(tmp_path / "a.csv", data.encode(), block)
    if any("\n" in row for row in rows[:-1]):
        assert n <= 1  # a value may hold a line end


def test_csv_is_cut_and_each_part_knows_the_header(tmp_path):
    rows = [f'{n},"a, ""{n}"""' for n in range(99)]
    assert compare(tmp_path / "a.csv", "\n".join(["id,text", *rows]).encode(), 100) > 9


def test_json_lines_are_cut(tmp_path):
    lines = [json.dumps({"text": "a" * (n % 7)}) for n in range(99)] + ["bad"]
    assert compare(tmp_path / "a.jsonl", "\n".join(lines).encode(), 100) > 9


@pytest.mark.parametrize("block", [1, 300, 10_000])
def test_row_groups_of_parquet(tmp_path, block):
    stream = io.BytesIO()
    texts = [f"text {n}" if n % 9 else None for n in range(99)]
    pq.write_table(pa.table({"text": texts}), stream, row_group_size=10)
    n = compare(tmp_path / "a.parquet", stream.getvalue(), block)
    assert n == {1: 10, 10_000: 0}.get(block, n)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.json", "a.md", "a.csv"])
def test_what_cannot_be_cut_is_one_part(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes("a\nb\n".encode("utf-16"))
    (file,) = match_inputs([str(tmp_path / name)])
    monkeypatch.setattr(parts, "BLOCK", 2)
    assert parts_of(file) == []


def test_spread_over_workers_large_files_are_the_same_records(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("\n".join(f"line {n}" for n in range(99)))
    (tmp_path / "b.csv").write_text("\n".join(["text", *(f'"row, {n}"' for n in range(99))]))
    (tmp_path / "c.csv").write_text("\n".join(["text", *(f'"row\n{n}"' for n in range(9))]))
    pq.write_table(pa.table({"text": ["a"] * 99}), tmp_path / "d.parquet", row_group_size=10)
    (tmp_path / "e.json").write_text(json.dumps({"name": "p", "pages": []}))
    files = match_inputs([f"{tmp_path}/*"])
    alone = run(files)
    monkeypatch.setattr(parts, "BLOCK", 200)
    spread = run(files, spread=True)
    key = operator.attrgetter("source", "source_row")
    assert sorted(spread["documents"], key=key) == alone["documents"]
    assert {file.name: len(parts_of(file)) > 1 for file in files} == {
        "a.txt": True,
        "b.csv": True,
        "c.csv": False,
        "d.parquet": True,
        "e.json": False,
    }
