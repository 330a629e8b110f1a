"""How old an input is: what is stale is noticed, what merely lies there is not."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from datetime import datetime, timezone

import pytest

from corpusvec.pipeline.flags.values import age
from corpusvec.transforms.documents import ages
from corpusvec.transforms.documents.ages import Dates, dated, described, reduced
from corpusvec.transforms.elements import Dated
from tests.pipeline.terminal.test_metrics_file import metrics_of

DAY = 86_400
NOW = datetime(2026, 1, 10, tzinfo=timezone.utc)


def ago(days: float) -> float:
    return NOW.timestamp() - days * DAY


FILES = {
    "one text": ([("a.txt", 3, None, None)], "a.txt", 3),
    "an old text beside a new one": ([("a.txt", 900, None, None), ("b", 2, None, None)], "b", 2),
    "an export": ([("a.json", 1, 5, 6)], "a.json", 5),
    "a stale export beside a new one": (
        [("a.json", 0, 1, 1), ("b.json", 0, 40, 41), ("c.json", 0, 2, 2)],
        "b.json",
        40,
    ),
    "an export beside old texts": ([("a.json", 1, 1, 1), ("a.txt", 9, None, None)], "a.txt", 9),
    "a stale export beside new texts": ([("a.json", 1, 8, 8), ("b", 1, None, None)], "a.json", 8),
    "an export that does not say": ([("a.json", 7, None, 4)], "a.json", 4),
    "and that was written since": ([("a.json", 2, None, 4)], "a.json", 2),
    "tomorrow": ([("a.txt", -1, None, None)], "a.txt", 0),
}


@pytest.mark.parametrize(("files", "of", "days"), FILES.values(), ids=FILES)
def test_the_input_is_as_old_as_the_oldest_of_its_exports_and_its_newest_file(files, of, days):
    parts = [
        dated(
            name,
            ago(written),
            Dates(None if exported is None else ago(exported), updated and ago(updated)),
        )
        for name, written, exported, updated in files
    ]
    found = described(parts, NOW)
    assert found["time_of"]["source"] == of
    assert found["age_seconds"] == days * DAY
    assert described(reduced(reversed(parts)), NOW) == found  # as it comes from several workers


def test_of_a_store_that_does_not_say_nobody_knows():
    assert dated("x://a", 0.0, Dates()) is None
    assert described([], NOW) == {}
    assert ages.age_text({}) == ""


def test_it_is_told_in_a_sentence():
    about = described([Dated("in/notes.json", ago(5), True)], NOW)
    said = "notes.json was exported 2026-01-05 00:00 UTC, 5 days before the run"
    assert ages.age_text(about) == said


WORDS = {0.4: "0 seconds", 1: "1 second", 90: "90 seconds", 3_600: "1 hour", 7_100: "118 minutes"}
WORDS |= {DAY: "1 day", 1.5 * DAY: "36 hours", 3.9 * DAY: "3 days", 4_000 * DAY: "4,000 days"}


@pytest.mark.parametrize(("seconds", "words"), WORDS.items(), ids=WORDS.values())
def test_ages_in_words(seconds, words):
    assert ages.in_words(seconds) == words


AGES = {"90s": 90, "2m": 120, "36h": 36 * 3_600, "3d": 3 * DAY, "1w": 7 * DAY, "007d": 7 * DAY}


@pytest.mark.parametrize(("text", "seconds"), AGES.items(), ids=AGES)
def test_ages_that_can_be_asked_for(text, seconds):
    assert age(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "3", "d", "0d", "-3d", "3 d", "3days", "1.5d", "3D", "3y", "9999999w", "\u0663d"]
)
def test_other_ages_are_refused_by_name(text):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(repr(text))):
        age(text)


def write_export(path, texts, **more) -> None:
    pages = [{"title": text, "lines": [text], "updated": 5} for text in texts]
    path.write_text(json.dumps({"name": "p", "displayName": "P", **more, "pages": pages}))


def test_a_stale_export_is_not_published_and_everything_says_so(embed, tiny, tmp_path):
    source, prom = tmp_path / "notes.json", tmp_path / "a.prom"
    write_export(source, ["garden"], exported=int(time.time()) - 60)
    flags = ["--max_input_age=3d", f"--metrics_file={prom}"]
    first = embed(tiny, source, *flags)
    assert first.code == 0, first.err
    before = first.latest
    write_export(source, ["garden", "rain"], exported=int(time.time()) - 5 * DAY)
    outcome = embed(tiny, source, *flags)
    assert outcome.code == 3
    assert outcome.latest == before
    said = r"the input is older than 3 days \(--max_input_age\): notes.json was exported 20\S+ \S+"
    assert re.search(
        said + r" UTC, 5 days before the run; .*accept it with: .* publish ", outcome.err
    )
    assert re.search(
        r"^input: 1 file, .*notes.json was exported .* 5 days before", outcome.out, re.M
    )
    found = metrics_of(prom)
    assert found["run_exit_code"] == 3
    assert found["input_age_seconds"] == pytest.approx(5 * DAY, abs=600)
    manifest = json.loads(next(_manifests(outcome, but=before.name)).read_text("utf-8"))
    assert manifest["input"]["age_seconds"] == found["input_age_seconds"]
    assert manifest["input"]["time_of"] == {"source": str(source), "what": "exported"}
    assert embed(tiny, source).code == 0  # nobody asked


def _manifests(outcome, but):
    return (
        path for path in outcome.output.glob("snapshots/*/manifest.json") if path.parent.name != but
    )


def test_a_corpus_of_texts_is_as_old_as_its_newest_file(embed, tiny, tmp_path):
    for name, days in (("a.txt", 900), ("b.txt", 2)):
        (tmp_path / name).write_text("garden\n")
        os.utime(tmp_path / name, (time.time() - days * DAY,) * 2)
    assert embed(tiny, tmp_path / "*.txt", "--max_input_age=3d").code == 0
    assert embed(tiny, tmp_path / "*.txt", "--max_input_age=1d").code == 3


def test_an_input_in_which_nothing_is_new_is_told_after_some_nights(embed, tiny, tmp_path):
    source, prom = tmp_path / "a.txt", tmp_path / "a.prom"
    source.write_text("garden\nrain\n")
    told = []
    for night in range(7):
        if night == 5:
            source.write_text("garden\nsnow\n")
        os.utime(source, (night, night))  # that it is written again is no news
        outcome = embed(tiny, source, f"--metrics_file={prom}")
        assert outcome.code == 0, outcome.err
        found = re.search(
            r"note: the input has not changed for (\d+) snapshots, since", outcome.out
        )
        told.append((int(found[1]) if found else 0, metrics_of(prom)["input_unchanged_snapshots"]))
    assert told == [(0, 0), (0, 1), (0, 2), (3, 3), (4, 4), (0, 0), (0, 1)]
