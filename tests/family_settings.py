"""Settings of families of models, one edit each of a folder of `golden/families`.

`python -m tests.family_settings [FILE]` writes what transformers makes of each edit, into
`golden/family_settings.npz` if no other file is named; see `model_settings`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.model_settings import Edit, says

FOLDERS = Path(__file__).parent / "golden" / "families"
GOLDEN = FOLDERS.parent / "family_settings.npz"
TEXTS = ("rain", "a quiet garden, and the rain 日本語", "東京 is far from the quiet garden. " * 9)


@dataclass(frozen=True)
class Case:
    """`said` by the configuration of a folder in place of the keys that are `gone`, and a further
    edit of it.
    """

    folder: str
    said: Mapping[str, Any]
    gone: tuple[str, ...] = ()
    edit: Edit = field(default=lambda folder: None)

    def make(self, place: Path) -> Path:
        folder = place / self.folder
        shutil.copytree(FOLDERS / self.folder, folder, copy_function=shutil.copyfile)
        file = folder / "config.json"
        values = json.loads(file.read_text("utf-8"))
        kept = {key: value for key, value in values.items() if key not in self.gone}
        file.write_text(json.dumps({**kept, **self.said}), "utf-8")
        self.edit(folder)
        return folder


def _inner_layers(count: int, groups: int) -> Edit:
    """An ALBERT's layer, as often as there are places for it, each time with other weights."""

    def edit(folder: Path) -> None:
        file, noise = folder / "model.safetensors", np.random.default_rng(1)
        arrays = load_file(file)
        for key in [key for key in arrays if ".albert_layers." in key]:
            for group in range(groups):
                for inner in range(count):
                    name = key.replace("groups.0.", f"groups.{group}.")
                    name = name.replace("layers.0.", f"layers.{inner}.")
                    other = arrays[key] + noise.normal(0, 0.1, arrays[key].shape)
                    arrays[name] = other.astype(np.float32)
        save_file(arrays, file, metadata={"format": "pt"})

    return edit


def _turned(folder: str, kind: str, **parameters: Any) -> Case:
    """All layers of a folder with this rope."""
    rope = {"rope_type": kind, "rope_theta": 10000.0, **parameters}
    return Case(folder, {"rope_parameters": rope})


def _each_turned(folder: str, **kinds: Mapping[str, Any]) -> Case:
    said = {"rope_theta": 10000.0}
    return Case(folder, {"rope_parameters": {key: {**said, **kind} for key, kind in kinds.items()}})


def _factors(count: int) -> dict[str, list[float]]:
    return {
        "short_factor": [1 + 0.1 * n for n in range(count)],
        "long_factor": [1.5 + 0.7 * n for n in range(count)],
    }


_YARN = {"factor": 4.0, "original_max_position_embeddings": 16}
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LONG = {"original_max_position_embeddings": 12}
MORE_TOKENS = says("sentence_bert_config.json", max_seq_length=48)
CASES: Mapping[str, Case] = {
    "linear": _turned("qwen3", "linear", factor=3.0),
    "dynamic": _turned("eurobert", "dynamic", factor=2.0),
    "llama3": _turned("eurobert", "llama3", factor=8.0, **_LLAMA3, **_LONG),
    "yarn": _turned("qwen3", "yarn", **_YARN),
    "yarn to the full": _turned(
        "eurobert",
        "yarn",
        factor=4.0,
        original_max_position_embeddings=32,
        beta_fast=8,
        beta_slow=0.5,
        mscale=1.0,
        mscale_all_dim=0.8,
        truncate=False,
    ),
    "yarn with a factor of attention": _turned(
        "gte", "yarn", factor=4.0, attention_factor=1.2, **_LONG
    ),
    "longrope": _turned("qwen3", "longrope", **_factors(8), **_LONG),
    "longrope with a factor": _turned("gte", "longrope", factor=4.0, **_factors(4), **_LONG),
    "longrope with a factor of attention": _turned(
        "nomic_bert", "longrope", attention_factor=1.3, **_factors(4), **_LONG
    ),
    "longrope that is never long": _turned("eurobert", "longrope", **_factors(4)),
    "longrope in the older spelling": Case(
        "qwen3",
        {
            "rope_scaling": {"type": "longrope", **_factors(8)},
            "original_max_position_embeddings": 12,
            "rope_theta": 10000.0,
        },
        ("rope_parameters",),
    ),
    "longrope where all is seen": _each_turned(
        "gemma3_text",
        full_attention={"rope_type": "longrope", **_factors(8), **_LONG},
        sliding_attention={"rope_type": "default"},
    ),
    "longrope and yarn": _each_turned(
        "modernbert",
        full_attention={"rope_type": "yarn", **_YARN},
        sliding_attention={"rope_type": "longrope", **_factors(4), **_LONG},
    ),
    "yarn, whose ends are whole where layers differ": _each_turned(
        "modernbert",
        full_attention={"rope_type": "yarn", **_YARN, "truncate": False},
        sliding_attention={"rope_type": "default"},
    ),
    "scaling of a window's layers too": Case(
        "modernbert", {"rope_scaling": {"rope_type": "yarn", **_YARN}}, ("rope_parameters",)
    ),
    "scaling by its older name, which does not act": Case(
        "modernbert", {"rope_scaling": {"type": "yarn", **_YARN}}, ("rope_parameters",)
    ),
    "scaling by its older name, which does not act where all is seen": Case(
        "gemma3_text", {"rope_scaling": {"type": "linear", "factor": 4.0}}, ("rope_parameters",)
    ),
    "a window in both directions, said twice": Case(
        "gemma3_text",
        {"is_causal": False, "use_bidirectional_attention": True, "sliding_window": 5},
    ),
    "more tokens than positions": Case("qwen3", {"max_position_embeddings": 20}, edit=MORE_TOKENS),
    "more tokens than positions, some of a window": Case(
        "modernbert", {"max_position_embeddings": 20, "local_attention": 6}, edit=MORE_TOKENS
    ),
    "albert of two inner layers": Case(
        "albert", {"inner_group_num": 2}, edit=_inner_layers(2, groups=1)
    ),
    "albert of two groups": Case(
        "albert", {"num_hidden_groups": 2}, edit=_inner_layers(1, groups=2)
    ),
    "albert of two groups of three inner layers": Case(
        "albert",
        {"inner_group_num": 3, "num_hidden_groups": 2},
        edit=_inner_layers(3, groups=2),
    ),
}


def main(target: str | Path = GOLDEN) -> None:
    """Write the mean over each text's tokens of all layers, one after the other: [texts, D]."""
    import tempfile

    import torch
    from transformers import AutoModel, AutoTokenizer

    def read(folder: Path) -> Callable[[str], np.ndarray]:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        model = AutoModel.from_pretrained(str(folder), dtype="float32").eval()

        def made(text: str) -> np.ndarray:
            given = tokenizer(text, return_tensors="pt", truncation=True, max_length=48)
            with torch.no_grad():
                layers = model(**given, output_hidden_states=True).hidden_states
            return np.concatenate([layer[0].mean(dim=0).numpy() for layer in layers])

        return made

    vectors = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            made = read(case.make(Path(place)))
            vectors[name] = np.stack([made(text) for text in TEXTS])
    np.savez_compressed(target, **vectors)


if __name__ == "__main__":
    main(*sys.argv[1:])
