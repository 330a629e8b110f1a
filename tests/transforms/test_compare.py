"""The changes between two snapshots, against an oracle of dictionaries, in parts as they are when
there are millions; and that each file is read once for all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms import compare
from corpusvec.transforms.compare import CompareSnapshots
from corpusvec.transforms.elements import Count, Note, WrittenFile
from corpusvec.transforms.measures.names import PEAK_MEMORY, UNREAD
from corpusvec.transforms.snapshots import earlier_rows
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import Earlier, EarlierFile
from corpusvec.transforms.snapshots.outputs import Output

BEFORE, NOW = "20260101T000000.000Z-00000000", "20260102T000000.000Z-00000000"
ABOUT = {"fingerprint": "the same"}


TOLD: list[WrittenFile | Count | Note] = []


def tell(one) -> None:
    TOLD.append(one)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def written(folder: str, texts: dict[str, str], files: int) -> tuple[WrittenFile, ...]:
    """Files of sentences with what a comparison reads."""
    os.makedirs(f"{folder}/sentences")
    found = []
    for number in range(files):
        ids = sorted(texts)[number::files]
        rows = {
            "id": pa.array(ids, pa.string()),
            "text_sha256": pa.array([digest(texts[id_]) for id_ in ids], pa.string()),
            "model_text_sha256": pa.nulls(len(ids), pa.string()),
        }
        path = f"sentences/{number}.parquet"
        pq.write_table(pa.table(rows), f"{folder}/{path}")
        with open(f"{folder}/{path}", "rb") as stream:
            content = stream.read()
        said = (len(ids), len(content), hashlib.sha256(content).hexdigest())
        found.append(WrittenFile("sentences", path, *said))
    return tuple(found)


def compared(output, old: dict[str, str] | None, new: dict[str, str], alike=True, files=3):
    """The rows of changes, and what was told."""
    snapshot, before = Snapshot(Output(str(output)), NOW), None
    fresh = written(snapshot.attempt, new, files)
    if old is not None:
        folder = Snapshot(Output(str(output)), BEFORE).folder
        before = Earlier(folder, written(folder, old, files))
    os.makedirs(f"{snapshot.attempt}/changes")
    TOLD.clear()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        changes, notes = (
            pipeline
            | beam.Create(fresh)
            | CompareSnapshots(snapshot=snapshot, before=before, alike=alike, about=ABOUT)
        )
        (changes, notes) | beam.Flatten() | beam.Map(tell)
    told = list(TOLD)
    paths = [f"{snapshot.attempt}/{one.path}" for one in told if isinstance(one, WrittenFile)]
    there = os.listdir(f"{snapshot.attempt}/changes")
    assert sorted(paths) == sorted(f"{snapshot.attempt}/changes/{name}" for name in there)
    rows = [tuple(row.values()) for path in paths for row in pq.read_table(path).to_pylist()]
    return rows, told


def check(rows, old: dict[str, str], new: dict[str, str], alike: bool) -> None:
    """A document that is new moved from one that is gone and had its text, as many as there are."""
    assert len({row[0] for row in rows}) == len(rows)
    changed = {id_ for id_ in old.keys() & new.keys() if not alike or old[id_] != new[id_]}
    assert {id_ for id_, change, _ in rows if change == "changed"} == changed
    moved = {id_: was for id_, change, was in rows if change == "moved"}
    added = {id_ for id_, change, _ in rows if change == "added"}
    removed = {id_ for id_, change, _ in rows if change == "removed"}
    assert added | moved.keys() == new.keys() - old.keys()
    assert removed | set(moved.values()) == old.keys() - new.keys()
    assert len(set(moved.values())) == len(moved)
    assert all(old[was] == new[id_] for id_, was in moved.items())
    assert not {old[id_] for id_ in removed} & {new[id_] for id_ in added}
    assert all(was is None for _, change, was in rows if change != "moved")


texts = st.dictionaries(
    st.text("abcé", min_size=1, max_size=3), st.text("xyz", max_size=1), max_size=30
)


@settings(max_examples=15, deadline=None)
@given(old=texts, new=texts, alike=st.booleans(), part=st.sampled_from([1, 4, 1000]))
def test_changes_are_those_of_the_oracle(tmp_path_factory, old, new, alike, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_PART", part)
        rows, _ = compared(tmp_path_factory.mktemp("changes"), old, new, alike)
    check(rows, old, new, alike)


def test_many_rows_travel_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("corpusvec.transforms.storage.digests._PACKED", 7)
    old = {f"d{i}": f"text {i}" for i in range(100)}
    new = {f"d{i}": f"text {i % 90}" for i in range(50, 150)}
    rows, _ = compared(tmp_path, old, new)
    check(rows, old, new, alike=True)
    found = Counter(change for _, change, _ in rows)
    assert found == {"changed": 10, "added": 10, "moved": 40, "removed": 10}


def test_without_a_snapshot_before_all_is_added(tmp_path):
    rows, told = compared(tmp_path, None, {"a": "x", "b": "y"})
    assert sorted(rows) == [("a", "added", None), ("b", "added", None)]
    assert {one.name for one in told if isinstance(one, Count)} == {"compare_ms", PEAK_MEMORY}


@pytest.mark.parametrize(("part", "expected"), [(250_000, 1), (10, 3)])
def test_a_first_snapshot_has_a_file_of_changes_for_so_many_documents(
    tmp_path, monkeypatch, part, expected
):
    """However many files of sentences there are; each is in the order of its ids."""
    monkeypatch.setattr(compare, "_PART", part)
    texts = {f"d{n:02}": f"text {n}" for n in range(25)}
    rows, told = compared(tmp_path, None, texts, files=8)
    written = [one for one in told if isinstance(one, WrittenFile)]
    assert len(written) == expected
    assert sorted(rows) == [(id_, "added", None) for id_ in texts]
    assert expected > 1 or rows == sorted(rows)


def test_without_any_document_there_is_a_file_without_rows(tmp_path):
    """So that whoever reads changes/ finds its columns."""
    rows, told = compared(tmp_path, None, {}, files=0)
    (file,) = [one for one in told if isinstance(one, WrittenFile)]
    assert rows == []
    assert file.rows == 0


@pytest.mark.parametrize("stripped", [[None] * 5, ["a"] * 5, [None, None, "a", None, "b"]])
def test_rows_are_those_of_the_file_however_many_are_read_at_once(tmp_path, monkeypatch, stripped):
    digests = [digest(f"text {n}") for n in range(5)]
    others = [text and digest(text) for text in stripped]
    columns = {
        "id": pa.array([f"d{n}" for n in range(5)]),
        "text_sha256": pa.array(digests),
        "model_text_sha256": pa.array(others, pa.string()),
    }
    pq.write_table(pa.table(columns), tmp_path / "0.parquet", row_group_size=3)
    file = EarlierFile(str(tmp_path), WrittenFile("sentences", "0.parquet", 5, 0, ""), fresh=True)
    monkeypatch.setattr(earlier_rows, "_AT_ONCE", 2)
    rows = earlier_rows.sentence_rows(file)
    assert rows.ids.to_pylist() == columns["id"].to_pylist()
    keys = [
        int(one[:32], 16) ^ int(other[:32] if other else "0", 16)
        for one, other in zip(digests, others)
    ]
    assert [int.from_bytes(key.tobytes(), "big") for key in rows.keys] == keys


def test_each_file_is_read_once(tmp_path, monkeypatch):
    """However many parts the documents are compared in."""
    read = Counter[str]()
    opened = earlier_rows.check_file

    def counted(file):
        read[file.path] += 1
        opened(file)

    monkeypatch.setattr(compare, "_PART", 10)
    monkeypatch.setattr(earlier_rows, "check_file", counted)
    texts = {f"d{i}": f"text {i}" for i in range(100)}
    rows, _ = compared(tmp_path, texts, texts)
    assert rows == []
    assert len(read) == 6
    assert set(read.values()) == {1}


def test_of_a_damaged_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "_PART", 1)
    written_well = earlier_rows.check_file

    def damaged(file):
        if not file.fresh and file.path.endswith("/1.parquet"):
            raise earlier_rows.Damaged(file.path, "is gone")
        written_well(file)

    monkeypatch.setattr(earlier_rows, "check_file", damaged)
    texts = {"a": "1", "b": "2", "c": "3"}
    rows, told = compared(tmp_path, texts, texts)
    assert rows == [("b", "added", None)]
    (note,) = [one.text for one in told if isinstance(one, Note)]
    assert "1.parquet: is gone; changes/ does not say" in note
    assert Count(UNREAD, 1) in told
