"""Encode only, for the families that people embed with: models of published shapes with random
weights, against PyTorch + transformers on the same windows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks import corpora, machine
from benchmarks.encoding import gflop_per_token, python
from benchmarks.plans import NO_PEERS, Plan
from benchmarks.races import race, ratios, serving
from benchmarks.random_bert import TOKENIZER
from benchmarks.rows import Row, not_measured, rates, ratio

_TEXTS = 256
_LEAST, _LEAST_OF_LIMIT = 1.3, 0.75
# What differs from the defaults of transformers.
SHAPES: Mapping[str, dict[str, Any]] = {
    "ModernBERT-base": {"model_type": "modernbert"},
    "MPNet-base": {"model_type": "mpnet", "max_position_embeddings": 514},
    "DistilBERT": {"model_type": "distilbert"},
    "Qwen3-0.6B": {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "rope_theta": 1_000_000,
    },
    "DeBERTa-base": {
        "model_type": "deberta-v2",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "relative_attention": True,
        "position_buckets": 256,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
}


def measure(plan: Plan) -> list[Row]:
    """Each of the shapes, in each precision, one after the other."""
    found = []
    for name, config in SHAPES.items():
        folder = write(plan.folder / name, config, Path(plan.model))
        for precision in ("float32", "bfloat16"):
            if precision == "float32" or machine.has_bfloat16():
                found += _measured(plan, name, folder, precision)
    return found


def _measured(plan: Plan, name: str, folder: Path, precision: str) -> list[Row]:
    corpus = corpora.make(str(folder), plan.scaled(_TEXTS))
    windows = corpus.write_windows(plan.folder / "windows.json")
    ours, theirs = f"{name} {precision}", f"{name} {precision}, PyTorch + transformers"
    commands = {
        "limit": python("limit", precision),
        ours: python("encode_ours", folder, windows, precision),
    }
    if plan.peers:
        commands[theirs] = plan.peer("encode_torch.py", folder, windows, precision)
    with serving(commands) as servers:
        found = race({key: server.slice for key, server in servers.items()}, plan.rounds)
    reached = [gflop_per_token(str(folder)) * rate for rate in found[ours]]
    limit = ratios(reached, found["limit"])
    what = f"{name} {precision} ÷ PyTorch + transformers"
    compared = not_measured(what, f"≥ {_LEAST:g}", NO_PEERS)
    if theirs in found:
        compared = ratio(what, ratios(found[ours], found[theirs]), least=_LEAST)
    speeds = [rates(key, found[key], "tokens") for key in (ours, theirs) if key in found]
    share = ratio(f"{name} {precision} ÷ matmul limit", limit, least=_LEAST_OF_LIMIT)
    return [compared, share, *speeds]


def write(folder: Path, config: Mapping[str, Any], like: Path) -> Path:
    """A Hugging Face folder with random weights and the tokenizer of the model `like`."""
    from corpusvec.transforms.models.transformers import configurations, weights
    from corpusvec.transforms.models.transformers.families.table import FAMILIES

    folder.mkdir(parents=True)
    for name in TOKENIZER:
        if (like / name).is_file():
            shutil.copy(like / name, folder)
    words = json.loads((like / "config.json").read_text("utf-8"))["vocab_size"]
    special = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}
    special |= {"cls_token_id": 101, "sep_token_id": 102} if "modernbert" in config.values() else {}
    config = {**config, **special, "vocab_size": words}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    model, _ = configurations.read(config, folder / "config.json")
    chance, parts = np.random.default_rng(0), {}
    for name, shape in weights.shapes(model, pooler=False).items():
        stored = shape[::-1] if name.endswith("/kernel") else shape
        array = 0.02 * chance.standard_normal(stored, np.float32)
        source = FAMILIES[model.family].sources(name)[0]
        parts.setdefault(source.keys[0], {})[source.part] = array + name.endswith("/gamma")
    arrays = {
        key: np.concatenate([found[part] for part in sorted(found)]).astype(np.float32)
        for key, found in parts.items()
    }
    save_file(arrays, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder
