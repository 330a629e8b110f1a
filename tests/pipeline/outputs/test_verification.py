"""Whatever is done to a snapshot is found by `verify`, which names the file and what to do."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.settings import fingerprint
from corpusvec.transforms.snapshots.schemas import METADATA_KEY
from tests.models import TEXTS


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Path:
    """An output of two runs: rows embedded and reused, one record rejected, token vectors."""
    folder = tmp_path_factory.mktemp("made")
    place = [f"--model={tiny}", f"--input={folder}/*.txt", f"--output={folder}/out"]
    (folder / "a.txt").write_text("\n".join(TEXTS), "utf-8")
    (folder / "bad.txt").write_bytes(b"\xff\n")
    for _ in range(2):
        assert main(["embed", *place, "--layers=-1", "--max_rejected=1"]) == 0
        (folder / "b.txt").write_text("more rain\nthe garden\n")
    return folder / "out"


class Folder:
    """A snapshot that is damaged on purpose."""

    def __init__(self, output: Path):
        self.output = output
        self.path = output / "snapshots" / (output / "LATEST").read_text().strip()

    def file(self, table: str) -> Path:
        """The largest of its table."""
        return max((self.path / table).iterdir(), key=lambda file: file.stat().st_size)

    def name(self, file: Path) -> str:
        return file.relative_to(self.path).as_posix()

    def manifest(self, change: Callable[[dict[str, Any]], Any]) -> str:
        file = self.path / "manifest.json"
        manifest = json.loads(file.read_text("utf-8"))
        change(manifest)
        file.write_text(json.dumps(manifest), "utf-8")
        return "manifest.json"

    def rewrite(self, table: str, change: Callable[[pa.Table], pa.Table]) -> str:
        """Rows changed by somebody who sets the manifest right, but for its counts."""
        file = self.file(table)
        rows = change(pq.read_table(file))
        pq.write_table(rows, file, row_group_size=7)
        self.right(file, len(rows))
        return self.name(file)

    def right(self, file: Path, rows: int | None = None) -> None:
        content = file.read_bytes()

        def change(manifest):
            (entry,) = [f for f in manifest["files"] if f["path"] == self.name(file)]
            entry |= {"bytes": len(content), "digest": hashlib.sha256(content).hexdigest()}
            entry |= {"rows": rows} if rows is not None else {}

        self.manifest(change)


def flipped(table: str):
    def damage(folder: Folder) -> str:
        content = bytearray(folder.file(table).read_bytes())
        content[len(content) // 2] ^= 1
        folder.file(table).write_bytes(content)
        return folder.name(folder.file(table))

    return damage


def truncated(folder: Folder) -> str:
    file = folder.file("tokens")
    file.write_bytes(file.read_bytes()[:-10])
    return folder.name(file)


def missing(folder: Folder) -> str:
    name = folder.name(folder.file("sentences"))
    (folder.path / name).unlink()
    return name


def extra(folder: Folder) -> str:
    shutil.copy(folder.file("sentences"), folder.path / "sentences" / "copy.parquet")
    return "sentences/copy.parquet"


def not_json(folder: Folder) -> str:
    (folder.path / "manifest.json").write_text("{")
    return "manifest.json"


def no_manifest(folder: Folder) -> str:
    (folder.path / "manifest.json").unlink()
    return "manifest.json"


def replaced(table: str, column: str, change: Callable[[list], Any]):
    """Rows of a table with some values of a column changed in place."""

    def rows(found: pa.Table) -> pa.Table:
        values = found[column].to_pylist()
        change(values)
        at = found.schema.get_field_index(column)
        return found.set_column(at, found.schema.field(at), pa.array(values, found[column].type))

    return lambda folder: folder.rewrite(table, rows)


def settings(manifest: dict[str, Any]) -> None:
    manifest["run"]["precision"] = "bfloat16"


def other_fingerprint(folder: Folder) -> str:
    """A file of a run with other settings."""

    def rows(found: pa.Table) -> pa.Table:
        about = json.loads(found.schema.metadata[METADATA_KEY])
        about.pop("fingerprint")
        about |= {"precision": "bfloat16"}
        said = json.dumps(about | {"fingerprint": fingerprint(about)})
        return found.replace_schema_metadata({METADATA_KEY: said})

    return folder.rewrite("sentences", rows)


def lost_line(folder: Folder) -> str:
    file = folder.file("rejected")
    file.write_bytes(b"")
    folder.right(file)
    return folder.name(file)


def nothing_there(folder: Folder) -> str:
    shutil.rmtree(folder.path)
    return "LATEST"


def nan(values: list) -> None:
    values[3] = [np.nan, *values[3][1:]]


def infinite(values: list) -> None:
    values[-1] = [*values[-1][:-1], -np.inf]


def same(values: list) -> None:
    values[1] = values[0]


DAMAGES = {
    "a byte of sentences": (flipped("sentences"), "digest"),
    "a byte of tokens": (flipped("tokens"), "digest"),
    "a byte of changes": (flipped("changes"), "digest"),
    "truncated": (truncated, "the manifest says"),
    "missing": (missing, "does not exist"),
    "extra": (extra, "is not in the manifest"),
    "later version": (
        lambda f: f.manifest(lambda m: m.update(format_version=9)),
        "is of format 9, of a later version",
    ),
    "not JSON": (not_json, "is not JSON"),
    "not a manifest": (lambda f: f.manifest(lambda m: m.pop("files")), "is not the manifest"),
    "of another snapshot": (lambda f: f.manifest(lambda m: m.update(id="x")), "manifest of 20"),
    "no manifest": (no_manifest, "is not there"),
    "no snapshot": (nothing_there, "which is not there"),
    "wrong count": (
        lambda f: f.manifest(lambda m: m["counts"].update(tokens=3)),
        "says 3 tokens, and the files have",
    ),
    "records lost": (
        lambda f: f.manifest(lambda m: m["counts"].update(records=3)),
        "says 3 records, but documents + rejected + empty are 17",
    ),
    "neither embedded nor reused": (
        lambda f: f.manifest(lambda m: m["counts"].update(reused=0)),
        "embedded + reused + repeated are",
    ),
    "incomplete": (lambda f: f.manifest(lambda m: m.update(incomplete="2 lost")), "2 lost"),
    "wrong rows": (
        lambda f: (f.right(f.file("tokens"), 3), f.name(f.file("tokens")))[1],
        "rows, the manifest says 3",
    ),
    "settings changed": (lambda f: f.manifest(lambda m: settings(m)), "its fingerprint"),
    "another fingerprint": (other_fingerprint, "its fingerprint is not the manifest's"),
    "duplicate ids": (
        replaced("sentences", "id", same),
        "1 document with an id that another",
    ),
    "NaN in a vector": (replaced("sentences", "vector", nan), "values in vector that are no"),
    "infinity in a token": (replaced("tokens", "layer@-1", infinite), "values in layer@-1 that"),
    "another text": (
        replaced("sentences", "text", lambda v: v.__setitem__(2, "x")),
        "1 document with a text_sha256 that is not that of the text (the first: 'a.txt:",
    ),
    "positions": (
        replaced("tokens", "position", lambda v: v.__setitem__(9, 0)),
        "positions are not 0, 1, 2",
    ),
    "tokens of nobody": (
        replaced("tokens", "id", lambda v: v.__setitem__(slice(None), ["no" + i for i in v])),
        "token rows, and no row in sentences",
    ),
    "tokens lost": (lambda f: f.rewrite("tokens", lambda t: t[:-1]), "number of token rows"),
    "a document's tokens lost": (
        lambda f: (f.rewrite("tokens", without_first), f.name(f.file("sentences")))[1],
        "1 document with no token rows",
    ),
    "tokens twice": (
        lambda f: f.rewrite("tokens", lambda t: pa.concat_tables([t, t[:5]])),
        "in several places",
    ),
    "a column lost": (
        lambda f: f.rewrite("sentences", lambda t: t.drop_columns(["text_sha256"])),
        "text_sha256",
    ),
    "rejected line lost": (lost_line, "has 0 lines, the manifest says 1"),
}


def without_first(rows: pa.Table) -> pa.Table:
    first = rows["id"][0].as_py()
    return rows.filter(pa.array([id_ != first for id_ in rows["id"].to_pylist()]))


@pytest.fixture
def folder(made, tmp_path) -> Folder:
    shutil.copytree(made, tmp_path / "out")
    return Folder(tmp_path / "out")


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_by_name(folder, capsys, damage, expected):
    name = damage(folder)
    assert main(["verify", str(folder.output)]) == 1
    *problems, last = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{name}: ") and expected in line for line in problems), problems
    assert all("; " in line for line in problems)  # what to do
    assert last == f"{folder.path.name} (LATEST names it) is damaged: " + (
        "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    )
    assert main(["snapshots", "verify", str(folder.output), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["whole"] is False
    assert [f"{p['file']}: {p['what']}; {p['remedy']}" for p in found["problems"]] == problems


@pytest.mark.parametrize("damage", ["a byte of sentences", "missing", "truncated", "extra"])
def test_one_damage_is_one_line(folder, capsys, damage):
    DAMAGES[damage][0](folder)
    assert main(["verify", str(folder.output)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_is_whole_is_whole(made, capsys):
    first, last = sorted(path.name for path in (made / "snapshots").iterdir())
    for asked in ([], [first], [str(made / "snapshots" / last)]):
        assert main(["verify", str(made), *asked]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{last} (LATEST names it) is whole: 16 documents, ")
    assert said[1].startswith(f"{first} is whole: 14 documents, ")
    assert said[2] == said[0]
    assert main(["snapshots", "verify", str(made), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["whole"], found["problems"], found["is_latest"]) == (True, [], True)
    assert found["counts"]["documents"] == 16


def test_the_next_run_mends_what_is_damaged(folder, tiny, capsys):
    """What `verify` advises: the damaged files' documents are embedded again."""
    (folder.output.parent / "a.txt").write_text("\n".join(TEXTS), "utf-8")
    flipped("sentences")(folder)
    place = [f"--model={tiny}", f"--input={folder.output.parent}/a.txt"]
    assert main(["embed", *place, f"--output={folder.output}", "--layers=-1"]) == 0
    assert "digest" in capsys.readouterr().out
    assert main(["verify", str(folder.output)]) == 0


@pytest.mark.parametrize("asked", [["nothing"], ["20260102T030405.678Z-0a1b2c3d"]])
def test_what_is_not_there_is_wrong_usage(made, tmp_path, capsys, asked):
    assert main(["verify", str(made), *asked]) == 2
    assert "has no snapshot" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no snapshot" in capsys.readouterr().err
