"""`verify --model` and `--invariance`: what becomes of a snapshot's vectors."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline import embedders
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.comparisons.reports import Report
from corpusvec.pipeline.flags.compare_models import SETTINGS
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.models.kinds import load_encoder
from tests import hub_modules, saved_models
from tests.conftest import ROOT
from tests.models import TEXTS, hugging_face_folder

WORDS = ("garden", "quiet", "morning", "tomatoes", "red", "water", "basil", "second", "day", "book")
WORDS += ("tea", "rain", "roof", "file", "line")
SINGLES = [f"{a} {b}" for a in WORDS for b in WORDS if a < b][:40]


@pytest.fixture(scope="session")
def other(tmp_path_factory) -> str:
    """As `tiny`, with other weights."""
    return str(hugging_face_folder(tmp_path_factory.mktemp("other") / "model", seed=7))


@pytest.fixture
def texts(tmp_path) -> Path:
    """Forty texts of two words, and longer ones."""
    (tmp_path / "texts.txt").write_text("\n".join([*SINGLES, *TEXTS]), "utf-8")
    return tmp_path / "texts.txt"


@pytest.fixture
def mixed(texts, tmp_path) -> str:
    """Those, pairs, and pages with notation, some of it in blocks."""
    (tmp_path / "in").mkdir()
    shutil.copy(texts, tmp_path / "in" / "a.txt")
    records = [{"id": i, "text": text, "pair": TEXTS[i % 5]} for i, text in enumerate(TEXTS)]
    (tmp_path / "in" / "b.jsonl").write_text("\n".join(map(json.dumps, records)), "utf-8")
    lines = ["[the garden]", "table:birds", " [snow]\t`tea`", "code:a.py", " [x]", "> [rain] #roof"]
    pages = [{"title": f"[page] {i}", "lines": [f"[page] {i}", *lines[i:]]} for i in range(6)]
    (tmp_path / "in" / "c.json").write_text(json.dumps({"name": "p", "pages": pages}))
    return f"{tmp_path}/in/*"


@pytest.fixture
def verify(tmp_path, capsys):
    """`verify(*flags)` -> exit code and what was said of the output of `embed`, as JSON."""

    def run(*flags: str) -> tuple[int, dict]:
        capsys.readouterr()
        code = main(["verify", str(tmp_path / "out"), *flags, "--json"])
        said = capsys.readouterr()
        assert code in (0, 3), said.err
        return code, json.loads(said.out)

    return run


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--unit=line",),
        ("--scrapbox_markup=keep",),
        ("--prompt=tea: ", "--max_seq_length=12", "--window_overlap=2", "--normalize"),
        ("--vectors=vector=mean@-1,b=cls@-2,pooler", "--mask_special", "--layers=-1"),
        ("--long_text=truncate", "--max_seq_length=12", "--vector_dtype=float16"),
    ],
    ids=["as it is", "lines", "markup", "windows", "columns", "truncated"],
)
def test_the_same_model_gives_the_same_vectors(flags, verify, embed, tiny, mixed):
    assert embed(tiny, mixed, *flags).code == 0
    code, found = verify(f"--model={tiny}", "--min_neighbours=1")
    assert code == 0
    swap = found["swap"]
    assert swap["same_model"]
    assert (swap["settings"], swap["versions"], swap["rejected"]) == ([], {}, 0)
    assert found["sample"] == found["documents"] > 70
    assert found["unreadable"] == 0
    half = "--vector_dtype=float16" in flags
    for column in swap["columns"]:
        assert column["same"]
        assert column["neighbours"]["mean"] == 1
        assert column["cosines"]["least"] > 1 - 1e-6
        assert column["largest_difference"] <= (2e-3 if half else 1e-5)
    old, new = swap["old"], swap["new"]
    assert new["tokens_per_document"] == pytest.approx(old["tokens_per_document"])
    assert new["unknown_share"] == pytest.approx(old["unknown_share"])
    assert min(old["seconds_per_1000"], new["seconds_per_1000"]) > 0
    tokens = [column["name"] for column in found["invariance"]["columns"] if column["tokens"]]
    assert tokens == (["layer@-1"] if "--layers=-1" in flags else [])


def test_another_model_keeps_few(verify, embed, tiny, other, mixed):
    embed(tiny, mixed)
    code, found = verify(f"--model={other}", "--min_neighbours=0.9")
    assert code == 3
    swap = found["swap"]
    (column,) = swap["columns"]
    assert (swap["same_model"], column["same"], found["enough"]) == (False, False, False)
    assert swap["settings"] == ["model.digest"]
    assert column["neighbours"]["mean"] < 0.9
    assert column["cosines"]["mean"] < 0.5
    assert any("another space" in line for line in found["verdict"])
    assert any("fewer than --min_neighbours=0.9" in line for line in found["verdict"])
    assert verify(f"--model={other}")[0] == 0  # a judgement is the user's


def test_numbers_are_those_of_the_files(verify, embed, tiny, other, texts, tmp_path):
    """Two outputs of the same texts, compared by hand."""
    first = embed(tiny, texts)
    (tmp_path / "again").mkdir()
    again = ["embed", f"--model={other}", f"--input={texts}", f"--output={tmp_path}/again"]
    assert main(again) == 0
    (path,) = (tmp_path / "again" / "snapshots").glob("*/sentences/*.parquet")
    tables = [one.sort_by("source_row") for one in (first.table("sentences"), pq.read_table(path))]
    old, new = (np.stack(table["vector"].to_pylist()) for table in tables)
    _, found = verify(f"--model={other}")
    (column,) = found["swap"]["columns"]
    units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (old, new)]
    cosines = (units[0] * units[1]).sum(axis=1)
    ids = tables[0]["id"].to_pylist()
    assert column["cosines"]["mean"] == pytest.approx(cosines.mean(), abs=1e-6)
    assert column["cosines"]["least"] == pytest.approx(cosines.min(), abs=1e-6)
    assert column["cosines"]["least_at"] == ids[cosines.argmin()]
    assert column["cosines"]["quantile_1"] == pytest.approx(np.quantile(cosines, 0.01), abs=1e-6)
    assert column["largest_difference"] == pytest.approx(np.abs(old - new).max(), abs=1e-5)
    for side, vectors in (("old_norms", old), ("new_norms", new)):
        norms = np.linalg.norm(vectors, axis=1)
        expected = {"mean": norms.mean(), "least": norms.min(), "greatest": norms.max()}
        assert column[side] == pytest.approx(expected, rel=1e-5)
    nearest = []
    for unit in units:
        likeness = unit @ unit.T
        np.fill_diagonal(likeness, -2)
        nearest.append([set(row[:10]) for row in np.argsort(-likeness, axis=1).tolist()])
    shares = [len(a & b) / 10 for a, b in zip(*nearest)]
    assert column["neighbours"]["mean"] == pytest.approx(np.mean(shares), abs=0.002)
    assert column["neighbours"]["by_chance"] == 10 / (len(ids) - 1)
    assert found["swap"]["new"]["tokens_per_document"] == np.mean(tables[1]["n_tokens"].to_pylist())


def test_other_dimensions_leave_the_neighbours(verify, embed, tiny, texts, tmp_path):
    embed(tiny, texts)
    wide = hugging_face_folder(tmp_path / "wide", hidden=32, seed=3)
    _, found = verify(f"--model={wide}")
    (column,) = found["swap"]["columns"]
    assert (column["old_dimensions"], column["new_dimensions"]) == (16, 32)
    assert column["cosines"] is column["largest_difference"] is None
    assert 0 < column["neighbours"]["mean"] < 1
    assert any("32 dimensions instead of 16" in line for line in found["verdict"])


def test_columns_without_a_counterpart_are_named(verify, embed, tiny, other, texts):
    embed(tiny, texts, "--vectors=vector=mean@-1,old=cls@-1")
    _, found = verify(f"--model={other}", "--vectors=vector=mean@-2,new=pooler")
    swap = found["swap"]
    assert [column["name"] for column in swap["columns"]] == ["vector"]
    assert (swap["only_old"], swap["only_new"]) == (["old"], ["new"])
    assert swap["settings"] == ["model.digest", "vectors"]


@pytest.mark.parametrize("every", [False, True], ids=["some", "all"])
def test_nan_of_the_new_model(every, verify, embed, texts, tmp_path):
    bad = 30 if every else 9
    lines = [f"{saved_models.NAN_WORD} {i}" for i in range(bad)]
    texts.write_text("\n".join(lines if every else lines + SINGLES), "utf-8")
    embed(saved_models.strings_saved_model(tmp_path / "use", "use"), texts)
    model = saved_models.strings_saved_model(tmp_path / "nan", "nan_on")
    code, found = verify(f"--model={model}", "--min_neighbours=0.9")
    swap = found["swap"]
    assert swap["rejected"] == swap["new"]["not_finite"] == bad
    assert swap["old"]["not_finite"] == 0
    (reason,) = swap["reasons"]
    assert reason["documents"] == bad
    assert reason["error"].startswith("the model gave values that are not finite")
    assert reason["first"] in {f"texts.txt:{i}" for i in range(1, bad + 1)}
    (column,) = swap["columns"]
    assert not column["same"]
    assert code == 3  # what has no vector keeps no neighbour
    assert column["neighbours"]["least"] == 0
    if every:
        assert column["neighbours"]["mean"] == 0
        assert found["invariance"] is None
    else:
        assert column["cosines"]["least"] == pytest.approx(1)  # of the others
        assert 0.6 < column["neighbours"]["mean"] < 0.85


def test_nan_of_the_snapshot(verify, embed, tiny, texts):
    (path,) = (embed(tiny, texts).latest / "sentences").glob("*")
    table = pq.read_table(path)
    vectors = np.stack(table["vector"].to_pylist()).astype(np.float32)
    vectors[3, 2], vectors[5, 0] = np.nan, np.inf
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 16)
    place = table.column_names.index("vector")
    pq.write_table(table.set_column(place, "vector", column), path)
    _, found = verify(f"--model={tiny}")
    assert found["swap"]["old"]["not_finite"] == 2
    (column,) = found["swap"]["columns"]
    assert column["neighbours"]["documents"] == len(table) - 2
    assert column["same"]
    assert any("2 documents of the snapshot: NaN or infinite" in v for v in found["verdict"])


def test_what_the_new_model_does_not_take(verify, embed, tiny, mixed, tmp_path):
    embed(tiny, mixed)
    use = saved_models.strings_saved_model(tmp_path / "use", "use")
    _, found = verify(f"--model={use}", "--vectors=vector=output@default")
    (reason,) = found["swap"]["reasons"]
    assert (reason["documents"], found["swap"]["rejected"]) == (len(TEXTS), len(TEXTS))
    assert reason["error"] == "is a pair of texts, and the model takes single ones"
    assert found["swap"]["new"]["tokens_per_document"] is None
    assert found["swap"]["new"]["unknown_share"] is None
    _, found = verify(f"--model={tiny}", "--long_text=error", "--max_seq_length=16")
    assert found["swap"]["rejected"] > 0
    assert all("fit beside the special ones" in r["error"] for r in found["swap"]["reasons"])


def test_flags_count_instead_of_the_snapshots_settings(verify, embed, tiny, texts):
    embed(tiny, texts, "--prompt=tea: ", "--max_seq_length=12", "--normalize")
    assert verify(f"--model={tiny}")[1]["swap"]["columns"][0]["same"]
    for flags, changed in (
        (("--prompt=",), ["prompt"]),
        (("--max_seq_length=8",), ["max_seq_length"]),
        (("--no-normalize",), ["normalize"]),
        (("--precision=bfloat16",), ["precision"]),
    ):
        _, found = verify(f"--model={tiny}", *flags)
        assert found["swap"]["same_model"]
        assert found["swap"]["settings"] == changed
        assert found["swap"]["columns"][0]["largest_difference"] > 1e-4
        said = f"Settings that differ: {changed[0]}."
        assert said in found["verdict"]


def test_what_was_said_of_the_old_model_is_not_said_of_another(verify, embed, tiny, other, texts):
    embed(tiny, texts, "--do_lower_case=false")
    _, found = verify(f"--model={tiny}")
    assert found["swap"]["columns"][0]["same"]
    _, found = verify(f"--model={other}")
    (note,) = [note for note in found["notes"] if "do_lower_case" in note]
    assert "--do_lower_case=false was given for the snapshot's model" in note
    _, found = verify(f"--model={other}", "--do_lower_case=false")
    assert not [note for note in found["notes"] if "do_lower_case" in note]


def test_a_prompt_by_its_name(verify, embed, tiny, texts, tmp_path, capsys):
    prompts = {"query": "tea: "}
    named = hugging_face_folder(tmp_path / "named", prompts=prompts, modules=("pooling",))
    moved = hugging_face_folder(
        tmp_path / "moved", prompts={"query": "rain: "}, modules=["pooling"]
    )
    embed(named, texts, "--prompt=query", "--vectors=vector=mean@-1")
    assert verify(f"--model={named}")[1]["swap"]["columns"][0]["same"]
    assert verify(f"--model={moved}")[1]["swap"]["settings"] == ["model.digest", "prompt"]
    assert main(["verify", str(tmp_path / "out"), f"--model={tiny}"]) == 2
    assert "--prompt=query: is the name of a prompt" in capsys.readouterr().err
    assert verify(f"--model={tiny}", "--prompt=tea: ")[1]["swap"]["columns"][0]["neighbours"]


def test_texts_that_cannot_be_found_out_again_are_left_out(verify, embed, tiny, tmp_path):
    pages = [{"title": f"page {i}", "lines": [f"page {i}", "[tea] rain"]} for i in range(13)]
    pages[4]["lines"] = ["page 4", "> tea\n> rain"]
    (tmp_path / "in.json").write_text(json.dumps({"name": "p", "pages": pages}))
    embed(tiny, tmp_path / "in.json")
    _, found = verify(f"--model={tiny}")
    assert (found["sample"], found["unreadable"]) == (12, 1)
    assert found["swap"]["columns"][0]["same"]
    assert found["verdict"][0].startswith("1 document of the sample left out")


def test_a_sample_and_an_older_snapshot(verify, embed, tiny, other, texts, capsys):
    first = embed(tiny, texts).latest
    embed(other, texts)
    _, found = verify(f"--model={tiny}", "--sample=20")
    assert (found["sample"], found["documents"]) == (20, len(SINGLES) + len(TEXTS))
    assert not found["swap"]["same_model"]
    for name in (first.name, str(first)):
        _, found = verify(name, f"--model={tiny}")
        assert (found["snapshot"], found["swap"]["same_model"]) == (first.name, True)


def test_the_time_is_that_of_what_was_embedded(verify, embed, tiny, texts):
    """The second run copies all rows: what encoding takes is not known from it."""
    embed(tiny, texts)
    manifest = json.loads((embed(tiny, texts).latest / "manifest.json").read_text())
    assert manifest["counts"]["embedded"] == 0
    _, found = verify(f"--model={tiny}")
    assert found["swap"]["old"]["seconds_per_1000"] is None
    assert not any("times as long" in line for line in found["verdict"])


class Drifting:
    """Vectors that change with the number of windows beside them; of one word with all."""

    def __init__(self, encoder):
        self._encoder, self.streams = encoder, 1

    def encode(self, windows):
        more = 0.25 * (len(windows) - 1)
        found = self._encoder.encode(windows)
        return dataclasses.replace(found, layers={k: v + more for k, v in found.layers.items()})


def test_a_model_that_depends_on_the_batch(verify, embed, tiny, texts, monkeypatch):
    embed(tiny, texts, "--vectors=vector=mean@-1", "--layers=-1,0")
    _, found = verify("--invariance")
    assert found["swap"] is None
    assert found["invariance"]["documents"] == len(SINGLES) + len(TEXTS)
    names = [(column["name"], column["tokens"]) for column in found["invariance"]["columns"]]
    assert names == [("vector", False), ("layer@-1", True), ("layer@0", True)]
    for column in found["invariance"]["columns"]:
        assert column["same"]
        assert set(column["deviations"]) == {"as_in_a_run", "mixed_lengths", "beside_longest"}
        assert max(one["largest"] for one in column["deviations"].values()) < 1e-5
    monkeypatch.setattr(embedders, "load_encoder", lambda *given: Drifting(load_encoder(*given)))
    _, found = verify("--invariance")
    for column in found["invariance"]["columns"]:
        assert not column["same"]
        largest = {name: one["largest"] for name, one in column["deviations"].items()}
        assert largest["beside_longest"] == pytest.approx(0.25, abs=1e-5)
        assert largest["mixed_lengths"] == pytest.approx(7 * 0.25, abs=1e-5)
        assert largest["as_in_a_run"] > 7 * 0.25
        assert all(one["at"].startswith("texts.txt:") for one in column["deviations"].values())
    assert sum("depends on the batch" in line for line in found["verdict"]) == 3


def test_a_model_that_is_never_padded(verify, embed, texts, tmp_path):
    embed(hub_modules.elmo(tmp_path / "elmo"), texts, "--layers=elmo")
    _, found = verify("--invariance")
    for column in found["invariance"]["columns"]:
        assert list(column["deviations"]) == ["as_in_a_run"]
        assert column["same"]
    names = [column["name"] for column in found["invariance"]["columns"]]
    assert names == ["vector", "layer@elmo"]


def test_the_model_of_the_snapshot_is_another_now(verify, embed, tiny, other, texts, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    embed(model, texts)
    shutil.rmtree(model)
    shutil.copytree(other, model)
    _, found = verify("--invariance")
    assert "the model is not the one that the snapshot was made with" in found["notes"][0]
    assert not verify(f"--model={model}")[1]["swap"]["same_model"]


def test_the_fields_of_the_json_are_those_of_the_report(verify, embed, tiny, other, texts):
    embed(tiny, texts)
    _, found = verify(f"--model={other}")

    def check(value, kind):
        assert list(value) == [field.name for field in dataclasses.fields(kind)]

    check(found, Report)
    from corpusvec.pipeline.comparisons import reports

    check(found["swap"], reports.Swap)
    check(found["swap"]["old"], reports.Side)
    check(found["swap"]["columns"][0], reports.ColumnChange)
    check(found["swap"]["columns"][0]["neighbours"], reports.Neighbours)
    check(found["swap"]["columns"][0]["cosines"], reports.Cosines)
    check(found["invariance"], reports.Invariance)
    check(found["invariance"]["columns"][0], reports.Column)


def test_what_it_prints(embed, tiny, other, mixed, tmp_path, capsys):
    embed(tiny, mixed, "--layers=-1")
    assert main(["verify", str(tmp_path / "out"), f"--model={other}"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert (
        max(len(line) for line in said if "/" not in line) <= 100
    )  # paths are as long as they are
    table = [line for line in said if line.startswith(("model", "kind", "dimensions", "norm"))]
    assert len({line.index(line[24:].split()[0], 24) for line in table}) == 1
    assert any(line.startswith("kept of the 10 nearest  mean 0.") for line in said)
    assert any(line.startswith("layer@-1 of tokens") for line in said)
    assert "The model is another one." in said
    assert main(["verify", str(tmp_path / "out"), f"--model={other}", "--min_neighbours=.99"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("corpusvec: Neighbours kept: fewer than --min_neighbours=0.99")
    assert error.count("\n") == 1


def test_nothing_is_written(verify, embed, tiny, other, texts, tmp_path):
    embed(tiny, texts)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    verify(f"--model={other}")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


WRONG = {
    "no such snapshot": (["nowhere", "--model={tiny}"], "has no snapshot 'nowhere'"),
    "no such model": (["--model=nowhere"], "--model=nowhere: no such folder"),
    "empty model": (["--model="], "--model: is empty"),
    "a sample of nothing": (["--sample=5"], "--sample: needs --model or --invariance"),
    "a share of nothing": (
        ["--invariance", "--min_neighbours=1"],
        "--min_neighbours: needs --model",
    ),
    "no share": (["--model={tiny}", "--min_neighbours=2"], "'2' is not a share"),
    "few": (
        ["--model={tiny}", "--sample=5", "--min_neighbours=1"],
        "has 5 different texts, and 12",
    ),
    "no column": (["--model={tiny}", "--vectors=a=pooler"], "the snapshot has vector, this would"),
    "unknown": (["--model={tiny}", "--sampel=5"], "did you mean --sample?"),
    "a layer of the old": (
        ["--model={use}"],
        "--layers=-2: the model gives sentence vectors only, no layers; omit the flag; the snapshot"
        " was made so: another --layers given here counts instead (--layers= for none)",
    ),
}


@pytest.mark.parametrize(("flags", "message"), WRONG.values(), ids=WRONG)
def test_an_error_is_one_sentence(flags, message, embed, tiny, texts, tmp_path, capsys):
    embed(tiny, texts, "--layers=-2")
    use = ""
    if "--model={use}" in flags:
        use = str(saved_models.strings_saved_model(tmp_path / "use", "use"))
    given = [flag.format(tiny=tiny, use=use) for flag in flags]
    assert main(["verify", str(tmp_path / "out"), *given]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no output", "nothing is published; name one of: "),
        ("version", "was made by another version of corpusvec (its format is 1"),
        ("gone", "cannot be read"),
        ("model", "it is the model that the snapshot was made with: give its present place"),
    ],
)
def test_an_output_that_cannot_be_compared(change, message, embed, tiny, texts, tmp_path, capsys):
    model = Path(shutil.copytree(tiny, tmp_path / "model"))
    latest = embed(model, texts).latest
    flags = ["--invariance"]
    if change == "no output":
        (tmp_path / "out" / "LATEST").unlink()
    elif change == "version":
        manifest = json.loads((latest / "manifest.json").read_text())
        (latest / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))
    elif change == "gone":
        shutil.rmtree(latest / "sentences")
    else:
        shutil.rmtree(model)
    assert main(["verify", str(tmp_path / "out"), *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_every_setting_of_an_embedding_has_a_flag():
    assert set(SETTINGS) == set(Settings.__dataclass_fields__) - {"model"}


def test_the_command_in_the_documents(embed, tiny, other, texts, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "nights.md").read_text("utf-8")
    (command,) = re.findall(r"^ {4}corpusvec (verify .*--model=models/\S+.*)$", page, re.MULTILINE)
    embed(tiny, texts)
    (tmp_path / "models").mkdir()
    (tmp_path / re.search(r"models/\S+", command)[0]).symlink_to(other)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 3
    assert "The model is another one." in capsys.readouterr().out
