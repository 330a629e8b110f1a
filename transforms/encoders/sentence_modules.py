"""What a sentence-transformers model says of its sentence vector: pooling, dense layers,
normalization, prompts.

Source: sentence_transformers/models, Pooling, Dense and Normalize.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.folders import read_json, setting, whole_number
from transforms.specs import BertConfig, VectorColumn

NORMALIZE = "normalize"

# In the order in which their vectors stand when a model asks for several.
_MODES = {
    "cls_token": "cls",
    "max_tokens": "max",
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean_tokens": "weighted_mean",
    "lasttoken": "sep",  # the last token that is not padding
}
_SHORT_MODES = {mode.removesuffix("_tokens").removesuffix("_token"): mode for mode in _MODES}

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
    "GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
}


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """A model's modules. `steps` follow the pooling: `NORMALIZE` or the folder of a dense layer."""

    transformer: Path
    poolings: tuple[str, ...]
    include_prompt: bool
    pooled_width: int
    steps: tuple[str, ...]
    max_seq_length: int | None
    lowercase: bool
    prompts: tuple[tuple[str, str], ...]
    default_prompt: str
    files: tuple[Path, ...]

    def columns(self, config: BertConfig) -> tuple[VectorColumn, ...]:
        """The one column of the model. Raises `ValueError` where the widths do not fit."""
        if self.pooled_width != config.hidden_size:
            raise ValueError(
                f"{self.transformer}: Pooling is for {self.pooled_width} dimensions, the model has"
                f" {config.hidden_size}"
            )
        width = config.hidden_size * len(self.poolings)
        for step in self.steps:
            if step != NORMALIZE:
                kernel, _, _ = read_dense(Path(step))
                if kernel.shape[1] != width:
                    raise ValueError(f"{step}: is for {kernel.shape[1]} dimensions, gets {width}")
                width = kernel.shape[0]
        return (
            VectorColumn(
                name="vector",
                pooling="+".join(self.poolings),
                layers=(config.layer_count,),
                modules=self.steps,
                skip_prompt=not self.include_prompt,
            ),
        )


def read(folder: Path) -> SentenceModules | None:
    """The modules of a folder; None where it has no `modules.json`.

    Raises `ValueError` where a module is not one that is implemented, or its files are not there.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        return None
    kinds = [(kind, folder / path) for kind, path in _listed(listing)]
    names = [kind for kind, _ in kinds]
    if names[:2] != ["Transformer", "Pooling"] or set(names[2:]) - {"Dense", "Normalize"}:
        raise ValueError(
            f"{listing}: has {', '.join(names)}; implemented are Transformer, Pooling, then Dense"
            " and Normalize"
        )
    transformer = kinds[0][1]
    settings_file = _settings_file(transformer)
    settings = read_json(settings_file) if settings_file else {}
    pooling_file = kinds[1][1] / "config.json"
    pooling = read_json(pooling_file)
    about_file = folder / "config_sentence_transformers.json"
    prompts, default_prompt = _prompts(about_file) if about_file.is_file() else ({}, "")
    include_prompt = setting(pooling, "include_prompt", bool, pooling_file)
    limit = settings.get("max_seq_length")
    source = settings_file or listing
    return SentenceModules(
        transformer=transformer,
        poolings=_poolings(pooling_file, pooling),
        include_prompt=include_prompt is not False,
        pooled_width=whole_number(pooling, _width_key(pooling), pooling_file),
        steps=tuple(NORMALIZE if kind == "Normalize" else str(path) for kind, path in kinds[2:]),
        max_seq_length=limit and whole_number(settings, "max_seq_length", source),
        lowercase=bool(setting(settings, "do_lower_case", bool, source)),
        prompts=tuple(sorted(prompts.items())),
        default_prompt=default_prompt,
        files=_files(folder, [pooling_file, settings_file, about_file], kinds),
    )


def _files(
    folder: Path, settings: list[Path | None], kinds: list[tuple[str, Path]]
) -> tuple[Path, ...]:
    """All that matter. Raises `ValueError` where one of a dense layer is missing."""
    files = [folder / "modules.json", *(file for file in settings if file and file.is_file())]
    for kind, path in kinds[2:]:
        if kind == "Dense":
            files += [path / "config.json", path / "model.safetensors"]
    for file in files:
        if not file.is_file():
            hint = ""
            if file.with_name("pytorch_model.bin").is_file():
                hint = "; pytorch_model.bin is not read, save the model as safetensors"
            raise ValueError(
                f"{folder}: modules.json asks for {file.relative_to(folder)}, which is missing"
                f"{hint}"
            )
    return tuple(files)


def _prompts(file: Path) -> tuple[dict[str, str], str]:
    """Prompts by name, and the one that stands before every text."""
    about = read_json(file)
    prompts = setting(about, "prompts", dict, file) or {}
    for name, prompt in prompts.items():
        if not isinstance(prompt, str):
            raise ValueError(f"{file}: prompts: {name!r} is {prompt!r}, a text was looked for")
    default = setting(about, "default_prompt_name", str, file)
    if default and default not in prompts:
        raise ValueError(f"{file}: default_prompt_name {default!r} is none of its prompts")
    return prompts, prompts[default] if default else ""


def _settings_file(transformer: Path) -> Path | None:
    """The Transformer module's own file; older models name it after their architecture."""
    for name in ("bert", "roberta", "xlm-roberta"):
        if (file := transformer / f"sentence_{name}_config.json").is_file():
            return file
    return None


def _width_key(pooling: Mapping[str, Any]) -> str:
    """Newer files have another name for it."""
    new, old = "embedding_dimension", "word_embedding_dimension"
    return new if new in pooling and old not in pooling else old


def _listed(listing: Path) -> list[tuple[str, str]]:
    """Class name and folder of each module, in order."""
    try:
        modules = json.loads(listing.read_text("utf-8"))
        modules = sorted(modules, key=lambda module: module["idx"])
        listed = [(module["type"], module["path"]) for module in modules]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{listing}: is not a list of modules ({error!r})") from error
    for key, values in zip(("type", "path"), zip(*listed)):
        for value in values:
            if not isinstance(value, str):
                raise ValueError(f"{listing}: {key} is {value!r}, a text was looked for")
    return [(kind.rsplit(".", 1)[-1], path) for kind, path in listed]


def _poolings(file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    if "pooling_mode" in config:  # newer files name the modes
        said = config["pooling_mode"]
        named: list[Any] = said if isinstance(said, list) else [said]
        if not all(isinstance(mode, str) for mode in named):
            raise ValueError(f"{file}: pooling_mode is {said!r}, names were looked for")
        modes = {str(_SHORT_MODES.get(mode, mode)) for mode in named}
    else:
        flags = {"pooling_mode_mean_tokens": True} | dict(config)
        prefix = "pooling_mode_"
        modes = {
            key.removeprefix(prefix)
            for key in flags
            if key.startswith(prefix) and setting(flags, key, bool, file)
        }
    if not modes or modes - set(_MODES):
        raise ValueError(f"{file}: pooling {sorted(modes)} is none of {', '.join(_MODES)}")
    return tuple(ours for mode, ours in _MODES.items() if mode in modes)


def dense_files(folder: Path) -> tuple[Path, Path]:
    """Configuration and weights of a dense layer: in its folder, or beside where that would be, as
    among the assets of an export, which has no folders.
    """
    if folder.is_dir():
        return folder / "config.json", folder / "model.safetensors"
    return folder.with_name(f"{folder.name}.json"), folder.with_name(f"{folder.name}.safetensors")


def read_dense(folder: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """A dense layer -> kernel [out, in] and bias [out], float32; the name of its activation."""
    import ml_dtypes  # noqa: F401  (tells NumPy what bfloat16 is)
    from safetensors import SafetensorError, safe_open

    config_file, weights_file = dense_files(folder)
    config = read_json(config_file)
    activation = str(config.get("activation_function", "")).rsplit(".", 1)[-1]
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{folder}: activation_function {activation!r} is none of {', '.join(_ACTIVATIONS)}"
        )
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") != "sentence_embedding":
            raise ValueError(
                f"{folder}: {key} is {config[key]!r}; implemented is sentence_embedding"
            )
    try:
        with safe_open(str(weights_file), framework="np") as tensors:
            kernel = tensors.get_tensor("linear.weight").astype(np.float32)
            bias = np.zeros(len(kernel), np.float32)
            if config.get("bias", True):
                bias = tensors.get_tensor("linear.bias").astype(np.float32)
    except SafetensorError as error:
        raise ValueError(f"{weights_file}: has no dense layer ({error})") from error
    expected = (config.get("out_features"), config.get("in_features"))
    if kernel.shape != expected or bias.shape != expected[:1]:
        raise ValueError(
            f"{weights_file}: linear.weight has the shape {list(kernel.shape)},"
            f" {config_file.name} says {list(expected)}"
        )
    return kernel, bias, activation


def load_steps(steps: tuple[str, ...]) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Functions [D] float32 -> [D'] float32 to apply in order to a pooled vector."""
    return [normalized if step == NORMALIZE else _dense(Path(step)) for step in steps]


def _dense(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    kernel, bias, activation = read_dense(folder)
    function = _ACTIVATIONS[activation]
    return lambda vector: function(kernel @ vector + bias).astype(np.float32)


def normalized(vector: np.ndarray) -> np.ndarray:
    """[D] float32 of length 1; zero stays zero."""
    length = np.linalg.norm(vector.astype(np.float64))
    return (vector / length).astype(np.float32) if length > 0 else vector
