"""The first stage: all records in order, each id once."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.documents import inputs
from corpusvec.transforms.documents.ages import Dates, reduced
from corpusvec.transforms.documents.formats import Fields, Reading, check_reading
from corpusvec.transforms.documents.inputs import (
    PIECE,
    InputFile,
    groups_listed,
    match_inputs,
    read_list,
    write_list,
)
from corpusvec.transforms.documents.parts import Part
from corpusvec.transforms.elements import Count, Dated
from corpusvec.transforms.measures import counters
from corpusvec.transforms.measures.names import PEAK_MEMORY
from corpusvec.transforms.read import ReadDocuments, _records

OUTPUTS = ("documents", "failures", "counts")


def asked(options):
    """Those of `Reading` are one of the stage."""
    reading = {name: options[name] for name in options if name in Reading.__dataclass_fields__}
    return {"reading": Reading(**reading)} | {n: options[n] for n in options if n not in reading}


def run(files, **options):
    """Files -> what came out, per output, in order."""
    paths = {name: [] for name in OUTPUTS}
    _COLLECTED.clear()
    with tempfile.TemporaryDirectory() as folder, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        write_list(listed := f"{folder}/list", files)
        found = pipeline | ReadDocuments(listed=listed, n_files=len(files), **asked(options))
        for name in OUTPUTS:
            getattr(found, name) | name >> beam.Map(_collect, name)
    for name, element in _COLLECTED:
        paths[name] += element if isinstance(element, Documents) else [element]
    return paths


_COLLECTED: list = []  # the runner works in this process


def _collect(element, name):
    _COLLECTED.append((name, element))


COSTS = ("read_ms", PEAK_MEMORY)


def counts(found):
    sums = Counter()
    for count in found["counts"]:
        if isinstance(count, Count) and count.name not in COSTS:
            sums[count.name] += count.n
    return sums


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\ntwo ||| 2\n\xff\n")
    (tmp_path / "b.jsonl").write_text('{"text": "three", "id": "a.txt:1"}\n{"text": "four"}\n')
    pages = [{"title": title, "lines": [title, "[x]"]} for title in "pqp"]
    (tmp_path / "c.json").write_text(json.dumps({"name": "P", "pages": pages}))
    return tmp_path


def test_every_record_comes_out_once_and_in_order(corpus):
    found = run(match_inputs([f"{corpus}/*"]))
    ids = ["a.txt:1", "a.txt:2", "a.txt:3", "b.jsonl:2", "P/p", "P/q"]
    assert [document.id for document in found["documents"]] == ids
    failed = [(failure.document_id, failure.source_row) for failure in found["failures"]]
    assert failed == [("a.txt:4", 4), ("a.txt:1", 1), ("P/p", 3)]
    assert "an earlier record has the same id" in found["failures"][1].error
    assert found["failures"][1].source == f"{corpus}/b.jsonl"
    assert counts(found) == {"records": 9, "pair_separators": 1}


@pytest.mark.parametrize("limit", [None, 2])
def test_where_no_ids_can_be_the_same_documents_are_those_that_they_are_otherwise(corpus, limit):
    (corpus / "d.txt").write_text("one\n\none\n")
    files = match_inputs([f"{corpus}/*.txt"])
    found, expected = (run(files, ids_differ=differ, limit=limit) for differ in (True, False))
    assert found["documents"] == expected["documents"]
    assert found["failures"] == expected["failures"]
    assert counts(found) == counts(expected)


def test_options_reach_the_readers(corpus):
    files = match_inputs([f"{corpus}/c.json"])
    found = run(files, unit="line", markup="keep")
    assert [document.id for document in found["documents"]][:2] == ["P/p#0", "P/p#1"]
    assert all(document.alignment is None for document in found["documents"])
    pairs = run(match_inputs([f"{corpus}/a.txt"]), input_format="pairs")
    assert (pairs["documents"][2].text, pairs["documents"][2].pair) == ("two", "2")
    assert "pair_separators" not in counts(pairs)


@pytest.mark.parametrize("recent", [1, 10_000], ids=["forgetful", "not"])
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "the other way round"])
def test_spread_over_workers_the_result_is_the_same(corpus, monkeypatch, order, recent):
    """Of duplicates within a file and across files the first stays, whatever is read first."""
    monkeypatch.setattr("corpusvec.transforms.read._RECENT", recent)
    (corpus / "e.jsonl").write_text('{"text": "x ||| y", "id": "a.txt:3"}\n{"text": "5"}\n' * 2)
    (corpus / "f.jsonl").write_text('{"text": "z", "id": "b.jsonl:2"}\n{"text": "6", "id": 6}\n')
    files = match_inputs([f"{corpus}/*"])
    alone, spread = run(files), run(files[::order], spread=True)
    for name in ("documents", "failures"):
        in_order = sorted(spread[name], key=lambda found: (found.source, found.source_row))
        assert in_order == sorted(alone[name], key=lambda found: (found.source, found.source_row))
    assert len(alone["failures"]) == 6
    assert counts(spread) == counts(alone)
    for found, readers in ((alone, 1), (spread, len(files))):
        names = Counter(count.name for count in found["counts"] if isinstance(count, Count))
        assert [names[name] for name in COSTS] == [readers, readers]


@pytest.mark.parametrize("spread", [False, True], ids=["alone", "spread"])
def test_who_is_at_home_elsewhere_names_sources_as_they_were_typed(corpus, monkeypatch, spread):
    monkeypatch.chdir(corpus)
    files = [replace(file, absolute=f"{corpus}/{file.path}") for file in match_inputs(["*"])]
    here = run(files)
    monkeypatch.chdir("/")
    there = run(files, spread=spread)
    assert {document.source for document in there["documents"]} == {"a.txt", "b.jsonl", "c.json"}
    for name in ("documents", "failures"):
        in_order = sorted(there[name], key=lambda found: (found.source, found.source_row))
        assert in_order == here[name]


def test_the_limit_is_over_all_files_when_work_is_to_spread_too(corpus):
    found = run(match_inputs([f"{corpus}/*"]), limit=6, spread=True)
    assert counts(found)["records"] == 6


@pytest.mark.parametrize(("limit", "n_documents", "n_failures"), [(1, 1, 0), (4, 3, 1), (5, 3, 2)])
def test_the_limit_counts_records_over_all_files(corpus, limit, n_documents, n_failures):
    (corpus / "b.txt").write_bytes(b"\xff\n" * 3)
    found = run(match_inputs([f"{corpus}/*.txt"]), limit=limit)
    assert (len(found["documents"]), len(found["failures"])) == (n_documents, n_failures)
    assert counts(found)["records"] == limit


def test_what_is_behind_the_limit_is_not_read(corpus):
    (corpus / "d.json").write_text('{"name": "P", "pages": [{"title": "d", "lines": []}, {"ti')
    found = run(match_inputs([f"{corpus}/d.json"]), limit=1)
    assert [document.id for document in found["documents"]] == ["P/d"]


def test_a_broken_file_ends_the_run_and_is_named(corpus):
    (corpus / "d.json").write_text('{"name": "P", "pages": [{"title": "d", "lines": []}, {"ti')
    with pytest.raises(Exception, match=r"d\.json: the file is cut off .*after page 1 \"d\""):
        run(match_inputs([f"{corpus}/d.json"]))


SPREAD = pytest.mark.parametrize("spread", [False, True], ids=["alone", "spread"])


@SPREAD
@pytest.mark.parametrize("name", ["a.txt", "c.json", "z.txt.gz"])
def test_a_file_that_changed_since_the_run_began_ends_it_and_is_named(corpus, name, spread):
    (corpus / "z.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    files = match_inputs([f"{corpus}/*"])
    (corpus / name).write_bytes((corpus / name).read_bytes()[:-9])
    with pytest.raises(Exception, match=rf"{name}: the file changed during .* and now it has"):
        run(files, spread=spread)


@SPREAD
def test_the_times_of_the_input_are_told(corpus, spread):
    for name, time in (("a.txt", 1_000), ("b.jsonl", 3_000), ("c.json", 2_000)):
        os.utime(corpus / name, (time, time))
    export = {"pages": [{"title": "t", "lines": [], "updated": 4_000}], "name": "Q"}
    (corpus / "d.json").write_text(json.dumps(export))
    os.utime(corpus / "d.json", (3_500, 3_500))
    (corpus / "e.json").write_text(json.dumps(export | {"name": "R", "exported": 500}))
    (corpus / "f.json").write_text(json.dumps({"exported": 400, "name": "S", "pages": []}))
    found = run(match_inputs([f"{corpus}/*"]), spread=spread)
    parts = reduced(part for part in found["counts"] if isinstance(part, Dated))
    assert parts == [
        Dated(f"{corpus}/f.json", 400.0, True),
        Dated(f"{corpus}/d.json", 4_000.0, False),
    ]


def test_behind_the_limit_a_file_has_the_time_of_its_disk(corpus):
    os.utime(corpus / "c.json", (9_000_000_000, 9_000_000_000))
    found = run(match_inputs([f"{corpus}/*"]), limit=1)
    (part,) = (part for part in found["counts"] if isinstance(part, Dated))
    assert part == Dated(f"{corpus}/c.json", 9_000_000_000.0, False)


def test_progress_counts_each_byte_once(corpus):
    data = {"pages": [{"title": str(n), "lines": ["x" * 999]} for n in range(500)], "name": "late"}
    (corpus / "d.json").write_text(json.dumps(data))
    files = match_inputs([f"{corpus}/d.json"])
    counters.reset()
    with closing(_records(Part(files[0]), Dates(), Reading("scrapbox"))) as records:
        next(records)  # all of it is read by then, for the name
        assert 0 < counters.totals()["bytes_read"] <= 4 * PIECE < files[0].size
    counters.reset()
    run(files)
    totals = counters.totals()
    assert (totals["records"], totals["bytes_read"]) == (500, files[0].size)


REFUSED = {
    "format": ({"input_format": "word"}, "--input_format=word"),
    "unit": ({"unit": "word"}, "--unit=word"),
    "markup": ({"markup": "no"}, "--scrapbox_markup=no"),
    "sections of lines": ({"unit": "section"}, "--unit=section: only markdown"),
    "columns of lines": ({"fields": Fields("body")}, "--text_column.*only jsonl, parquet, csv"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_options_are_refused_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        check_reading(Reading(**options), ["a.txt"])


def test_an_unknown_suffix_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"--input_format=auto: cannot tell what .*d\.doc"):
        check_reading(Reading(), ["a.txt", "d.doc"])


def test_a_wrong_limit_is_refused_when_the_stage_is_built():
    with pytest.raises(ValueError, match="--limit=0"):
        ReadDocuments(listed="list", n_files=1, limit=0)


FILES = st.lists(
    st.builds(InputFile, st.text(), st.text(), st.integers(0, 1 << 50), st.floats(0, 1e10)),
    max_size=9,
)


@settings(max_examples=20, deadline=None)
@given(FILES, st.integers(1, 4))
def test_a_list_of_files_is_read_as_it_was_written(tmp_path_factory, files, size):
    path = str(tmp_path_factory.mktemp("list") / "files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "_LISTED", size)
        write_list(path, files)
        groups = groups_listed(len(files))
        assert list(read_list(path, groups)) == files
        assert [file for group in groups for file in read_list(path, [group])] == files
