"""Weights are the same from one file or from shards, of safetensors or of PyTorch."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.transformers import hugging_face, weight_places
from tests.models import hugging_face_folder
from tests.torch_writer import write


@pytest.fixture
def folder(tmp_path):
    return hugging_face_folder(tmp_path / "model")


def in_shards(folder, save, name, ending, count=3):
    """The weights in so many files and their index."""
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"{name}-{n + 1:05}-of-{count:05}.{ending}" for n in range(count)]
    where = {key: names[n % count] for n, key in enumerate(arrays)}
    for shard in names:
        save(folder / shard, {key: arrays[key] for key in arrays if where[key] == shard})
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / f"{name}.{ending}.index.json").write_text(json.dumps(index))


def as_torch(folder):
    write(folder / "pytorch_model.bin", load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()


FORMS = {
    "safetensors in shards": lambda f: in_shards(
        f, lambda file, arrays: save_file(arrays, file), "model", "safetensors"
    ),
    "PyTorch": as_torch,
    "PyTorch in shards": lambda f: in_shards(f, write, "pytorch_model", "bin"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_arrays_are_the_same_in_any_form(form, folder):
    whole = dict(hugging_face.read_arrays(describe_model(str(folder)), pooler=True))
    form(folder)
    found = hugging_face.read_arrays(describe_model(str(folder)), pooler=True)
    assert set(found) == set(whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array)


def test_safetensors_come_before_files_of_pytorch(folder):
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    assert [file.name for file in weight_places.find(folder, {})] == ["model.safetensors"]
    in_shards(folder, lambda file, arrays: save_file(arrays, file), "model", "safetensors")
    assert len(weight_places.find(folder, {})) == 3


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", 3])
def test_shards_are_files_of_the_folder(name, folder):
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    said = f"weight_map: a must be the name of a file of the folder, got {name!r}"
    with pytest.raises(ValueError, match=re.escape(said)):
        describe_model(str(folder))


def test_a_shard_that_is_missing_is_named(folder):
    in_shards(folder, write, "pytorch_model", "bin")
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(ValueError, match=r": has no pytorch_model-00002-of-00003\.bin$"):
        describe_model(str(folder))


def test_weights_of_pytorch_that_name_a_program_are_refused(folder):
    as_torch(folder)
    data = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(
        data.replace(b"_rebuild_tensor_v2", b"_rebuild_anything_")
    )
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: .*"):
        describe_model(str(folder))
