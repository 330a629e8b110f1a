"""Reports of models that cannot be run, or not without one flag more: what can be seen of them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpusvec.pipeline.inspections.models import (
    ModelReport,
    form_of,
    of_signatures,
    size_of,
    vectors_given,
)
from corpusvec.transforms.models.saved_models import asset_tokenizers, choices
from corpusvec.transforms.models.saved_models.choices import adapter_of
from corpusvec.transforms.models.saved_models.signatures import SavedModel
from corpusvec.transforms.models.transformers import configurations, sentence_modules
from corpusvec.transforms.models.transformers.tokenizer_files import describe as describe_tokenizer
from corpusvec.transforms.models.transformers.tokenizer_files import find as find_tokenizer
from corpusvec.transforms.specs import Asked, Signature
from corpusvec.transforms.storage.json_files import read_json


def broken(kind: str | None, path: str, place: str, problem: str) -> ModelReport:
    """A reading that is broken, beside one that is not; `kind` is None for SavedModels."""
    bytes_, files = size_of(path)
    return ModelReport(
        form=form_of(kind, None) if kind else "SavedModel",
        kind=kind,
        place=place,
        path=os.path.abspath(path),
        problem=problem,
        bytes=bytes_,
        files=files,
    )


def undecided(path: str, asked: Asked) -> tuple[bool, Signature | None]:
    """Whether a model that cannot be described is whole, but has no function that can be run, or
    needs a flag that was not given; and the function that would be called.
    """
    try:
        choice = choices.chosen(path, asked)
    except ValueError:
        return not asked.signature, None
    takes_ids = choice.adapter in ("saved_bert", "saved_pieces")
    try:
        if takes_ids:
            asset_tokenizers.find(choice.model, asked)
    except ValueError:
        return not asked.tokenizer, choice.signature
    return False, choice.signature


def of_functions(
    model: SavedModel, place: str, problem: str, chosen: Signature | None
) -> ModelReport:
    """A SavedModel that cannot be run, or not without one flag more."""
    bytes_, files = size_of(model.path)
    kind = adapter_of(chosen) if chosen else None
    layers, outputs = vectors_given(chosen, kind) if chosen and kind else ((), ())
    return ModelReport(
        kind=kind,
        form=form_of(None, model),
        place=place,
        path=os.path.abspath(model.path),
        problem=problem,
        digest=choices.digest(model.path),
        bytes=bytes_,
        files=files,
        parameters=model.parameters,
        layers=layers,
        outputs=outputs,
        signature=chosen.name if chosen else None,
        signatures=of_signatures(model, chosen),
        assets=model.assets,
        tags=model.tags,
    )


def not_implemented(path: str, asked: Asked) -> dict[str, Any] | None:
    """The configuration of a folder that is whole, but asks for what corpusvec does not have."""
    file = Path(path) / "config.json"
    if not file.is_file():
        return None
    values = read_json(file)
    try:
        sentence_modules.read(Path(path))
        configurations.read(values, file)
    except ValueError:
        return values
    tokenizer_file, said = find_tokenizer(Path(asked.tokenizer or path))
    try:
        describe_tokenizer(tokenizer_file, said, values, None, lowercase_first=False)
    except ValueError:
        return None if asked.tokenizer else values
    return None


# What configurations of other architectures call the numbers.
_NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "layer_count": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "longest": ("max_position_embeddings", "n_positions", "n_ctx"),
    "vocabulary_size": ("vocab_size",),
}


def of_configuration(path: str, place: str, values: Mapping[str, Any], problem: str) -> ModelReport:
    """A Hugging Face folder that cannot be run: what its configuration and its weights say."""
    numbers: dict[str, Any] = {
        ours: next((values[name] for name in names if isinstance(values.get(name), int)), None)
        for ours, names in _NAMES.items()
    }
    model_type = values.get("model_type")
    return replace(
        broken("hugging_face", path, place, problem),
        parameters=_parameters(Path(path)),
        architecture=model_type if isinstance(model_type, str) else None,
        **numbers,
    )


def _parameters(folder: Path) -> int | None:
    """The values of all arrays of a folder's safetensors, None where none can be read."""
    from safetensors import SafetensorError, safe_open

    count = 0
    with contextlib.suppress(SafetensorError):
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(str(file), framework="np") as tensors:
                for key in tensors.keys():  # noqa: SIM118 (it is no dictionary)
                    count += math.prod(tensors.get_slice(key).get_shape())
    return count or None
