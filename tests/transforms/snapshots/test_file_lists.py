"""Where a snapshot has many files, their list lies beside the manifest; readers do not mind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

import corpusvec
from corpusvec.pipeline.cli import main
from corpusvec.transforms.elements import Count, WrittenFile
from corpusvec.transforms.snapshots import file_lists
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.file_lists import LIST
from corpusvec.transforms.snapshots.layouts import MANIFEST
from corpusvec.transforms.snapshots.manifests import files_of, make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from tests.models import TEXTS


def committed(output: Path, n: int, second: int = 0) -> Snapshot:
    """A snapshot of `n` files of one row."""
    at = datetime(2026, 1, 2, 3, 4, second, tzinfo=timezone.utc)
    snapshot = Snapshot(Output(str(output)), new_id(at))
    snapshot.begin(["sentences"])
    files = []
    for number in range(n):
        path = f"sentences/{number:05}.parquet"
        (Path(snapshot.attempt) / path).write_bytes(b"rows")
        files.append(WrittenFile("sentences", path, 1, 4, f"{number:064x}", {"embedded": 1}))
    snapshot.commit(make_manifest(snapshot.id, [*files, Count("records", n)], {"run": {}}))
    return snapshot


@pytest.mark.parametrize(("n", "beside"), [(1000, False), (1001, True)])
def test_a_list_of_many_files_is_beside_the_manifest_and_comes_back(tmp_path, n, beside):
    snapshot = committed(tmp_path, n)
    stored = (Path(snapshot.folder) / MANIFEST).read_bytes()
    assert (Path(snapshot.folder) / LIST).exists() == beside
    assert (len(stored) < 2000) == beside
    # A version that knows no such list knows formats up to 2.
    assert json.loads(stored)["format_version"] == (3 if beside else 2)
    files = files_of(Output(str(tmp_path)).manifest(snapshot.id))
    assert [(file.path, file.digest) for file in files] == [
        (f"sentences/{number:05}.parquet", f"{number:064x}") for number in range(n)
    ]
    assert all(file.counts == {"embedded": 1} and file.rows == 1 for file in files)


def test_a_commit_done_again_leaves_the_list_readable_all_the_time(tmp_path, monkeypatch):
    """As on an object store, where the manifest of a try that died in its last step is there."""
    monkeypatch.setattr(file_lists, "_MOST_IN_MANIFEST", 0)
    snapshot = committed(tmp_path, 2)
    there, manifest = Path(snapshot.folder), Output(str(tmp_path)).manifest(snapshot.id)
    shutil.move(there, snapshot.attempt)
    content = (Path(snapshot.attempt) / LIST).read_bytes()
    removed: list[str] = []
    monkeypatch.setattr(
        "corpusvec.transforms.snapshots.commits.remove", lambda *p: removed.extend(p)
    )
    snapshot.commit(manifest)
    assert not removed
    assert (there / LIST).read_bytes() == content


@pytest.fixture
def output(embed, tiny, tmp_path, monkeypatch) -> Callable[[], Path]:
    """Nights of one output, whose lists lie beside their manifests."""
    monkeypatch.setattr(file_lists, "_MOST_IN_MANIFEST", 0)
    texts = tmp_path / "texts.txt"

    def night() -> Path:
        texts.write_text("\n".join([*TEXTS, *(["more"] if texts.exists() else [])]), "utf-8")
        assert (
            main(["embed", f"--model={tiny}", f"--input={texts}", f"--output={tmp_path / 'out'}"])
            == 0
        )
        return tmp_path / "out"

    return night


def latest(output: Path) -> Path:
    return output / "snapshots" / (output / "LATEST").read_text().strip()


def test_every_command_reads_it(output, capsys):
    for _ in range(2):
        place = output()
    counts = json.loads((latest(place) / MANIFEST).read_text())["counts"]
    assert (counts["reused"], counts["embedded"]) == (len(TEXTS), 1)
    assert len(corpusvec.open(str(place)).ids) == len(TEXTS) + 1
    capsys.readouterr()
    for line in (
        "verify",
        "snapshots list",
        "snapshots show",
        "snapshots diff",
        "inspect",
        "related",
    ):
        assert main([*line.split(), str(place)]) == 0, line
        assert "cannot be read" not in capsys.readouterr().out
    assert main(["snapshots", "rollback", str(place)]) == 0
    assert main(["snapshots", "prune", str(place), "--keep=1"]) == 0


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "files.parquet: is in the manifest but does not exist"),
        (flipped, "files.parquet: is not what was written: its digest is not that of the manifest"),
    ],
    ids=["lost", "flipped"],
)
def test_a_damaged_list_is_found_and_the_next_run_goes_on(output, capsys, damage, said):
    output()
    place = output()
    damage(latest(place) / LIST)
    capsys.readouterr()
    assert main(["verify", str(place)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(said)
    assert last.endswith("is damaged: 1 problem")
    with pytest.raises(RuntimeError, match=r"files\.parquet"):
        corpusvec.open(str(place))
    assert main(["inspect", str(place)]) == 2
    assert "files.parquet" in capsys.readouterr().err
    place = output()
    counts = json.loads((latest(place) / MANIFEST).read_text())["counts"]
    assert counts["reused"] == len(TEXTS)  # of the snapshot before the damaged one
    assert main(["verify", str(place)]) == 0
