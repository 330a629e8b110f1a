"""Those that are built as Llama is: norms of the root of the mean square before, rotary positions,
heads that share keys and values, a gated feed-forward. Qwen3 sees what is behind a token, and has
norms over its heads; EuroBERT sees all.

Source: transformers 5.23, models/qwen3 and models/eurobert.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import (
    BEFORE,
    Attention,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families import rotary
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.modernbert import layer_types
from corpusvec.transforms.models.transformers.families.settings import Settings

NAMES = {
    "embeddings/word_embeddings": "embed_tokens",
    "layer/attention/input/LayerNorm": "layers.{}.input_layernorm",
    "layer/attention/self/query": "layers.{}.self_attn.q_proj",
    "layer/attention/self/key": "layers.{}.self_attn.k_proj",
    "layer/attention/self/value": "layers.{}.self_attn.v_proj",
    "layer/attention/self/query/LayerNorm": "layers.{}.self_attn.q_norm",
    "layer/attention/self/key/LayerNorm": "layers.{}.self_attn.k_norm",
    "layer/attention/output/dense": "layers.{}.self_attn.o_proj",
    "layer/intermediate/input/LayerNorm": "layers.{}.post_attention_layernorm",
    "layer/intermediate/gate": "layers.{}.mlp.gate_proj",
    "layer/intermediate/dense": "layers.{}.mlp.up_proj",
    "layer/output/dense": "layers.{}.mlp.down_proj",
    "encoder/final/LayerNorm": "norm",
}
_QWEN3 = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": 128,
    "max_position_embeddings": 32768,
}
_EUROBERT = {
    "vocab_size": 128256,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 8192,
}


def grouped(
    settings: Settings, hidden: int, heads: int, groups: int | None, size: int | None
) -> Attention:
    """Attention whose heads share keys and values in groups; `groups` and `size` of a head where
    the configuration does not say.
    """
    groups = settings.optional("num_key_value_heads", default=groups) or heads
    size = settings.optional("head_dim", default=size)
    if size is None:
        size = settings.divided("hidden_size", hidden, "num_attention_heads", heads)
    settings.divided("num_attention_heads", heads, "num_key_value_heads", groups)
    bias = settings.flag("attention_bias")
    return Attention(heads, groups, size, size**-0.5, bias, bias)


def _described(settings: Settings, defaults: dict[str, int], epsilon: float) -> Transformer:
    def whole(key: str) -> int:
        return settings.whole(key, default=defaults[key])

    hidden, heads = whole("hidden_size"), whole("num_attention_heads")
    usual = (defaults.get("num_key_value_heads"), defaults.get("head_dim"))
    attention = grouped(settings, hidden, heads, *usual)
    longest = whole("max_position_embeddings")
    turned = rotary.of_all_layers(settings, attention.head_size, longest, 10_000.0)
    mlp_bias = settings.flag("mlp_bias")
    activation = settings.activation("hidden_act", default="silu")
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(whole("vocab_size"), hidden),
        attention=attention,
        feed_forward=FeedForward(whole("intermediate_size"), activation, True, mlp_bias, mlp_bias),
        norm=Norm(settings.epsilon("rms_norm_eps", default=epsilon), rms=True, beta=False),
        norms=BEFORE,
        final_norm=True,
        reaches=(Reach(rotary=turned),)
        * settings.layers("num_hidden_layers", default=defaults["num_hidden_layers"]),
        longest=longest,
    )


def _eurobert(settings: Settings) -> Transformer:
    return _described(settings, _EUROBERT, 1e-5)


def _qwen3(settings: Settings) -> Transformer:
    settings.only("mlp_bias", False)
    model = _described(settings, _QWEN3, 1e-6)
    causal = settings.value("is_causal", kind=bool, default=True)
    window = settings.optional("sliding_window", default=4096)
    window = window if settings.flag("use_sliding_window") else None
    first = settings.whole("max_window_layers", default=28, least=0)
    usual = [
        rotary.LAYER_TYPES[window is not None and number >= first]
        for number in range(model.layer_count)
    ]
    types = layer_types(settings, usual)
    if window is None and "sliding_attention" in types:
        settings.refuse("layer_types", "a layer that sees a window needs use_sliding_window")
    everything = Reach(None, 0 if causal else None, model.reaches[0].rotary)
    near = everything
    if window is not None:
        near = replace(everything, back=window - causal, ahead=0 if causal else window)
    reaches = {"full_attention": everything, "sliding_attention": near}
    return replace(
        model,
        attention=replace(model.attention, head_norm=model.norm),
        reaches=tuple(reaches[kind] for kind in types),
    )


EUROBERT = Family(
    _eurobert,
    NAMES,
    r"EuroBert",
    code=("EuroBertModel", "EuroBertConfig"),
    without_effect="""
        attention_dropout bos_token classifier_pooling clf_pooling eos_token mask_token
        mask_token_id pad_token pretraining_tp
    """,
    dropout=("hidden_dropout", "attention_dropout"),
    usual_dropout=0.0,
)
QWEN3 = Family(
    _qwen3,
    NAMES,
    r"Qwen3",
    without_effect="attention_dropout",
    dropout=("hidden_dropout", "attention_dropout"),
    usual_dropout=0.0,
)
