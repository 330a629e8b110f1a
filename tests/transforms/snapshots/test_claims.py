"""One run at a time writes into an output, and a dead one's claim holds up nobody: real processes,
on a local disk and on object stores.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.snapshots import heartbeats
from corpusvec.transforms.snapshots.claim_files import Busy, Holder
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.files import files_in
from corpusvec.transforms.storage.stores import Outage, ask
from tests import stores
from tests.conftest import ROOT
from tests.models import TEXTS

RUN = "20260102T030405.678Z-0a1b2c3d"
HOLD = """
import sys, time
from corpusvec.transforms.snapshots import heartbeats
from corpusvec.transforms.snapshots.outputs import Output
heartbeats.BEAT_SECONDS, heartbeats.SETTLE_SECONDS = 0.2, 0.2
with getattr(Output(sys.argv[1]), sys.argv[2])() as claim:
    claim.tell("{run}", ["one", "two"])
    print("held", flush=True)
    sys.stdin.read()
"""


def living(output: str) -> list[Holder]:
    return Output(output).store.claims.living(output)


@contextlib.contextmanager
def process(output, how: str = "writing", script: str = HOLD):
    """A process that has a claim, until the block ends or it is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", script.format(run=RUN), str(output), how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        for stream in (holder.stdin, holder.stdout):
            with contextlib.suppress(OSError):
                stream.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """`started(scheme)`: a store for all tests of this module -> its environment."""
    with contextlib.ExitStack() as held:
        begin = functools.cache(
            lambda scheme: held.enter_context(
                stores.reachable(scheme, tmp_path_factory.mktemp("store"))
            )
        )
        yield begin


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow), "gs"])
def output(request, started, tmp_path, monkeypatch) -> str:
    """An output folder on a disk, and on each kind of store, where hearts beat faster."""
    if request.param == "local":
        return str(tmp_path / "out")
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(heartbeats, "SETTLE_SECONDS", 0.5)
    monkeypatch.setattr(heartbeats, "DEAD_SECONDS", 3.0)
    bucket = stores.new_bucket(request.param, started(request.param), monkeypatch)
    return f"{bucket.address}/out"


def files(output: str) -> list[str]:
    return ask(output, lambda: files_in(output))


def test_a_second_run_is_told_who_is_there_and_a_third_goes_on(output):
    with process(output) as holder:
        with pytest.raises(Busy) as caught, Output(output).writing():
            pass
        said = str(caught.value)
        assert said.startswith(f"--output={output}: {RUN} (host ")
        assert f"process {holder.pid}, since 20" in said
        assert "--if_running=wait" in said
        (found,) = living(output)
        assert (found.run, found.reads, found.pid) == (RUN, ("one", "two"), holder.pid)
        holder.stdin.close()
        holder.wait(30)
    with Output(output).writing() as claim:
        assert not claim.waited
    assert files(output) == []


@pytest.mark.parametrize("how", ["writing", "reading"])
def test_a_claim_of_a_killed_process_is_noticed(output, how):
    if "://" not in output:
        Path(output).mkdir()
    with process(output, how) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert len(files(output)) == 1  # nobody took it away
        said: list[str] = []
        with Output(output).writing(say=said.append):
            assert len(living(output)) == 1  # our own
        if how == "writing" and "://" in output:
            assert f"looking whether {RUN} (host " in said[0]
        Output(output).store.claims.remove_dead(output)
    assert files(output) == []


def test_a_run_that_waits_begins_when_the_other_ends(output):
    said: list[str] = []
    with process(output) as holder:
        timer = threading.Timer(4.0, holder.stdin.close)
        began = time.monotonic()
        timer.start()
        with Output(output).writing(wait=True, say=said.append) as claim:
            assert time.monotonic() - began > 3.5
            assert claim.waited
    assert said[-1].startswith(f"waiting for {RUN} (host ")
    assert len([line for line in said if "waiting" in line]) == 1


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_an_output_that_others_take_away_meanwhile_is_made_again(tmp_path, monkeypatch, error):
    """As the run does that this one waits for, where it has written nothing."""
    tried, make = [], os.makedirs

    def makedirs(path: str, exist_ok: bool) -> None:
        tried.append(path)
        if len(tried) < 4:
            raise error(path)
        make(path, exist_ok=exist_ok)

    output = Output(str(tmp_path / "out"))
    monkeypatch.setattr(os, "makedirs", makedirs)
    with output.writing():
        assert len(tried) > 3
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(os, "makedirs", mock.Mock(side_effect=error("out")))
    with pytest.raises(Outage, match="out: cannot be written"), output.writing():
        pass


def test_of_those_that_begin_at_once_one_has_it(output, monkeypatch):
    monkeypatch.setattr(heartbeats, "SETTLE_SECONDS", 2.0)  # the servers are slow
    have, failed, together = [], [], threading.Barrier(4)

    def begin() -> None:
        together.wait()
        try:
            with Output(output).writing(say=lambda line: None):
                have.append(1)
                while len(have) + len(failed) < 4:
                    time.sleep(0.05)
        except Busy:
            failed.append(1)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(have), len(failed)) == (1, 3)
    assert files(output) == []


def test_as_many_as_like_read(output):
    if "://" not in output:
        Path(output).mkdir()
    with (
        Output(output).reading() as one,
        Output(output).reading() as other,
        Output(output).writing(),
    ):
        assert one
        assert other
        one.tell(RUN, ["one"])
        assert sorted(holder.reads or () for holder in living(output)) == [(), (), ("one",)]
    assert files(output) == []


def test_what_cannot_be_marked_as_read_is_read_all_the_same(tmp_path):
    with Output(str(tmp_path / "nowhere")).reading() as claim:
        assert claim is None
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("program")
def test_a_run_that_was_taken_for_dead_says_so_and_leaves_the_claim(started, monkeypatch, capsys):
    """A machine that slept for too long: both runs go on, and neither claim is torn."""
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(heartbeats, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(heartbeats, "DEAD_SECONDS", 1.0)
    bucket = stores.new_bucket("s3", started("s3"), monkeypatch)
    output = f"{bucket.address}/out"
    with Output(output).writing() as slept:
        (name,) = bucket.names()
        other = bucket.get(name).replace(slept._holder.token.encode(), b"0" * 16)
        bucket.put(name, other)
        deadline = time.monotonic() + 10
        while slept._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "considered this run dead" in capsys.readouterr().err
    assert bucket.get(name) == other


# ------------------------------------------------------------------------------------ whole runs


@pytest.fixture
def run(tiny, tmp_path, capsys):
    """`run(*flags)`: embed into one output -> exit code, and what was said on stderr."""
    source = tmp_path / "a.txt"
    source.write_text("\n".join(TEXTS), "utf-8")
    place = [f"--model={tiny}", f"--input={source}", f"--output={tmp_path}/out"]

    def embed(*flags: str) -> tuple[int, str]:
        code = main(["embed", *place, *flags])
        return code, capsys.readouterr().err

    embed.command = [sys.executable, "-m", "pipeline", "embed", *place]  # type: ignore[attr-defined]
    embed.source = source  # type: ignore[attr-defined]
    return embed


def test_a_nightly_run_meets_the_one_before(run, tmp_path):
    output = tmp_path / "out"
    with process(output):
        code, said = run()
        assert code == 1
        assert len(said.splitlines()) == 1
        assert f"{RUN} (host " in said
        assert files(str(output)) == ["running/writer"]
        waits = subprocess.Popen(
            [*run.command, "--if_running=wait"], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        assert waits.stderr
        assert "waiting for" in waits.stderr.readline()
    _, said = waits.communicate(timeout=120)
    assert waits.returncode == 0, said
    assert not (output / "running").exists()


def test_wrong_flags_leave_no_claim(run, tmp_path):
    code, said = run(f"--previous={tmp_path}/nowhere")
    assert code == 2, said
    assert not (tmp_path / "out").exists()


def test_a_run_that_waited_is_newer_than_the_one_it_waited_for(run, tmp_path, monkeypatch):
    began = time.time()
    with process(tmp_path / "out") as holder:
        threading.Timer(3.0, holder.stdin.close).start()
        assert run("--if_running=wait")[0] == 0
    (one,) = Output(str(tmp_path / "out")).snapshot_ids()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began + 2))
    assert one > stamp


def test_a_run_that_waited_reads_the_files_that_are_there_then(run, tmp_path):
    with process(tmp_path / "out") as holder:

        def change() -> None:
            (tmp_path / "later.txt").write_text("One more text.")
            holder.stdin.close()

        threading.Timer(3.0, change).start()
        assert run(f"--input={tmp_path}/*.txt", "--if_running=wait")[0] == 0
    manifest = Output(str(tmp_path / "out")).manifest(
        Output(str(tmp_path / "out")).snapshot_ids()[0]
    )
    assert manifest["input"]["files"] == 2
    assert manifest["counts"]["documents"] == len(TEXTS) + 1


def test_a_run_that_another_one_overtook_before_its_claim_is_newer(run, tmp_path, monkeypatch):
    """And reads what is there then: it was long about its model."""
    resolve, others = Settings.resolve, []

    def slow(settings):
        found = resolve(settings)
        if not others:
            others.append(True)
            assert run()[0] == 0
            run.source.write_text("\n".join([*TEXTS, "One more text."]))
        return found

    monkeypatch.setattr(Settings, "resolve", slow)
    code, said = run()
    assert code == 0, said
    output = str(tmp_path / "out")
    older, newer = Output(output).snapshot_ids()
    assert Output(output).latest == newer
    counts = [Output(output).manifest(one)["counts"]["documents"] for one in (older, newer)]
    assert counts == [len(TEXTS), len(TEXTS) + 1]
    assert Output(output).manifest(newer)["previous"] == older


def test_a_killed_run_is_taken_up_by_the_next_one_and_cleared_away(run, tmp_path):
    output = tmp_path / "out"
    run.source.write_text("\n".join(TEXTS * 20_000), "utf-8")
    killed = subprocess.Popen(run.command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(output.glob("snapshots/.*.attempt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [holder.pid for holder in living(str(output))] == [killed.pid]
    killed.kill()
    killed.wait()
    assert living(str(output)) == []
    (attempt,) = output.glob("snapshots/.*.attempt")
    _complete(attempt, run, output)
    code, said = run()
    assert code == 0, said
    assert not attempt.exists()
    assert Output(str(output)).leftovers() == []


def _complete(attempt: Path, run, output: Path) -> None:
    """As if the killed run had completed a file: one that a whole run of few texts wrote."""
    import json
    import shutil

    from corpusvec.transforms.elements import WrittenFile
    from corpusvec.transforms.snapshots.attempts import note_complete

    run.source.write_text("\n".join(TEXTS), "utf-8")
    other = output.parent / "other"
    assert main([*run.command[3:-1], f"--output={other}"]) == 0
    snapshot = other / "snapshots" / (other / "LATEST").read_text().strip()
    manifest = json.loads((snapshot / "manifest.json").read_text())
    (entry,) = [file for file in manifest["files"] if file["table"] == "sentences"]
    shutil.copy(snapshot / entry["path"], attempt / entry["path"])
    note_complete(str(attempt), WrittenFile(**entry), manifest["run"])


def test_another_output_is_claimed_while_it_is_read(run, tiny, tmp_path, monkeypatch):
    """By --previous; so that nobody prunes there."""
    assert run()[0] == 0
    (one,) = Output(str(tmp_path / "out")).snapshot_ids()
    seen = []

    def look(output: str) -> None:
        seen.extend(living(str(tmp_path / "out")))

    monkeypatch.setattr("corpusvec.pipeline.outputs.prunings.remove_taken_up", look)
    place = [f"--model={tiny}", f"--input={run.source}", f"--output={tmp_path}/next"]
    assert main(["embed", *place, f"--previous={tmp_path}/out/"]) == 0
    (holder,) = seen
    assert holder.reads == (one,)
    assert holder.run == (tmp_path / "next" / "LATEST").read_text().strip()
    assert living(str(tmp_path / "out")) == []
