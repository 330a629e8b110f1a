"""`plan` beside `embed`: the same flags, the same counts, and nothing written."""

from __future__ import annotations

import gzip
import json
import os
import random
import re

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.plans import blocks, trials
from corpusvec.transforms.documents import lines as line_readers
from tests import saved_models

COUNTS = ("records", "documents", "rejected", "empty", "tokens", "windows")
COUNTS += ("dropped_tokens", "unknown_tokens", "repeated")
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dogs", "ran", "far", "away")


def lines(count: int, longest: int = 30, seed: int = 0) -> str:
    chance = random.Random(seed)
    texts = (chance.choices(WORDS, k=chance.randint(1, longest)) for _ in range(count))
    return "".join(" ".join(text) + "\n" for text in texts)


@pytest.fixture
def plan(capsys):
    """`plan(model, input, *flags)` -> what it prints, as JSON."""

    def run(model, source, *flags: str) -> dict:
        code = main(["plan", f"--model={model}", f"--input={source}", "--json", *flags])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)

    return run


@pytest.fixture
def mixed(tmp_path) -> str:
    """Files of all kinds, with records that are blank, broken, twice there and too long."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text(lines(300) + "\n   \n" + lines(3, 400))
    records = [{"id": i % 38, "text": f"cat {i}"} for i in range(40)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(f"{text}no JSON\n{{}}\n".encode()))
    pages = [{"title": f"page {i}", "lines": [f"page {i}", "[cat] sat"]} for i in range(30)]
    (folder / "c.json").write_text(json.dumps({"name": "p", "pages": [*pages, pages[0], 7]}))
    return f"{folder}/*"


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--layers=-1", "--max_seq_length=16"),
        ("--long_text=truncate", "--max_seq_length=16"),
        ("--long_text=error", "--max_seq_length=16"),
        ("--limit=310",),
        ("--unit=line", "--scrapbox_markup=keep", "--prompt=cat: "),
        ("--unit=window", "--chunk_tokens=16"),
    ],
    ids=["as it is", "windows", "truncated", "too long", "limit", "lines and a prompt", "chunks"],
)
def test_what_is_all_read_has_the_counts_of_the_run(flags, plan, embed, tiny, mixed):
    found = plan(tiny, mixed, *flags)
    manifest = json.loads(
        (embed(tiny, mixed, "--max_rejected=999", *flags).latest / "manifest.json").read_text()
    )
    expected = {name: manifest["counts"].get(name, 0) for name in COUNTS}
    assert {name: found["counts"][name] for name in COUNTS} == expected
    assert set(found["margins"].values()) == {0}
    assert found["sample"]["whole"]


@pytest.mark.parametrize("flags", [(), ("--layers=-1,0", "--vector_dtype=float16")])
def test_the_bytes_are_about_those_of_the_run(flags, plan, embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text(lines(3000))
    found = plan(tiny, source, *flags)["bytes"]
    written = json.loads((embed(tiny, source, *flags).latest / "manifest.json").read_text())
    tables = {file["table"] for file in written["files"]} - {"changes"}  # some bytes a document
    for table in found.keys() | tables:
        bytes_ = sum(file["bytes"] for file in written["files"] if file["table"] == table)
        assert found[table] == pytest.approx(bytes_, rel=0.25)


def test_the_bytes_are_those_of_the_encoding(plan, embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text(lines(1000))
    real = []
    for encoding in ("plain", "byte_stream_split"):
        flags = ("--layers=-1,0", f"--vector_encoding={encoding}")
        written = json.loads((embed(tiny, source, *flags).latest / "manifest.json").read_text())
        real.append(written["bytes"]["tokens"])
        assert plan(tiny, source, *flags)["bytes"]["tokens"] == pytest.approx(real[-1], rel=0.03)
    plain, split = real
    assert split < 0.95 * plain


def test_a_sample_of_a_skewed_corpus(plan, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 2048)
    monkeypatch.setattr(line_readers, "_TOGETHER", 2048)  # as many bytes as a block, as is usual
    monkeypatch.setattr(blocks, "_MOST_BLOCKS", 80)
    texts = [lines(20_000, 3), lines(600, 100, 1)]  # short ones first, long ones behind them
    (tmp_path / "a.txt").write_text("".join(texts))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(lines(4000, 20, 2).encode()))
    found = plan(tiny, f"{tmp_path}/*")
    assert not found["sample"]["whole"]
    assert found["sample"]["share"] < 0.7
    monkeypatch.setattr(blocks, "_MOST_BLOCKS", 10**6)
    true = plan(tiny, f"{tmp_path}/*")
    for name in ("documents", "tokens"):
        off = abs(found["counts"][name] / true["counts"][name] - 1)
        assert off < min(2 * found["margins"][name], 0.3)
        assert 0 < found["margins"][name] < 0.5


def test_what_it_prints(capsys, tiny, mixed):
    flags = ["--workers=3,1000", "--cores=8", "--price=.05", "--layers=-1"]
    assert main(["plan", f"--model={tiny}", f"--input={mixed}", *flags]) == 0
    said = capsys.readouterr().out.splitlines()
    labels = [line[:13].strip() for line in said[: said.index("")]]
    assert labels[:4] == ["input", "documents", "tokens", "windows"]
    assert [one for one in labels if one != "precision"][-3:] == ["to write", "memory", "speed"]
    table = said[said.index("") + 1 :]
    table = table[: table.index("")]
    assert [line.split("  ")[0] for line in table] == ["workers", "this machine", "3", "1,000"]
    assert table[0].split()[-1] == "cost"
    assert len({len(line) for line in table}) == 1
    assert "From all 3" in said[-3]
    assert max(map(len, said)) <= 100


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_both_number_types_are_timed_where_the_processor_has_both(
    asked, plan, capsys, tiny, mixed, monkeypatch
):
    from corpusvec.transforms.models import hardware

    monkeypatch.setattr(trials, "_SECONDS", 0.2)
    monkeypatch.setattr(trials, "_OTHER_SECONDS", 0.2)
    monkeypatch.setattr(hardware, "may_gain_by_bfloat16", lambda: True)
    found = plan(tiny, mixed, f"--precision={asked}")
    rates = found["by_precision"]
    assert sorted(rates) == ["bfloat16", "float32"]
    assert rates[asked] == found["speed"]
    assert main(["plan", f"--model={tiny}", f"--input={mixed}", f"--precision={asked}"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("precision ")]
    assert re.search(r"bfloat16 [\d,]+, float32 [\d,]+ tokens/s; --precision=\w+ is faster", line)


def test_no_number_type_is_timed_where_there_is_no_choice(plan, tiny, mixed, monkeypatch):
    from corpusvec.transforms.models import hardware

    monkeypatch.setattr(trials, "_SECONDS", 0.2)
    monkeypatch.setattr(hardware, "may_gain_by_bfloat16", lambda: False)
    assert plan(tiny, mixed)["by_precision"] == {}


def test_workers_and_what_they_cost(plan, tiny, mixed):
    alone, *others = plan(tiny, mixed, "--workers=1,10", "--cores=64", "--price=2")["runs"]
    assert alone["workers"] == 1
    assert [(run["workers"], run["cores"]) for run in others] == [(1, 64), (10, 64)]
    for run in others:
        hours = run["seconds"] / 3600 * run["workers"] * 64
        assert run["core_hours"] == pytest.approx(hours)
        assert run["cost"] == pytest.approx(2 * hours)
    assert plan(tiny, mixed)["runs"][0]["cost"] is None


def test_a_model_that_takes_strings(plan, capsys, mixed, tmp_path):
    model = saved_models.strings_saved_model(tmp_path / "strings", "use")
    found = plan(model, mixed)
    assert found["unit"] == "bytes"
    assert found["counts"]["tokens"] == 0
    assert found["speed"] > 0
    assert main(["plan", f"--model={model}", f"--input={mixed}"]) == 0
    said = capsys.readouterr().out
    assert " bytes/s" in said
    assert "\ntokens " not in said


def test_a_text_that_cannot_be_encoded_does_no_harm(plan, tmp_path):
    model = saved_models.strings_saved_model(tmp_path / "model", "raises_on")
    source = tmp_path / "a.txt"
    source.write_text(f"{saved_models.RAISING_WORD}\n" + lines(50))
    assert plan(model, source)["counts"]["documents"] == 51


def test_nothing_is_written(plan, tiny, mixed, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    plan(tiny, mixed, "--output=out")
    plan(tiny, mixed)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--model={tiny}"], 2, "--input is missing: files to read"),
        (["--input={text}"], 2, "--model is missing: a model"),
        (["--model={tiny}", "--input=nowhere.txt"], 2, "--input=nowhere.txt: matches no file"),
        (["--model=nowhere", "--input={text}"], 2, "--model=nowhere: no such folder"),
        (["--model={tiny}", "--input={none}"], 2, "--input: the files hold no record"),
        (["--model={tiny}", "--input={blank}"], 2, "no record of the files is a document (3 empty"),
        (["--model={tiny}", "--input={broken}"], 2, "broken.txt.gz: the compressed file is cut"),
        (["--model={tiny}", "--input={text}", "--workers=0"], 2, "--workers: '0' is not a whole"),
        (["--model={tiny}", "--input={text}", "--price=low"], 2, "--price: 'low' is not a price"),
        (["--model={tiny}", "--input={text}", "--worker=2"], 2, "did you mean --workers?"),
        (
            ["--model={tiny}", "--input={text}", "--layers=99"],
            2,
            "--layers=99: the model has layers 0 to 2",
        ),
    ],
    ids=lambda value: (
        value[-1].strip("-").replace("{", "").replace("}", "") if isinstance(value, list) else ""
    ),
)
def test_an_error_is_one_sentence(flags, code, message, tiny, tmp_path, capsys):
    contents = {"text": b"a cat\n", "none": b"", "blank": b"\n \n\n"}
    places = {"tiny": tiny, "broken": tmp_path / "broken.txt.gz"}
    for name, content in contents.items():
        places[name] = tmp_path / f"{name}.txt"
        places[name].write_bytes(content)
    places["broken"].write_bytes(gzip.compress(b"a cat\n" * 99)[:-5])
    assert main(["plan", *(flag.format(**places) for flag in flags)]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out
