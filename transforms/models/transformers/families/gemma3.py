"""Gemma 3 of texts, EmbeddingGemma among them: norms before and after, the embeddings scaled,
layers that see a window.

Source: transformers 5.23, models/gemma3.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import (
    AROUND,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.llama import NAMES, grouped
from corpusvec.transforms.models.transformers.families.modernbert import layer_types
from corpusvec.transforms.models.transformers.families.rotary import LAYER_TYPES, of_each_type
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = NAMES | {
    "layer/attention/output/LayerNorm": "layers.{}.post_attention_layernorm",
    "layer/intermediate/input/LayerNorm": "layers.{}.pre_feedforward_layernorm",
    "layer/output/LayerNorm": "layers.{}.post_feedforward_layernorm",
}
_THETAS = {
    "full_attention": ("rope_theta", 1_000_000.0),
    "sliding_attention": ("rope_local_base_freq", 10_000.0),
}


def _read(settings: Settings) -> Transformer:
    hidden = settings.whole("hidden_size", default=2304)
    heads = settings.whole("num_attention_heads", default=8)
    layers = settings.layers("num_hidden_layers", default=26)
    longest = settings.whole("max_position_embeddings", default=131_072)
    norm = Norm(settings.epsilon("rms_norm_eps", default=1e-6), rms=True, beta=False)
    attention = grouped(settings, hidden, heads, groups=4, size=256)
    scalar = settings.number("query_pre_attn_scalar", default=256)
    if not scalar > 0:
        settings.refuse("query_pre_attn_scalar", "it must be above zero")
    attention = replace(attention, scale=scalar**-0.5, head_norm=norm)
    activation = settings.activation("hidden_activation", default="gelu_pytorch_tanh")
    inner = settings.whole("intermediate_size", default=9216)
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(
            settings.whole("vocab_size", default=262_208), hidden, scale=hidden**0.5
        ),
        attention=attention,
        feed_forward=FeedForward(inner, activation, True, False, False),
        norm=norm,
        norms=AROUND,
        final_norm=True,
        reaches=_reaches(settings, layers, attention.head_size, longest),
        longest=longest,
    )


def _reaches(settings: Settings, layers: int, size: int, longest: int) -> tuple[Reach, ...]:
    every = settings.whole("sliding_window_pattern", default=6)
    types = layer_types(settings, [LAYER_TYPES[(i + 1) % every > 0] for i in range(layers)])
    turned = of_each_type(settings, size, longest, _THETAS, scaled=("full_attention",))
    window = settings.optional("sliding_window", default=4096)
    if window is None and "sliding_attention" in types:
        settings.refuse("sliding_window", "a layer that sees a window needs its size")
    window = window or 1
    causal = settings.value("is_causal", kind=bool, default=True)
    if settings.flag("use_bidirectional_attention"):
        back = ahead = window // 2 + (not causal)  # each of the two has its own edge
        end = None
    elif causal:
        back, ahead, end = window - 1, 0, 0
    else:
        back, ahead, end = window, window, None
    reaches = {
        "full_attention": Reach(None, end, turned["full_attention"]),
        "sliding_attention": Reach(back, ahead, turned["sliding_attention"]),
    }
    return tuple(reaches[kind] for kind in types)


FAMILY = Family(
    _read,
    _NAMES,
    r"Gemma3(Text)?",
    without_effect="""
        attention_dropout attn_logit_softcapping final_logit_softcapping cache_implementation
        _sliding_window_pattern
    """,
    dropout=("hidden_dropout", "attention_dropout"),
    usual_dropout=0.0,
    one_added=True,
)
