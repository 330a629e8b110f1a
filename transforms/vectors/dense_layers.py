"""What a sentence-transformers model does with a pooled vector: dense layers, layer norms,
normalization, a cut to its first dimensions.

A step is `NORMALIZE`, `TRUNCATE` and a number, or the folder of a dense layer or a layer norm: the
configuration of the latter says `dimension`.
Source: sentence_transformers/base/modules, dense.py and normalize.py; sentence_transformer/modules,
layer_norm.py; `truncate_embeddings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpusvec.transforms.storage.json_files import no_others, read_json, setting, whole_number
from corpusvec.transforms.storage.safetensors_files import read_arrays

NORMALIZE = "normalize"
TRUNCATE = "truncate:"

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
    "GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
}
# Where PyTorch has these classes.
_HOMES = ("torch.nn", "torch.nn.modules", "torch.nn.modules.activation", "torch.nn.modules.linear")
_KEYS = (
    "in_features",
    "out_features",
    "bias",
    "activation_function",
    "module_input_name",
    "module_output_name",
    "use_residual",
)
DIMENSION = "dimension"  # the one key of a layer norm
_EPSILON = 1e-5  # of PyTorch's LayerNorm


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """[N, D] -> [N, D']: `activation` of `kernel` [D', D] and `bias` [D'], all float32.

    With `adds_input` the input is added to that, through `residual` [D', D] where there is one.
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: str
    adds_input: bool = False
    residual: np.ndarray | None = None

    @property
    def inputs(self) -> int:
        return self.kernel.shape[1]

    @property
    def outputs(self) -> int:
        return self.kernel.shape[0]

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        made = _ACTIVATIONS[self.activation](vectors @ self.kernel.T + self.bias)
        if self.adds_input:
            made = made + (vectors if self.residual is None else vectors @ self.residual.T)
        return made.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm:
    """[N, D] -> [N, D]: each vector less its mean, by its standard deviation, times `gamma` [D] and
    with `beta` [D] added, all float32.
    """

    gamma: np.ndarray
    beta: np.ndarray
    epsilon: float = _EPSILON

    @property
    def inputs(self) -> int:
        return len(self.gamma)

    outputs = inputs

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        wide = vectors.astype(np.float64)
        from_mean = wide - wide.mean(axis=1, keepdims=True)
        size = np.sqrt((from_mean**2).mean(axis=1, keepdims=True) + self.epsilon)
        return (from_mean / size * self.gamma + self.beta).astype(np.float32)


def layer_folders(steps: Iterable[str]) -> list[str]:
    """Those of the steps that are dense layers or layer norms."""
    return [step for step in steps if step != NORMALIZE and not step.startswith(TRUNCATE)]


def dimensions(step: str) -> int | None:
    """How many first dimensions a step keeps; None where it is another step."""
    return int(step.removeprefix(TRUNCATE)) if step.startswith(TRUNCATE) else None


def layer_files(folder: Path) -> tuple[Path, Path]:
    """Configuration and weights of a layer: in its folder, or beside where that would be, as
    among the assets of an export, which has no folders. Older weights are in a file of PyTorch's.
    """
    beside = folder / "config.json", folder / "model.safetensors", folder / "pytorch_model.bin"
    if not folder.is_dir():
        endings = (".json", ".safetensors", ".bin")
        beside = tuple(folder.with_name(f"{folder.name}{ending}") for ending in endings)  # type: ignore[assignment]
    config, weights, older = beside
    return config, older if older.is_file() and not weights.is_file() else weights


def read_layer(folder: Path) -> Dense | LayerNorm:
    """Raises `ValueError` where a setting is not implemented, or the arrays do not fit it."""
    files = layer_files(folder)
    config = read_json(files[0])
    return (_read_norm if DIMENSION in config else _read_dense)(config, *files)


def _read_norm(config: Mapping[str, Any], config_file: Path, weights_file: Path) -> LayerNorm:
    no_others(config, (DIMENSION,), config_file)
    shape = (whole_number(config, DIMENSION, config_file),)
    shapes = {"norm.weight": shape, "norm.bias": shape}
    arrays = _arrays(shapes, config_file, weights_file)
    return LayerNorm(gamma=arrays["norm.weight"], beta=arrays["norm.bias"])


def _read_dense(config: Mapping[str, Any], config_file: Path, weights_file: Path) -> Dense:
    no_others(config, _KEYS, config_file)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ValueError(
                f"{config_file}: {key} is {config[key]!r}; only sentence_embedding is implemented"
            )
    inputs = whole_number(config, "in_features", config_file)
    outputs = whole_number(config, "out_features", config_file)
    adds_input = bool(setting(config, "use_residual", bool, config_file))
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (outputs, inputs)}
    if setting(config, "bias", bool, config_file) is not False:
        shapes["linear.bias"] = (outputs,)
    if adds_input and inputs != outputs:
        shapes["residual.weight"] = (outputs, inputs)
    activation = _activation(config.get("activation_function", "torch.nn.Tanh"), config_file)
    arrays = _arrays(shapes, config_file, weights_file)
    return Dense(
        kernel=arrays["linear.weight"],
        bias=arrays.get("linear.bias", np.zeros(outputs, np.float32)),
        activation=activation,
        adds_input=adds_input,
        residual=arrays.get("residual.weight"),
    )


def _arrays(
    shapes: Mapping[str, tuple[int, ...]], config_file: Path, weights_file: Path
) -> dict[str, np.ndarray]:
    arrays = read_arrays(weights_file, shapes)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"{weights_file}: {name} has the shape {list(arrays[name].shape)},"
                f" {config_file.name} says {list(shape)}"
            )
    return arrays


def _activation(name: object, file: Path) -> str:
    home, _, activation = str(name).rpartition(".")
    if home not in _HOMES or activation not in _ACTIVATIONS:
        known = ", ".join(f"torch.nn.{ours}" for ours in _ACTIVATIONS)
        raise ValueError(f"{file}: activation_function is {name!r}; implemented are {known}")
    return activation


def width_after(steps: Iterable[str], width: int) -> int:
    """Dimensions of a vector of `width` after the steps. Raises `ValueError` where a layer is for
    another width.
    """
    for step in steps:
        if step == NORMALIZE:
            continue
        if (first := dimensions(step)) is not None:
            width = min(width, first)
            continue
        layer = read_layer(Path(step))
        if layer.inputs != width:
            raise ValueError(f"{step}: is for {layer.inputs} dimensions, gets {width}")
        width = layer.outputs
    return width


def load_steps(steps: Iterable[str]) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Functions [N, D] float32 -> [N, D'] float32 to apply in order to pooled vectors."""
    return [_function(step) for step in steps]


def _function(step: str) -> Callable[[np.ndarray], np.ndarray]:
    if step == NORMALIZE:
        return normalized
    if (first := dimensions(step)) is not None:
        return lambda vectors: vectors[:, :first]
    return read_layer(Path(step))


def normalized(vectors: np.ndarray) -> np.ndarray:
    """[N, D] float32, each of length 1; zero stays zero."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
