"""What an export takes from the files of a BERT of our own: its arrays, and training's dropout."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.models.kinds import KINDS
from transforms.storage.json_files import read_json
from transforms.specs import ModelSpec


@dataclass(frozen=True, slots=True)
class Dropout:
    """Which share of the values training sets to zero: of rows, and of the attention's weights."""

    rows: float = 0.0
    attention: float = 0.0


def read_dropout(spec: ModelSpec) -> Dropout:
    """What the configuration beside the weights says; 0.1, as the originals, where it does not."""
    file, values = _configuration(Path(spec.weights[0]).parent)
    rates = [
        _rate(values.get(f"{name}_dropout_prob", 0.1), f"{file}: {name}_dropout_prob")
        for name in ("hidden", "attention_probs")
    ]
    return Dropout(*rates)


def _configuration(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    for name in ("config.json", "bert_config.json"):
        if (folder / name).is_file():
            return folder / name, read_json(folder / name)
    parser = configparser.ConfigParser()
    parser.read(folder / "config.ini", encoding="utf-8")
    return folder / "config.ini", parser["BERT-CONFIG"]


def _rate(value: Any, where: str) -> float:
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = -1.0
    if not 0 <= rate < 1:
        raise ValueError(f"{where} is {value!r}, a number from 0 to below 1 was looked for")
    return rate


def read_arrays(spec: ModelSpec, pooler: bool) -> dict[str, np.ndarray]:
    """All arrays of a BERT of our own, see `weights.shapes`; the pooler's if wanted."""
    return KINDS[spec.kind].load_module().read_arrays(spec, pooler)
