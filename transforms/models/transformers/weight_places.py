"""Where the weights of a Hugging Face folder are: in one file or in shards, of safetensors or of
PyTorch.

Source: transformers 5.23, modeling_utils.py, _get_resolved_checkpoint_files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.storage.json_files import read_json, setting

SAFE, TORCH = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"  # what follows the name of a file whose weights are in shards


def find(folder: Path, values: Mapping[str, Any]) -> list[Path]:
    """The file that the configuration names, else the single file, else the shards; those of
    PyTorch where there are no others.

    Raises `ValueError` where one is missing.
    """
    named = setting(values, "transformers_weights", str, folder / "config.json")
    if named is not None:
        if Path(named).name != named or not named.removesuffix(_INDEX).endswith(".safetensors"):
            raise ValueError(
                f"{folder / 'config.json'}: transformers_weights is {named!r}, which is no"
                " safetensors file of the folder"
            )
        names = [named]
    else:
        names = [f"{name}{index}" for name in (SAFE, TORCH) for index in ("", _INDEX)]
    there = next((name for name in names if (folder / name).is_file()), names[0])
    files = _shards(folder / there) if there.endswith(_INDEX) else [folder / there]
    for file in files:
        if not file.is_file():
            raise ValueError(f"--model={folder}: has no {file.name}")
    return files


def _shards(index: Path) -> list[Path]:
    if not index.is_file():
        return [index]
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index}: has no weight_map, which says where each weight is")
    for key, name in names.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(
                f"{index}: weight_map: {key} must be the name of a file of the folder, got {name!r}"
            )
    return [index.with_name(name) for name in sorted(set(names.values()))]
