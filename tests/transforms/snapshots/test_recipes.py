"""What makes a night another recipe than the one before: what a user changed, and nothing else."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest

from corpusvec.pipeline.cli import main
from corpusvec.transforms.snapshots.manifests import make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.recipes import another
from tests.packages import ROOT
from tests.repository.test_end_to_end import write_lines

BEFORE = {
    "id": "before",
    "weights_digest": "w",
    "run": {
        "model": {"kind": "k", "digest": "1", "signature": None},
        "tokenizer": {"kind": "t", "lowercase": True},
        "layers": {"layer@-1": 2},
        "vectors": [{"name": "vector", "pooling": "mean", "layers": [1]}],
        "max_seq_length": 64,
        "prompt": "",
        "rules": 1,
        "fingerprint": "f",
    },
    "configuration": {
        "model": "/m",
        "tokenizer": "",
        "do_lower_case": "auto",
        "signature": "",
        "output_key": "",
        "layers": "-1",
        "vectors": None,
        "max_seq_length": None,
        "prompt": None,
        "normalize": False,
        "limit": None,
    },
}


def after(*, asked: dict | None = None, weights: str | None = "w", **run) -> dict:
    made = copy.deepcopy(BEFORE) | {"weights_digest": weights}
    for name, value in run.items():
        if isinstance(value, dict) and name != "layers":
            made["run"][name] |= value
        else:
            made["run"][name] = value
    made["configuration"] |= asked or {}
    return made


OTHERS = {
    "another model": (
        after(model={"digest": "2"}, max_seq_length=128, asked={"model": "/n"}),
        "--model: '/n', was '/m'",
    ),
    "other files in its folder": (after(model={"digest": "2"}), "--model: other files in /m"),
    "other weights in it, after an upgrade": (
        after(rules=2, model={"digest": "2"}, weights="v"),
        "--model: other files in /m",
    ),
    "two flags": (
        after(
            vectors=[{"name": "vector", "pooling": "cls", "layers": [2]}],
            prompt="query: ",
            asked={"vectors": "cls@-1", "prompt": "query: "},
        ),
        "--prompt: 'query: ', was not given; --vectors: 'cls@-1', was not given",
    ),
    "no tokens any more": (
        after(layers={}, asked={"layers": None}),
        "--layers: not given, was '-1'",
    ),
    "a switch": (after(normalize=True, asked={"normalize": True}), "--normalize: given, was not"),
    "a trial": (after(asked={"limit": 5}), "--limit: 5, was not given"),
    "another model, after an upgrade": (
        after(rules=2, model={"digest": "2"}, asked={"model": "/n"}),
        "--model: '/n', was '/m'",
    ),
}
SAME = {
    "as it was": after(),
    "a model that moved": after(asked={"model": "/elsewhere"}),
    "the same layers by other words": after(asked={"layers": "-1:-1"}),
    "a vector by its name": after(asked={"vectors": "vector=mean@-2"}),
    "other rules": after(rules=2),
    "other rules, and the model is read otherwise": after(
        rules=2, model={"digest": "2"}, tokenizer={"named": ["[CLS]"]}, max_seq_length=128
    ),
    "other rules, by a version that did not write down the weights": after(
        rules=2, model={"digest": "2"}, weights=None
    ),
    "a version that describes more": after(tokenizer={"named": []}, new_setting=None),
}


@pytest.mark.parametrize(("made", "said"), OTHERS.values(), ids=OTHERS)
def test_what_a_user_changed_is_another_recipe(made, said):
    assert another(BEFORE, made).startswith(said)


@pytest.mark.parametrize("made", SAME.values(), ids=SAME)
def test_what_no_user_changed_is_none(made):
    assert another(BEFORE, made) == ""


def test_the_whole_may_take_the_place_of_a_trial_but_not_another_trial():
    trial = after(asked={"limit": 5})
    assert another(trial, BEFORE) == another(trial, trial) == ""
    assert another(trial, after(asked={"limit": 6})) == "--limit: 6, was 5"


def test_a_snapshot_of_which_nobody_knows_the_recipe_is_followed_by_any():
    assert another(make_manifest("id", [], {}), BEFORE) == ""


# ------------------------------------------------------------------------------------ whole nights

APART = "--runner=BundleBasedDirectRunner"


@pytest.fixture
def night(tiny, tmp_path, capsys):
    """`night(*flags)`: nine documents -> exit code, what was said."""
    lines = (json.dumps({"id": f"d{i}", "text": f"text {i}"}) for i in range(9))
    source = write_lines(tmp_path / "in.jsonl", lines)

    def run(*flags: str, model: str | Path = tiny) -> tuple[int, str]:
        place = [f"--model={model}", f"--input={source}", f"--output={tmp_path}/out"]
        code = main(["embed", *place, *flags])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.mark.parametrize("runner", [(), (APART,)], ids=["local", "apart"])
def test_another_recipe_is_finished_and_published_only_where_it_is_meant(
    night, tmp_path, capsys, runner
):
    output = str(tmp_path / "out")
    assert night()[0] == 0
    first = Output(output).latest
    code, said = night("--vectors=cls@-1", *runner)
    assert (code, Output(output).latest) == (3, first)
    other = f"its recipe is not that of {first} (--vectors: 'cls@-1', was not given)"
    ahead, *_, last = [line for line in said.splitlines() if other in line]
    assert ahead.startswith("note: ")
    assert "will be finished and not published" in ahead
    made = Output(output).snapshot_ids()[-1]
    assert last == (
        f"corpusvec: not published: {other}; LATEST still names {first}; if it is meant, publish it"
        f" with: corpusvec publish {output} {made}, or run again with --new_recipe"
    )
    assert night()[0] == 0  # the nights go on as they were
    code, said = night("--vectors=cls@-1", "--new_recipe", *runner)
    assert (code, Output(output).latest) == (0, Output(output).snapshot_ids()[-1])
    assert "not published" not in said
    assert night("--vectors=cls@-1")[0] == 0
    assert night()[0] == 3
    assert main(["publish", output, Output(output).snapshot_ids()[-1]]) == 0
    capsys.readouterr()
    assert night()[0] == 0


def test_a_trial_does_not_take_the_place_of_the_whole(night, tmp_path):
    output = str(tmp_path / "out")
    assert night("--limit=2")[0] == 0  # there is nothing whose place it could take
    assert night("--limit=2")[0] == 0
    assert night("--limit=8")[0] == 3
    assert night()[0] == 0
    whole = Output(output).latest
    code, said = night("--limit=8")
    assert (code, Output(output).latest) == (3, whole)
    assert "(--limit: 8, was not given)" in said
    assert night("--limit=2", "--new_recipe")[0] == 0


def test_an_upgrade_goes_on_and_says_why_all_is_embedded(night, monkeypatch):
    assert night()[0] == 0
    monkeypatch.setattr("corpusvec.pipeline.settings._RULES", 99)
    code, said = night()
    assert code == 0
    assert "9 documents" in said
    assert "reused" not in said
    assert (
        "was made by a version of corpusvec that gives some texts other vectors (rules);"
        " everything is embedded again"
    ) in said
    monkeypatch.setattr("corpusvec.pipeline.settings._RULES", 100)
    assert night("--prompt=query: ")[0] == 3


def test_an_upgrade_does_not_hide_a_model_that_is_replaced_in_place(
    night, tiny, tmp_path, monkeypatch
):
    model = Path(shutil.copytree(tiny, tmp_path / "model"))
    assert night(model=model)[0] == 0
    monkeypatch.setattr("corpusvec.pipeline.settings._RULES", 99)
    file = model / "config.json"  # of which another version may read more
    file.write_text(json.dumps(json.loads(file.read_text()) | {"note": "not read before"}))
    assert night(model=model)[0] == 0
    monkeypatch.setattr("corpusvec.pipeline.settings._RULES", 100)
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    code, said = night(model=model)
    assert code == 3
    assert f"(--model: other files in {model})" in said


@pytest.mark.parametrize("kind", ["checkpoint", "SavedModel"])
def test_weights_have_a_digest_whatever_holds_them(kind, tmp_path):
    from corpusvec.transforms.models.kinds import describe_model, weights_digest

    golden = ROOT / "tests/golden"
    source = golden / ("bert_wordpiece" if kind == "checkpoint" else "tf1_hub/nnlm")
    model = Path(shutil.copytree(source, tmp_path / "model"))
    before = weights_digest(describe_model(str(model)))
    (file,) = model.rglob("*.data-00000-of-00001")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert weights_digest(describe_model(str(model))) != before


def test_full_previous_and_a_moved_model_are_no_other_recipe(night, tiny, tmp_path):
    assert night()[0] == 0
    moved = shutil.copytree(tiny, tmp_path / "moved")
    for flags in (["--full"], [f"--previous={tmp_path}/out"], []):
        assert night(*flags, model=moved)[0] == 0
    (moved / "config.json").write_text(
        json.dumps(json.loads((moved / "config.json").read_text()) | {"note": "trained once more"})
    )
    code, said = night(model=moved)
    assert code == 3
    assert f"(--model: other files in {moved})" in said
