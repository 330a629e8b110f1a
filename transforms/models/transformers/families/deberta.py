"""DeBERTa 2 and 3: a BERT whose attention compares content with content, content with distance and
distance with content.

Source: transformers 5.23, models/deberta_v2.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import (
    BEFORE,
    Convolution,
    Disentangled,
    Embeddings,
    Norm,
    Transformer,
)
from corpusvec.transforms.models.transformers.families import bert
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import MOST_DISTANCES, Settings

_NAMES = bert.NAMES | {
    "embeddings/projection": "embeddings.embed_proj",
    "encoder/rel_embeddings": "encoder.rel_embeddings",
    "encoder/rel_embeddings/LayerNorm": "encoder.LayerNorm",
    "encoder/convolution": "encoder.conv.conv",
    "encoder/convolution/LayerNorm": "encoder.conv.LayerNorm",
    "layer/attention/self/query": "encoder.layer.{}.attention.self.query_proj",
    "layer/attention/self/key": "encoder.layer.{}.attention.self.key_proj",
    "layer/attention/self/value": "encoder.layer.{}.attention.self.value_proj",
    "layer/attention/self/position_query": "encoder.layer.{}.attention.self.pos_query_proj",
    "layer/attention/self/position_key": "encoder.layer.{}.attention.self.pos_key_proj",
}
_DEFAULTS = {
    "vocab_size": 128100,
    "hidden_size": 1536,
    "num_hidden_layers": 24,
    "num_attention_heads": 24,
    "intermediate_size": 6144,
    "max_position_embeddings": 512,
}
_TO, _FROM = "c2p", "p2c"


def _read(settings: Settings) -> Transformer:
    segments = settings.whole("type_vocab_size", default=0, least=0)
    norm = Norm(settings.epsilon("layer_norm_eps", default=1e-7))
    model = bert.described(settings, _DEFAULTS, epsilon=norm.epsilon, segments=segments)
    kinds = _kinds(settings)
    size = settings.whole("attention_head_size", default=model.attention.head_size)
    if size != model.attention.head_size:
        settings.refuse("attention_head_size", "only the width divided by the heads is implemented")
    attention = replace(
        model.attention,
        scale=(size * (1 + len(kinds))) ** -0.5,
        disentangled=_disentangled(settings, kinds, model.longest, norm),
    )
    embeddings = _embeddings(settings, model.embeddings, model.hidden_size)
    kernel = settings.whole("conv_kernel_size", default=0, least=0)
    convolution = None
    if kernel:
        if kernel % 2 == 0:
            settings.refuse("conv_kernel_size", "only odd sizes are implemented")
        groups = settings.whole("conv_groups", default=1)
        activation = settings.activation("conv_act", default="tanh")
        convolution = Convolution(kernel, groups, activation)
    return replace(
        model,
        attention=attention,
        embeddings=embeddings,
        convolution=convolution,
    )


def _embeddings(settings: Settings, embeddings: Embeddings, hidden: int) -> Embeddings:
    width = settings.whole("embedding_size", default=hidden)
    positions = settings.flag("position_biased_input", default=True)
    return replace(
        embeddings,
        width=width,
        projection=BEFORE if width != hidden else "",
        positions=embeddings.positions if positions else 0,
    )


def _kinds(settings: Settings) -> set[str]:
    """Which scores there are beside those of content against content."""
    said = settings.value("pos_att_type", kind=str | list, default=[])
    parts = said.lower().split("|") if isinstance(said, str) else said
    return {str(part).strip() for part in parts} & {_TO, _FROM}


def _disentangled(
    settings: Settings, kinds: set[str], positions: int, norm: Norm
) -> Disentangled | None:
    furthest = settings.value("max_relative_positions", kind=int, default=-1)
    settings.there("position_buckets", "norm_rel_ebd", "share_att_key")
    if not settings.flag("relative_attention"):
        return None
    furthest = furthest if furthest >= 1 else positions
    if furthest > MOST_DISTANCES:
        settings.refuse("max_relative_positions", f"a table has {MOST_DISTANCES} distances at most")
    buckets = max(settings.value("position_buckets", kind=int, default=-1), 0)
    if buckets and not 0 < buckets // 2 < furthest - 1:
        settings.refuse("position_buckets", f"half of them must be less than {furthest - 1}")
    normed = settings.value("norm_rel_ebd", kind=str, default="none").lower().split("|")
    return Disentangled(
        span=buckets or furthest,
        buckets=buckets,
        furthest=furthest,
        to_position=_TO in kinds,
        from_position=_FROM in kinds,
        shared=settings.flag("share_att_key"),
        norm=norm if "layer_norm" in [part.strip() for part in normed] else None,
    )


FAMILY = Family(
    _read,
    _NAMES,
    r"DebertaV2",
    prefixes=("deberta.",),
    without_effect="legacy pooler_dropout pooler_hidden_act pooler_hidden_size",
)
