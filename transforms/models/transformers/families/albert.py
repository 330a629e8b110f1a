"""ALBERT: a BERT whose layers share their weights, and whose embeddings are narrower. Its layers
are in groups of a few; groups that follow each other have the same weights.

Source: transformers 5.23, models/albert.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import AFTER, Transformer
from corpusvec.transforms.models.transformers.families import bert
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import MOST_LAYERS, Settings

_LAYER = "encoder.albert_layer_groups.{}.albert_layers.{}"
_NAMES = bert.NAMES | {
    "embeddings/projection": "encoder.embedding_hidden_mapping_in",
    "layer/attention/self/query": f"{_LAYER}.attention.query",
    "layer/attention/self/key": f"{_LAYER}.attention.key",
    "layer/attention/self/value": f"{_LAYER}.attention.value",
    "layer/attention/output/dense": f"{_LAYER}.attention.dense",
    "layer/attention/output/LayerNorm": f"{_LAYER}.attention.LayerNorm",
    "layer/intermediate/dense": f"{_LAYER}.ffn",
    "layer/output/dense": f"{_LAYER}.ffn_output",
    "layer/output/LayerNorm": f"{_LAYER}.full_layer_layer_norm",
    "pooler/dense": "pooler",
}
_DEFAULTS = {
    "vocab_size": 30000,
    "hidden_size": 4096,
    "num_hidden_layers": 12,
    "num_attention_heads": 64,
    "intermediate_size": 16384,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


def _read(settings: Settings) -> Transformer:
    model = bert.described(settings, _DEFAULTS, activation="gelu_new")
    width = settings.whole("embedding_size", default=128)
    groups = settings.whole("num_hidden_groups", default=1)
    inner = settings.layers("inner_group_num", default=1)
    sets, layers = model.layer_count, model.layer_count * inner
    if layers > MOST_LAYERS:
        settings.refuse("inner_group_num", f"that makes more than {MOST_LAYERS} layers")
    return replace(
        model,
        embeddings=replace(model.embeddings, width=width, projection=AFTER),
        reaches=model.reaches * inner,
        weights_of=tuple(
            int(number // inner / (sets / groups)) * inner + number % inner
            for number in range(layers)
        ),
        layers_of_group=inner,
    )


FAMILY = Family(
    _read,
    _NAMES,
    r"Albert",
    prefixes=("albert.",),
    without_effect="""
        classifier_dropout_prob down_scale_factor gap_size net_structure_type num_memory_blocks
    """,
    usual_dropout=0.0,
)
