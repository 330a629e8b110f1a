"""What a sentence-transformers model says of its sentence vector: its modules, their settings, its
prompts.

Every setting of these files is applied, or known to change no vector of `encode`, or refused by
file and name. Source: sentence-transformers 6.2, base/ and sentence_transformer/.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers import routers, transformer_settings
from corpusvec.transforms.models.transformers.routers import Route
from corpusvec.transforms.models.transformers.transformer_settings import TransformerSettings
from corpusvec.transforms.specs import VectorColumn
from corpusvec.transforms.storage.json_files import no_others, read_json, setting, whole_number
from corpusvec.transforms.vectors.dense_layers import (
    DIMENSION,
    NORMALIZE,
    TRUNCATE,
    layer_files,
    width_after,
)

_LISTING = "modules.json"
_ABOUT = "config_sentence_transformers.json"

_FIRST = ("Transformer", "Pooling", "StaticEmbedding", "Router")
_NAMES = (*_FIRST, "Dense", "LayerNorm", "Normalize", "Dropout")
# Full names of the classes that are implemented, with ours. `models` is where older versions had
# them, as a class and as a module of the class's name; a Router was called Asym there.
_CLASSES: Mapping[str, str] = {
    f"sentence_transformers.{home.format(name, re.sub('(?<=[a-z])(?=[A-Z])', '_', name).lower())}"
    f".{name}": {"Asym": "Router"}.get(name, name)
    for name in (*_NAMES, "Asym")
    for home in (
        "models",
        "models.{0}",
        "base.modules",
        "base.modules.{1}",
        "sentence_transformer.modules",
        "sentence_transformer.modules.{1}",
        "sparse_encoder.models",
        "cross_encoder.modules",
    )
}

# Newer files name the modes, and their vectors stand in the order of the names.
_MODES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "weighted_mean",
    "lasttoken": "sep",  # the last token that is not padding
}
# Older ones have a switch for each, and their vectors stand in this order.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_WIDTHS = ("embedding_dimension", "word_embedding_dimension")  # the newer name and the older


# What comes first: where the vector of a text is from.
_TRANSFORMER, _STATIC = ["Transformer", "Pooling"], ["StaticEmbedding"]
_LAYERS = ("Dense", "LayerNorm")


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """A model's modules. `transformer` is the folder of the first, `steps` follow the pooling, see
    `dense_layers`; `limit_of` is the file and the setting that say `max_seq_length`. Static
    embeddings say their width with their weights alone.
    """

    transformer: Path
    poolings: tuple[str, ...]
    include_prompt: bool
    pooled_width: int | None
    steps: tuple[str, ...]
    max_seq_length: int | None
    limit_of: str
    lowercase: bool
    dtype: str | None
    prompts: tuple[tuple[str, str], ...]
    default_prompt: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def columns(self, config: Transformer) -> tuple[VectorColumn, ...]:
        """The one column of the model. Raises `ValueError` where the widths do not fit."""
        if self.pooled_width != config.hidden_size:
            raise ValueError(
                f"{self.transformer}: Pooling is for {self.pooled_width} dimensions, the model has"
                f" {config.hidden_size}"
            )
        return (self.column(config.hidden_size, config.layer_count),)

    def column(self, width: int, layer: int) -> VectorColumn:
        """Of a layer of so many dimensions. Raises `ValueError` where the widths do not fit."""
        width_after(self.steps, width * len(self.poolings))
        return VectorColumn(
            name="vector",
            pooling="+".join(self.poolings),
            layers=(layer,),
            modules=self.steps,
            skip_prompt=not self.include_prompt,
        )


@dataclass(frozen=True, slots=True)
class _Pooling:
    """What the Pooling says; as it stands, what static embeddings do."""

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    width: int | None = None
    file: Path | None = None

    @classmethod
    def read(cls, file: Path) -> _Pooling:
        values = read_json(file)
        no_others(values, (*_WIDTHS, *_SWITCHES, "pooling_mode", "include_prompt"), file)
        width = next((key for key in _WIDTHS if key in values), _WIDTHS[0])
        # Null is false, where no word is true.
        includes = setting(values, "include_prompt", bool, file) or "include_prompt" not in values
        return cls(_poolings(file, values), bool(includes), whole_number(values, width, file), file)


@dataclass(frozen=True, slots=True)
class _About:
    """What `config_sentence_transformers.json` says."""

    prompts: tuple[tuple[str, str], ...] = ()
    default_prompt: str = ""
    dimensions: int | None = None


def read(folder: Path) -> SentenceModules | None:
    """The modules of a folder; None where it is no model of sentence-transformers.

    Raises `ValueError` where a module or a setting is not implemented, or files are missing.
    """
    listing, about_file = folder / _LISTING, folder / _ABOUT
    if not listing.is_file():
        _check_whole(folder)
        return None
    modules, routes = _routed(listing)
    first = _first([name for name, _ in modules], listing)
    rest = modules[len(first) :]
    settings, pooling = TransformerSettings(), _Pooling()
    if first == _TRANSFORMER:
        settings = transformer_settings.read(modules[0][1])
        pooling = _Pooling.read(modules[1][1] / "config.json")
    about = _about(about_file) if about_file.is_file() else _About()
    steps = [step for name, path in rest for step in _steps(name, path)]
    steps += [f"{TRUNCATE}{about.dimensions}"] if about.dimensions else []
    beside = [pooling.file, settings.file, about_file, *(route.file for route in routes)]
    return SentenceModules(
        transformer=modules[0][1],
        poolings=pooling.modes,
        include_prompt=pooling.include_prompt,
        pooled_width=pooling.width,
        steps=tuple(steps),
        max_seq_length=settings.max_seq_length,
        limit_of=f"{settings.file}: {settings.limit_key}",
        lowercase=settings.lowercase,
        dtype=settings.dtype,
        prompts=about.prompts,
        default_prompt=about.default_prompt,
        files=_files(folder, beside, rest),
        notes=tuple(route.note for route in routes if route.note),
    )


def _first(names: list[str], listing: Path) -> list[str]:
    """What a model begins with. Raises `ValueError` where it, or what follows, is another."""
    first = _STATIC if names[:1] == _STATIC else _TRANSFORMER
    if names[: len(first)] != first or set(_FIRST) & set(names[len(first) :]):
        raise ValueError(
            f"{listing}: has {', '.join(names)}; implemented are Transformer and Pooling, or"
            " StaticEmbedding, then Dense, LayerNorm and Normalize"
        )
    return first


def prompts(modules: SentenceModules | None) -> dict[str, Any]:
    """What a `ModelSpec` says of them."""
    if modules is None:
        return {}
    return {"prompts": modules.prompts, "default_prompt": modules.default_prompt}


def is_static(folder: Path) -> bool:
    """Whether a folder holds static embeddings: by its modules, else by what model2vec says."""
    listing, config = folder / _LISTING, folder / "config.json"
    with contextlib.suppress(ValueError):  # it is said where the folder is read
        if listing.is_file():
            return [name for name, _ in _routed(listing)[0]][:1] == _STATIC
        return is_model2vec(config)
    return False


def is_model2vec(config: Path) -> bool:
    """Whether a configuration is model2vec's, which names no type where a table was saved that
    was not distilled.
    """
    said = read_json(config) if config.is_file() else {}
    return said.get("model_type", "model2vec" if "embedding_dtype" in said else None) == "model2vec"


def _routed(listing: Path) -> tuple[list[tuple[str, Path]], list[Route]]:
    """Names and folders of the modules that a text goes through, and the routes that it takes."""
    found: list[tuple[str, Path]] = []
    routes = []
    for name, path in _listed(listing):
        if name != "Router":
            found.append((name, listing.parent / path))
            continue
        route = routers.read(listing.parent / path)
        found += [(_class(kind, route.file), place) for kind, place in route.modules]
        routes.append(route)
    return found, routes


def _check_whole(folder: Path) -> None:
    """Raises `ValueError` where files of sentence-transformers lie in a folder without a list of
    modules: what the model's vectors are is not known then.
    """
    left = [folder / _ABOUT, folder / "1_Pooling", *sorted(folder.glob("sentence_*_config.json"))]
    for file in left:
        if file.exists():
            raise ValueError(
                f"{file}: belongs to a model of sentence-transformers, but there is no {_LISTING}"
                f" beside it; copy all files of the model, or remove {file.name} to use the"
                " transformer alone"
            )


def _steps(name: str, path: Path) -> list[str]:
    """What a module after the pooling does, as steps of `dense_layers`."""
    file = path / "config.json"
    if name in _LAYERS:
        _check_kind(name, layer_files(path)[0])
        return [str(path)]
    if name == "Dropout":  # acts in training only
        return []
    config = read_json(file) if file.is_file() else {}
    keys = ("module_input_name", "module_output_name")
    no_others(config, keys, file)
    for key in keys:
        if config.get(key) not in (None, "sentence_embedding"):
            raise ValueError(
                f"{file}: {key} is {config[key]!r}; only sentence_embedding is implemented"
            )
    return [NORMALIZE]


def _check_kind(name: str, file: Path) -> None:
    """Raises `ValueError` where a layer's configuration is that of the other kind."""
    if file.is_file() and (DIMENSION in read_json(file)) != (name == "LayerNorm"):
        raise ValueError(f"{file}: is not the configuration of a {name}")


def _files(
    folder: Path, settings: list[Path | None], modules: list[tuple[str, Path]]
) -> tuple[Path, ...]:
    """All that matter. Raises `ValueError` where one of a layer is missing."""
    files = [folder / _LISTING, *(file for file in settings if file and file.is_file())]
    for name, path in modules:
        if name in _LAYERS:
            files += layer_files(path)
        elif name == "Normalize" and (path / "config.json").is_file():
            files.append(path / "config.json")
    for file in files:
        if not file.is_file():
            raise ValueError(
                f"{folder}: {_LISTING} asks for {file.relative_to(folder)}, which is missing"
            )
    return tuple(files)


def _about(file: Path) -> _About:
    values = read_json(file)
    without_effect = ("__version__", "similarity_fn_name", "requirements")
    known = ("model_type", "prompts", "default_prompt_name", "truncate_dim", *without_effect)
    no_others(values, known, file)
    if (kind := values.get("model_type", "SentenceTransformer")) != "SentenceTransformer":
        raise ValueError(f"{file}: model_type is {kind!r}; only SentenceTransformer is implemented")
    said = setting(values, "prompts", dict, file) or {}
    for name, prompt in said.items():
        if not isinstance(prompt, str | None):
            raise ValueError(f"{file}: prompts: {name!r} must be a text or null, got {prompt!r}")
    # Every model has these two names, and null is no prompt.
    prompts = {"query": "", "document": ""} | {name: text or "" for name, text in said.items()}
    default = setting(values, "default_prompt_name", str, file)
    if default is not None and default not in prompts:
        raise ValueError(f"{file}: default_prompt_name {default!r} is none of its prompts")
    dimensions = values.get("truncate_dim")
    return _About(
        prompts=tuple(sorted((name, text) for name, text in prompts.items() if name in said)),
        default_prompt=prompts[default] if default is not None else "",
        dimensions=None if dimensions is None else whole_number(values, "truncate_dim", file),
    )


def _listed(listing: Path) -> list[tuple[str, str]]:
    """Class and folder of each module, in the order in which they run: that of the file."""
    try:
        modules = json.loads(listing.read_text("utf-8"))
        listed = [(module["type"], module["path"]) for module in modules]
        names = [module["name"] for module in modules if "name" in module]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{listing}: is not a list of modules ({error!r})") from error
    for module, (kind, path) in zip(modules, listed):
        no_others(module, ("idx", "name", "path", "type", "kwargs"), listing)
        for key, value in (("type", kind), ("path", path)):
            if not isinstance(value, str):
                raise ValueError(f"{listing}: {key} must be a text, got {value!r}")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{listing}: path {path!r} leads out of the model's folder")
    if len(set(map(str, names))) < len(names):
        raise ValueError(f"{listing}: two modules have the same name; one would replace the other")
    return [(_class(kind, listing), path) for kind, path in listed]


def _class(kind: str, file: Path) -> str:
    """Our name of a class. Raises `ValueError` where it is not implemented."""
    if kind not in _CLASSES:
        raise ValueError(
            f"{file}: the class {kind} is not implemented; implemented are {', '.join(_NAMES)} of"
            " sentence_transformers"
        )
    return _CLASSES[kind]


def _poolings(file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Our names of the poolings, in the order in which their vectors stand."""
    said = config.get("pooling_mode")
    if said is not None:
        modes = said if isinstance(said, list) else [said]
    else:
        modes = [mode for key, mode in _SWITCHES.items() if setting(config, key, bool, file)]
        modes = modes or ["mean"]
    if not modes or not all(isinstance(mode, str) and mode in _MODES for mode in modes):
        raise ValueError(
            f"{file}: pooling_mode is {said!r}; implemented are {', '.join(_MODES)}, and lists of"
            " these"
        )
    return tuple(_MODES[mode] for mode in modes)
