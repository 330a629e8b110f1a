"""The progress line: what it says at each point of a run, on a terminal and elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from pipeline.terminal import progress
from pipeline.terminal.formats import clock
from pipeline.terminal.progress import Progress, progress_line
from transforms.measures import counters

LINES = {
    "half": (
        {
            "records": 100,
            "bytes_read": 50,
            "read_tokens": 900,
            "encoded_tokens": 900,
            "documents": 99,
        },
        "99 documents, 900 tokens, 90 tokens/s, 50%, 0:10 left",
    ),
    "all read, half of it encoded": (
        {"records": 200, "bytes_read": 100, "read_tokens": 2000, "encoded_tokens": 1000},
        "0 documents, 1,000 tokens, 100 tokens/s, 50%, 0:10 left",
    ),
    "copied": (
        {"records": 9, "encoded_tokens": 90, "documents": 8, "reused": 5, "repeated": 2},
        "8 documents (5 reused, 2 repeated), 90 tokens, 9 tokens/s",
    ),
    "size unknown": ({"records": 9, "encoded_tokens": 90}, "0 documents, 90 tokens, 9 tokens/s"),
}


def test_before_the_model_is_there():
    assert (
        progress_line({"records": 1200}, 0.0, 100, None)
        == "1,200 records read, no model loaded yet"
    )


def test_before_the_first_batch_is_done():
    assert progress_line({"records": 5}, 1.0, 100, None) == "5 records read, first batch encoding"


@pytest.mark.parametrize(("totals", "expected"), LINES.values(), ids=LINES)
def test_what_the_line_says_after_ten_seconds(totals, expected):
    size = 100 if "bytes_read" in totals else 0
    assert progress_line(totals, 10.0, size, None) == expected


def test_a_trial_is_measured_by_its_limit():
    totals = {"records": 50, "bytes_read": 1, "read_tokens": 10, "encoded_tokens": 10}
    assert "50%" in progress_line(totals, 10.0, 1_000_000, 100)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "0:05"), (65, "1:05"), (7265, "2:01:05")], ids=str
)
def test_clock(seconds, expected):
    assert clock(seconds) == expected


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_moves_on_a_terminal_and_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(progress, "_TERMINAL_SECONDS", 0.01)
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


def test_a_run_starts_from_zero():
    counters.count("documents", 5)
    with Progress(0, stream=io.StringIO()):
        assert counters.totals()["documents"] == 0
