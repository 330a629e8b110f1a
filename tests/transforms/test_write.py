"""Files of tokens that are written at once: no row is lost or twice, no error is passed over."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.transforms import write
from corpusvec.transforms.columns import Documents, TokenRows
from corpusvec.transforms.elements import Document, WrittenFile
from corpusvec.transforms.snapshots import tables
from corpusvec.transforms.snapshots.attempts import REPORTS
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.tables import BrokenOutput, TableFiles

NOW = "20260101T000000.000Z-00000000"
TOKENS = 3  # of each document


def tokens_of(name: str) -> TokenRows:
    """One document's."""
    none = np.full((TOKENS, 2), -1, np.int32)
    return TokenRows(
        Documents.of([Document(name, "a b c")]),
        np.array([TOKENS]),
        pa.array(["a", "b", "c"]),
        np.zeros(TOKENS, np.int8),
        none,
        {"layer@-1": np.zeros((TOKENS, 4), np.float32)},
    )


@pytest.fixture
def writer(tmp_path, monkeypatch):
    """Each document is a group, and each group waits until `TableFiles.write` may go on."""
    monkeypatch.setattr(write, "_GROUP_BYTES", 1)
    monkeypatch.setattr(write, "share", lambda: 3)
    monkeypatch.setattr(write, "_PATIENCE", 0.0)
    monkeypatch.setattr(write, "_SHARE", 0.0)
    snapshot = Snapshot(Output(str(tmp_path)), NOW)
    for folder in ("tokens", REPORTS):  # the next run takes up what is complete
        os.makedirs(f"{snapshot.attempt}/{folder}")
    made = write._WriteFn(snapshot, "tokens", {"fingerprint": "the same"})
    made.setup()
    made.start_bundle()
    yield made
    made.teardown()


def write_all(writer, n: int) -> list[WrittenFile]:
    """The documents up to `n` -> all reports."""
    written = [one for at in range(n) for one in writer.process(tokens_of(f"d{at}"))]
    return written + [one.value for one in writer.finish_bundle()]


def finished(writer) -> Counter:
    """Documents in the files that are reported, by how many rows each has in one place."""
    reports = [one.value for one in writer.finish_bundle()]
    paths = [f"{writer._snapshot.attempt}/{one.path}" for one in reports]
    there = os.listdir(f"{writer._snapshot.attempt}/tokens")
    assert sorted(map(os.path.basename, paths)) == sorted(there)
    ids = [id_ for path in paths for id_ in pq.read_table(path)["id"].to_pylist()]
    assert all(len(set(ids[at : at + TOKENS])) == 1 for at in range(0, len(ids), TOKENS))
    return Counter(ids)


def test_groups_that_come_while_others_are_written_go_to_other_files(writer, monkeypatch):
    """To as many as there are cores; then the reader waits."""
    may, began, each = threading.Event(), threading.Semaphore(0), TableFiles.write

    def slow(self, rows):
        began.release()
        assert may.wait(60)
        yield from each(self, rows)

    monkeypatch.setattr(TableFiles, "write", slow)
    for number in range(3):
        assert list(writer.process(tokens_of(f"d{number}"))) == []
        assert began.acquire(timeout=60)
    with ThreadPoolExecutor(1) as reader:
        fourth = reader.submit(lambda: list(writer.process(tokens_of("d3"))))
        assert not began.acquire(timeout=0.2)  # it waits
        may.set()
        assert fourth.result(60) == []
    assert len(writer._writers) == 3
    assert finished(writer) == {f"d{number}": TOKENS for number in range(4)}


def test_groups_that_are_written_before_the_next_one_comes_stay_in_one_file(writer):
    for number in range(20):
        assert list(writer.process(tokens_of(f"d{number}"))) == []
        for one in writer._writers:
            one.written.result()
    assert len(writer._writers) == 1
    assert finished(writer) == {f"d{number}": TOKENS for number in range(20)}


def test_groups_that_wait_a_moment_stay_in_one_file(writer, monkeypatch):
    monkeypatch.setattr(write, "_PATIENCE", 60.0)
    for number in range(20):
        assert list(writer.process(tokens_of(f"d{number}"))) == []
    assert len(writer._writers) == 1
    assert finished(writer) == {f"d{number}": TOKENS for number in range(20)}


def test_sentences_stay_in_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "share", lambda: 3)
    made = write._WriteFn(Snapshot(Output(str(tmp_path)), NOW), "sentences", {})
    made.setup()
    assert made._at_once == 1
    made.teardown()


def test_files_that_are_overdue_are_completed_each(writer, monkeypatch):
    monkeypatch.setattr(tables, "_PATIENCE", 0.0)
    monkeypatch.setattr(tables, "_SHARE", 0.0)
    reports = []
    for number in range(30):
        reports += writer.process(tokens_of(f"d{number}"))
        for one in writer._writers:
            one.written.result()  # or the next group goes into a file that is not yet closed
    reports += [one.value for one in writer.finish_bundle()]
    assert [one.rows for one in reports] == 30 * [TOKENS]


def test_files_that_nothing_is_written_to_are_completed_once(writer, monkeypatch):
    """And are not fed with a few rows each time that they would be overdue."""
    writer._writers += [writer._writer() for _ in range(2)]
    for number, one in enumerate(writer._writers):
        one.write([tokens_of(f"first{number}")])
    monkeypatch.setattr(write, "_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(tables, "_PATIENCE", 0.1)
    monkeypatch.setattr(tables, "_SHARE", 0.0)
    reports = []
    for number in range(12):
        reports += writer.process(tokens_of(f"d{number}"))
        time.sleep(0.05)
    reports += [one.value for one in writer.finish_bundle()]
    assert sum(one.rows for one in reports) == 15 * TOKENS
    assert [one.files._count for one in writer._writers[1:]] == [1, 1]
    assert 2 <= writer._writers[0].files._count <= 7


def test_a_disk_that_is_full_ends_the_run_whichever_file_it_was(writer, monkeypatch):
    each, calls = TableFiles.write, []

    def full(self, rows):
        calls.append(rows)
        if len(calls) == 2:
            raise BrokenOutput("tokens/0.parquet: cannot be written (No space left on device)")
        yield from each(self, rows)

    monkeypatch.setattr(TableFiles, "write", full)
    with pytest.raises(BrokenOutput, match="No space left"):
        write_all(writer, 9)
