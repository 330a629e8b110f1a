"""Snapshots are whole or not there, and LATEST never moves backwards."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from corpusvec.transforms.elements import Count, WrittenFile
from corpusvec.transforms.snapshots.attempts import complete_files, note_complete
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.manifests import make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.stores import Outage

START = datetime(2026, 1, 2, 3, 4, 5, 678_000, timezone.utc)


def begun(output: Path, seconds: int = 0) -> Snapshot:
    snapshot = Snapshot(Output(str(output)), new_id(START + timedelta(seconds=seconds)))
    snapshot.begin(["sentences", "rejected"])
    return snapshot


def written(snapshot: Snapshot, name: str, rows: int = 1) -> WrittenFile:
    path = f"sentences/{name}.parquet"
    (Path(snapshot.attempt) / path).write_bytes(b"rows")
    return WrittenFile("sentences", path, rows, 4, "digest", {"tokens": 5, "embedded": rows})


def commit(snapshot: Snapshot, files, counts, about):
    return snapshot.commit(make_manifest(snapshot.id, [*files, *counts], about))


def test_ids_sort_by_time():
    ids = [new_id(START + timedelta(milliseconds=n)) for n in (0, 1, 999, 1000, 100_000)]
    assert ids == sorted(ids)
    assert ids[0].startswith("20260102T030405.678Z-")


def test_nothing_is_there_until_the_commit(tmp_path):
    snapshot = begun(tmp_path)
    file = written(snapshot, "a")
    assert Output(str(tmp_path)).snapshot_ids() == []
    assert Output(str(tmp_path)).latest is None
    commit(snapshot, [file], [Count("records", 1)], {})
    assert Output(str(tmp_path)).snapshot_ids() == [snapshot.id]
    assert Output(str(tmp_path)).latest is None
    assert snapshot.publish()
    assert Output(str(tmp_path)).latest == snapshot.id


def test_what_no_report_names_is_removed(tmp_path):
    snapshot = begun(tmp_path)
    file = written(snapshot, "a")
    written(snapshot, "orphan")  # of a bundle that was done again
    commit(snapshot, [file], [Count("records", 1)], {})
    there = {p.name for p in Path(snapshot.folder).rglob("*") if p.is_file()}
    assert there == {"a.parquet", "manifest.json"}


def test_a_commit_done_twice_is_as_done_once(tmp_path):
    snapshot = begun(tmp_path)
    file = written(snapshot, "a")
    first = commit(snapshot, [file], [Count("records", 1)], {"run": 1})
    assert commit(snapshot, [file], [Count("records", 1)], {"run": 1}) == first
    assert snapshot.publish()
    assert snapshot.publish()
    assert Output(str(tmp_path)).manifest(snapshot.id) == first


def test_counts_are_summed_from_reports(tmp_path):
    snapshot = begun(tmp_path)
    files = [written(snapshot, "a", 3), written(snapshot, "b", 4)]
    counts = [Count("records", 8), Count("records", 2), Count("empty", 3)]
    manifest = commit(snapshot, files, counts, {})
    expected = {"records": 10, "documents": 7, "rejected": 0, "empty": 3, "tokens": 10}
    assert expected.items() <= manifest["counts"].items()


def test_latest_never_moves_backwards(tmp_path):
    older, newer = begun(tmp_path), begun(tmp_path, 1)
    for snapshot in (older, newer):
        commit(snapshot, [written(snapshot, "a")], [Count("records", 1)], {})
    assert newer.publish()
    assert not older.publish()
    assert Output(str(tmp_path)).latest == newer.id


def publish(output: str, snapshot_id: str) -> None:
    Snapshot(Output(output), snapshot_id).publish()


def test_many_that_publish_at_once_leave_the_newest(tmp_path):
    snapshots = [begun(tmp_path, n) for n in range(8)]
    for snapshot in snapshots:
        commit(snapshot, [written(snapshot, "a")], [Count("records", 1)], {})
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        order = [snapshots[n] for n in (3, 7, 0, 5, 1, 6, 2, 4)]
        pool.starmap(publish, [(str(tmp_path), snapshot.id) for snapshot in order])
    assert Output(str(tmp_path)).latest == snapshots[-1].id


def test_an_abandoned_attempt_leaves_nothing_and_a_whole_snapshot_stays(tmp_path):
    lost, whole = begun(tmp_path), begun(tmp_path, 1)
    written(lost, "a")
    lost.abandon()
    assert not Path(lost.attempt).exists()
    commit(whole, [written(whole, "a")], [Count("records", 1)], {})
    whole.abandon()
    assert Output(str(tmp_path)).snapshot_ids() == [whole.id]


def test_a_reported_file_that_is_gone_is_an_error(tmp_path):
    snapshot = begun(tmp_path)
    gone = WrittenFile("sentences", "sentences/gone.parquet", 1, 4, "digest", {})
    with pytest.raises(RuntimeError, match="gone"):
        commit(snapshot, [gone], [Count("records", 1)], {})
    assert Output(str(tmp_path)).snapshot_ids() == []


def test_an_attempt_is_abandoned_or_committed_never_both(tmp_path):
    """Whichever comes second in the race finds nothing: no snapshot is torn."""
    torn = 0
    for n in range(60):
        snapshot = begun(tmp_path, n)
        files = [written(snapshot, f"{i}") for i in range(5)]
        barrier = threading.Barrier(2)

        def abandon(snapshot=snapshot, barrier=barrier):
            barrier.wait()
            snapshot.abandon()

        other = threading.Thread(target=abandon)
        other.start()
        barrier.wait()
        with contextlib.suppress(OSError, RuntimeError):
            commit(snapshot, files, [Count("records", 5)], {})
        other.join()
        there = len(list(Path(snapshot.folder).glob("sentences/*")))
        torn += there not in (0, 5) or (there == 0) == Path(snapshot.folder).exists()
    assert torn == 0
    assert not list(Path(tmp_path, "snapshots").glob(".*"))


def test_reports_of_what_is_complete_stay_until_the_commit_does(tmp_path, monkeypatch):
    """Killed in between, nothing is lost; and nobody brings an abandoned attempt back."""
    snapshot = begun(tmp_path)
    file = written(snapshot, "a")
    note_complete(snapshot.attempt, file, {"fingerprint": "f"})
    with monkeypatch.context() as patch:
        patch.setattr("corpusvec.transforms.snapshots.stores.forget_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            commit(snapshot, [file], [Count("records", 1)], {})
    assert complete_files(snapshot.attempt, "f") == (file,)
    snapshot.abandon()
    note_complete(snapshot.attempt, file, {"fingerprint": "f"})
    assert not [*Path(tmp_path, "snapshots").iterdir()]


def killed(*_) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, Outage), (errno.EIO, Outage), (errno.EACCES, ValueError)],
)
def test_what_another_try_may_mend_is_no_wrong_usage(tmp_path, monkeypatch, number, expected):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("corpusvec.transforms.snapshots.stores.write", full)
    with pytest.raises(expected, match="cannot be written") as told:
        begun(tmp_path)
    assert isinstance(told.value, ValueError) == (expected is ValueError)


def test_an_unknown_snapshot_is_an_error_that_lists_those_there(tmp_path):
    whole = begun(tmp_path)
    commit(whole, [written(whole, "a")], [Count("records", 1)], {})
    with pytest.raises(ValueError, match=whole.id):
        Output(str(tmp_path)).manifest("../etc")


@pytest.mark.parametrize("content", ["[]", "{}", '{"id": 1}', "no JSON"])
def test_a_manifest_of_another_form_is_passed_over_for_the_one_before(tmp_path, content):
    ids = [f"2026010{day}T000000.000Z-0a1b2c3d" for day in (1, 2)]
    whole = json.dumps({"id": ids[0], "counts": {"documents": 1}})
    (tmp_path / "published").mkdir()
    for one, text in zip(ids, (whole, content)):
        (tmp_path / "snapshots" / one).mkdir(parents=True)
        (tmp_path / "snapshots" / one / "manifest.json").write_text(text)
        (tmp_path / "published" / one).touch()
    (tmp_path / "LATEST").write_text(ids[1])
    assert Output(str(tmp_path)).published_manifest == json.loads(whole)
