"""Any sequence of nights: whatever was edited, renamed, moved, deleted, doubled, set otherwise,
damaged, failed or killed, each published snapshot is what a full run of its input would give.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from corpusvec.pipeline.cli import main
from corpusvec.transforms.snapshots import tables
from corpusvec.transforms.snapshots.commits import Snapshot
from tests.models import TEXTS, hugging_face_folder

POOL = (*TEXTS[:8], "", "a " * 40)  # one is empty, one too long for a window
FILES = ("a.jsonl", "b.jsonl")
SETTINGS = {"plain": (), "longer": ("--vectors=vector=mean@-1", "--normalize")}


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"{name}/*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []


class Nights(RuleBasedStateMachine):
    model: str
    expected: dict[str, dict[str, dict[str, Any]]]  # by setting and text: what a full run gives

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name)
        (self.folder / "in").mkdir()
        self.output = self.folder / "out"
        self.documents: dict[str, tuple[str, str, int]] = {}  # by id: file, text, and its metadata
        self.setting, self.version = "plain", 0
        self.published: dict[str, Any] | None = None  # the rows of LATEST

    def teardown(self) -> None:
        self.place.cleanup()

    ids = st.integers(0, 11).map("d{}".format)
    texts = st.sampled_from(POOL)

    @rule(id_=ids, text=texts, file=st.sampled_from(FILES))
    def write(self, id_, text, file):
        """A new document, an edited one, or one moved to another file."""
        self.version += 1
        self.documents[id_] = (file, text, self.version)

    @rule(old=ids, new=ids)
    def rename(self, old, new):
        if old in self.documents:
            self.documents[new] = self.documents.pop(old)

    @rule(id_=ids)
    def delete(self, id_):
        self.documents.pop(id_, None)

    @rule(one=ids, other=ids)
    def double(self, one, other):
        if one in self.documents:
            self.documents[other] = self.documents[one]

    @rule(setting=st.sampled_from(sorted(SETTINGS)))
    def set(self, setting):
        self.setting = setting

    def _run(self, *meant: str) -> int:
        for name in FILES:
            lines = [
                json.dumps({"id": id_, "text": text, "version": version})
                for id_, (file, text, version) in sorted(self.documents.items())
                if file == name
            ]
            (self.folder / "in" / name).write_text("".join(f"{line}\n" for line in lines))
        flags = [f"--input={self.folder}/in/*", f"--output={self.output}", "--layers=-1"]
        flags += [f"--model={self.model}", "--max_shrink=1", *SETTINGS[self.setting]]
        return main(["embed", *flags, *meant])

    @rule(meant=st.booleans())
    def night(self, meant):
        """One with another setting publishes only where it is meant."""
        rows = {id_: row for id_, row in self.documents.items() if row[1]}
        other = self.published is not None and self.published["setting"] != self.setting
        published = bool(rows) and (meant or not other)
        code = self._run(*["--new_recipe"] * meant)
        assert code == (0 if published else 3)
        if not published:
            return
        before, self.published = self.published, {"rows": rows, "setting": self.setting}
        self._check_changes(before)

    @precondition(lambda self: self.published is not None)
    @rule(which=st.integers(0, 9))
    def night_after_damage(self, which):
        """To a file of LATEST, which is mended afterwards so that it can be read here."""
        rows = {id_: row for id_, row in self.documents.items() if row[1]}
        files = sorted([*self._latest().glob("sentences/*"), *self._latest().glob("tokens/*")])
        file = files[which % len(files)]
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        assert self._run("--new_recipe") == (0 if rows else 3)
        file.write_bytes(content)
        if rows:
            self.published = {"rows": rows, "setting": self.setting}

    @rule(kill=st.booleans())
    def night_that_fails(self, kill):
        """In the writing of its last file; where it is killed, the files that it had completed stay
        for the next.
        """

        def fail(*arguments):
            raise RuntimeError("the night is over")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "_PATIENCE", 0.0)
            patch.setattr(tables, "_SHARE", 0.0)
            patch.setattr(Snapshot, "commit", fail)
            if kill:
                patch.setattr(Snapshot, "abandon", lambda self, keep: False)
            assert self._run() == 1

    def _latest(self) -> Path:
        return self.output / "snapshots" / (self.output / "LATEST").read_text().strip()

    @invariant()
    def the_published_snapshot_is_that_of_a_full_run(self):
        if self.published is None:
            assert not (self.output / "LATEST").exists()
            return
        folder, known = self._latest(), self.expected[self.published["setting"]]
        rows = {row["id"]: row for row in table(folder, "sentences")}
        assert rows.keys() == self.published["rows"].keys()
        tokens: dict[str, list[dict[str, Any]]] = {}
        for row in table(folder, "tokens"):
            tokens.setdefault(row["id"], []).append(row)
        for id_, (file, text, version) in self.published["rows"].items():
            row, model = rows[id_], known[text]
            assert (row["text"], os.path.basename(row["source"])) == (text, file)
            assert json.loads(row["metadata"]) == {"version": str(version)}
            assert row["n_tokens"] == len(model["tokens"]) == len(tokens[id_])
            assert [one["token"] for one in tokens[id_]] == model["tokens"]
            assert [one["position"] for one in tokens[id_]] == list(range(row["n_tokens"]))
            np.testing.assert_allclose(row["vector"], model["vector"], atol=1e-5)
            layers = [one["layer@-1"] for one in tokens[id_]]
            np.testing.assert_allclose(layers, model["layers"], atol=1e-5)

    def _check_changes(self, before):
        """Applied to what was there before, they give what is there now."""
        told = {row["id"]: row for row in table(self._latest(), "changes")}
        texts = {} if before is None else {id_: row[1] for id_, row in before["rows"].items()}
        now = {id_: row[1] for id_, row in self.published["rows"].items()}
        old = {row["old_id"]: id_ for id_, row in told.items() if row["change"] == "moved"}
        for source, target in old.items():
            assert texts[source] == now[target]
            assert source not in now
        removed = {id_ for id_, row in told.items() if row["change"] == "removed"}
        assert removed | set(old) == texts.keys() - now.keys()
        added = {id_ for id_, row in told.items() if row["change"] in ("added", "moved")}
        assert added == now.keys() - texts.keys()
        anew = before is not None and before["setting"] != self.published["setting"]
        changed = {id_ for id_ in texts.keys() & now.keys() if anew or texts[id_] != now[id_]}
        assert {id_ for id_, row in told.items() if row["change"] == "changed"} == changed


@pytest.fixture(scope="module")
def nights(tmp_path_factory) -> type[Nights]:
    """The machine, with a model, and what a full run gives for each text."""
    folder = tmp_path_factory.mktemp("nights")
    model = str(hugging_face_folder(folder / "model"))
    (folder / "in.jsonl").write_text(
        "".join(f"{json.dumps({'id': str(n), 'text': text})}\n" for n, text in enumerate(POOL))
    )
    expected: dict[str, dict[str, dict[str, Any]]] = {}
    for name, flags in SETTINGS.items():
        output = folder / name
        place = [f"--input={folder}/in.jsonl", f"--output={output}", f"--model={model}"]
        assert main(["embed", *place, "--layers=-1", *flags]) == 0
        snapshot = output / "snapshots" / (output / "LATEST").read_text().strip()
        found = {
            row["id"]: row | {"tokens": [], "layers": []} for row in table(snapshot, "sentences")
        }
        for row in table(snapshot, "tokens"):
            found[row["id"]]["tokens"].append(row["token"])
            found[row["id"]]["layers"].append(row["layer@-1"])
        expected[name] = {row["text"]: row for row in found.values()}
    return type("TheseNights", (Nights,), {"model": model, "expected": expected})


def _prove(nights: type[Nights], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        nights,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_some_nights(nights):
    _prove(nights, 5, 20)


@pytest.mark.slow
def test_many_nights(nights):
    _prove(nights, 40, 20)
