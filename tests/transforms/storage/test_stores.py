"""Runs with model, input and output on object stores: real servers on the loopback interface."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.cli import main
from corpusvec.transforms.elements import Count, WrittenFile
from corpusvec.transforms.measures.names import MADE
from corpusvec.transforms.models.sources.archives import pack
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.manifests import make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.stores import Outage
from tests import servers, stores
from tests.conftest import ROOT
from tests.formats import TEXTS as EACH
from tests.formats import write_each
from tests.models import TEXTS, numbered
from tests.servers import Site, status


@pytest.fixture(scope="session", params=["s3", "gs"])
def server(request, tmp_path_factory):
    """A store for all tests: its scheme and its environment."""
    with stores.reachable(request.param, tmp_path_factory.mktemp("store")) as environment:
        yield request.param, environment


# S3's server is the slower one, and what differs from Google's is in other tests.
S3_IS_SLOW = pytest.mark.parametrize(
    "server", [pytest.param("s3", marks=pytest.mark.slow), "gs"], indirect=True
)


@pytest.fixture
def bucket(server, monkeypatch):
    """A bucket for one test."""
    return stores.new_bucket(*server, monkeypatch)


@pytest.fixture
def corpus(bucket, tiny, tmp_path, monkeypatch):
    """Texts and a model in the bucket, beside those on the disk; a cache of its own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    for number, texts in enumerate((TEXTS[:6], TEXTS[6:])):
        (tmp_path / "in" / f"{number}.txt").write_text("\n".join(texts), "utf-8")
    bucket.upload(tmp_path / "in", "in")
    bucket.upload(Path(tiny), "model")
    pack(tiny, str(tmp_path / "model.tar.gz"))
    bucket.upload(tmp_path / "model.tar.gz", "model.tar.gz")
    return bucket


def embed(bucket, *flags: str, model: str = "model") -> int:
    place = [f"--input={bucket.address}/in/*.txt", f"--output={bucket.address}/out"]
    return main(["embed", *place, f"--model={bucket.address}/{model}", "--layers=-1", *flags])


def table(folder: Path, name: str) -> pa.Table:
    found = pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob(f"{name}/*"))])
    keys = [(key, "ascending") for key in ("id", "position") if key in found.column_names]
    return found.sort_by(keys)


def whole(bucket, tmp_path) -> tuple[str, Path]:
    """The snapshot that LATEST names, downloaded: each of its files as the manifest says, and no
    other.
    """
    name = bucket.get("out/LATEST").decode().strip()
    folder = bucket.download(f"out/snapshots/{name}", tmp_path / "got" / name)
    manifest = json.loads((folder / "manifest.json").read_text())
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there == {file["path"] for file in manifest["files"]} | {"manifest.json"}
    for file in manifest["files"]:
        content = (folder / file["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["digest"]
    return name, folder


def test_a_run_on_a_store_gives_what_a_local_run_gives(corpus, tiny, tmp_path, capsys):
    local = ["embed", f"--input={tmp_path}/in/*.txt", f"--output={tmp_path}/local"]
    assert main([*local, f"--model={tiny}", "--layers=-1"]) == 0
    capsys.readouterr()
    names = []
    for model in ("model", "model.tar.gz"):
        assert embed(corpus, model=model) == 0, capsys.readouterr().err
        name, folder = whole(corpus, tmp_path)
        names.append(name)
        ours = tmp_path / "local" / "snapshots" / (tmp_path / "local/LATEST").read_text().strip()
        for kind in ("sentences", "tokens"):
            found, expected = table(folder, kind), table(ours, kind)
            for column in expected.column_names:
                if pa.types.is_fixed_size_list(expected.schema.field(column).type):
                    vectors = (np.stack(t[column].to_numpy()) for t in (found, expected))
                    assert np.abs(np.subtract(*vectors)).max() <= 1e-5
                elif column != "source":
                    assert found[column] == expected[column]
        runs = [json.loads((f / "manifest.json").read_text())["run"] for f in (folder, ours)]
        assert runs[0] == runs[1]  # the fingerprint too
    assert names == sorted(names)
    assert Output(f"{corpus.address}/out").snapshot_ids() == names


@S3_IS_SLOW
def test_each_format_is_read_from_a_store(corpus, tiny, tmp_path, capsys):
    """As from the disk: the same rows, but for where they come from."""
    each = write_each(tmp_path / "each")
    corpus.upload(each, "each")
    found = []
    for source, output in (
        (f"{each}/**", str(tmp_path / "local")),
        (f"{corpus.address}/each/**", f"{corpus.address}/out"),
    ):
        place = [f"--input={source}", f"--output={output}", f"--model={tiny}"]
        assert main(["embed", *place]) == 0, capsys.readouterr().err
        found.append(sentences_of(corpus, tmp_path, output))
    here, there = found
    assert len(here) == 7 * len(EACH)
    for column in ("id", "text", "text_sha256", "metadata", "n_tokens"):
        assert there[column] == here[column]
    vectors = (np.stack(rows["vector"].to_numpy()) for rows in (here, there))
    assert np.abs(np.subtract(*vectors)).max() <= 1e-5


def sentences_of(bucket, tmp_path: Path, output: str) -> pa.Table:
    """The sentences of an output on the disk or in the bucket."""
    if "://" in output:
        return table(whole(bucket, tmp_path)[1], "sentences")
    name = Path(output, "LATEST").read_text().strip()
    return table(Path(output, "snapshots", name), "sentences")


@S3_IS_SLOW
def test_a_night_after_embeds_only_what_is_new(corpus, tmp_path):
    """What is damaged comes from an earlier night; the vectors are those of a full run."""

    def night(*flags: str) -> tuple[dict[str, int], Path]:
        assert embed(corpus, *flags) == 0
        _, folder = whole(corpus, tmp_path)
        told = json.loads((folder / "manifest.json").read_text())["counts"]
        return {name: told[name] for name in ("documents", *MADE)}, folder

    night()
    corpus.put("in/0.txt", "\n".join([*TEXTS[1:6], "new", TEXTS[7]]).encode())
    counted, folder = night()
    assert counted == {"documents": 15, "embedded": 1, "reused": 14, "repeated": 0}
    changed = {row["id"]: row["change"] for row in table(folder, "changes").to_pylist()}
    assert changed["0.txt:7"] == "added"
    counted, full = night("--full")
    # One text comes twice.
    assert counted == {"documents": 15, "embedded": 14, "reused": 0, "repeated": 1}
    for kind, column in (("sentences", "vector"), ("tokens", "layer@-1")):
        ours, theirs = table(folder, kind), table(full, kind)
        assert ours.drop_columns([column]).equals(theirs.drop_columns([column]))
        vectors = (np.stack(t[column].to_numpy()) for t in (ours, theirs))
        assert np.abs(np.subtract(*vectors)).max() <= 1e-5
    for name in corpus.names():
        if full.name in name and "/sentences/" in name:
            corpus.put(name, corpus.get(name)[:-9])
    assert night()[0] == {"documents": 15, "embedded": 0, "reused": 15, "repeated": 0}


@pytest.mark.slow
@S3_IS_SLOW
def test_damage_other_recipes_and_pruning_on_a_store(corpus, tmp_path, capsys):
    """Rows of damaged files come from the snapshot before; what that was goes when it is read."""
    for _ in range(2):
        assert embed(corpus) == 0
    first, second = Output(f"{corpus.address}/out").snapshot_ids()
    (file,) = [name for name in corpus.names() if f"{second}/sentences/" in name]
    corpus.put(file, corpus.get(file)[:-1])
    assert embed(corpus, "--keep=1") == 0
    name, folder = whole(corpus, tmp_path)
    told = json.loads((folder / "manifest.json").read_text())
    assert told["damage"]["taken"] == {first: len(TEXTS)}
    assert told["counts"]["embedded"] == 0
    assert Output(f"{corpus.address}/out").snapshot_ids() == [name]
    capsys.readouterr()
    assert embed(corpus, "--vectors=cls@-1", "--keep=1") == 3
    assert "--vectors: 'cls@-1', was not given" in capsys.readouterr().err
    assert Output(f"{corpus.address}/out").latest == name


@S3_IS_SLOW
def test_the_model_is_copied_once(corpus, capsys):
    for _ in range(2):
        assert embed(corpus) == 0
    assert capsys.readouterr().err.count("fetching") == 1


@S3_IS_SLOW
def test_inspect_and_publish_on_a_store(corpus, capsys):
    corpus.put("in/bad.jsonl", b'{"text": 1}\n{"text": "good"}\n')
    place = f"--input={corpus.address}/in/*"
    output = f"{corpus.address}/out"
    flags = [place, f"--output={output}", f"--model={corpus.address}/model"]
    assert main(["embed", *flags]) == 3
    (name,) = Output(output).snapshot_ids()
    assert Output(output).latest is None
    capsys.readouterr()
    assert main(["publish", output, name]) == 0, capsys.readouterr().err
    assert Output(output).latest == name
    capsys.readouterr()
    assert main(["inspect", "--json", output]) == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out)
    assert report["latest"] == name
    assert report["snapshot"]["counts"]["documents"] == 15
    assert main(["inspect", f"{corpus.address}/model"]) == 0


@S3_IS_SLOW
def test_a_snapshot_on_a_store_is_compared(corpus, capsys):
    assert embed(corpus) == 0
    capsys.readouterr()
    output, model = f"{corpus.address}/out", f"--model={corpus.address}/model"
    assert main(["verify", output, model, "--json"]) == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out)
    assert report["sample"] == report["documents"] == len(TEXTS)
    assert report["swap"]["same_model"]
    assert report["swap"]["columns"][0]["same"]
    assert main(["verify", f"{corpus.address}/nowhere", model]) == 2
    assert "holds no snapshot" in capsys.readouterr().err


def snapshot_in(bucket) -> Snapshot:
    from datetime import datetime, timezone

    snapshot = Snapshot(Output(f"{bucket.address}/out"), new_id(datetime.now(timezone.utc)))
    snapshot.begin(["sentences"])
    return snapshot


def written(bucket, snapshot: Snapshot, name: str) -> WrittenFile:
    path = f"sentences/{name}.parquet"
    bucket.put(f"out/snapshots/{snapshot.id}/{path}", b"rows")
    return WrittenFile("sentences", path, 1, 4, "digest", {"embedded": 1})


def commit(snapshot: Snapshot, files, counts):
    return snapshot.commit(make_manifest(snapshot.id, [*files, *counts], {}))


def test_files_that_no_report_names_are_deleted_and_the_pointer_comes_last(bucket):
    snapshot = snapshot_in(bucket)
    file = written(bucket, snapshot, "a")
    written(bucket, snapshot, "orphan")  # of a bundle that was done again
    assert snapshot.output.snapshot_ids() == []
    assert snapshot.output.leftovers(but=snapshot.id) == []
    assert snapshot.output.leftovers() == [snapshot.id]
    first = commit(snapshot, [file], [Count("records", 1)])
    folder = f"out/snapshots/{snapshot.id}"
    assert bucket.names() == [f"{folder}/manifest.json", f"{folder}/sentences/a.parquet"]
    assert snapshot.output.latest_now() is None
    assert commit(snapshot, [file], [Count("records", 1)]) == first
    assert snapshot.publish()
    snapshot.abandon()  # comes too late
    assert snapshot.output.latest_now() == snapshot.id
    assert bucket.names()[-1] == f"{folder}/sentences/a.parquet"


def test_an_abandoned_attempt_leaves_nothing_and_cannot_be_committed(bucket):
    snapshot = snapshot_in(bucket)
    file = written(bucket, snapshot, "a")
    snapshot.abandon()
    assert bucket.names() == []
    written(bucket, snapshot, "a")  # by a worker that goes on
    with pytest.raises(RuntimeError, match="abandoned"):
        commit(snapshot, [file], [Count("records", 1)])
    assert snapshot.output.snapshot_ids() == []


def test_an_attempt_is_abandoned_or_committed_never_both(bucket):
    for _ in range(4):
        snapshot = snapshot_in(bucket)
        files = [written(bucket, snapshot, f"{n}") for n in range(3)]
        other = threading.Thread(target=snapshot.abandon)
        other.start()
        with contextlib.suppress(Exception):
            commit(snapshot, files, [Count("records", 3)])
        other.join()
        names = [name for name in bucket.names() if snapshot.id in name]
        torn = any("manifest" in name for name in names) and len(names) != 4
        assert not torn, names


@S3_IS_SLOW
def test_a_run_that_fails_leaves_the_last_snapshot(corpus, tmp_path, capsys, monkeypatch):
    assert embed(corpus) == 0
    name, _ = whole(corpus, tmp_path)
    before = corpus.names()

    def fail(*arguments):
        raise RuntimeError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr("corpusvec.transforms.snapshots.tables._Parquet.close", fail)
        assert embed(corpus) == 1
    assert "the disk is on fire" in capsys.readouterr().err
    left = [n for n in corpus.names() if n not in before]
    assert not [n for n in left if n.endswith(("manifest.json", ".begun"))]
    assert whole(corpus, tmp_path)[0] == name
    assert embed(corpus) == 0
    assert whole(corpus, tmp_path)[0] > name


def command(bucket) -> list[str]:
    place = [f"--input={bucket.address}/in/*.txt", f"--output={bucket.address}/out"]
    model = f"--model={bucket.address}/model"
    return [sys.executable, "-m", "pipeline", "embed", *place, model, "--layers=-1"]


@S3_IS_SLOW
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGKILL, id="killed", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, id="interrupted"),
    ],
)
def test_a_run_ended_in_the_middle_leaves_the_last_snapshot(corpus, tmp_path, number):
    assert embed(corpus) == 0
    name, _ = whole(corpus, tmp_path)
    corpus.put("in/long.txt", "\n".join(numbered(20_000)).encode())
    process = subprocess.Popen(
        command(corpus), cwd=ROOT, env={**os.environ}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    begun = f"{corpus.address}/out"
    while not Output(begun).leftovers() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(number)
    _, said = process.communicate(timeout=180)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
    assert whole(corpus, tmp_path)[0] == name
    assert Output(begun).snapshot_ids() == [name]
    left = Output(begun).leftovers()
    assert len(left) == (number == signal.SIGKILL)  # shown by `inspect` as unfinished
    corpus.put("in/long.txt", b"short")
    assert embed(corpus) == 0
    assert whole(corpus, tmp_path)[0] > name  # has nothing of the dead attempt


def shown(capfd, bucket) -> str:
    """All that a run says and keeps."""
    said = capfd.readouterr()
    kept = b"".join(bucket.get(n) for n in bucket.names() if n.startswith("out/"))
    return said.out + said.err + kept.decode("latin-1")


@S3_IS_SLOW
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), id="quiet", marks=pytest.mark.slow),
        pytest.param(("--verbose",), id="verbose"),
    ],
)
def test_credentials_are_shown_nowhere(corpus, tmp_path, capfd, flags):
    account = corpus.environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    key = json.loads(Path(account).read_text())["private_key"] if account else "secret-of-s3"
    given = ("--s3_secret_access_key=secret-of-s3", "--s3_access_key_id=key-of-s3")
    run = [*command(corpus), *flags, *(() if account else given)]
    subprocess.run(run, cwd=ROOT, check=True)
    said = shown(capfd, corpus)
    assert "configuration" in said
    for gone in ("bad.txt", "in/*.none"):  # and in no error
        broken = [*run, f"--input={corpus.address}/{gone}", "--max_rejected=1"]
        assert subprocess.run(broken, cwd=ROOT).returncode == 2
    said += shown(capfd, corpus)
    for secret in (*stores.SECRETS, key):
        assert secret not in said
    for file in (tmp_path / "cache").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(secret.encode() in content for secret in (*stores.SECRETS, key))


def refused(bucket, capsys, code: int = 2, **places: str) -> str:
    """The one line that a run says which cannot begin."""
    place = {"input": f"{bucket.address}/in/*.txt", "output": f"{bucket.address}/out"}
    place |= {"model": f"{bucket.address}/model"} | places
    assert main(["embed", *(f"--{name}={value}" for name, value in place.items())]) == code
    said = [line for line in capsys.readouterr().err.splitlines() if "fetching" not in line]
    assert len(said) == 1, said
    return said[0]


def test_a_bucket_that_does_not_exist_is_one_sentence(corpus, server, capsys):
    nowhere = f"{server[0]}://no-such-bucket"
    said = refused(corpus, capsys, input=f"{nowhere}/in/*.txt")
    assert re.search(rf"--input={nowhere}/in/\*\.txt: .*bucket", said)
    said = refused(corpus, capsys, model=f"{nowhere}/model")
    assert re.search(rf"--model={nowhere}/model: .*bucket", said)
    said = refused(corpus, capsys, output=f"{nowhere}/out")
    assert re.search(rf"--output={nowhere}/out: .*\(404\).*bucket", said)
    assert main(["inspect", f"{nowhere}/out"]) == 2
    assert "bucket" in capsys.readouterr().err.splitlines()[-1]


def endpoint(monkeypatch, address: str) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, address)


def test_what_is_not_permitted_is_one_sentence(corpus, tiny, tmp_path, capsys, monkeypatch):
    local = {"input": f"{tmp_path}/in/*.txt", "model": tiny}
    with servers.serving(Site()) as site:
        site.fallback = status(403)
        endpoint(monkeypatch, site.address)
        for name in ("input", "model", "output"):
            others = {flag: place for flag, place in local.items() if flag != name}
            said = refused(corpus, capsys, **others)
            assert f"--{name}={corpus.address}/" in said
            assert "access is refused (403); check the credentials" in said


def test_a_wrong_endpoint_is_one_sentence_in_bounded_time(
    corpus, tiny, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("corpusvec.transforms.storage.stores.SECONDS", 2.0)
    local = {"input": f"{tmp_path}/in/*.txt", "model": tiny}
    dead = stores._free_port()
    for name in ("input", "model", "output"):
        endpoint(monkeypatch, f"http://127.0.0.1:{dead}")
        others = {flag: place for flag, place in local.items() if flag != name}
        started = time.monotonic()
        said = refused(corpus, capsys, 1, **others)
        assert time.monotonic() - started < 20
        assert f"--{name}={corpus.address}/" in said
        assert "endpoint" in said


COMMANDS = {
    "inspect": ["inspect"],
    "list": ["snapshots", "list"],
    "show": ["snapshots", "show"],
    "verify": ["verify"],
    "prune": ["snapshots", "prune"],
    "compare": ["verify", "--invariance"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_store_that_is_down_may_be_asked_again(command, bucket, capsys, monkeypatch):
    """What it refuses is for the user to mend."""
    monkeypatch.setattr("corpusvec.transforms.storage.stores.SECONDS", 2.0)
    output = f"{bucket.address}/out"
    endpoint(monkeypatch, f"http://127.0.0.1:{stores._free_port()}")
    assert main([*command, output]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"corpusvec: {output}: cannot be read")
    monkeypatch.setattr("corpusvec.transforms.storage.stores.SECONDS", 60.0)  # of a busy machine
    with servers.serving(Site()) as site:
        site.fallback = status(403)
        endpoint(monkeypatch, site.address)
        assert main([*command, output]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"corpusvec: {output}: cannot be read")
    assert "access is refused (403)" in said


def test_a_package_that_is_missing_is_one_sentence(corpus, server, capsys, monkeypatch):
    monkeypatch.setattr("corpusvec.transforms.storage.stores._is_installed", lambda package: False)
    extra = {"s3": "aws", "gs": "gcp"}[server[0]]
    said = refused(corpus, capsys)
    assert said.endswith(f"pip install 'apache-beam[{extra}]'")
    assert f"--input={corpus.address}/in/*.txt: " in said


def test_an_input_that_may_be_listed_and_not_read_is_one_sentence(
    corpus, tiny, tmp_path, capsys, monkeypatch
):
    from corpusvec.transforms.documents.inputs import match_inputs, open_input
    from corpusvec.transforms.documents.streams import BrokenInput

    (first, *_) = match_inputs([f"{corpus.address}/in/*.txt"])
    with servers.serving(Site()) as site:
        site.fallback = status(403)
        endpoint(monkeypatch, site.address)
        with pytest.raises(BrokenInput, match=r"access is refused \(403\)") as caught:
            open_input(first.path).read()
        assert str(caught.value).startswith(f"{first.path}: ")
        monkeypatch.setattr("corpusvec.transforms.storage.stores.SECONDS", 2.0)
        site.fallback = status(503)
        with pytest.raises(Outage) as caught:
            open_input(first.path).read()
    assert str(caught.value).startswith(f"{first.path}: cannot be opened")


def test_an_input_that_is_written_again_while_it_is_read_is_named(corpus):
    from corpusvec.transforms.documents.inputs import ChangedInput, check_unchanged, match_inputs

    (listed, *_) = match_inputs([f"{corpus.address}/in/*.txt"])
    (alone,) = match_inputs([listed.path])
    assert listed.written == pytest.approx(alone.written, abs=1)
    check_unchanged(listed)
    check_unchanged(alone)
    name = listed.path.removeprefix(f"{corpus.address}/")
    data = corpus.get(name)
    time.sleep(1.1)
    corpus.put(name, data)
    with pytest.raises(ChangedInput, match=r": the file changed .* written to at"):
        check_unchanged(listed)
    corpus.put(name, data[:-1])
    with pytest.raises(ChangedInput, match=r": the file changed .* and now it has"):
        check_unchanged(listed)


def test_an_object_that_one_of_equal_size_replaces_within_a_second_ends_the_run(
    corpus, tiny, capsys, monkeypatch
):
    """What differs is the ETag alone, or Google's checksum."""
    from corpusvec.transforms.documents import inputs, parts

    name = "in/0.txt"
    (before,) = inputs.match_inputs([f"{corpus.address}/{name}"])
    replaced = []

    def open_and_replace(path, *arguments):
        stream = inputs.open_input(path, *arguments)
        if path == before.path and not replaced:
            replaced.append(path)
            corpus.put(name, corpus.get(name).swapcase())
        return stream

    monkeypatch.setattr(parts, "open_input", open_and_replace)
    state, stood = inputs._state, inputs._state(before.path)
    monkeypatch.setattr(
        inputs, "_state", lambda path: stood if path == before.path else state(path)
    )
    place = [f"--input={before.path}", f"--output={corpus.address}/out", f"--model={tiny}"]
    assert main(["embed", *place]) == 1
    assert replaced
    assert re.search(r"in/0\.txt: the file changed .*was replaced", capsys.readouterr().err)
    assert Output(f"{corpus.address}/out").latest is None
    assert main(["embed", *place]) == 0
