"""--log_format=json: whatever is said is one object on a line; without it nothing changes."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.terminal import logs, progress
from corpusvec.pipeline.terminal.logs import Line, say
from corpusvec.pipeline.terminal.progress import Progress
from corpusvec.transforms.measures import counters
from tests.conftest import ROOT

FORMAT = "--log_format=json"


def objects(text: str) -> list[dict]:
    """Each line is an object of the promised form, and there is nothing else."""
    assert not text or text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for said in found:
        assert list(said)[:4] == ["time", "level", "event", "message"]
        assert said["time"].endswith("Z")
        at = datetime.fromisoformat(said["time"])
        assert abs((datetime.now(timezone.utc) - at).total_seconds()) < 600
        assert said["level"] in ("debug", "info", "warning", "error", "critical")
    return found


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "in" / "a.txt"
    file.parent.mkdir()
    file.write_text("the garden 蠱毒鱗粉\na good book ||| the roof\n")
    return file


def test_a_run_that_is_done(embed, tiny, source):
    outcome = embed(tiny, source, FORMAT)
    assert outcome.code == 0, outcome.err
    said = objects(outcome.out) + objects(outcome.err)
    by_event = {one["event"]: one for one in said}
    assert by_event["snapshot"]["folder"] == str(outcome.latest)
    summary = by_event["summary"]
    assert summary["snapshot"] == outcome.latest.name
    assert (summary["documents"], summary["published"]) == (2, True)
    assert summary["tokens"] > 4
    assert summary["seconds"] > 0
    assert "unknown" in by_event["warning"]["message"]
    assert by_event["warning"]["level"] == "warning"
    assert "--input_format=pairs" in by_event["note"]["message"]


def test_without_it_the_lines_are_those_for_people(embed, tiny, source):
    streams = sys.stdout, sys.stderr
    outcome = embed(tiny, source)
    assert outcome.out.splitlines()[0] == f"{outcome.latest} (LATEST names it)"
    assert any(line.startswith("warning: ") for line in outcome.out.splitlines())
    embed(tiny, source, FORMAT)
    assert (sys.stdout, sys.stderr) == streams


WRONG = {
    "misspelt flag": ["--poolign=mean"],
    "a value argparse refuses": ["--precision=int8"],
    "a switch with a value": ["--normalize=true"],
    "two formats": ["--log_format=json"],
    "no such layer": ["--layers=9"],
}


@pytest.mark.parametrize("flags", WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_object(tiny, source, tmp_path, capsys, flags):
    flags = [f"--model={tiny}", f"--input={source}", f"--output={tmp_path}/out", *flags, FORMAT]
    assert main(["embed", *flags]) == 2
    out, err = capsys.readouterr()
    (said,) = objects(err)
    assert not out
    assert (said["event"], said["level"], said["exit_code"]) == ("error", "error", 2)
    assert not said["message"].startswith("corpusvec")


def test_the_format_is_known_however_it_is_typed(capsys):
    assert main(["embed", "--log_format", "json", "--normalize=true"]) == 2
    assert objects(capsys.readouterr().err)
    assert main(["embed", "--log_format=xml"]) == 2
    assert capsys.readouterr().err.startswith("corpusvec: argument --log_format")


def test_a_run_that_failed_and_one_that_is_not_published(embed, tiny, source):
    broken = source.with_name("b.json")
    broken.write_text('{"name": "p", "pages": [{"title": "a", "lines": ["a", "b"]}, {"ti')
    failed = embed(tiny, broken, FORMAT, "--verbose")
    (said,) = [one for one in objects(failed.err) if one["event"] == "error"]
    assert (failed.code, said["exit_code"]) == (2, 2)
    assert "b.json" in said["message"]
    assert said["traceback"].startswith("Traceback")
    source.write_bytes(source.read_bytes() + b"\xff\n")
    kept = embed(tiny, source, FORMAT)
    said, rejected = objects(kept.err)[-1], objects(kept.out)
    assert (kept.code, said["exit_code"], said["event"]) == (3, 3, "not_published")
    assert [one["level"] for one in rejected if one["event"] == "rejected"] == ["warning"]


def test_an_interrupted_run(embed, tiny, source, monkeypatch):
    from corpusvec.transforms.snapshots.commits import Snapshot

    def interrupt(self, tables):
        raise KeyboardInterrupt

    monkeypatch.setattr(Snapshot, "begin", interrupt)
    outcome = embed(tiny, source, FORMAT)
    # Libraries of tests before this one may log when their objects are freed.
    (said,) = [one for one in objects(outcome.err) if one["event"] == "interrupted"]
    assert (outcome.code, said["exit_code"]) == (130, 130)


def test_the_programs_own_process_prints_nothing_else(tiny, source, tmp_path):
    """Also what TensorFlow's and Beam's libraries write past Python's streams."""
    flags = [f"--model={tiny}", f"--input={source}", f"--output={tmp_path}/out", FORMAT]
    command = [sys.executable, "-m", "pipeline", "embed", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [one["event"] for one in objects(done.stdout)][:2] == ["snapshot", "summary"]
    objects(done.stderr)


def test_progress_has_numbers(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.01)
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with logs.written(True), Progress(100):
        counters.count("records", 7)
        time.sleep(0.2)
    said = objects(log.getvalue())
    assert len(said) >= 2
    assert {"event": "progress", "records": 7}.items() <= said[-1].items()
    assert said[-1]["seconds"] >= said[0]["seconds"] >= 0


OURS = {
    logging.INFO: ("corpusvec: 7 %", "info", "message", "7 %"),
    logging.WARNING: ("note: corpusvec: 7 %", "info", "note", "7 %"),
    logging.ERROR: ("warning: corpusvec: 7 %", "warning", "warning", "7 %"),
}


@pytest.mark.parametrize("level", OURS)
def test_what_our_library_logs_is_a_line_of_the_program(capsys, level):
    """Once, though the root has a handler, too."""
    ours, root = logging.getLogger("corpusvec.transforms"), logging.StreamHandler()
    logging.getLogger().addHandler(root)
    try:
        for as_json in (False, True):
            with logs.written(as_json):
                ours.log(level, "corpusvec: %s %%", 7)
    finally:
        logging.getLogger().removeHandler(root)
    line, as_object = capsys.readouterr().err.splitlines()
    (said,) = objects(f"{as_object}\n")
    assert (line, said["level"], said["event"], said["message"]) == OURS[level]
    assert len(said) == 4


def test_whatever_libraries_print_log_and_raise(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def broken():
        raise ValueError("of a\nthread")

    with logs.written(True):
        print("two\nlines", end="")
        print("10 %\r20 %\r30 %", file=sys.stderr)
        print("corpusvec: note: fetching", file=sys.stderr)
        say(Line("said", "note", {"n": 5}))
        try:
            broken()
        except ValueError:
            logging.getLogger("library").exception("it %s", "broke")
        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
        assert sys.stderr.isatty() is False
    assert [said["message"] for said in objects(out.getvalue())] == ["two", "lines"]
    bar, fetching, said, record, *_ = found = objects(err.getvalue())
    assert bar["message"] == "30 %"
    assert (fetching["message"], fetching["event"]) == ("note: fetching", "message")
    assert (said["event"], said["n"]) == ("note", 5)
    assert (record["message"], record["logger"]) == ("it broke", "library")
    assert "ValueError: of a\nthread" in record["traceback"]
    assert len(found) == 5
    assert found[-1]["traceback"].startswith("Traceback")
