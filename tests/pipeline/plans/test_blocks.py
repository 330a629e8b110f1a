"""A sample's blocks: each record is in one of them, and none is in two."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusvec.pipeline.plans import blocks
from corpusvec.pipeline.plans.blocks import Source
from corpusvec.transforms.documents.formats import Reading
from corpusvec.transforms.documents.inputs import InputFile
from corpusvec.transforms.documents.streams import BrokenInput


def source(*files: Path, input_format: str = "auto") -> Source:
    found = [InputFile(str(file), file.name, file.stat().st_size) for file in files]
    return Source(found, Reading(input_format))


def export(count: int) -> bytes:
    pages = [{"title": f"page {i}", "lines": ["x" * (i % 97)]} for i in range(count)]
    return json.dumps({"name": "p", "pages": pages}).encode()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64)


_LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0\x1b"), max_size=200)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=_LINES, ending=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_every_line_is_in_one_block(lines, ending, last, tmp_path, small_blocks):
    file = tmp_path / "a.txt"
    text = ending.join(lines) + (ending if last and lines else "")
    file.write_bytes(text.encode())
    parts = list(source(file).parts())
    found = sorted(record.text for part in parts for record in part.records)
    whole = text.encode().split(b"\n")
    assert found == sorted(line.decode().strip() for line in (whole if whole[-1] else whole[:-1]))
    assert sum(part.bytes for part in parts) == file.stat().st_size
    assert len({record.id for part in parts for record in part.records}) == len(found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", export(5000)),
        ("a.json.gz", gzip.compress(export(5000))),
        ("a.txt.bz2", bz2.compress(b"".join(b"line %d\n" % i for i in range(5000)))),
        ("a.txt", b"".join(b"line %d\n" % i for i in range(50_000))),
    ],
    ids=["export", "compressed export", "compressed lines", "lines"],
)
def test_a_file_that_is_read_in_blocks_is_read_once(name, content, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 2048)
    file = tmp_path / name
    file.write_bytes(content)
    parts = list(source(file).parts())
    ids = [record.id for part in parts for record in part.records]
    assert len(ids) == len(set(ids)) == (50_000 if name == "a.txt" else 5000)
    assert sum(part.bytes for part in parts) == file.stat().st_size
    assert len(parts) == -(-file.stat().st_size // 2048)


def test_the_blocks_of_many_bytes_are_few_and_from_everywhere(tmp_path, monkeypatch, small_blocks):
    monkeypatch.setattr(blocks, "_MOST_BLOCKS", 50)
    files = [tmp_path / f"{i}.txt" for i in range(4)]
    for file in files:
        file.write_text("".join(f"{file.stem} {i}\n" for i in range(2000)))
    parts = list(source(*files).parts())
    assert len(parts) == 50
    seen = [record.text.split() for part in parts for record in part.records]
    for name in "0123":
        rows = [int(row) for file, row in seen if file == name]
        assert min(rows) < 500
        assert max(rows) > 1500


def test_in_order_they_are_the_input(tmp_path, small_blocks):
    files = [tmp_path / "a.txt", tmp_path / "b.txt.gz"]
    lines = [f"line {i}" for i in range(200)]
    files[0].write_text("\n".join(lines[:100]))
    files[1].write_bytes(gzip.compress("\n".join(lines[100:]).encode()))
    parts = source(*files).parts(in_order=True)
    assert [record.text for part in parts for record in part.records] == lines


def test_a_file_that_is_cut_off_is_named(tmp_path):
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"line\n" * 1000)[:-9])
    with pytest.raises(BrokenInput, match=r"a\.txt\.gz: the compressed file is cut off"):
        list(source(file).parts())
