"""An output in which `metadata` was a map and vectors were split: everything still reads it.

How it was made is in golden/old_output/README.md.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.snapshots.attempts import note_complete
from tests.repository.test_end_to_end import manifest_of, write_lines

OLD = (Path(__file__).parents[2] / "golden") / "old_output" / "out"
FIRST, SECOND = sorted(path.name for path in (OLD / "snapshots").iterdir())
RECORDS = [
    {"id": "a", "text": "the cat sat on a mat", "title": '猫 "quoted"', "views": 5},
    {"id": "b", "text": "rain falls at noon"},
    {"id": "moved", "text": "the garden", "pair": "is green", "tags": ["x"]},
    {"id": "new", "text": "a dog"},
]


@pytest.fixture
def output(tmp_path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "out"))


def manifest(output: Path, snapshot: str) -> dict:
    return json.loads((output / "snapshots" / snapshot / "manifest.json").read_text("utf-8"))


def made_by_the_recipe_of_now(output: Path, tiny: str) -> None:
    """Rules may have changed since: what is reused is a question of the fingerprint, and not what
    these tests are about.
    """
    run = Settings(model=tiny, layers="-1").resolve().describe("strip")
    for snapshot in (FIRST, SECOND):
        about = json.dumps({**manifest(output, snapshot), "run": run})
        (output / "snapshots" / snapshot / "manifest.json").write_text(about)


def is_published(output: Path) -> list[str]:
    return []


def is_in_another_output(output: Path) -> list[str]:
    output.rename(output.with_name("old"))
    return [f"--previous={output.with_name('old')}"]


def was_not_published(output: Path) -> list[str]:
    (output / "LATEST").unlink()
    shutil.rmtree(output / "published")
    return []


def was_killed(output: Path) -> list[str]:
    """Before it had written its manifest."""
    about = manifest(output, SECOND)
    attempt = output / "snapshots" / f".{SECOND}.attempt"
    (output / "snapshots" / SECOND).rename(attempt)
    (attempt / "manifest.json").unlink()
    (attempt / "complete").mkdir()
    for file in about["files"]:
        note_complete(str(attempt), WrittenFile(**file), about["run"])
    shutil.rmtree(output / "snapshots" / FIRST)
    return was_not_published(output)


@pytest.mark.parametrize("runner", [(), ("--runner=BundleBasedDirectRunner",)], ids=["", "apart"])
@pytest.mark.parametrize(
    "what", [is_published, is_in_another_output, was_not_published, was_killed]
)
def test_its_rows_are_reused_and_its_metadata_become_json(
    what, runner, output, tiny, embed, tmp_path
):
    made_by_the_recipe_of_now(output, tiny)
    flags = what(output)
    source = write_lines(tmp_path / "notes.jsonl", map(json.dumps, RECORDS))
    outcome = embed(tiny, source, "--layers=-1", *flags, *runner)
    assert outcome.code == 0, outcome.err
    assert manifest_of(outcome)["counts"]["embedded"] == 0
    rows = {row["id"]: row for row in outcome.table("sentences").to_pylist()}
    assert json.loads(rows["a"]["metadata"]) == {"title": '猫 "quoted"', "views": "5"}
    assert json.loads(rows["moved"]["metadata"]) == {"tags": '["x"]'}
    assert rows["b"]["metadata"] == "{}"
    old = pq.read_table(OLD / "snapshots" / SECOND / "sentences").to_pylist()
    vectors = {row["text"]: row["vector"] for row in old}
    assert {row["text"]: row["vector"] for row in rows.values()} == vectors
    for table in ("sentences", "tokens"):
        for file in (outcome.latest / table).glob("*.parquet"):
            group = pq.ParquetFile(file).metadata.row_group(0)
            used = {one for at in range(group.num_columns) for one in group.column(at).encodings}
            assert "BYTE_STREAM_SPLIT" not in used
    assert main(["snapshots", "verify", str(outcome.output)]) == 0


def test_it_is_the_output_that_it_was():
    """Else these tests would prove nothing."""
    table = pq.read_table(OLD / "snapshots" / SECOND / "sentences")
    assert pa.types.is_map(table.schema.field("metadata").type)


COMMANDS = {
    "inspect": ("inspect", "{}"),
    "show": ("snapshots", "show", "{}", FIRST),
    "list": ("snapshots", "list", "{}"),
    "diff": ("snapshots", "diff", "{}", FIRST, SECOND),
    "verify the first": ("snapshots", "verify", "{}", FIRST),
    "verify": ("verify", "{}"),
    "prune": ("snapshots", "prune", "{}", "--dry_run"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_read_it(command, output, capsys):
    assert main([part.format(output) for part in command]) == 0, capsys.readouterr().err


def test_it_is_published_and_rolled_back(output):
    assert main(["snapshots", "rollback", str(output)]) == 0
    assert (output / "LATEST").read_text().strip() == FIRST
    assert main(["publish", str(output), SECOND]) == 0
    assert (output / "LATEST").read_text().strip() == SECOND


def test_its_texts_are_embedded_again(output, tiny, capsys):
    assert main(["verify", str(output), f"--model={tiny}", "--json"]) == 0
    (column,) = json.loads(capsys.readouterr().out)["swap"]["columns"]
    assert column["largest_difference"] < 1e-5


def test_a_snapshot_of_now_is_compared_with_it(output, tiny, embed, tmp_path, capsys):
    made_by_the_recipe_of_now(output, tiny)
    source = write_lines(tmp_path / "notes.jsonl", map(json.dumps, RECORDS))
    outcome = embed(tiny, source, "--layers=-1")
    moved = {"id": "moved", "change": "moved", "old_id": "c"}
    assert moved in outcome.table("changes").to_pylist()
    assert main(["snapshots", "diff", str(output), SECOND, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["moved"] == 2
