"""--metrics_file: what Prometheus' own parser reads in it, however a run ended."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from corpusvec.pipeline import __version__
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.terminal import metrics_files
from corpusvec.pipeline.terminal.metrics_files import MetricsFile
from corpusvec.transforms.measures.names import COUNTS
from tests.models import TEXTS


def metrics_of(path) -> dict:
    """Each sample by its name without prefix, or (name, value of its own label)."""
    found: dict = {}
    for family in text_string_to_metric_families(path.read_text("utf-8")):
        assert family.type == "gauge"
        assert family.documentation.endswith(".")
        assert family.name.startswith("corpusvec_")
        for sample in family.samples:
            own = [value for name, value in sample.labels.items() if name != "output"]
            name = sample.name.removeprefix("corpusvec_")
            key = (name, *own) if len(own) == 1 else name
            assert key not in found
            found[key] = sample.value
            if name == "info":
                found["labels"] = sample.labels
    return found


@pytest.fixture
def prom(tmp_path):
    (tmp_path / "metrics").mkdir()
    return tmp_path / "metrics" / "corpusvec.prom"


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "in" / "a.txt"
    file.parent.mkdir()
    file.write_text("".join(f"{text}\n" for text in TEXTS))
    return file


def test_it_says_what_the_manifest_says(embed, tiny, source, prom):
    began = time.time()
    outcome = embed(tiny, source, "--layers=-1", f"--metrics_file={prom}")
    assert outcome.code == 0, outcome.err
    manifest = json.loads((outcome.latest / "manifest.json").read_text("utf-8"))
    counts, found = manifest["counts"], metrics_of(prom)
    assert {name: found[name] for name in COUNTS if name in counts} == {
        name: n for name, n in counts.items() if not name.endswith("_ms") and "memory" not in name
    }
    assert {f"{key[1]}_ms" for key in found if key[0] == "stage_seconds"} == {
        name for name in counts if name.endswith("_ms")
    }
    assert found["stage_seconds", "encode"] == counts["encode_ms"] / 1000
    assert {key[1]: size for key, size in found.items() if key[0] == "bytes"} == manifest["bytes"]
    assert found["peak_memory_bytes"] == counts["peak_memory_bytes"]
    assert found["input_bytes"] == source.stat().st_size
    assert (found["run_success"], found["run_exit_code"]) == (1, 0)
    assert began <= found["run_started_timestamp_seconds"]
    assert found["last_success_timestamp_seconds"] == found["run_finished_timestamp_seconds"]
    assert manifest["seconds"] - 0.1 <= found["run_duration_seconds"] <= time.time() - began
    about = {"version": __version__, "fingerprint": manifest["run"]["fingerprint"]}
    assert about.items() <= found["labels"].items()
    assert found["labels"]["output"] == str(outcome.output)
    assert found["labels"]["apache_beam"] == manifest["versions"]["apache-beam"]


def test_a_rerun_says_what_was_reused(embed, tiny, source, prom):
    embed(tiny, source)
    assert embed(tiny, source, f"--metrics_file={prom}").code == 0
    found = metrics_of(prom)
    assert (found["reused"], found["embedded"]) == (len(TEXTS), 0)
    assert ("stage_seconds", "copy") in found
    assert ("stage_seconds", "encode") not in found


def test_every_count_of_a_manifest_has_its_name(embed, tiny, source, prom):
    """Also those that some runs alone have."""
    source.write_text("a good book ||| the roof\n" * 2 + " ".join(TEXTS * 9) + "\n\n")
    outcome = embed(tiny, source, "--long_text=truncate", f"--metrics_file={prom}")
    counts = json.loads((outcome.latest / "manifest.json").read_text("utf-8"))["counts"]
    others = {name for name in counts if not name.endswith("_ms")} - set(COUNTS)
    assert others == {"peak_memory_bytes"}


def after(embed, prom, model, source, *flags):
    """A success, then a run that ends otherwise -> its exit code, and both files' metrics."""
    assert embed(model, source, f"--metrics_file={prom}").code == 0
    before = metrics_of(prom)
    outcome = embed(model, source, f"--metrics_file={prom}", *flags)
    found = metrics_of(prom)
    kept = "last_success_timestamp_seconds"
    assert found[kept] == before[kept] < found["run_finished_timestamp_seconds"]
    assert (found["run_success"], found["run_exit_code"]) == (0, outcome.code)
    assert os.listdir(prom.parent) == [prom.name]
    return outcome.code, found


ENDS = {
    "no such layer": (["--layers=9"], 2),
    "what argparse refuses": (["--precision=int8"], 2),
    "misspelt": (["--poolign=mean"], 2),
    "input that is gone": (["--input=nowhere/*.txt"], 2),
}


@pytest.mark.parametrize(("flags", "code"), ENDS.values(), ids=ENDS)
def test_a_run_that_never_began_is_a_run_that_failed(embed, tiny, source, prom, flags, code):
    ended, found = after(embed, prom, tiny, source, *flags)
    assert ended == code
    assert "documents" not in found
    assert "fingerprint" not in found["labels"]


def test_a_run_that_failed(embed, tiny, source, prom):
    broken = source.with_name("b.json")
    broken.write_text('{"name": "p", "pages": [{"title": "a", "lines": ["a", "b"]}, {"ti')
    code, found = after(embed, prom, tiny, source, f"--input={broken}")
    assert code == 2
    assert "documents" not in found


def test_a_run_that_is_not_published_says_what_it_found(embed, tiny, source, prom):
    bad = source.with_name("bad.txt")
    bad.write_bytes(b"\xff\nnew\n")
    code, found = after(embed, prom, tiny, source, f"--input={bad}")
    assert code == 3
    assert (found["rejected"], found["documents"]) == (1, len(TEXTS) + 1)


def test_an_interrupted_run(embed, tiny, source, prom, monkeypatch):
    from corpusvec.transforms.snapshots.commits import Snapshot

    def interrupt(self, tables):
        raise KeyboardInterrupt

    assert embed(tiny, source, f"--metrics_file={prom}").code == 0
    monkeypatch.setattr(Snapshot, "begin", interrupt)
    assert embed(tiny, source, f"--metrics_file={prom}").code == 130
    assert metrics_of(prom)["run_exit_code"] == 130


def test_the_first_run_may_fail(embed, tiny, source, prom):
    assert embed(tiny, source, "--layers=9", "--metrics_file", str(prom)).code == 2
    assert "last_success_timestamp_seconds" not in metrics_of(prom)


def test_the_last_success_is_that_of_the_same_output(embed, tiny, source, prom, tmp_path):
    assert embed(tiny, source, f"--metrics_file={prom}").code == 0
    flags = [f"--input={source}", f"--model={tiny}", f"--metrics_file={prom}", "--layers=9"]
    assert main(["embed", *flags, f"--output={tmp_path}/other"]) == 2
    assert "last_success_timestamp_seconds" not in metrics_of(prom)


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"corpusvec_last", b""], ids=repr)
def test_a_file_that_is_no_such_file_is_replaced(embed, tiny, source, prom, garbage):
    prom.write_bytes(garbage)
    assert embed(tiny, source, "--layers=9", f"--metrics_file={prom}").code == 2
    assert metrics_of(prom)["run_exit_code"] == 2


def test_others_may_read_it_and_never_see_a_part_of_it(tmp_path, monkeypatch, prom):
    before = os.umask(0o022)
    try:
        seen = []
        replace = os.replace

        def look(new, path):
            seen.append((os.path.dirname(new), new.endswith(".prom"), Path(new).read_text()))
            replace(new, path)

        monkeypatch.setattr(metrics_files.os, "replace", look)
        MetricsFile(["embed", f"--metrics_file={prom}", '--output=a"b\\c\nd']).write(1)
    finally:
        os.umask(before)
    ((folder, collected, whole),) = seen
    assert (folder, collected) == (str(prom.parent), False)
    assert whole == prom.read_text()
    assert stat.S_IMODE(prom.stat().st_mode) == 0o644
    assert metrics_of(prom)["labels"]["output"] == os.path.abspath('a"b\\c\nd')


def refused(folder) -> dict[str, list[str]]:
    return {
        "a folder": [f"--metrics_file={folder}"],
        "a folder that is not there": [f"--metrics_file={folder}/no/a.prom"],
        "a store": ["--metrics_file=gs://bucket/a.prom"],
        "nothing": ["--metrics_file="],
        "not waited for": [
            f"--metrics_file={folder}/a.prom",
            "--runner=DirectRunner",
            "--no_wait_until_finish",
        ],
    }


@pytest.mark.parametrize("case", refused(""))
def test_what_could_not_be_written_is_refused_before_any_work(embed, tiny, source, tmp_path, case):
    outcome = embed(tiny, source, *refused(tmp_path)[case])
    assert outcome.code == 2
    assert outcome.err.startswith("corpusvec: --metrics_file=")
    assert len(outcome.err.splitlines()) == 1
    assert not outcome.output.exists()
    assert not list(tmp_path.glob("a.prom*"))


def test_what_cannot_be_written_at_the_end_is_a_warning(embed, tiny, source, prom, monkeypatch):
    def fail(new, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(metrics_files, "os", type("os", (), {**vars(os), "replace": fail}))
    outcome = embed(tiny, source, f"--metrics_file={prom}")
    assert outcome.code == 0
    assert outcome.latest.exists()
    warning = f"warning: --metrics_file={prom}: cannot be written (No space left on device)\n"
    assert outcome.err == warning
    assert not os.listdir(prom.parent)


def test_a_plan_is_no_run(tiny, source, prom, tmp_path):
    flags = [f"--input={source}", f"--model={tiny}", f"--metrics_file={prom}", "--workers=1"]
    assert main(["plan", *flags]) == 0
    assert not prom.exists()
