"""GTE, also called `new`: norms after, a gated feed-forward, rotary positions in place of a table.

Source: transformers 5.23, models/gte; and for `new` the program that came with the models,
Alibaba-NLP/new-impl, modeling.py.
"""

from __future__ import annotations

from corpusvec.transforms.architectures import (
    Attention,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.rotary import of_all_layers
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = {
    "embeddings/word_embeddings": "embeddings.word_embeddings",
    "embeddings/token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/LayerNorm": "embeddings.LayerNorm",
    **{
        f"layer/attention/self/{part}": (
            f"encoder.layer.{{}}.attention.qkv_proj[{number}/3]"
            f"|encoder.layer.{{}}.attention.{part[0]}_proj|layers.{{}}.self_attn.{part[0]}_proj"
        )
        for number, part in enumerate(("query", "key", "value"), 1)
    },
    "layer/attention/output/dense": (
        "encoder.layer.{}.attention.o_proj|layers.{}.self_attn.o_proj"
    ),
    "layer/attention/output/LayerNorm": (
        "encoder.layer.{}.attn_ln|layers.{}.post_attention_layernorm"
    ),
    "layer/intermediate/dense": "encoder.layer.{}.mlp.up_gate_proj[1/2]|layers.{}.mlp.up_proj",
    "layer/intermediate/gate": "encoder.layer.{}.mlp.up_gate_proj[2/2]|layers.{}.mlp.gate_proj",
    "layer/output/dense": "encoder.layer.{}.mlp.down_proj|layers.{}.mlp.down_proj",
    "layer/output/LayerNorm": "encoder.layer.{}.mlp_ln|layers.{}.post_mlp_layernorm",
    "pooler/dense": "pooler.dense",
}


def _read(settings: Settings) -> Transformer:
    older = settings.value("model_type", kind=str) == "new"
    settings.only("layer_norm_type", "layer_norm")
    settings.only("logn_attention_scale", False)
    hidden = settings.whole("hidden_size", default=768)
    heads = settings.whole("num_attention_heads", default=12)
    size = settings.divided("hidden_size", hidden, "num_attention_heads", heads)
    longest = settings.whole("max_position_embeddings", default=2048 if older else 8192)
    turned = of_all_layers(settings, size, longest, 10_000.0 if older else 160_000.0)
    norm = Norm(settings.epsilon("layer_norm_eps", default=1e-12))
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(
            vocab_size=settings.whole("vocab_size", default=30528 if older else 250048),
            width=hidden,
            norm=norm,
            segment_types=settings.whole("type_vocab_size", default=1, least=0),
        ),
        attention=Attention(heads, heads, size, size**-0.5),
        feed_forward=FeedForward(
            inner=settings.whole("intermediate_size", default=3072),
            activation=settings.activation("hidden_act", default="gelu"),
            gated=True,
            bias=False,
        ),
        norm=norm,
        reaches=(Reach(rotary=turned),) * settings.layers("num_hidden_layers", default=12),
        longest=longest,
    )


FAMILY = Family(
    _read,
    _NAMES,
    r"Gte|New",
    prefixes=("new.", "gte."),
    code=("NewModel", "NewConfig"),
    values={"position_embedding_type": ("rope",)},
    # How the same numbers are computed.
    without_effect="logn_attention_clip1 pack_qkv unpad_inputs use_memory_efficient_attention",
)
