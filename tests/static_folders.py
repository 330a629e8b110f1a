"""Folders of static embeddings, and what sentence-transformers and model2vec make of them.

python -m tests.static_folders write FOLDERS     in the project's environment
python tests/static_folders.py ask FOLDERS       where sentence-transformers 6.2 and model2vec
                                                 0.10 are: writes golden/static.npz
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

GOLDEN = Path(__file__).parent / "golden" / "static.npz"
FAMILIES = Path(__file__).parent / "golden" / "families"
WIDTH = 24
TEXTS = (
    "The quick brown fox jumps over the lazy dog",
    "東京タワーで会いましょう。",
    "a",
    "Crème brûlée 😀 in the garden, are they?",
    "one two three four five six seven eight nine ten eleven twelve",
)
_MODULES = "sentence_transformers"
OLD = f"{_MODULES}.models.StaticEmbedding"
NEW = f"{_MODULES}.sentence_transformer.modules.static_embedding.StaticEmbedding"
NORMALIZE = f"{_MODULES}.models.Normalize"
DENSE = f"{_MODULES}.base.modules.dense.Dense"


@dataclass(frozen=True)
class Kind:
    """Of which family the tokenizer is; modules by folder and class (none: model2vec's own form);
    `rows` fewer than tokens, `weights` for each; what settings say.
    """

    family: str = "distilbert"
    modules: tuple[tuple[str, str], ...] = ()
    key: str = "embeddings"
    dtype: type = np.float32
    rows: int = 0
    weights: bool = False
    truncation: int = 0
    said: Mapping[str, Any] | None = None
    prompts: Mapping[str, str] | None = None
    dimensions: int | None = None


KINDS = {
    "bare": Kind(modules=(("", NEW),), key="embedding.weight"),
    "module in a folder": Kind(
        "roberta",
        (("0_StaticEmbedding", OLD), ("1_Normalize", NORMALIZE)),
        "embedding.weight",
        prompts={"query": "find: "},
    ),
    "dense and truncated": Kind(
        "albert", (("", NEW), ("1_Dense", DENSE)), "embedding.weight", dimensions=5
    ),
    "float16, cut by its tokenizer": Kind(
        modules=(("", NEW),), key="embedding.weight", dtype=np.float16, truncation=8
    ),
    "model2vec with modules": Kind(
        modules=((".", OLD), ("1_Normalize", NORMALIZE)), rows=50, weights=True, said={}
    ),
    "model2vec": Kind(said={"normalize": True}),
    "model2vec, fewer rows": Kind("albert", rows=50, weights=True, said={"normalize": False}),
    "model2vec, int8": Kind("t5", dtype=np.int8, said={"normalize": True}),
}


def write(kind: Kind, folder: Path) -> Path:
    """The folder of a model; its numbers are the same each time."""
    rng = np.random.default_rng(0)
    place = folder / (kind.modules[0][0] if kind.modules else "")
    place.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(FAMILIES / kind.family / "tokenizer.json"))
    if kind.truncation:
        tokenizer.enable_truncation(kind.truncation)
    tokenizer.save(str(place / "tokenizer.json"))
    tokens = tokenizer.get_vocab_size()
    table = 20 * rng.standard_normal((kind.rows or tokens, WIDTH))
    arrays = {kind.key: table.astype(kind.dtype)}
    if kind.rows:
        arrays["mapping"] = rng.integers(0, kind.rows, tokens)
    if kind.weights:
        arrays["weights"] = rng.random(tokens).astype(np.float32)
    save_file(arrays, place / "model.safetensors")
    if kind.said is not None:
        _json(folder / "config.json", {"model_type": "model2vec", **kind.said})
    if kind.modules:
        _modules(kind, folder, rng)
    return folder


def _modules(kind: Kind, folder: Path, rng: np.random.Generator) -> None:
    listing = [
        {"idx": n, "name": str(n), "path": path, "type": name}
        for n, (path, name) in enumerate(kind.modules)
    ]
    _json(folder / "modules.json", listing)
    about = {"prompts": kind.prompts or {}, "truncate_dim": kind.dimensions}
    _json(folder / "config_sentence_transformers.json", about)
    for path, name in kind.modules:
        (folder / path).mkdir(exist_ok=True)
        if name == DENSE:
            _json(
                folder / path / "config.json",
                {
                    "in_features": WIDTH,
                    "out_features": 8,
                    "bias": True,
                    "activation_function": "torch.nn.modules.activation.Tanh",
                },
            )
            weight = rng.standard_normal((8, WIDTH)).astype(np.float32) / WIDTH
            bias = rng.standard_normal(8).astype(np.float32)
            arrays = {"linear.weight": weight, "linear.bias": bias}
            save_file(arrays, folder / path / "model.safetensors")


def _json(file: Path, values: Any) -> None:
    file.write_text(json.dumps(values), "utf-8")


def ask(place: Path) -> None:
    """Vectors [T, D] by the folder's name; with a prompt by the name and what the prompt is for."""
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    found = {}
    for name, kind in KINDS.items():
        folder = str(place / name)
        if not kind.modules:
            model = StaticModel.from_pretrained(folder)
            found[name] = model.encode(list(TEXTS), use_multiprocessing=False)
            continue
        original = SentenceTransformer(folder, device="cpu")
        found[name] = original.encode(list(TEXTS))
        for prompt in kind.prompts or ():
            found[f"{name}, {prompt}"] = original.encode(list(TEXTS), prompt_name=prompt)
    np.savez(GOLDEN, **{name: vectors.astype(np.float32) for name, vectors in found.items()})


if __name__ == "__main__":
    where = Path(sys.argv[2])
    if sys.argv[1] == "ask":
        ask(where)
    else:
        for folder_name, described in KINDS.items():
            write(described, where / folder_name)
