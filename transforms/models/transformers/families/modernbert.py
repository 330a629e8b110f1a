"""ModernBERT: norms before, a gated feed-forward, rotary positions, and layers that see a window.

Source: transformers 5.23, models/modernbert.
"""

from __future__ import annotations

from corpusvec.transforms.architectures import (
    BEFORE,
    Attention,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.rotary import LAYER_TYPES, of_each_type
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = {
    "embeddings/word_embeddings": "embeddings.tok_embeddings",
    "embeddings/LayerNorm": "embeddings.norm",
    "layer/attention/input/LayerNorm": "layers.{}.attn_norm",
    "layer/attention/self/query": "layers.{}.attn.Wqkv[1/3]",
    "layer/attention/self/key": "layers.{}.attn.Wqkv[2/3]",
    "layer/attention/self/value": "layers.{}.attn.Wqkv[3/3]",
    "layer/attention/output/dense": "layers.{}.attn.Wo",
    "layer/intermediate/input/LayerNorm": "layers.{}.mlp_norm",
    "layer/intermediate/gate": "layers.{}.mlp.Wi[1/2]",
    "layer/intermediate/dense": "layers.{}.mlp.Wi[2/2]",
    "layer/output/dense": "layers.{}.mlp.Wo",
    "encoder/final/LayerNorm": "final_norm",
}
_THETAS = {
    "full_attention": ("global_rope_theta", 160_000.0),
    "sliding_attention": ("local_rope_theta", 10_000.0),
}


def layer_types(settings: Settings, usual: list[str]) -> list[str]:
    """What each layer sees; `usual` where the configuration does not say."""
    said = settings.value("layer_types", kind=list, default=usual)
    if len(said) != len(usual) or not set(said) <= set(LAYER_TYPES):
        settings.refuse(
            "layer_types",
            f"it has one of {' and '.join(LAYER_TYPES)} for each of {len(usual)} layers",
        )
    return said


def _read(settings: Settings) -> Transformer:
    hidden = settings.whole("hidden_size", default=768)
    heads = settings.whole("num_attention_heads", default=12)
    size = settings.divided("hidden_size", hidden, "num_attention_heads", heads)
    layers = settings.layers("num_hidden_layers", default=22)
    longest = settings.whole("max_position_embeddings", default=8192)
    norm = Norm(settings.epsilon("norm_eps", default=1e-5), beta=settings.flag("norm_bias"))
    every = settings.whole("global_attn_every_n_layers", default=3)
    types = layer_types(settings, [LAYER_TYPES[i % every > 0] for i in range(layers)])
    side = settings.whole("local_attention", default=128, least=0) // 2
    if settings.there("sliding_window"):
        side = settings.whole("sliding_window", least=0)
    turned = of_each_type(settings, size, longest, _THETAS, scaled=LAYER_TYPES)
    reaches = {
        "full_attention": Reach(rotary=turned["full_attention"]),
        "sliding_attention": Reach(side, side, turned["sliding_attention"]),
    }
    bias = settings.flag("attention_bias")
    inner = settings.whole("intermediate_size", default=1152)
    activation = settings.activation("hidden_activation", default="gelu")
    mlp_bias = settings.flag("mlp_bias")
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(settings.whole("vocab_size", default=50368), hidden, norm),
        attention=Attention(heads, heads, size, size**-0.5, bias, bias),
        feed_forward=FeedForward(inner, activation, True, mlp_bias, mlp_bias),
        norm=norm,
        norms=BEFORE,
        first_norm=False,
        final_norm=True,
        reaches=tuple(reaches[kind] for kind in types),
        longest=longest,
    )


FAMILY = Family(
    _read,
    _NAMES,
    r"ModernBert",
    without_effect="""
        classifier_activation classifier_bias classifier_pooling cls_token_id decoder_bias
        deterministic_flash_attn embedding_dropout initializer_cutoff_factor layer_norm_eps
        mlp_dropout reference_compile repad_logits_with_grad sparse_pred_ignore_index
        sparse_prediction attention_dropout
    """,
    dropout=("mlp_dropout", "attention_dropout"),
    usual_dropout=0.0,
    values={"position_embedding_type": ("rope",)},
)
