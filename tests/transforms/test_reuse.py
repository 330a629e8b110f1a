"""Runs after the first: every snapshot is what a full run of the same input would give, and only
what is new is embedded.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import BeamIOError

from corpusvec.transforms import reuse
from corpusvec.transforms.documents import parts
from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.measures.names import MADE
from corpusvec.transforms.snapshots import copies
from corpusvec.transforms.snapshots.attempts import note_complete
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import Damaged, EarlierFile, check_file
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.stores import Outage
from tests.models import TEXTS
from tests.repository.test_end_to_end import manifest_of, vectors, write_lines

LOCAL, APART = (), ("--runner=BundleBasedDirectRunner",)
RUNNERS = pytest.mark.parametrize("runner", [LOCAL, APART], ids=["local", "apart"])
FLAGS = ("--layers=-1", "--max_rejected=9")


def records(**texts: str) -> list[str]:
    return [json.dumps({"id": id_, "text": text, "at": id_[::-1]}) for id_, text in texts.items()]


def pages(n: int) -> dict[str, str]:
    return {f"d{i}": f"{TEXTS[i % len(TEXTS)]} {i}" for i in range(n)}


def counts(outcome) -> dict[str, int]:
    told = manifest_of(outcome)["counts"]
    return {name: told[name] for name in ("documents", *MADE)}


def changes(outcome) -> dict[str, tuple[str, str | None]]:
    rows = outcome.table("changes").to_pylist()
    found = {row["id"]: (row["change"], row["old_id"]) for row in rows}
    assert len(found) == len(rows)
    return found


def assert_same(one, other) -> None:
    """Two snapshots hold the same rows, vectors within 1e-5."""
    for name, column in (("sentences", "vector"), ("tokens", "layer@-1")):
        order = [("id", "ascending")] + [("position", "ascending")] * (name == "tokens")
        ours, theirs = one.table(name).sort_by(order), other.table(name).sort_by(order)
        assert ours.drop_columns([column]).equals(theirs.drop_columns([column]))
        np.testing.assert_allclose(vectors(ours, column), vectors(theirs, column), atol=1e-5)


def assert_contiguous(outcome) -> None:
    """A document's token rows are together and in order."""
    for file in outcome.latest.glob("tokens/*.parquet"):
        rows = pq.read_table(file, columns=["id", "position"]).to_pylist()
        starts = [row["id"] for row in rows if row["position"] == 0]
        assert len(starts) == len(set(starts))
        for before, after in zip(rows, rows[1:]):
            assert after["position"] == (before["position"] + 1 if after["position"] else 0)
            assert (after["id"] == before["id"]) == bool(after["position"])


@pytest.fixture
def full(tiny, tmp_path, capsys):
    """`full(source, *flags)`: the same input, all of it embedded, in an output of its own."""
    from corpusvec.pipeline.cli import main
    from tests.conftest import Outcome

    def run(source, *flags: str):
        output = tmp_path / "full"
        shutil.rmtree(output, ignore_errors=True)
        place = [f"--model={tiny}", f"--input={source}", f"--output={output}"]
        assert main(["embed", *place, *flags]) == 0
        said = capsys.readouterr()
        return Outcome(0, said.out, said.err, output)

    return run


@RUNNERS
def test_nothing_changed_and_no_model_is_loaded(tiny, embed, tmp_path, runner):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(30)))
    first = embed(tiny, source, *FLAGS)
    before = {name: first.table(name) for name in ("sentences", "tokens")}
    again = embed(tiny, source, *FLAGS, *runner)
    assert again.code == 0, again.err
    assert counts(again) == {"documents": 30, "embedded": 0, "reused": 30, "repeated": 0}
    assert "models" not in manifest_of(again)["counts"]
    assert changes(again) == {}
    for name, rows in before.items():
        order = [("id", "ascending")] + [("position", "ascending")] * (name == "tokens")
        assert again.table(name).sort_by(order).equals(rows.sort_by(order))
    assert_contiguous(again)


@RUNNERS
def test_only_what_is_new_is_embedded(tiny, embed, full, tmp_path, runner):
    texts = pages(30)
    source = write_lines(tmp_path / "in.jsonl", records(**texts))
    assert set(changes(embed(tiny, source, *FLAGS)).values()) == {("added", None)}
    texts["d3"] = "This one was edited."
    texts["moved"] = texts.pop("d5")
    del texts["d7"]
    texts["copy"] = texts["d9"]
    texts["new"] = texts["new too"] = "A text that nobody has seen."
    write_lines(source, records(**texts))
    again = embed(tiny, source, *FLAGS, *runner)
    assert again.code == 0, again.err
    assert counts(again) == {"documents": 32, "embedded": 2, "reused": 29, "repeated": 1}
    assert changes(again) == {
        "d3": ("changed", None),
        "moved": ("moved", "d5"),
        "d7": ("removed", None),
        "copy": ("added", None),
        "new": ("added", None),
        "new too": ("added", None),
    }
    assert_same(again, full(source, *FLAGS))
    assert_contiguous(again)


@RUNNERS
def test_equal_texts_are_embedded_once(tiny, embed, tmp_path, runner):
    """And rejected, or empty, as often as they come."""
    texts = {f"a{i}": TEXTS[0] for i in range(5)} | {f"b{i}": TEXTS[1] for i in range(3)}
    texts |= {f"empty{i}": "" for i in range(4)} | {
        f"long{i}": " ".join(TEXTS * 9) for i in range(3)
    }
    source = write_lines(tmp_path / "in.jsonl", records(**texts))
    outcome = embed(tiny, source, *FLAGS, "--long_text=error", *runner)
    assert outcome.code == 0, outcome.err
    assert counts(outcome) == {"documents": 8, "embedded": 2, "reused": 0, "repeated": 6}
    assert "8 documents (2 embedded, 6 repeated), 3 rejected" in outcome.out
    told = manifest_of(outcome)["counts"]
    assert (told["empty"], told["rejected"]) == (4, 3)
    rejected = [
        line for f in outcome.latest.glob("rejected/*") for line in f.read_text().splitlines()
    ]
    assert {json.loads(line)["id"] for line in rejected} == {"long0", "long1", "long2"}
    rows = outcome.table("sentences").to_pylist()
    assert all(json.loads(row["metadata"]) == {"at": row["id"][::-1]} for row in rows)
    assert len({tuple(row["vector"]) for row in rows}) == 2
    assert_contiguous(outcome)


@pytest.mark.parametrize("sizes", [(3, 1, 3, 999), (4, 2, 99, 999)], ids=["few", "little"])
def test_many_of_a_text_travel_together(tiny, embed, tmp_path, monkeypatch, sizes):
    """On a cluster: what comes out is what comes out of one process, of a first run and of one that
    has rows already; some texts are blank, and one is too long and fails.
    """
    for name, size in zip(("_RECENT", "_SINGLE", "_TOGETHER", "_HELD"), sizes):
        monkeypatch.setattr(reuse, name, size)
    texts = ["", TEXTS[0], TEXTS[1], "a " * 999, *(f"{TEXTS[2]} {n}" for n in range(9))]
    draw = np.random.default_rng(8)
    inputs = [
        write_lines(
            tmp_path / f"{number}.jsonl",
            records(**{f"{n}": texts[min(at, len(texts)) - 1] for n, at in enumerate(found)}),
        )
        for number, found in enumerate((draw.geometric(0.3, 60), draw.geometric(0.2, 90)))
    ]
    flags = ("--max_rejected=99", "--long_text=error")
    alone = [seen(embed(tiny, source, *flags)) for source in inputs]
    shutil.rmtree(tmp_path / "out")
    apart = [seen(embed(tiny, source, *flags, *APART)) for source in inputs]
    for (rows, found, told), (others, found_apart, told_apart) in zip(alone, apart):
        assert rows.drop_columns(["vector"]).equals(others.drop_columns(["vector"]))
        np.testing.assert_allclose(vectors(rows), vectors(others), atol=1e-5)
        assert found == found_apart
        assert told == told_apart
        assert min(told[name] for name in ("empty", "repeated", "rejected")) > 2
    assert alone[1][2]["reused"] > 9


def seen(outcome):
    """Rows, changes, and counts of a snapshot."""
    told = manifest_of(outcome)["counts"]
    rows = outcome.table("sentences").sort_by("id")
    names = ("records", "documents", "rejected", "empty", *MADE)
    return rows, changes(outcome), {name: told[name] for name in names}


def test_what_stands_beside_a_text_is_always_fresh(tiny, embed, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    source = write_lines(tmp_path / "one" / "in.jsonl", records(a=TEXTS[0], b=TEXTS[1]))
    embed(tiny, source)
    lines = [
        json.dumps({"id": i, "text": t, "views": 7}) for i, t in (("b", TEXTS[1]), ("c", TEXTS[0]))
    ]
    again = embed(tiny, write_lines(tmp_path / "two" / "in.jsonl", lines))
    rows = {row["id"]: row for row in again.table("sentences").to_pylist()}
    assert counts(again)["reused"] == 2
    assert {row["source"] for row in rows.values()} == {str(tmp_path / "two" / "in.jsonl")}
    assert [rows[id_]["source_row"] for id_ in "bc"] == [1, 2]
    assert json.loads(rows["c"]["metadata"]) == {"views": "7"}


def test_equal_lines_that_the_model_reads_otherwise_are_not_the_same(tiny, embed, tmp_path):
    """In a block of code nothing is notation, nor in a file of text."""
    lines = ["t", "see [the garden]", "code:x", " see [the garden]", "see [the garden]"]
    source = tmp_path / "notes.json"
    source.write_text(json.dumps({"name": "p", "pages": [{"title": "t", "lines": lines}]}))
    plain = write_lines(tmp_path / "plain.txt", ["see [the garden]"] * 2)
    embed(tiny, source, "--unit=line")
    runs = []
    for flags in ((), ("--full",)):
        outcome = embed(tiny, f"{source},{plain}", "--unit=line", *flags)
        assert outcome.code == 0, outcome.err
        runs.append((counts(outcome), outcome.table("sentences").sort_by("id").to_pylist()))
    (told, rows), (_, alone) = runs
    assert told == {"documents": 7, "embedded": 1, "reused": 5, "repeated": 1}
    for one, other in zip(rows, alone):
        np.testing.assert_allclose(one["vector"], other["vector"], atol=1e-5, err_msg=one["id"])
    read = {row["id"]: row["model_text_sha256"] for row in rows}
    assert read["p/t#1"] == read["p/t#4"] is not None
    assert read["p/t#3"] is None
    assert read["plain.txt:1"] is None


SETTINGS = {
    "precision": ("--precision=bfloat16", "precision"),
    "another column": ("--vectors=vector=mean@-2,last=mean@-1", "vectors"),
    "prompt": ("--prompt=query: ", "prompt"),
    "windows": ("--max_seq_length=16", "max_seq_length"),
}


@pytest.mark.parametrize(("flag", "named"), SETTINGS.values(), ids=SETTINGS)
def test_a_changed_setting_embeds_everything_and_is_named(tiny, embed, tmp_path, flag, named):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(5)))
    embed(tiny, source)
    again = embed(tiny, source, flag)
    assert counts(again) == {"documents": 5, "embedded": 5, "reused": 0, "repeated": 0}
    assert f"other settings ({named})" in again.out
    assert set(changes(again).values()) == {("changed", None)}


def test_another_model_embeds_everything(tiny, embed, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(5)))
    embed(tiny, source)
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    assert counts(embed(other, source))["reused"] == 5  # the folder is another, the model is not
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"note": "trained once more"}))
    again = embed(other, source)
    assert counts(again)["embedded"] == 5
    assert "other settings (model.digest)" in again.out


def test_full_and_previous(tiny, embed, tmp_path):
    from corpusvec.pipeline.cli import main

    source = write_lines(tmp_path / "in.jsonl", records(**pages(5)))
    first = embed(tiny, source)
    assert counts(embed(tiny, source, "--full"))["embedded"] == 5
    other = [f"--model={tiny}", f"--input={source}", f"--output={tmp_path}/other"]
    assert main(["embed", *other, f"--previous={first.output}"]) == 0
    snapshot = (tmp_path / "other" / "LATEST").read_text().strip()
    told = json.loads((tmp_path / "other" / "snapshots" / snapshot / "manifest.json").read_text())
    assert told["counts"]["reused"] == 5
    assert embed(tiny, source, f"--previous={tmp_path}/nowhere").code == 2


def test_an_input_that_shrank_is_not_published(tiny, embed, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(9)))
    first = embed(tiny, source)
    write_lines(source, records(**pages(4)))
    again = embed(tiny, source)
    assert again.code == 3
    assert "4 documents where the snapshot before had 9" in again.err
    assert again.latest.name in first.out
    assert embed(tiny, source, "--max_shrink=0.6").code == 0
    assert counts(embed(tiny, source)) == {
        "documents": 4,
        "embedded": 0,
        "reused": 4,
        "repeated": 0,
    }


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "a byte of sentences": ("sentences", flip, "its digest is another"),
    "a byte of tokens": ("tokens", flip, "its digest is another"),
    "sentences cut off": ("sentences", lambda file: os.truncate(file, 99), "its digest is another"),
    "tokens gone": ("tokens", Path.unlink, "cannot be read"),
}
USUAL = "tokens gone"  # is tried with both runners in the fast suite
DAMAGED = pytest.mark.parametrize(
    ("runner", "table", "damage", "said"),
    [pytest.param(LOCAL, *damage, id=f"{name}-local") for name, damage in DAMAGES.items()]
    + [
        pytest.param(
            APART, *damage, id=f"{name}-apart", marks=() if name == USUAL else pytest.mark.slow
        )
        for name, damage in DAMAGES.items()
    ],
)


@DAMAGED
def test_what_is_damaged_is_embedded_again(
    tiny, embed, full, tmp_path, runner, table, damage, said
):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(12)))
    first = embed(tiny, source, *FLAGS)
    (file,) = first.latest.glob(f"{table}/*.parquet")
    damage(file)
    again = embed(tiny, source, *FLAGS, *runner)
    assert again.code == 0, again.err
    assert counts(again)["embedded"] == 12
    assert f"{file}: " in again.out
    assert said in again.out
    assert "published before: none; embedded again, with those that are new: 12" in again.out
    assert_same(again, full(source, *FLAGS))


@DAMAGED
def test_what_is_damaged_is_taken_from_earlier_snapshots(
    tiny, embed, full, tmp_path, runner, table, damage, said
):
    """The newest that has it, file by file: of the snapshot before a file is damaged, too."""
    texts = pages(6)
    source = write_lines(tmp_path / "in.jsonl", records(**texts))
    oldest = embed(tiny, source, *FLAGS).latest
    texts |= {f"later{n}": f"A later text {n}" for n in range(4)}
    write_lines(source, records(**texts))
    before = embed(tiny, source, *FLAGS).latest
    texts["last"] = "The last text"
    write_lines(source, records(**texts))
    newest = embed(tiny, source, *FLAGS).latest
    damaged = [file for file in before.glob(f"{table}/*") if "d0" in ids(file)]
    damaged += newest.glob(f"{table}/*")
    assert len(damaged) == 3
    for file in damaged:
        damage(file)
    texts["new"] = "A new text"
    write_lines(source, records(**texts))
    again = embed(tiny, source, *FLAGS, *runner)
    assert again.code == 0, again.err
    assert counts(again) == {"documents": 12, "embedded": 2, "reused": 10, "repeated": 0}
    told = manifest_of(again)
    taken = {before.name: 4, oldest.name: 6}
    assert told["damage"]["taken"] == taken
    assert {one["file"] for one in told["damage"]["files"]} == {str(file) for file in damaged}
    assert all(said in one["what"] for one in told["damage"]["files"])
    assert told["counts"]["damaged_files"] == 3
    in_words = ", ".join(f"{n} from {snapshot}" for snapshot, n in taken.items())
    assert f"published before: {in_words}; embedded again, with those that are new: 2" in again.out
    assert_same(again, full(source, *FLAGS))
    assert_contiguous(again)


def ids(file: Path) -> list[str]:
    return pq.read_table(file)["id"].to_pylist()


@RUNNERS
def test_earlier_snapshots_are_read_only_where_something_is_damaged(tiny, embed, tmp_path, runner):
    """A night with nothing damaged does not look whether they are whole."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    first = embed(tiny, source, *FLAGS).latest
    embed(tiny, source, *FLAGS)
    for file in first.glob("*/*.parquet"):
        flip(file)
    again = embed(tiny, source, *FLAGS, *runner)
    assert counts(again)["reused"] == 3
    assert "damage" not in manifest_of(again)


@RUNNERS
def test_a_damaged_leftover_makes_no_run_look_into_earlier_snapshots(tiny, embed, tmp_path, runner):
    """They have nothing that it would have."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    first = embed(tiny, source, *FLAGS).latest
    whole = embed(tiny, source, *FLAGS)
    write_lines(source, [*records(**pages(4)), "no record"])
    assert embed(tiny, source, FLAGS[0]).code == 3
    names = {one.name for one in (whole.output / "snapshots").iterdir()}
    (left,) = names - {first.name, whole.latest.name}
    damaged = [*(whole.output / "snapshots" / left).glob("sentences/*")]
    for file in [*damaged, *first.glob("*/*.parquet")]:
        flip(file)
    write_lines(source, records(**pages(4)))
    again = embed(tiny, source, *FLAGS, *runner)
    assert counts(again) == {"documents": 4, "embedded": 1, "reused": 3, "repeated": 0}
    told = {one["file"] for one in manifest_of(again)["damage"]["files"]}
    assert told == {str(file) for file in damaged}


def test_of_earlier_snapshots_no_more_are_read_than_what_is_missing_needs(tiny, embed, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    oldest, before, newest = (embed(tiny, source, *FLAGS).latest for _ in range(3))
    (damaged,) = newest.glob("sentences/*")
    for file in [damaged, *oldest.glob("*/*.parquet")]:
        flip(file)
    told = manifest_of(embed(tiny, source, *FLAGS))["damage"]
    assert told["taken"] == {before.name: 3}
    assert [one["file"] for one in told["files"]] == [str(damaged)]


class Answered(Exception):
    """As the libraries of object stores raise them."""

    def __init__(self, code: int):
        super().__init__(f"status {code}")
        self.code = code


UNREADABLE = {
    "gone from a disk": ("/out/a", FileNotFoundError(errno.ENOENT, "No such file"), Damaged),
    "a bad sector": ("/out/a", OSError(errno.EIO, "Input/output error"), Damaged),
    "a disk elsewhere": ("/out/a", OSError(errno.ETIMEDOUT, "Connection timed out"), Outage),
    "gone from a store": ("s3://out/a", Answered(404), Damaged),
    "a store that is down": ("s3://out/a", Answered(503), Outage),
    "wrapped by Beam": ("s3://out/a", BeamIOError("failed", {"a": Answered(503)}), Outage),
    "a store that refuses": ("s3://out/a", Answered(403), ValueError),
    "a fault of this program": ("/out/a", KeyError("a"), KeyError),
}


@pytest.mark.parametrize(("path", "error", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_served_is_not_damaged(path, error, expected, monkeypatch):
    """Else a night while a store is down would embed everything again."""

    def fail(path):
        raise error

    monkeypatch.setattr("corpusvec.transforms.snapshots.earlier_rows.sha256", fail)
    file = WrittenFile("sentences", "a.parquet", 1, 4, "digest", {})
    with pytest.raises(expected) as caught:
        check_file(EarlierFile(path, file, fresh=False))
    assert type(caught.value) is expected


@RUNNERS
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["manifest", "LATEST's folder"])
def test_where_latest_cannot_be_read_the_one_before_has_its_rows(
    tiny, embed, tmp_path, runner, damage
):
    """And what a damaged file of that had, the one before it."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    snapshots = [embed(tiny, source).latest for _ in range(3)]
    if damage is flip:
        (snapshots[2] / "manifest.json").write_text("{")
    else:
        shutil.rmtree(snapshots[2])
    (file,) = snapshots[1].glob("sentences/*")
    damage(file)
    again = embed(tiny, source, *runner)
    assert again.code == 0, again.err
    assert counts(again)["reused"] == 3
    assert manifest_of(again)["damage"]["taken"] == {snapshots[0].name: 3}


def test_a_damaged_file_of_another_output_is_made_up_for_there(tiny, embed, tmp_path):
    from corpusvec.pipeline.cli import main

    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    first = embed(tiny, source).latest.name
    (file,) = embed(tiny, source).latest.glob("sentences/*")
    flip(file)
    other = tmp_path / "other"
    place = [f"--model={tiny}", f"--input={source}", f"--output={other}"]
    assert main(["embed", *place, f"--previous={tmp_path}/out"]) == 0
    snapshot = other / "snapshots" / (other / "LATEST").read_text().strip()
    told = json.loads((snapshot / "manifest.json").read_text())
    assert (told["counts"]["embedded"], told["damage"]["taken"]) == (0, {first: 3})


def test_what_may_make_up_for_damage_is_claimed(tiny, embed, tmp_path, monkeypatch):
    """So that no prune takes it away while it is read."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    snapshots = [embed(tiny, source).latest.name for _ in range(3)]
    seen = []
    commit = Snapshot.commit

    def look(self, manifest):
        seen.extend(self.output.store.claims.living(self.output.folder))
        return commit(self, manifest)

    monkeypatch.setattr(Snapshot, "commit", look)
    assert embed(tiny, source).code == 0
    assert seen[0].reads == tuple(snapshots)


def test_a_manifest_of_a_later_version_is_not_reused(tiny, embed, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(4)))
    first = embed(tiny, source)
    path = first.latest / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    again = embed(tiny, source)
    assert again.code == 0, again.err
    assert counts(again)["embedded"] == 4
    assert "made by a later version of corpusvec" in again.out


SLOW_WRITER = """
import sys, time
from corpusvec.transforms.snapshots import tables
tables._PATIENCE = tables._SHARE = 0.0  # a file for each group of rows
from corpusvec.transforms import write
write._GROUP_BYTES = 4000
from corpusvec.pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "interrupted"])
def test_a_run_that_ended_early_is_taken_up_again(tiny, embed, full, tmp_path, number):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(8_000)))
    output = tmp_path / "out"
    command = ["embed", f"--model={tiny}", f"--input={source}", f"--output={output}", *FLAGS]
    killed = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, *command],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    complete = "snapshots/.*.attempt/complete"
    while not all(
        list(output.glob(f"{complete}/{name}-*-00001*")) for name in ("sentences", "tokens")
    ):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(number)
    assert killed.wait() == (-9 if number == signal.SIGKILL else 130)
    again = embed(tiny, source, *FLAGS)
    assert again.code == 0, again.err
    assert 0 < counts(again)["reused"] < 8_000
    assert "of a run that ended early" in again.out
    assert_same(again, full(source, *FLAGS))
    assert [path.name for path in (output / "snapshots").iterdir()] == [again.latest.name]


def test_rows_are_complete_after_a_while_however_few_they_are(tiny, embed, tmp_path, monkeypatch):
    """So that little is lost of a run whose model is slow."""
    monkeypatch.setattr("corpusvec.transforms.snapshots.tables._PATIENCE", 0.0)
    monkeypatch.setattr("corpusvec.transforms.snapshots.tables._SHARE", 0.0)
    monkeypatch.setattr("corpusvec.transforms.encode._SECONDS", 0.0)
    source = write_lines(tmp_path / "in.jsonl", records(**pages(1_000)))
    outcome = embed(tiny, source)
    assert outcome.code == 0, outcome.err
    assert len([*outcome.latest.glob("sentences/*")]) > 5
    monkeypatch.undo()
    again = embed(tiny, source, "--full")
    assert len([*again.latest.glob("sentences/*")]) == 1


@RUNNERS
def test_what_was_finished_and_not_published_is_reused(tiny, embed, tmp_path, runner):
    """But not what somebody went back from."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(10)))
    first = embed(tiny, source).latest
    write_lines(source, [*records(**pages(20)), "no record", "nor this"])
    refused = embed(tiny, source)
    assert refused.code == 3, refused.err
    assert first == refused.latest
    write_lines(source, records(**pages(20)))
    again = embed(tiny, source, *runner)
    assert again.code == 0, again.err
    assert counts(again) == {"documents": 20, "embedded": 0, "reused": 20, "repeated": 0}
    assert "was not published; up to 20 documents are reused" in again.out
    Snapshot(Output(str(again.output)), first.name).publish_again()
    assert counts(embed(tiny, source)) == {
        "documents": 20,
        "embedded": 10,
        "reused": 10,
        "repeated": 0,
    }


@RUNNERS
def test_bundles_done_twice_in_a_run_that_ended_are_taken_up(tiny, embed, full, tmp_path, runner):
    """Twice the tokens of both documents, and once the sentences of one of them."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(2)))
    whole = full(source, *FLAGS)
    attempt = tmp_path / "out/snapshots/.20260101T000000.000Z-00000001.attempt.ended"
    for name in ("tokens", "sentences", "complete"):
        (attempt / name).mkdir(parents=True)
    about = manifest_of(whole)
    for table, names in (("tokens", "ab"), ("sentences", "c")):
        (entry,) = [file for file in about["files"] if file["table"] == table]
        rows = pq.read_table(whole.latest / entry["path"])
        for name in names:
            kept = rows if table == "tokens" else rows.filter(pc.equal(rows["id"], "d0"))
            path = f"{table}/{name}.parquet"
            pq.write_table(kept, attempt / path)
            digest = hashlib.sha256((attempt / path).read_bytes()).hexdigest()
            told = {**entry, "path": path, "rows": len(kept), "digest": digest}
            note_complete(str(attempt), WrittenFile(**told), about["run"])
    outcome = embed(tiny, source, *FLAGS, *runner)
    assert outcome.code == 0, outcome.err
    assert counts(outcome) == {"documents": 2, "embedded": 1, "reused": 1, "repeated": 0}
    assert_same(outcome, whole)


def test_many_copies_wait_on_the_disk(tiny, embed, full, tmp_path, monkeypatch):
    """And are read file by file, however the input's order has changed."""
    monkeypatch.setattr("corpusvec.transforms.snapshots.tables.FILE_BYTES", 1)
    monkeypatch.setattr("corpusvec.transforms.encode._SECONDS", 0.0)
    texts = pages(600)
    source = write_lines(tmp_path / "in.jsonl", records(**texts))
    monkeypatch.setattr("corpusvec.transforms.write._GROUP_BYTES", 4_000)
    assert len([*embed(tiny, source, *FLAGS).latest.glob("sentences/*")]) > 2
    opened = []
    taken = copies.copied_sentences
    monkeypatch.setattr(copies, "_HELD_BYTES", 8_000)
    monkeypatch.setattr(
        "corpusvec.transforms.write.copied_sentences",
        lambda path, some: opened.append(path) or taken(path, some),
    )
    write_lines(source, reversed(records(**texts)))
    again = embed(tiny, source, *FLAGS)
    assert again.code == 0, again.err
    assert counts(again) == {"documents": 600, "embedded": 0, "reused": 600, "repeated": 0}
    assert_same(again, full(source, *FLAGS))
    assert len(opened) <= 600 // 10 + len(set(opened))


def edited(texts: dict[str, str]) -> list[str]:
    return records(**texts | {"d7": "other words"})


def with_other_metadata(texts: dict[str, str]) -> list[str]:
    return [line.replace('"at": "7d"', '"at": "elsewhere"') for line in records(**texts)]


def in_another_order(texts: dict[str, str]) -> list[str]:
    return records(**texts)[::-1]


def as_they_are(texts: dict[str, str]) -> list[str]:
    return records(**texts)


def tables_by_digest(outcome) -> dict[str, str]:
    return {file["digest"]: file["table"] for file in manifest_of(outcome)["files"]}


SPLIT = "--vector_encoding=byte_stream_split"
LATER = {
    "nothing": (as_they_are, (), {"sentences", "tokens"}),
    "a text": (edited, (), set()),
    "what is said of a text": (with_other_metadata, (), {"tokens"}),
    "the order": (in_another_order, (), {"tokens"}),
    "the encoding": (as_they_are, (SPLIT,), set()),
}


@pytest.mark.parametrize(("later", "flags", "same"), LATER.values(), ids=LATER)
def test_full_files_are_copied_as_they_are_where_that_makes_no_difference(
    tiny, embed, full, tmp_path, monkeypatch, later, flags, same
):
    monkeypatch.setattr("corpusvec.transforms.snapshots.tables.FILE_BYTES", 1)
    source = write_lines(tmp_path / "in.jsonl", records(**pages(30)))
    first = tables_by_digest(embed(tiny, source, *FLAGS))
    write_lines(source, later(pages(30)))
    again = embed(tiny, source, *FLAGS, *flags)
    assert again.code == 0, again.err
    kept = tables_by_digest(again)
    assert {kept[digest] for digest in first.keys() & kept.keys()} == same
    assert counts(again)["reused"] == 30 - (later is edited)
    whole = full(source, *FLAGS, *flags)
    assert manifest_of(again)["counts"]["tokens"] == manifest_of(whole)["counts"]["tokens"]
    assert_same(again, whole)


def test_files_that_are_not_full_are_merged_where_there_are_several(tiny, embed, tmp_path):
    """Or there would be one more each night; one alone is copied as it is."""
    source, found = tmp_path / "in.jsonl", []
    for n in (20, 20, 30, 30, 30):
        write_lines(source, records(**pages(n)))
        files = tables_by_digest(embed(tiny, source, *FLAGS)).items()
        found.append({digest for digest, table in files if table in ("sentences", "tokens")})
    first, same, more, merged, last = found
    assert same == first
    assert first < more
    assert [len(one) for one in (same, more, merged, last)] == [2, 4, 2, 2]
    assert not merged & more
    assert last == merged


def test_times_of_all_stages_are_told(tiny, embed, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", records(**pages(20)))
    for _ in range(2):
        told = manifest_of(embed(tiny, source))["counts"]
        assert {"read_ms", "find_ms", "compare_ms"} <= told.keys()


def test_workers_are_given_whole_paths(tiny, embed, tmp_path, monkeypatch):
    """They are at home in other folders; what is written has the path that was typed."""
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "in.jsonl", records(**pages(3)))
    opens, opened = parts.open_input, []
    monkeypatch.setattr(
        parts, "open_input", lambda path, *rest: opened.append(path) or opens(path, *rest)
    )
    outcome = embed(tiny, "in.jsonl", *APART)
    assert outcome.code == 0, outcome.err
    assert set(opened) == {str(tmp_path / "in.jsonl")}
    assert set(outcome.table("sentences")["source"].to_pylist()) == {"in.jsonl"}
    assert manifest_of(outcome)["configuration"]["output"] == str(outcome.output)


def test_another_encoding_of_the_files_embeds_nothing(tiny, embed, tmp_path):
    """The rows of the snapshot before are copied, and written in the encoding that is asked for."""
    source = write_lines(tmp_path / "in.jsonl", records(**pages(5)))
    before = embed(tiny, source, *FLAGS)
    for encoding in ("byte_stream_split", "plain"):
        outcome = embed(tiny, source, *FLAGS, f"--vector_encoding={encoding}")
        assert counts(outcome) == {"documents": 5, "embedded": 0, "reused": 5, "repeated": 0}
        assert not changes(outcome)
        assert_same(outcome, before)
        for file in [*outcome.latest.glob("sentences/*"), *outcome.latest.glob("tokens/*")]:
            group = pq.ParquetFile(file).metadata.row_group(0)
            vectors = group.column(group.num_columns - 1)
            assert (encoding == "byte_stream_split") == ("BYTE_STREAM_SPLIT" in vectors.encodings)
