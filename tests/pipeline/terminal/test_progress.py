"""The progress line: what it says at each point of a run, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import re
import time

import pytest

from corpusvec.pipeline.terminal import progress
from corpusvec.pipeline.terminal.formats import clock
from corpusvec.pipeline.terminal.pace import Left
from corpusvec.pipeline.terminal.progress import Progress, newly_counted, progress_line
from corpusvec.transforms.measures import counters
from tests.models import TEXTS

LINES = {
    "no model": ({"records": 1200}, None, None, "1,200 records read, no model loaded yet"),
    "no batch": (
        {"records": 5, "models": 1, "tokens": 70, "copied_tokens": 70},
        0.0,
        None,
        "5 records read, first batch encoding",
    ),
    "half": (
        {"models": 1, "records": 100, "tokens": 900, "encoded_tokens": 1100, "documents": 99},
        90.0,
        Left(0.5, 10.4),
        "99 documents, 900 tokens, 90 tokens/s, 50%, 0:10 left",
    ),
    "neither speed nor time are known": (
        {"models": 1, "records": 200, "tokens": 1000, "encoded_tokens": 1100, "documents": 2},
        None,
        None,
        "2 documents, 1,000 tokens",
    ),
    "some are copied": (
        {
            "models": 1,
            "tokens": 90,
            "copied_tokens": 70,
            "documents": 8,
            "reused": 5,
            "repeated": 2,
        },
        2.0,
        None,
        "8 documents (5 reused, 2 repeated), 90 tokens, 2 tokens/s",
    ),
    "a model that takes strings": (
        {"models": 1, "records": 9, "encoded_bytes": 90, "documents": 9},
        9.0,
        None,
        "9 documents, 90 bytes, 9 bytes/s",
    ),
}


@pytest.mark.parametrize(("totals", "speed", "left", "expected"), LINES.values(), ids=LINES)
def test_what_the_line_says(totals, speed, left, expected):
    assert progress_line(totals, speed, left) == expected


def test_what_is_copied_was_not_made():
    assert newly_counted({"tokens": 90, "copied_tokens": 70}) == 20
    assert newly_counted({"encoded_bytes": 90}) == 90


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "0:05"), (65, "1:05"), (7265, "2:01:05")], ids=str
)
def test_clock(seconds, expected):
    assert clock(seconds) == expected


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_moves_on_a_terminal_and_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(progress, "_SEEN_SECONDS", 0.01)
    terminal = Terminal()
    with Progress(100, stream=terminal):
        counters.count("records", 7)
        time.sleep(0.2)
    said = terminal.getvalue()
    assert "7 records read" in said
    assert "\n" not in said
    assert said.endswith("\r\033[K")


def test_elsewhere_it_is_log_lines(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.01)
    log = io.StringIO()
    with Progress(100, stream=log):
        time.sleep(0.2)
    assert log.getvalue().count("\n") >= 2
    assert "\r" not in log.getvalue()


def test_tokens_a_second_are_since_the_model_was_there_however_seldom_it_is_said(monkeypatch):
    monkeypatch.setattr(progress, "_SEEN_SECONDS", 0.01)
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.5)
    log = io.StringIO()
    with Progress(0, stream=log):
        counters.count("models")
        counters.count("tokens", 1000)
        time.sleep(0.8)
    (rate,) = re.findall(r"([\d,]+) tokens/s", log.getvalue())
    assert 1000 < int(rate.replace(",", "")) < 3000


def test_while_running_tokens_are_counted_as_in_the_report(embed, tiny, tmp_path):
    """Also those of texts that come twice, or were there before."""
    source = tmp_path / "a.txt"
    for lines in (TEXTS * 2, [*TEXTS, " ".join(TEXTS * 9), "one more"]):
        source.write_text("\n".join(lines))
        counters.reset()
        outcome = embed(tiny, source, "--max_seq_length=16")
        assert outcome.code == 0, outcome.err
        counts = json.loads((outcome.latest / "manifest.json").read_text())["counts"]
        totals = counters.totals()
        for name in ("records", "documents", "tokens", "reused", "repeated"):
            assert totals[name] == counts[name], name


def test_a_run_starts_from_zero():
    counters.count("documents", 5)
    with Progress(0, stream=io.StringIO()):
        assert counters.totals()["documents"] == 0
