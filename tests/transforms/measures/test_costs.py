"""What a stage is said to take is its own work; of memory, each process's own peak."""

from __future__ import annotations

import subprocess
import sys

import pytest

from corpusvec.transforms.elements import Count, WrittenFile
from corpusvec.transforms.measures import clocks
from corpusvec.transforms.measures.clocks import Spent, peak_memory
from corpusvec.transforms.measures.names import PEAK_MEMORY
from corpusvec.transforms.snapshots.manifests import make_manifest
from tests.conftest import ROOT


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by `clock.work(seconds)` alone."""

    class Clock:
        now = 100.0

        def work(self, seconds):
            self.now += seconds

    made = Clock()
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: made.now)
    return made


def test_fused_stages_are_timed_apart(clock):
    first, second = Spent("read_ms"), Spent("find_ms")

    def outputs(values, seconds):
        for value in values:
            clock.work(seconds)
            yield value

    for _ in second.during(outputs(first.during(outputs(range(10), 0.001)), 0.02)):
        clock.work(5)  # a stage behind both
    assert first.counts()["read_ms"] == 10
    # A stage that pulls its inputs itself is another's caller: its time holds theirs.
    assert second.counts()["find_ms"] == 10 + 200


def test_stages_that_are_handed_each_output_do_not_hold_those_behind_them(clock):
    """As Beam calls them: what comes out of a stage is worked on before it goes on."""
    first, second = Spent("read_ms"), Spent("find_ms")

    def outputs(seconds):
        for number in range(3):
            clock.work(seconds)
            yield number

    for _ in first.during(outputs(0.001)):
        for _ in second.during(outputs(0.01)):
            clock.work(1)
    assert (first.counts()["read_ms"], second.counts()["find_ms"]) == (3, 90)


def test_what_is_reported_amid_the_work_counts_up_to_then_and_once(clock):
    spent = Spent("write_ms")
    told = []

    def close():
        clock.work(0.0014)
        told.append(spent.counts()["write_ms"])
        clock.work(0.0023)
        yield "file"

    assert list(spent.during(close())) == ["file"]
    told.append(spent.counts()["write_ms"])
    assert sum(told) == 4  # 3.7 ms: what is rounded away is not lost but counted later
    assert spent.counts()["write_ms"] == 0


def test_an_error_in_the_work_comes_through(clock):
    def broken():
        clock.work(1)
        yield 1
        raise ValueError("broken")

    spent = Spent("read_ms")
    with pytest.raises(ValueError, match="broken"):
        list(spent.during(broken()))
    assert spent.counts()["read_ms"] == 1000


def test_times_are_summed_and_of_peaks_the_largest_counts():
    files = [
        WrittenFile("sentences", "a", 1, 5, "", {"tokens": 3}, {"write_ms": 7, PEAK_MEMORY: 30}),
        WrittenFile("sentences", "b", 1, 6, "", {"tokens": 4}, {"write_ms": 8, PEAK_MEMORY: 20}),
        WrittenFile("changes", "c", 0, 9, ""),
    ]
    counts = [Count("read_ms", 1), Count("read_ms", 2), Count(PEAK_MEMORY, 25)]
    manifest = make_manifest("id", [*files, *counts], {"started": "2026-01-02T03:04:05+00:00"})
    expected = {"read_ms": 3, "write_ms": 15, "tokens": 7, PEAK_MEMORY: 30}
    assert expected.items() <= manifest["counts"].items()
    assert manifest["bytes"] == {"changes": 9, "sentences": 11}
    assert manifest["seconds"] > 0
    assert all("work" not in file for file in manifest["files"])


def test_the_peak_is_of_this_process_and_in_bytes():
    script = (
        "from corpusvec.transforms.measures.clocks import peak_memory\n"
        "before = peak_memory()\n"
        "held = b'1' * (100 << 20)\n"
        "del held\n"
        "print(before, peak_memory())\n"
    )
    ours = b"1" * (300 << 20)  # which the kernel would count for processes that we start
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    before, after = map(int, done.stdout.split())
    assert 99 << 20 <= after - before <= 120 << 20  # the kernel counts to some pages
    assert peak_memory() > len(ours)
    if sys.platform == "linux":
        assert after < len(ours)
