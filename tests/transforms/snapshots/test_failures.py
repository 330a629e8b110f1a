"""Broken on purpose: poisonous documents, kills at random moments, two runs at once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from corpusvec.pipeline.outputs.verifications import verify
from corpusvec.transforms.snapshots.outputs import Output
from tests.models import TEXTS, numbered

ROOT = Path(__file__).resolve().parents[3]


def spoiled(tiny: str, target: Path, change) -> Path:
    """A copy of the tiny model with changed weights."""
    shutil.copytree(tiny, target)
    weights = load_file(target / "model.safetensors")
    vocabulary = json.loads((target / "tokenizer.json").read_text())["model"]["vocab"]
    change(weights, vocabulary)
    save_file(weights, target / "model.safetensors")
    return target


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["NaN", "infinite"])
def test_one_poisonous_document_is_one_rejected_line(embed, tiny, tmp_path, value):
    def change(weights, vocabulary):
        words = next(array for key, array in weights.items() if "word_embeddings" in key)
        words[vocabulary["tomatoes"]] = value

    model = spoiled(tiny, tmp_path / "model", change)
    source = tmp_path / "a.txt"
    source.write_text("\n".join(TEXTS * 20))
    outcome = embed(model, source, "--max_rejected=20", "--layers=-1", "--max_seq_length=10")
    assert outcome.code == 0, outcome.err
    poisoned = [f"a.txt:{n}" for n, text in enumerate(TEXTS * 20, 1) if "tomatoes" in text]
    lines = [x for f in outcome.latest.glob("rejected/*") for x in f.read_text().splitlines()]
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(poisoned)
    assert all("not finite" in line for line in lines)
    rest = {f"a.txt:{n}" for n in range(1, len(TEXTS) * 20 + 1)} - set(poisoned)
    assert set(outcome.table("sentences")["id"].to_pylist()) == rest
    assert set(outcome.table("tokens")["id"].to_pylist()) == rest
    assert np.isfinite(np.stack(outcome.table("tokens")["layer@-1"].to_numpy())).all()


def test_a_value_beyond_float16_is_a_rejected_record(embed, tiny, tmp_path):
    def change(weights, vocabulary):
        for key, array in weights.items():
            if "layer.1.output.LayerNorm" in key:
                array *= 1e6

    model = spoiled(tiny, tmp_path / "model", change)
    source = tmp_path / "a.txt"
    source.write_text(TEXTS[0])
    outcome = embed(model, source, "--vectors=mean@-1", "--vector_dtype=float16", "--layers=-1")
    assert outcome.code == 3
    (snapshot,) = (outcome.output / "snapshots").iterdir()
    (line,) = next(snapshot.glob("rejected/*")).read_text().splitlines()
    assert "float16" in line
    assert not list(snapshot.glob("tokens/*"))
    assert embed(model, source, "--vectors=mean@-1").code == 0


def command(model, source: Path, output: Path, *flags: str) -> list[str]:
    place = [f"--model={model}", f"--input={source}", f"--output={output}"]
    return [sys.executable, "-m", "pipeline", "embed", *place, *flags]


def assert_whole(output: Path) -> str:
    """LATEST names a snapshot whose every file is there, byte for byte."""
    name = (output / "LATEST").read_text().strip()
    folder = output / "snapshots" / name
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        content = (folder / file["path"]).read_bytes()
        assert len(content) == file["bytes"]
        assert hashlib.sha256(content).hexdigest() == file["digest"]
    return name


def kill_at_random(tmp_path: Path, tiny: str, nights: str, kills: int, seed: int) -> None:
    """Full runs, or reruns whose input was edited a little."""
    chance = random.Random(seed)
    source, output = tmp_path / "a.txt", tmp_path / "out"
    lines = numbered(400)
    source.write_text("\n".join(lines))
    run = command(tiny, source, output, "--layers=-1", *["--full"] * (nights == "full"))
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    started = time.monotonic()
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    whole_run = time.monotonic() - started
    before = assert_whole(output)
    for kill in range(kills):
        for at in chance.sample(range(len(lines)), 20):
            lines[at] = f"{lines[at]} {kill}"
        source.write_text("\n".join(lines))
        process = subprocess.Popen(
            run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Most moments of interest are late: files are closed, renamed and published at the end.
        time.sleep(whole_run * chance.triangular(0.1, 1.05, 0.95))
        process.kill()
        process.wait()
        after = assert_whole(output)
        assert after >= before
        assert not verify(Output(str(output)), after).problems
        before = after
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    assert assert_whole(output) > before
    assert not verify(Output(str(output)), assert_whole(output)).problems


def test_killed_at_random_moments_the_last_snapshot_is_whole(tmp_path, tiny):
    kill_at_random(tmp_path, tiny, "edited", kills=3, seed=int(time.time()))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("nights", ["full", "edited"])
def test_killed_at_many_random_moments_the_last_snapshot_is_whole(tmp_path, tiny, nights):
    kill_at_random(tmp_path, tiny, nights, kills=50, seed=int(time.time()))


def test_two_runs_at_once_do_not_damage_each_other(tmp_path, tiny):
    source, output = tmp_path / "a.txt", tmp_path / "out"
    source.write_text("\n".join(numbered(50)))
    run = command(tiny, source, output, "--layers=-1", "--if_running=wait")
    processes = [subprocess.Popen(run, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert assert_whole(output) == max(p.name for p in (output / "snapshots").iterdir())
    for folder in (output / "snapshots").iterdir():
        assert json.loads((folder / "manifest.json").read_text())["counts"]["documents"] == 700


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_ends_within_seconds_and_cleanly(tmp_path, tiny, number):
    source, output = tmp_path / "a.txt", tmp_path / "out"
    source.write_text("\n".join(numbered(100_000)))
    process = subprocess.Popen(
        command(tiny, source, output, "--layers=-1"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("snapshots/.*/tokens/*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, number)
    asked = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert list((output / "snapshots").iterdir()) == []
    assert not (output / "LATEST").exists()


@pytest.mark.parametrize("full", ["parquet", "manifest.json"])
def test_a_full_disk_is_an_error_and_no_snapshot(embed, tiny, tmp_path, monkeypatch, full):
    from corpusvec.transforms.snapshots import tables
    from corpusvec.transforms.storage import files

    create = files.create
    for module in (files, tables):
        monkeypatch.setattr(
            module,
            "create",
            lambda path: io.FileIO("/dev/full", "wb") if path.endswith(full) else create(path),
        )
    source = tmp_path / "a.txt"
    source.write_text(TEXTS[0])
    outcome = embed(tiny, source)
    assert outcome.code == 1
    assert "cannot be written (No space left on device)" in outcome.err
    assert "--output" in outcome.err
    assert list((outcome.output / "snapshots").iterdir()) == []
