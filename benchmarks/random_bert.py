"""A BERT with random weights: speed does not depend on what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TOKENIZER = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def write(
    folder: Path, like: Path, *, hidden: int = 768, layers: int = 12, positions: int = 512
) -> Path:
    """A Hugging Face folder of bert-base-uncased's shape, or of another, with the tokenizer of the
    model `like`; as it is where it is there already.
    """
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    for name in TOKENIZER:
        if (like / name).is_file():
            shutil.copy(like / name, folder)
    words = json.loads((like / "config.json").read_text("utf-8"))["vocab_size"]
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64 or 1,
        "intermediate_size": 4 * hidden,
        "vocab_size": words,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    arrays = _arrays(hidden, layers, words, positions)
    save_file(arrays, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _arrays(hidden: int, layers: int, words: int, positions: int) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}

    def normal(name: str, *shape: int) -> None:
        found[name] = 0.02 * chance.standard_normal(shape, np.float32)

    def dense(name: str, rows: int, columns: int) -> None:
        normal(f"{name}.weight", columns, rows)
        normal(f"{name}.bias", columns)

    def norm(name: str) -> None:
        found[f"{name}.LayerNorm.weight"] = np.ones(hidden, np.float32)
        found[f"{name}.LayerNorm.bias"] = np.zeros(hidden, np.float32)

    tables = {"word": words, "position": positions, "token_type": 2}
    for name, rows in tables.items():
        normal(f"embeddings.{name}_embeddings.weight", rows, hidden)
    norm("embeddings")
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{part}", hidden, hidden)
        dense(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output")
        dense(f"{layer}.intermediate.dense", hidden, 4 * hidden)
        dense(f"{layer}.output.dense", 4 * hidden, hidden)
        norm(f"{layer}.output")
    dense("pooler.dense", hidden, hidden)
    return found
