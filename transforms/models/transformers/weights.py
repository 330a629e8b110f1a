"""The arrays of a BERT: their names and shapes, the same whichever program wrote the file.

The names are those of google-research/bert's checkpoints without the leading `bert/`.
"""

from __future__ import annotations

from collections.abc import Mapping

from corpusvec.transforms.specs import BertConfig

POOLER_KERNEL = "pooler/dense/kernel"


def shapes(config: BertConfig, pooler: bool) -> dict[str, tuple[int, ...]]:
    """Every array that a BERT of this shape has, by name; dense kernels are [inputs, outputs]."""
    hidden, inner = config.hidden_size, config.intermediate_size
    found: dict[str, tuple[int, ...]] = {
        "embeddings/word_embeddings": (config.vocab_size, hidden),
        "embeddings/position_embeddings": (config.positions, hidden),
        "embeddings/token_type_embeddings": (config.segment_types, hidden),
        **_layer_norm("embeddings", hidden),
    }
    for i in range(config.layer_count):
        layer = f"encoder/layer_{i}"
        for name in ("query", "key", "value"):
            found |= _dense(f"{layer}/attention/self/{name}", hidden, hidden)
        found |= _dense(f"{layer}/attention/output/dense", hidden, hidden)
        found |= _layer_norm(f"{layer}/attention/output", hidden)
        found |= _dense(f"{layer}/intermediate/dense", hidden, inner)
        found |= _dense(f"{layer}/output/dense", inner, hidden)
        found |= _layer_norm(f"{layer}/output", hidden)
    if pooler:
        found |= _dense("pooler/dense", hidden, hidden)
    return found


def _dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}


def _layer_norm(name: str, hidden: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/LayerNorm/gamma": (hidden,), f"{name}/LayerNorm/beta": (hidden,)}


def check_shapes(
    there: Mapping[str, tuple[int, ...]], config: BertConfig, pooler: bool, where: str
) -> None:
    """Raises `ValueError` with the first array that is missing or has another shape than the
    configuration says.
    """
    for name, shape in shapes(config, pooler).items():
        if name not in there:
            raise ValueError(
                f"{where}: the weights have no {name}; is the file whole, and a BERT's?"
            )
        if tuple(there[name]) != shape:
            raise ValueError(
                f"{where}: {name} has the shape {list(there[name])},"
                f" the configuration says {list(shape)}"
            )
