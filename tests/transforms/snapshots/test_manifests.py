"""What a manifest says of a run, and which snapshots may be published."""

from __future__ import annotations

import pytest

from corpusvec.transforms.elements import Count, Note, WrittenFile
from corpusvec.transforms.snapshots.manifests import (
    Limits,
    files_of,
    make_manifest,
    why_not_published,
)


def written(table: str, rows: int, **counts: int) -> WrittenFile:
    return WrittenFile(table, f"{table}/{rows}.parquet", rows, 4, "digest", counts)


def manifest(records: int, embedded: int = 0, reused: int = 0, rejected: int = 0, empty: int = 0):
    files = [written("sentences", embedded, embedded=embedded)]
    files += [written("sentences", 1000 + reused, reused=1000 + reused)] if reused else []
    files += [written("rejected", rejected)] if rejected else []
    counts = [Count("records", records), Count("empty", empty)]
    return make_manifest("id", [*files, *counts], {})


def test_files_and_notes_come_back():
    reports = [written("sentences", 2, embedded=2, tokens=9), Count("records", 2)]
    notes = [Note("b"), Note("a"), Note("b")]
    made = make_manifest("id", [*reports, *notes], {"notes": ["of the model"], "run": {"x": 1}})
    assert made["notes"] == ["of the model", "a", "b"]
    assert files_of(made) == (reports[0],)
    assert made["run"] == {"x": 1}
    assert "incomplete" not in made
    assert made["counts"]["tokens"] == 9


INCOMPLETE = {
    "a record lost": ([written("sentences", 3, embedded=3)], 4, "4 records were read, but"),
    "a record twice": ([written("sentences", 3, embedded=3)], 2, "2 records were read, but"),
    "a row of nowhere": ([written("sentences", 3, embedded=2)], 3, "3 documents were written, but"),
    "a repeated row counted twice": (
        [written("sentences", 3, embedded=1, reused=1, repeated=2)],
        3,
        "those embedded (1), reused (1), repeated (2) are 4",
    ),
    "a row counted twice": (
        [written("sentences", 3, embedded=3, reused=1)],
        3,
        "those embedded (3), reused (1), repeated (0) are 4",
    ),
}


@pytest.mark.parametrize(("files", "records", "said"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_what_is_not_accounted_for_is_never_published(files, records, said):
    made = make_manifest("id", [*files, Count("records", records)], {})
    assert said in made["incomplete"]
    assert said in why_not_published(made, None, Limits(max_rejected=99, max_shrink=1.0))


OLD = {
    "time": "2026-01-01T00:00:00+00:00",
    "time_of": {"source": "in/a.json", "what": "exported"},
    "age_seconds": 5 * 86_400,
}
PUBLISHED = {
    "the first": (manifest(10, 10), None, ""),
    "nothing": (manifest(1, empty=1), None, "no record became a document"),
    "rejected": (manifest(12, 10, rejected=2), None, "2 rejected, 1 allowed (--max_rejected)"),
    "rejected, allowed": (manifest(11, 10, rejected=1), None, ""),
    "half is left": (manifest(5, 5), manifest(10, 10), ""),
    "less than half is left": (manifest(4, 4), manifest(10, 10), "more than 50% are gone"),
    "as many, but empty": (manifest(10, 4, empty=6), manifest(10, 10), "more than 50% are gone"),
    "more": (manifest(20, 20), manifest(10, 10), ""),
    "another recipe": (
        {**manifest(9, 9), "run": {"prompt": "a"}, "configuration": {"prompt": "a"}},
        {**manifest(9, 9), "run": {"prompt": ""}, "configuration": {"prompt": None}},
        "its recipe is not that of id (--prompt: 'a', was not given)",
    ),
    "an old input": (
        {**manifest(10, 10), "input": OLD},
        None,
        "the input is older than 2 days (--max_input_age): a.json was exported 2026-01-01 00:00"
        " UTC, 5 days before the run",
    ),
    "an input that is just old enough": (
        {**manifest(10, 10), "input": OLD | {"age_seconds": 172_800}},
        None,
        "",
    ),
    "an input of which nobody knows": (
        {**manifest(10, 10), "input": {"files": 1}},
        None,
        "the age of the input is unknown, so it may be older than 2 days (--max_input_age)",
    ),
}


@pytest.mark.parametrize(("made", "before", "said"), PUBLISHED.values(), ids=PUBLISHED)
def test_why_a_snapshot_is_not_published(made, before, said):
    made = {"input": OLD | {"age_seconds": 0}, **made}
    limits = Limits(max_rejected=1, max_shrink=0.5, max_input_age=172_800)
    why = why_not_published(made, before, limits)
    assert said in why
    assert bool(why) == bool(said)


def test_all_that_speaks_against_it_is_said():
    """Or who publishes because of the one would not know of the other."""
    before = manifest(10, 10) | {"configuration": {"limit": None}}
    made = manifest(10, 4, rejected=6) | {"configuration": {"limit": 10}}
    why = why_not_published(made, before, Limits(max_rejected=1, max_shrink=0.5))
    recipe, rejected = why.split("; and ")
    assert "(--limit: 10, was not given)" in recipe
    assert rejected.startswith("6 rejected, 1 allowed")
    why = why_not_published(manifest(10, 4, rejected=6), before, Limits(1, 0.5))
    assert [part.split()[0] for part in why.split("; and ")] == ["6", "4"]


def test_a_new_recipe_that_is_meant_is_published_and_a_trial_that_is_meant_has_lost_nothing():
    before = manifest(10, 10) | {"configuration": {"limit": None}}
    made = manifest(4, 4) | {"configuration": {"limit": 4}}
    assert "(--limit: 4, was not given)" in why_not_published(made, before, Limits(max_shrink=0.5))
    meant = Limits(max_shrink=0.5, new_recipe=True)
    assert not why_not_published(made, before, meant)
    assert "are gone (--max_shrink)" in why_not_published(manifest(4, 4), before, meant)
