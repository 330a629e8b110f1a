"""MPNet: a BERT whose attention adds a number for the distance of two tokens, and without segments.

Source: transformers 5.23, models/mpnet.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import Buckets, Transformer
from corpusvec.transforms.models.transformers.families import bert
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = bert.NAMES | {
    "encoder/relative_attention_bias": "encoder.relative_attention_bias",
    "layer/attention/self/query": "encoder.layer.{}.attention.attn.q",
    "layer/attention/self/key": "encoder.layer.{}.attention.attn.k",
    "layer/attention/self/value": "encoder.layer.{}.attention.attn.v",
    "layer/attention/output/dense": "encoder.layer.{}.attention.attn.o",
    "layer/attention/output/LayerNorm": "encoder.layer.{}.attention.LayerNorm",
}
_DEFAULTS = bert.DEFAULTS | {"vocab_size": 30527}
_PADDING = 1  # whatever pad_token_id says
_BUCKETS = 32


def _read(settings: Settings) -> Transformer:
    settings.only("relative_attention_num_buckets", _BUCKETS)
    model = bert.described(settings, _DEFAULTS, first_position=_PADDING + 1, segments=0)
    attention = replace(model.attention, buckets=Buckets(_BUCKETS, furthest=128))
    return replace(model, attention=attention)


FAMILY = Family(_read, _NAMES, r"MPNet", prefixes=("mpnet.",), without_effect="type_vocab_size")
