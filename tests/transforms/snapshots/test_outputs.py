"""An output is opened once: what is published there is read again only where it may have moved."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corpusvec.pipeline.outputs.prunings import prune
from corpusvec.transforms.snapshots import outputs
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.stores import LocalStore, ObjectStore
from tests.models import TEXTS


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("\n".join(TEXTS), "utf-8")
    return path


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """How often somebody looks what LATEST names."""
    seen: list[str] = []
    exists = outputs.exists

    def look(path: str) -> bool:
        seen.extend([path] if path.endswith("/LATEST") else [])
        return exists(path)

    monkeypatch.setattr(outputs, "exists", look)
    return seen


def test_latest_is_what_it_was_until_it_is_read_again(tmp_path):
    first, second = (f"2026010{day}T000000.000Z-0a1b2c3d" for day in (1, 2))
    (tmp_path / "LATEST").write_text(f"{first}\n")
    output = Output(str(tmp_path))
    assert (output.latest, output.published) == (first, {first})
    (tmp_path / "LATEST").write_text(f"{second}\n")
    assert (output.latest, output.published) == (first, {first})
    assert pickle.loads(pickle.dumps(output)).latest == second  # on a worker
    assert output.latest_now() == second
    assert (output.latest, output.published) == (second, {second})


@pytest.mark.parametrize(
    ("folder", "kind"), [("/out", LocalStore), ("s3://bucket/out", ObjectStore)]
)
def test_an_output_knows_where_it_is(folder, kind):
    assert isinstance(Output(folder).store, kind)
    assert (str(Output(f"{folder}/")), Output(f"{folder}/").path("a")) == (
        f"{folder}/",
        f"{folder}/a",
    )


def test_a_run_looks_at_latest_five_times(embed, tiny, source, reads):
    """With its claim, before the commit, before and after LATEST is replaced, and at its end."""
    for _ in range(2):
        reads.clear()
        assert embed(tiny, source).code == 0
        assert len(reads) == 5


def test_prune_looks_again_before_it_removes_anything(embed, tiny, source, monkeypatch):
    """Somebody may go back to a snapshot after it was chosen; object stores have no lock."""
    older, newer = (Path(embed(tiny, source).latest) for _ in range(2))
    output = Output(str(older.parent.parent))
    leftovers = output.leftovers()

    def go_back(self) -> list[str]:
        (older.parent.parent / "LATEST").write_text(f"{older.name}\n")
        return leftovers

    monkeypatch.setattr(Output, "leftovers", go_back)
    assert prune(output, keep=1).snapshots == [older.name]
    assert older.is_dir()
    assert Snapshot(output, newer.name).output.latest == older.name


def test_an_output_whose_store_does_not_answer_holds_up_no_other(tmp_path, monkeypatch):
    asked, answer = threading.Event(), threading.Event()
    exists = outputs.exists

    def wait(path: str) -> bool:
        if path.startswith("s3://"):
            asked.set()
            answer.wait(60)
            return False
        return exists(path)

    monkeypatch.setattr(outputs, "exists", wait)
    silent = threading.Thread(target=lambda: Output("s3://bucket/out").latest)
    silent.start()
    assert asked.wait(60)
    with ThreadPoolExecutor(1) as other:
        try:
            assert other.submit(lambda: Output(str(tmp_path)).latest).result(10) is None
        finally:
            answer.set()
    silent.join()
