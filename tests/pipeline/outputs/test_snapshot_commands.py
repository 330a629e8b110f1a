"""Looking after snapshots: list, show, diff, publish, rollback, prune, on a disk and on stores."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.outputs import prunings
from corpusvec.transforms.elements import Count, WrittenFile
from corpusvec.transforms.snapshots import claim_locks, heartbeats
from corpusvec.transforms.snapshots.claim_files import Busy
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.manifests import make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.files import files_in, join, write
from corpusvec.transforms.storage.stores import Outage, ask
from tests import stores
from tests.models import TEXTS
from tests.transforms.snapshots.test_claims import RUN, process, started  # noqa: F401

START = datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow), "gs"])
def output(request, started, tmp_path, monkeypatch) -> str:  # noqa: F811
    if request.param == "local":
        return str(tmp_path / "out")
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(heartbeats, "DEAD_SECONDS", 2.0)
    bucket = stores.new_bucket(request.param, started(request.param), monkeypatch)
    return f"{bucket.address}/out"


def begun(output: str, day: int) -> Snapshot:
    snapshot = Snapshot(Output(output), new_id(START + timedelta(days=day)))
    snapshot.begin(["sentences", "rejected"])
    write(join(snapshot.attempt, "sentences/a.parquet"), b"rows")
    return snapshot


def made(output: str, day: int, publish: bool = True, **about) -> str:
    """A snapshot without files -> its id."""
    snapshot = begun(output, day)
    counts = [Count("records", 1), Count("empty", 1)]
    snapshot.commit(make_manifest(snapshot.id, counts, about))
    if publish:
        snapshot.publish()
    return snapshot.id


def said(capsys, *arguments: str) -> list[str]:
    """What a command says that ends well."""
    capsys.readouterr()
    code = main(["snapshots", *arguments])
    told = capsys.readouterr()
    assert code == 0, told.err
    return told.out.splitlines()


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["snapshots", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def names(output: str) -> set[str]:
    """Of the files in it."""
    return set(ask(output, lambda: files_in(output)))


# ----------------------------------------------------------------------------------------- listing


def test_list_says_of_each_what_it_is(output, capsys):
    ids = [made(output, 1), made(output, 2), made(output, 3, False)]
    ids.append(made(output, 4, False, incomplete="2 records are lost"))
    dead = begun(output, 5)
    over = begun(output, 6)
    over.note_hand_over()
    title, *lines = said(capsys, "list", output)
    assert title.split() == [
        *("snapshot", "finished", "documents", "rejected", "embedded", "reused", "repeated"),
        *("size", "fingerprint", "state"),
    ]
    assert [line.split()[0] for line in lines[:4]] == ids
    ends = ("published", "LATEST", "not published", "not published, incomplete")
    for line, end in zip(lines, ends):
        assert line.endswith(f"  {end}")
    assert len(lines) == 6
    assert dead.id in lines[4]
    assert lines[4].endswith("(dead)")
    assert lines[5].endswith("(handed over)")
    (text,) = ["\n".join(said(capsys, "list", output, "--json"))]
    found = json.loads(text)
    assert [one["published"] for one in found["snapshots"]] == [True, True, False, False]
    assert [one["state"] for one in found["attempts"]] == ["dead", "handed over"]
    assert found["latest"] == ids[1]


def test_list_says_who_is_running(output, capsys):
    made(output, 1)
    with process(output) as holder:
        snapshot = Snapshot(Output(output), RUN)
        snapshot.begin(["sentences"])
        *_, last = said(capsys, "list", output)
    assert last.startswith("unfinished: ")
    assert f"(running: {RUN} (host " in last
    assert f"process {holder.pid}, " in last


def test_what_earlier_versions_published_is_not_known(tmp_path, capsys):
    output = str(tmp_path)
    old, other = made(output, 1, False), made(output, 2, False)
    for one in (old, other):
        file = tmp_path / "snapshots" / one / "manifest.json"
        file.write_text(file.read_text().replace('"format_version": 2', '"format_version": 1'))
    (tmp_path / "LATEST").write_text(f"{other}\n")  # as they did
    assert said(capsys, "list", output)[1].endswith("perhaps published")
    assert f"is known as published; name one of: {old}" in refused(capsys, "rollback", output)
    made(output, 3)
    assert said(capsys, "list", output)[1].endswith("perhaps published")
    assert said(capsys, "list", output)[2].endswith("  published")
    said(capsys, "rollback", output, old)
    assert Output(output).latest == old


def test_a_manifest_that_is_damaged_does_not_hide_the_others(tmp_path, capsys):
    ids = [made(str(tmp_path), 1), made(str(tmp_path), 2)]
    (tmp_path / "snapshots" / ids[0] / "manifest.json").write_text("{")
    _, one, other = said(capsys, "list", str(tmp_path))
    assert "published, manifest cannot be read: " in one
    assert other.endswith("LATEST")
    (tmp_path / "LATEST").write_text(f"{RUN}\n")
    assert f"LATEST names {RUN}, which is not there" in said(capsys, "list", str(tmp_path))


# --------------------------------------------------------------------------- of whole snapshots


@pytest.fixture
def texts(tmp_path):
    """`texts(name=text, …)` makes the input of these records."""
    source = tmp_path / "in.jsonl"

    def make(**records: str) -> Path:
        lines = [json.dumps({"id": id_, "text": text}) for id_, text in records.items()]
        source.write_text("\n".join(lines))
        return source

    return make


def test_show_is_what_inspect_shows(embed, tiny, texts, capsys):
    first = embed(tiny, texts(a="the garden")).latest.name
    outcome = embed(tiny, texts(a="the garden", b="more rain"))
    output = str(outcome.output)
    shown = "\n".join(said(capsys, "show", output, first))
    assert first in shown
    assert outcome.latest.name not in shown.partition("snapshots")[2]
    assert "the garden" in shown
    found = json.loads("\n".join(said(capsys, "show", output, "--json")))
    assert found["snapshot"]["id"] == outcome.latest.name
    assert found["snapshot"]["counts"]["reused"] == 1
    assert f"has no snapshot {RUN!r}; there are: {first}" in refused(capsys, "show", output, RUN)


def test_diff_names_what_changed(embed, tiny, texts, capsys):
    first = embed(tiny, texts(a="one", b="two", c="three", d="four"))
    output, one = str(first.output), first.latest.name
    other = embed(tiny, texts(a="one", b="other", new="three", e="five")).latest
    lines = said(capsys, "diff", output, one)
    assert lines == [
        f"from {one} to {other.name}",
        "1 added, 1 changed, 1 removed, 1 moved, 1 unchanged",
        "added: e",
        "changed: b",
        "removed: d",
        "moved: c -> new",
    ]
    found = json.loads("\n".join(said(capsys, "diff", output, one, str(other), "--json")))
    assert found["counts"] == {"added": 1, "changed": 1, "removed": 1, "moved": 1, "unchanged": 1}
    assert {"id": "new", "change": "moved", "old_id": "c"} in found["changes"]
    assert found["settings"] == []
    assert said(capsys, "diff", output) == lines  # with the one before
    embed(tiny, texts(a="one"), "--vectors=cls@1", "--max_shrink=1")
    _, counts, settings, *_ = said(capsys, "diff", output, other.name)
    assert counts == "0 added, 1 changed, 3 removed, 0 moved, 0 unchanged"
    assert settings.startswith("settings differ: vectors; the vectors of all documents are others")


def test_a_manifest_of_before_repeated_was_counted_is_read_and_compared(embed, tiny, texts, capsys):
    outcome = embed(tiny, texts(a="one", b="one", c="three"))
    output, old = str(outcome.output), outcome.latest
    assert json.loads((old / "manifest.json").read_text())["counts"]["repeated"] == 1

    def as_before(manifest):
        manifest["counts"]["reused"] += manifest["counts"].pop("repeated")

    changed(old / "manifest.json", as_before)
    assert said(capsys, "list", output)[1].split()[2:6] == ["3", "0", "2", "1"]
    (listed,) = json.loads("\n".join(said(capsys, "list", output, "--json")))["snapshots"]
    assert (listed["reused"], listed["repeated"]) == (1, None)
    assert " is whole: 3 documents" in said(capsys, "verify", output)[-1]
    new = embed(tiny, texts(a="one", b="one", c="three", d="four", e="four"))
    assert "5 documents (1 embedded, 3 reused, 1 repeated)" in new.out
    assert "2 added, 0 changed, 0 removed" in said(capsys, "diff", output, old.name)[1]


def changed(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_diff_alone_compares_with_the_one_before(tmp_path, capsys):
    output = str(tmp_path)
    first = made(output, 1, run={})
    assert "has no published snapshot before" in refused(capsys, "diff", output)
    bad, newest = made(output, 2, False), made(output, 4, previous=first)
    assert said(capsys, "diff", output)[0] == f"from {first} to {newest}"
    assert said(capsys, "diff", output, bad)[0] == f"from {bad} to {newest}"
    other = made(output, 6, previous=Snapshot(Output(output), new_id(START)).id)  # which was pruned
    assert said(capsys, "diff", output)[0] == f"from {newest} to {other}"


def test_diff_of_what_is_damaged_is_one_sentence(embed, tiny, texts, capsys):
    outcome = embed(tiny, texts(a="one"))
    (file,) = outcome.latest.glob("sentences/*")
    file.write_bytes(b"rows")
    assert main(["snapshots", "diff", str(outcome.output), outcome.latest.name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line
    assert f"run: corpusvec verify {outcome.output} {outcome.latest.name}" in line


@pytest.mark.slow
def test_rows_of_a_store_are_checked_too(started, tiny, texts, monkeypatch, capsys):  # noqa: F811
    bucket = stores.new_bucket("s3", started("s3"), monkeypatch)
    monkeypatch.setattr(heartbeats, "SETTLE_SECONDS", 0.1)
    output = f"{bucket.address}/out"
    for records in ({"a": "one"}, {"a": "one", "b": "two"}):
        place = [f"--model={tiny}", f"--input={texts(**records)}", f"--output={output}"]
        assert main(["embed", *place, "--layers=-1"]) == 0
    assert not [name for name in bucket.names() if "running" in name]
    first, second = Output(output).snapshot_ids()
    assert "1 added, 0 changed" in said(capsys, "diff", output, first)[1]
    assert "is whole: 2 documents" in said(capsys, "verify", output)[0]
    (file, *_) = [name for name in bucket.names() if f"{second}/tokens" in name]
    bucket.put(file, bucket.get(file)[:-1] + b"x")
    assert main(["verify", output]) == 1
    assert "digest" in capsys.readouterr().out
    said(capsys, "rollback", output)
    assert main(["verify", output]) == 0


# ----------------------------------------------------------------------- publications and rollbacks


def test_what_is_incomplete_cannot_be_published(tmp_path, capsys):
    output = str(tmp_path)
    one = made(output, 1, False, incomplete="2 records are lost")
    assert f"{one}: is not complete (2 records are lost)" in refused(capsys, "publish", output, one)
    assert main(["publish", output, one]) == 2
    assert Output(output).latest is None


def test_rollback_goes_to_the_published_one_before(output, capsys):
    ids = [made(output, 1), made(output, 2), made(output, 3, False), made(output, 4)]
    assert said(capsys, "rollback", output)[0].endswith(f"names {ids[1]} now, instead of {ids[3]}")
    assert Output(output).latest == ids[1]
    said(capsys, "rollback", output)
    assert Output(output).latest == ids[0]
    assert f"before {ids[0]} is known as published" in refused(capsys, "rollback", output)
    assert Output(output).published == {ids[0], ids[1], ids[3]}
    assert Snapshot(Output(output), ids[3]).publish()
    assert "was never published" in refused(capsys, "rollback", output, ids[2])
    assert "is not older than" in refused(capsys, "rollback", output, ids[3])
    said(capsys, "rollback", output, ids[0])
    assert Output(output).latest == ids[0]


def test_after_a_rollback_the_next_run_publishes_again(embed, tiny, texts, capsys):
    first = embed(tiny, texts(a="one")).latest
    second = embed(tiny, texts(a="one", b="two")).latest
    said(capsys, "rollback", str(first.parents[1]))
    outcome = embed(tiny, texts(a="one", b="two"))
    assert outcome.code == 0
    assert outcome.latest.name > second.name
    assert "1 added" in said(capsys, "diff", str(outcome.output), first.name)[1]


# -------------------------------------------------------------------------------------------- prune


def test_prune_keeps_the_newest_published_and_what_is_newer(output, capsys):
    ids = [made(output, day, publish=day not in (2, 4, 6)) for day in range(1, 7)]
    before = names(output)
    lines = said(capsys, "prune", output, "--keep=2", "--dry_run")
    assert lines == [f"would be removed: {one}" for one in (ids[0], ids[1], ids[3])]
    assert names(output) == before
    lines = said(capsys, "prune", output, "--keep=2")
    assert lines == [f"removed: {one}" for one in (ids[0], ids[1], ids[3])]
    assert Output(output).snapshot_ids() == [ids[2], ids[4], ids[5]]
    gone = {ids[0], ids[1], ids[3]}
    assert not [name for name in names(output) if any(one in name for one in gone)]
    assert said(capsys, "prune", output, "--keep=2") == [f"{output}: has nothing to remove"]


def test_prune_never_removes_what_latest_names(output, capsys):
    ids = [made(output, day) for day in range(1, 5)]
    said(capsys, "rollback", output, ids[0])
    lines = said(capsys, "prune", output, "--keep=1")
    assert f"stays: {ids[0]}: LATEST names it" in lines
    assert Output(output).snapshot_ids() == [ids[0], ids[3]]


def test_prune_removes_what_dead_runs_left_and_nothing_of_a_living_one(output, capsys):
    whole = made(output, 1)
    dead, over = begun(output, 2), begun(output, 3)
    over.note_hand_over()
    if "://" not in output:
        Path(output, f"LATEST.{whole}").write_text("half")
        Path(output, "snapshots", f".{RUN[:-1]}0.attempt.abandoned").mkdir()
    with process(output):
        Snapshot(Output(output), RUN).begin(["sentences"])
        lines = said(capsys, "prune", output)
    assert any(line.startswith(f"stays: {_attempt(output, RUN)}: {RUN} (host") for line in lines)
    assert any("--handed_over removes it" in line for line in lines)
    assert f"removed: {_attempt(output, dead.id)} (left by a run that ended early)" in lines
    assert not [name for name in names(output) if dead.id in name]
    assert [name for name in names(output) if over.id in name]
    lines = said(capsys, "prune", output, "--handed_over")
    assert len(lines) == 2  # those of the run, which was killed, and of the job
    assert {name.split("/")[1] for name in names(output) if "snapshots" in name} == {whole}
    assert not [name for name in names(output) if name.startswith("running/")]
    assert Output(output).snapshot_ids() == [whole]


def test_prune_leaves_what_begins_while_it_looks_who_lives(output, capsys, monkeypatch):
    """Which takes seconds on a store: who begins then is not seen to live."""
    whole = made(output, 1)

    def living(asked):
        Snapshot(Output(output), RUN).begin(["sentences"])
        return []

    claims = Output(output).store.claims
    monkeypatch.setattr(claims, "living", living)
    said(capsys, "prune", output)
    assert Output(output).leftovers() == [_attempt(output, RUN)]
    monkeypatch.setattr(claims, "living", lambda asked: [])
    said(capsys, "prune", output)
    assert Output(output).leftovers() == []
    assert Output(output).snapshot_ids() == [whole]


@pytest.mark.parametrize(
    "which", [lambda one: one.published, Output.snapshot_ids], ids=["published", "snapshots"]
)
def test_prune_removes_nothing_where_it_cannot_list(output, capsys, monkeypatch, which):
    """What cannot be listed is not what is not there."""
    ids = [made(output, day) for day in range(1, 4)]

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    place = "matching" if "://" in output else "os.listdir"
    with monkeypatch.context() as patch:
        patch.setattr(f"corpusvec.transforms.snapshots.stores.{place}", refuse)
        with pytest.raises((Outage, OSError, ValueError)):
            which(Output(output))
        code = main(["snapshots", "prune", output, "--keep=1"])
        assert code == (1 if "://" in output else 2)  # a store says otherwise that it refuses
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert Output(output).snapshot_ids() == ids


def test_prune_leaves_a_job_that_is_just_committing(output, capsys, monkeypatch):
    """Its client is gone; it is neither dead nor whole yet."""
    snapshot = begun(output, 1)
    snapshot.note_hand_over()
    seen = []

    def write_and_prune(path: str, content: bytes) -> None:
        seen.append(said(capsys, "prune", output))
        write(path, content)
        seen.append(said(capsys, "prune", output))

    monkeypatch.setattr("corpusvec.transforms.snapshots.commits.write", write_and_prune)
    file = WrittenFile("sentences", "sentences/a.parquet", 1, 4, "", {})
    snapshot.commit(make_manifest(snapshot.id, [Count("records", 1), file], {}))
    assert seen
    assert all("--handed_over removes it" in line for lines in seen for line in lines)
    assert Output(output).snapshot_ids() == [snapshot.id]
    assert Output(output).leftovers() == []
    assert not [name for name in names(output) if name.endswith(".handed_over")]


def test_what_is_not_of_this_program_is_not_removed(tmp_path, capsys):
    made(str(tmp_path), 1)
    (tmp_path / "snapshots" / ".mine").mkdir()
    (tmp_path / "snapshots" / ".DS_Store").write_text("seen")
    said(capsys, "prune", str(tmp_path))
    assert {".mine", ".DS_Store"} < set(os.listdir(tmp_path / "snapshots"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"zzz\n"])
def test_a_damaged_latest_is_mended(tmp_path, capsys, embed, tiny, texts, content):
    """By `rollback`, by `publish`, and by the next run, which has the rows of the one before."""
    output = embed(tiny, texts(a="one", b="two")).output
    one = (output / "LATEST").read_text().strip()
    for mend in (["rollback"], ["publish"]):
        (output / "LATEST").write_bytes(content)
        assert "is damaged" in said(capsys, "prune", str(output))[0]
        said(capsys, *mend, str(output), *([one] if mend == ["publish"] else []))
        assert Output(str(output)).latest == one
    (output / "LATEST").write_bytes(content)
    outcome = embed(tiny, texts(a="one", b="two", c="three"))
    assert outcome.code == 0, outcome.err
    assert outcome.latest.name > one
    assert "(1 embedded, 2 reused)" in outcome.out
    assert "LATEST: is damaged; this run replaces it" in outcome.out


def test_rollback_goes_past_what_is_damaged(embed, tiny, texts, capsys):
    ids = []
    for n in range(3):
        outcome = embed(tiny, texts(**{f"t{n}": f"text {n}"}), "--max_shrink=1")
        ids.append(outcome.latest.name)
    output = outcome.output
    (file,) = (output / "snapshots" / ids[1] / "sentences").iterdir()
    file.unlink()
    assert main(["snapshots", "rollback", str(output), ids[1]]) == 1
    assert f"{ids[1]}: sentences/{file.name} is not there" in capsys.readouterr().err
    passed, *_ = said(capsys, "rollback", str(output), "--fast")
    assert passed == f"passed over: {ids[1]}: sentences/{file.name} is not there"
    assert Output(str(output)).latest == ids[0]


def test_rollback_reads_what_it_goes_back_to(output, capsys):
    ids = [filled(output, 1), filled(output, 2), filled(output, 3)]
    write(join(output, "snapshots", ids[1], "sentences/a.parquet"), b"ROWS")
    assert main(["snapshots", "rollback", output, ids[1]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    damage = f"{ids[1]}: sentences/a.parquet is not the file that was written"
    assert damage in line
    assert f"to the newest that is whole: corpusvec snapshots rollback {output}" in line
    assert Output(output).latest == ids[2]
    assert said(capsys, "rollback", output)[0].startswith(f"passed over: {damage}")
    assert Output(output).latest == ids[0]
    said(capsys, "publish", output, ids[2])
    said(capsys, "rollback", output, ids[1], "--fast")
    assert Output(output).latest == ids[1]
    write(join(output, "snapshots", ids[0], "manifest.json"), b"{")
    line = refused(capsys, "rollback", output)
    assert f"before {ids[1]} is known as published; passed over: {ids[0]}: its manifest" in line
    assert Output(output).latest == ids[1]


def filled(output: str, day: int) -> str:
    """A published snapshot with a file -> its id."""
    snapshot = begun(output, day)
    digest = hashlib.sha256(b"rows").hexdigest()
    file = WrittenFile("sentences", "sentences/a.parquet", 1, 4, digest, {"embedded": 1})
    snapshot.commit(make_manifest(snapshot.id, [Count("records", 1), file], {}))
    snapshot.publish()
    return snapshot.id


def _attempt(output: str, one: str) -> str:
    return os.path.basename(Snapshot(Output(output), one).attempt)


@pytest.mark.parametrize("how", ["writing", pytest.param("reading", marks=pytest.mark.slow)])
def test_prune_leaves_what_a_run_reads(output, capsys, how):
    ids = [made(output, day) for day in range(1, 5)]
    with _reads(output, how, ids[1]):
        lines = said(capsys, "prune", output, "--keep=1")
        assert any(line.startswith(f"stays: {ids[1]}: {RUN} (host ") for line in lines)
        assert Output(output).snapshot_ids() == [ids[1], ids[3]]
    said(capsys, "prune", output, "--keep=1")
    assert Output(output).snapshot_ids() == [ids[3]]


def _reads(output: str, how: str, one: str):
    from tests.transforms.snapshots import test_claims

    script = test_claims.HOLD.replace('["one", "two"]', f'["{one}"]')
    return process(output, how, script)


def test_prune_leaves_all_while_a_run_is_just_beginning(output, capsys):
    ids = [made(output, day) for day in range(1, 4)]
    from tests.transforms.snapshots import test_claims

    script = test_claims.HOLD.replace('claim.tell("{run}", ["one", "two"])', "pass")
    with process(output, "writing", script):
        (line,) = said(capsys, "prune", output, "--keep=1")
    assert line.startswith("stays: everything: a run (host ")
    assert Output(output).snapshot_ids() == ids


def test_what_a_prune_that_was_killed_left_is_removed_by_the_next(output, capsys):
    ids = [made(output, day) for day in range(1, 3)]
    if "://" in output:
        write(join(output, "snapshots", RUN, "tokens/a.parquet"), b"rows")
        left = RUN
    else:
        left = f".{RUN}.removed"
        Path(output, "snapshots", left, "tokens").mkdir(parents=True)
    lines = said(capsys, "prune", output)
    assert lines == [f"removed: {left} (left by a run that ended early)"]
    assert not [name for name in names(output) if RUN in name]
    assert Output(output).snapshot_ids() == ids


def test_a_commit_that_died_in_its_last_step_is_completed(started, monkeypatch, capsys):  # noqa: F811
    bucket = stores.new_bucket("s3", started("s3"), monkeypatch)
    output = f"{bucket.address}/out"
    one = made(output, 1, False)
    bucket.put(f"out/snapshots/{one}/.begun", b"begun\n")
    assert said(capsys, "prune", output) == [f"completed: {one}"]
    assert Output(output).leftovers() == []
    assert Output(output).snapshot_ids() == [one]


def test_the_note_at_the_end_of_a_run_names_prune(embed, tiny, texts, capsys):
    outcome = embed(tiny, texts(a="one"))
    begun(str(outcome.output), 1)
    said_ = embed(tiny, texts(a=TEXTS[0]), "--max_shrink=1").out
    assert f"snapshots prune {outcome.output}` removes those" in said_
    said(capsys, "prune", str(outcome.output))
    assert "prune" not in embed(tiny, texts(a="one")).out


# ------------------------------------------------------------------------------------ embed --keep


def test_a_run_that_has_published_prunes_what_it_read_too(embed, tiny, texts):
    """By the rules of `snapshots prune`; its claim on the snapshot before is in nobody's way."""
    output, ids = "", []
    for n in range(3):
        outcome = embed(tiny, texts(a="one", b=f"text {n}"))
        output = str(outcome.output)
        ids.append(outcome.latest.name)
    begun(output, 1)
    outcome = embed(tiny, texts(a="one"), "--keep=2")
    assert outcome.code == 0, outcome.err
    assert Output(output).snapshot_ids() == [ids[2], outcome.latest.name]
    assert Output(output).leftovers() == []
    lines = outcome.out.splitlines()
    assert lines[-3:-1] == [f"removed: {one}" for one in ids[:2]]
    assert lines[-1].endswith("(left by a run that ended early)")
    last = embed(tiny, texts(a="one"), "--keep=1")
    assert Output(output).snapshot_ids() == [last.latest.name]


def test_a_run_that_has_published_nothing_prunes_nothing(embed, tiny, texts):
    for _ in range(2):
        embed(tiny, texts(a="one", b="two", c="three"))
    outcome = embed(tiny, texts(a="one"), "--keep=1")
    assert outcome.code == 3
    assert "removed" not in outcome.out
    assert len(Output(str(outcome.output)).snapshot_ids()) == 3


def fails(*arguments):
    raise PermissionError(errno.EACCES, "Permission denied")


def breaks(*arguments):
    raise KeyError("a fault of this program")


@pytest.mark.parametrize("how", [fails, breaks])
def test_a_prune_that_fails_is_a_warning_of_a_run_that_succeeded(
    embed, tiny, texts, monkeypatch, how
):
    embed(tiny, texts(a="one"))
    monkeypatch.setattr("corpusvec.pipeline.outputs.prunings.prune", how)
    outcome = embed(tiny, texts(a="one"), "--keep=1")
    output = str(outcome.output)
    assert outcome.code == 0
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: --keep=1: the run has succeeded, and old snapshots are still")
    assert line.endswith(f"to remove them, run: corpusvec snapshots prune {output} --keep=1")
    assert len(Output(output).snapshot_ids()) == 2


def test_a_prune_that_is_interrupted_says_that_the_run_has_published(
    embed, tiny, texts, monkeypatch
):
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("corpusvec.pipeline.outputs.prunings.prune", interrupted)
    outcome = embed(tiny, texts(a="one"), "--keep=1")
    assert outcome.code == 130
    assert f"while it pruned, after {outcome.latest} was published" in outcome.err


def test_what_another_run_reads_stays_though_a_run_prunes(embed, tiny, texts):
    ids = [embed(tiny, texts(a="one")).latest.name for _ in range(2)]
    output = str(embed(tiny, texts(a="one")).output)
    with _reads(output, "reading", ids[1]):
        last = embed(tiny, texts(a="one"), "--keep=1")
    assert last.code == 0
    assert any(line.startswith(f"stays: {ids[1]}: {RUN} (host ") for line in last.out.splitlines())
    assert Output(output).snapshot_ids() == [ids[1], last.latest.name]


def test_a_run_that_prunes_has_the_output_to_itself(embed, tiny, texts, monkeypatch):
    """One that waits for it begins when all is done."""
    whole, prune = [embed(tiny, texts(a="one")).latest.name], prunings.prune

    def claimed(output, *arguments):
        with pytest.raises(Busy), Output(output.folder).writing():
            pass
        whole.append("pruned")
        return prune(output, *arguments)

    monkeypatch.setattr("corpusvec.pipeline.outputs.prunings.prune", claimed)
    last = embed(tiny, texts(a="one"), "--keep=1")
    assert whole[1:] == ["pruned"]
    assert f"removed: {whole[0]}" in last.out  # though this run has read it
    assert Output(str(last.output)).snapshot_ids() == [last.latest.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_at_its_very_end_says_that_it_has_published(
    embed, tiny, texts, monkeypatch, number
):
    free = claim_locks._Locked.free

    def interrupted(claim):
        free(claim)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(claim_locks._Locked, "free", interrupted)
        outcome = embed(tiny, texts(a="one"))
    assert outcome.code == 130
    assert f"interrupted, after {outcome.latest} was published" in outcome.err


@pytest.mark.parametrize("command", ["list", "show", "verify", "rollback", "prune"])
def test_an_output_that_is_none_is_one_sentence(tmp_path, capsys, command):
    assert str(tmp_path) in refused(capsys, command, str(tmp_path))


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["snapshots", "--help"])
    told = capsys.readouterr().out
    for name in ("list", "show", "diff", "verify", "publish", "rollback", "prune"):
        assert f"\n    {name} " in told
    assert main(["snapshots"]) == 2
    assert main(["snapshots", "lsit", "out"]) == 2
    assert main(["snapshots", "prune", "out", "--kep=3"]) == 2
    assert "did you mean --keep?" in capsys.readouterr().err


def test_an_output_on_a_file_system_that_nobody_knows(capsys):
    line = refused(capsys, "list", "ftp://there/out")
    assert line.startswith("corpusvec: ftp://there/out: cannot be read or written (ftp:// is no")
    assert "use a path or one of s3://, gs://" in line
