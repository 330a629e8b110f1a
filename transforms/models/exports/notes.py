"""What an exported model says of itself beside its graph: the asset `corpusvec.json`.

A SavedModel keeps its assets when it is loaded, trained and saved again, so that the model is
tokenized and pooled as its source was, whoever wrote it last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from corpusvec.transforms.specs import ModelSpec, TokenizerSpec, VectorColumn
from corpusvec.transforms.storage.json_files import read_json, whole_number
from corpusvec.transforms.vectors.dense_layers import layer_files, layer_folders

NAME = "corpusvec.json"
_FORMAT = 1
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")  # for other programs


@dataclass(frozen=True, slots=True)
class ExportNotes:
    """The fields of `ModelSpec` of the same names, with files where the assets are now."""

    tokenizer: TokenizerSpec
    max_seq_length: int
    longest: int
    layer_count: int
    separators: int
    segments: bool
    default_columns: tuple[VectorColumn, ...]
    prompts: tuple[tuple[str, str], ...]
    default_prompt: str


def write(spec: ModelSpec) -> dict[str, Any]:
    """What `corpusvec.json` holds: the fields of `ExportNotes`, files by the names of their
    assets.
    """
    assert spec.tokenizer is not None
    tokenizer = asdict(spec.tokenizer)
    for key in ("path", "vocabulary"):
        tokenizer[key] = Path(tokenizer[key]).name
    columns = [
        asdict(replace(column, modules=tuple(Path(step).name for step in column.modules)))
        for column in spec.default_columns
    ]
    return {
        "format": _FORMAT,
        "tokenizer": tokenizer,
        "max_seq_length": spec.max_seq_length,
        "longest": spec.longest,
        "layer_count": spec.layer_count,
        "separators": spec.separators,
        "segments": spec.segments,
        "default_columns": columns,
        "prompts": dict(spec.prompts),
        "default_prompt": spec.default_prompt,
    }


def files(spec: ModelSpec) -> dict[str, Path]:
    """The files to keep as assets, by the names that they have there; the vocabulary's first.

    A layer's folder `2_Dense` becomes `2_Dense.json` and `2_Dense.safetensors` (or `.bin`).
    """
    assert spec.tokenizer is not None
    paths = [Path(path) for path in (spec.tokenizer.path, spec.tokenizer.vocabulary) if path]
    found = {path.name: path for path in paths}
    for name in _BESIDE:
        if (file := paths[0].with_name(name)).is_file():
            found.setdefault(name, file)
    for column in spec.default_columns:
        for step in layer_folders(column.modules):
            found |= {f"{Path(step).name}{f.suffix}": f for f in layer_files(Path(step))}
    return found


def read(assets: Path) -> ExportNotes | None:
    """What the assets of a model say, None where corpusvec did not export it.

    Raises `ValueError` where the notes cannot be read, or an asset that they name is missing.
    """
    file = assets / NAME
    if not file.is_file():
        return None
    values = read_json(file)
    if values.pop("format", None) != _FORMAT:
        raise ValueError(f"{file}: is of a newer corpusvec; export the model again, or update")
    for key in ("max_seq_length", "longest", "layer_count"):
        whole_number(values, key, file)
    try:
        told = values.pop("tokenizer")
        tokenizer = TokenizerSpec(**told | {"named": tuple(told.get("named", ()))})
        columns = tuple(map(_column, values.pop("default_columns")))
        prompts = tuple(sorted(values.pop("prompts").items()))
        notes = ExportNotes(tokenizer=tokenizer, default_columns=columns, prompts=prompts, **values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: does not say what an export needs ({error})") from error
    return replace(
        notes,
        tokenizer=replace(
            tokenizer,
            path=_asset(assets, tokenizer.path),
            vocabulary=tokenizer.vocabulary and _asset(assets, tokenizer.vocabulary),
        ),
        default_columns=tuple(
            replace(column, modules=tuple(_step(assets, step) for step in column.modules))
            for column in columns
        ),
    )


def _column(values: Mapping[str, Any]) -> VectorColumn:
    lists = {key: tuple(values[key]) for key in ("layers", "modules")}
    return VectorColumn(**{**values, **lists})


def _step(assets: Path, step: str) -> str:
    """The folder of a layer that its two assets would be in."""
    if not layer_folders([step]):
        return step
    for file in layer_files(assets / step):
        _asset(assets, file.name)
    return str(assets / step)


def _asset(assets: Path, name: str) -> str:
    """Raises `ValueError` where there is none of that name, or it would be outside."""
    file = assets / name
    if Path(name).name != name or not file.is_file():
        raise ValueError(f"{assets / NAME}: names the asset {name!r}, which is not there")
    return str(file)


def dump(spec: ModelSpec, file: Path) -> None:
    """Write `corpusvec.json`, the same bytes for the same model."""
    text = json.dumps(write(spec), ensure_ascii=False, indent=1, sort_keys=True)
    file.write_text(f"{text}\n", "utf-8")
