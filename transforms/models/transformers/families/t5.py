"""The encoder of T5 and mT5: norms of the root of the mean square before, and numbers for distances
in place of positions.

Source: transformers 5.23, models/t5 and models/mt5.
"""

from __future__ import annotations

from corpusvec.transforms.architectures import (
    BEFORE,
    Attention,
    Buckets,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import (
    ACTIVATIONS,
    MOST_DISTANCES,
    Settings,
)

_BLOCK = "encoder.block.{}.layer"
_NAMES = {
    "embeddings/word_embeddings": "shared|encoder.embed_tokens",
    "encoder/relative_attention_bias": (
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
    ),
    "layer/attention/input/LayerNorm": f"{_BLOCK}.0.layer_norm",
    "layer/attention/self/query": f"{_BLOCK}.0.SelfAttention.q",
    "layer/attention/self/key": f"{_BLOCK}.0.SelfAttention.k",
    "layer/attention/self/value": f"{_BLOCK}.0.SelfAttention.v",
    "layer/attention/output/dense": f"{_BLOCK}.0.SelfAttention.o",
    "layer/intermediate/input/LayerNorm": f"{_BLOCK}.1.layer_norm",
    "layer/intermediate/gate": f"{_BLOCK}.1.DenseReluDense.wi_0",
    "layer/intermediate/dense": (f"{_BLOCK}.1.DenseReluDense.wi|{_BLOCK}.1.DenseReluDense.wi_1"),
    "layer/output/dense": f"{_BLOCK}.1.DenseReluDense.wo",
    "encoder/final/LayerNorm": "encoder.final_layer_norm",
}
# Of T5 and of mT5.
_DEFAULTS = {"t5": (32128, 2048, 6, 8, "relu"), "mt5": (250112, 1024, 8, 6, "gated-gelu")}
_USUAL_LENGTH = 512  # where the files do not say: distances have no end
_ANY_LENGTH = 1 << 20


def _read(settings: Settings) -> Transformer:
    kind = settings.value("model_type", kind=str)
    vocabulary, inner, layers, heads, projection = _DEFAULTS[kind]
    hidden = settings.whole("d_model", "hidden_size", default=512)
    heads = settings.whole("num_heads", "num_attention_heads", default=heads)
    size = settings.whole("d_kv", "head_dim", default=64)
    gated, activation = _feed_forward(settings, projection)
    buckets = Buckets(
        settings.whole("relative_attention_num_buckets", default=32, least=4),
        settings.whole("relative_attention_max_distance", default=128, most=MOST_DISTANCES),
    )
    if buckets.furthest <= buckets.count // 4:
        settings.refuse("relative_attention_max_distance", "it must be beyond the exact distances")
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(settings.whole("vocab_size", default=vocabulary), hidden),
        attention=Attention(heads, heads, size, 1.0, False, False, buckets=buckets),
        feed_forward=FeedForward(
            settings.whole("d_ff", default=inner), activation, gated, False, False
        ),
        norm=Norm(settings.epsilon("layer_norm_epsilon", default=1e-6), rms=True, beta=False),
        norms=BEFORE,
        final_norm=True,
        reaches=(Reach(),) * settings.layers("num_layers", "num_hidden_layers", default=layers),
        longest=_ANY_LENGTH,
        usual_length=settings.whole("n_positions", default=_USUAL_LENGTH),
    )


def _feed_forward(settings: Settings, usual: str) -> tuple[bool, str]:
    """Whether it is gated, and its activation."""
    first, *rest = settings.value("feed_forward_proj", kind=str, default=usual).split("-")
    if rest and (first != "gated" or len(rest) > 1):
        settings.refuse("feed_forward_proj", "it is an activation, or gated- and one")
    gated = settings.value("is_gated_act", kind=bool, default=first == "gated")
    activation = [first, *rest][-1]
    if rest == ["gelu"]:
        activation = "gelu_new"
    elif not settings.there("dense_act_fn") and activation not in ACTIVATIONS:
        settings.refuse("feed_forward_proj", f"its activation is none of {', '.join(ACTIVATIONS)}")
    return gated, settings.activation("dense_act_fn", default=activation)


FAMILY = Family(
    _read,
    _NAMES,
    r"M?T5",
    prefixes=("transformer.",),
    without_effect="dropout_rate initializer_factor num_decoder_layers scale_decoder_outputs",
    dropout=("dropout_rate", "dropout_rate"),
    values={"is_encoder_decoder": (True,)},  # of which the encoder is taken
)
