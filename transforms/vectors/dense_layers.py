"""What a sentence-transformers model does with a pooled vector: dense layers, normalization, a cut
to its first dimensions.

A step is `NORMALIZE`, `TRUNCATE` and a number, or the folder of a dense layer.
Source: sentence_transformers/base/modules, dense.py and normalize.py; `truncate_embeddings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

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

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        made = _ACTIVATIONS[self.activation](vectors @ self.kernel.T + self.bias)
        if self.adds_input:
            made = made + (vectors if self.residual is None else vectors @ self.residual.T)
        return made.astype(np.float32)


def dense_folders(steps: Iterable[str]) -> list[str]:
    """Those of the steps that are dense layers."""
    return [step for step in steps if step != NORMALIZE and not step.startswith(TRUNCATE)]


def dimensions(step: str) -> int | None:
    """How many first dimensions a step keeps; None where it is another step."""
    return int(step.removeprefix(TRUNCATE)) if step.startswith(TRUNCATE) else None


def dense_files(folder: Path) -> tuple[Path, Path]:
    """Configuration and weights of a dense layer: in its folder, or beside where that would be, as
    among the assets of an export, which has no folders. Older weights are in a file of PyTorch's.
    """
    beside = folder / "config.json", folder / "model.safetensors", folder / "pytorch_model.bin"
    if not folder.is_dir():
        endings = (".json", ".safetensors", ".bin")
        beside = tuple(folder.with_name(f"{folder.name}{ending}") for ending in endings)  # type: ignore[assignment]
    config, weights, older = beside
    return config, older if older.is_file() and not weights.is_file() else weights


def read_dense(folder: Path) -> Dense:
    """Raises `ValueError` where a setting is not implemented, or the arrays do not fit it."""
    config_file, weights_file = dense_files(folder)
    config = read_json(config_file)
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
    arrays = read_arrays(weights_file, shapes)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"{weights_file}: {name} has the shape {list(arrays[name].shape)},"
                f" {config_file.name} says {list(shape)}"
            )
    return Dense(
        kernel=arrays["linear.weight"],
        bias=arrays.get("linear.bias", np.zeros(outputs, np.float32)),
        activation=activation,
        adds_input=adds_input,
        residual=arrays.get("residual.weight"),
    )


def _activation(name: object, file: Path) -> str:
    home, _, activation = str(name).rpartition(".")
    if home not in _HOMES or activation not in _ACTIVATIONS:
        known = ", ".join(f"torch.nn.{ours}" for ours in _ACTIVATIONS)
        raise ValueError(f"{file}: activation_function is {name!r}; implemented are {known}")
    return activation


def width_after(steps: Iterable[str], width: int) -> int:
    """Dimensions of a vector of `width` after the steps. Raises `ValueError` where a dense layer is
    for another width.
    """
    for step in steps:
        if step == NORMALIZE:
            continue
        if (first := dimensions(step)) is not None:
            width = min(width, first)
            continue
        outputs, inputs = read_dense(Path(step)).kernel.shape
        if inputs != width:
            raise ValueError(f"{step}: is for {inputs} dimensions, gets {width}")
        width = outputs
    return width


def load_steps(steps: Iterable[str]) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Functions [N, D] float32 -> [N, D'] float32 to apply in order to pooled vectors."""
    return [_function(step) for step in steps]


def _function(step: str) -> Callable[[np.ndarray], np.ndarray]:
    if step == NORMALIZE:
        return normalized
    if (first := dimensions(step)) is not None:
        return lambda vectors: vectors[:, :first]
    return read_dense(Path(step))


def normalized(vectors: np.ndarray) -> np.ndarray:
    """[N, D] float32, each of length 1; zero stays zero."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
