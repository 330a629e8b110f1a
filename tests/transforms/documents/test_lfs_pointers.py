"""A Git LFS pointer is called one, wherever a file should be."""

import re
import shutil
from pathlib import Path

import pytest

from corpusvec.transforms.models.exports.word_vectors import spool
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.sources import archives
from corpusvec.transforms.specs import Asked
from corpusvec.transforms.storage.lfs_pointers import POINTER
from tests.model_zoo import made
from tests.models import checkpoint_folder, hugging_face_folder

TEXT = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)
MODULES = ("pooling", "dense", "normalize")
FOLDERS = {
    "tokenizer.json": lambda place: hugging_face_folder(place, modules=MODULES, prompts={}),
    "vocab.txt": lambda place: hugging_face_folder(place, tokenizer="vocab.txt"),
    "XLM-R": lambda place: hugging_face_folder(place, tokenizer="xlmr", model_type="xlm-roberta"),
    "checkpoint": checkpoint_folder,
    "bert-japanese": lambda place: checkpoint_folder(
        place, tokenizer="sentencepiece", config="config.ini"
    ),
}
# Nothing reads these, or they may be anything.
UNREAD = ("special_tokens_map.json", "checkpoint", "README.md")


def files_of(kind, place):
    folder = FOLDERS[kind](place)
    return [str(f.relative_to(folder)) for f in sorted(Path(folder).rglob("*")) if f.is_file()]


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_of_a_model(kind, tmp_path):
    for n, name in enumerate(files_of(kind, tmp_path / "whole")):
        if Path(name).name in UNREAD or name.endswith(".meta"):
            continue
        folder = Path(FOLDERS[kind](tmp_path / str(n)))
        (folder / name).write_text(TEXT)
        with pytest.raises(ValueError, match=POINTER) as error:
            describe_model(str(folder))
        assert str(error.value) == f"{folder / name}: {POINTER}"


def test_every_file_of_a_saved_model(tmp_path):
    files = [file for file in sorted(made("bert").rglob("*")) if file.is_file()]
    for n, file in enumerate(files):
        name = file.relative_to(made("bert"))
        if name.name == "fingerprint.pb":  # TensorFlow's own, which nobody reads
            continue
        folder = Path(shutil.copytree(made("bert"), tmp_path / str(n)))
        (folder / name).write_text(TEXT)
        with pytest.raises(ValueError, match=re.escape(f"{folder / name}: {POINTER}")):
            describe_model(str(folder))


def test_tokenizer_that_is_named(tmp_path):
    folder = hugging_face_folder(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    file = tmp_path / "tokenizer.json"
    file.write_text(TEXT)
    with pytest.raises(ValueError, match=POINTER):
        describe_model(str(folder), Asked(tokenizer=str(file)))


def test_pointer_that_nobody_reads_is_not_blamed(tmp_path):
    """As beside weights that were fetched alone: git lfs pull --include=model.safetensors."""
    folder = hugging_face_folder(tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_text(TEXT)
    (folder / "tf_model.h5").write_text(TEXT)
    assert describe_model(str(folder)).kind == "hugging_face"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.txt.gz", "a.jsonl.zst"])
def test_input(name, tiny, embed, tmp_path):
    (tmp_path / name).write_text(TEXT)
    outcome = embed(tiny, tmp_path / name)
    assert outcome.code == 2
    assert f"{name}: {POINTER}" in outcome.err
    assert not (outcome.output / "LATEST").exists()


def test_text_about_pointers_is_no_pointer(tiny, embed, tmp_path):
    (tmp_path / "a.txt").write_text(TEXT + "And so on.\n" * 100)
    assert embed(tiny, tmp_path / "a.txt").code == 0


def test_archive_and_word_vectors(tmp_path):
    file = tmp_path / "model.tar.gz"
    file.write_text(TEXT)
    with pytest.raises(ValueError, match=POINTER):
        archives.unpack(str(file), str(tmp_path))
    with pytest.raises(ValueError, match=POINTER):
        spool(file, tmp_path / "words", tmp_path / "table")
