"""Nomic's BERT: norms after, a gated feed-forward, and rotary positions in place of a table.

Source: transformers 5.23, models/nomic_bert; and for the older spellings the program that came with
the models, nomic-ai/nomic-bert-2048, modeling_hf_nomic_bert.py.
"""

from __future__ import annotations

from dataclasses import replace

from corpusvec.transforms.architectures import (
    Attention,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Rotary,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.rotary import of_all_layers, rotary
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = {
    "embeddings/word_embeddings": "embeddings.word_embeddings",
    "embeddings/token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/LayerNorm": "emb_ln|embeddings.LayerNorm",
    "layer/attention/self/query": "encoder.layers.{}.attn.Wqkv[1/3]|layers.{}.self_attn.q_proj",
    "layer/attention/self/key": "encoder.layers.{}.attn.Wqkv[2/3]|layers.{}.self_attn.k_proj",
    "layer/attention/self/value": "encoder.layers.{}.attn.Wqkv[3/3]|layers.{}.self_attn.v_proj",
    "layer/attention/output/dense": "encoder.layers.{}.attn.out_proj|layers.{}.self_attn.o_proj",
    "layer/attention/output/LayerNorm": (
        "encoder.layers.{}.norm1|layers.{}.post_attention_layernorm"
    ),
    "layer/intermediate/gate": "encoder.layers.{}.mlp.fc12|layers.{}.mlp.gate_proj",
    "layer/intermediate/dense": "encoder.layers.{}.mlp.fc11|layers.{}.mlp.up_proj",
    "layer/output/dense": "encoder.layers.{}.mlp.fc2|layers.{}.mlp.down_proj",
    "layer/output/LayerNorm": "encoder.layers.{}.norm2|layers.{}.post_mlp_layernorm",
    "pooler/dense": "pooler.dense",
}
_OFF = (
    *("causal", "parallel_block", "parallel_block_tied_norm", "prenorm", "rotary_emb_interleaved"),
    *("scale_attn_by_inverse_layer_idx", "use_rms_norm"),
)
_GATED = {"swiglu": "silu", "geglu": "gelu"}


def _read(settings: Settings) -> Transformer:
    _refuse(settings)
    hidden = settings.whole("n_embd", "hidden_size", default=768)
    heads = settings.whole("n_head", "num_attention_heads", default=12)
    size = settings.optional("head_dim")
    if size is None:
        size = settings.divided("hidden_size", hidden, "num_attention_heads", heads)
    bias = settings.flag("qkv_proj_bias")
    norm = Norm(settings.epsilon("layer_norm_epsilon", "layer_norm_eps", default=1e-12))
    turned, longest = _turned(settings, size)
    layers = settings.layers("n_layer", "num_hidden_layers", default=12)
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(
            vocab_size=settings.whole("vocab_size", default=30528),
            width=hidden,
            norm=norm,
            segment_types=settings.whole("type_vocab_size", default=2, least=0),
        ),
        attention=Attention(heads, heads, size, size**-0.5, bias, bias),
        feed_forward=FeedForward(
            inner=settings.whole("n_inner", "intermediate_size", default=3072),
            activation=_activation(settings),
            gated=True,
            bias=settings.flag("mlp_fc1_bias"),
            output_bias=settings.flag("mlp_fc2_bias"),
        ),
        norm=norm,
        reaches=(Reach(rotary=turned),) * layers,
        longest=longest,
    )


def _refuse(settings: Settings) -> None:
    for key in _OFF:
        settings.only(key, False)
    settings.only("scale_attn_weights", True)
    settings.only("rotary_emb_scale_base")
    settings.only("rotary_emb_fraction", 1)
    for key in ("moe_every_n_layers", "num_experts", "num_shared_experts"):
        settings.only(key, 0, reason="layers of experts are not implemented")


def _turned(settings: Settings, size: int) -> tuple[Rotary, int]:
    """The rotary positions, and for how many tokens they stay as they are."""
    longest = settings.whole("n_positions", "max_position_embeddings", default=2048)
    trained = settings.whole("max_trained_positions", default=longest)
    if settings.there("rotary_scaling_factor"):  # turns otherwise in longer texts
        longest = min(longest, trained)
    if settings.there("rotary_emb_base"):
        turned = rotary(settings, {}, size, longest, settings.number("rotary_emb_base"))
    else:
        turned = of_all_layers(settings, size, longest, 1000.0)
    ends = turned.ends or settings.there("rotary_scaling_factor")
    return replace(turned, ends=ends), longest


def _activation(settings: Settings) -> str:
    if settings.there("activation_function"):
        return settings.activation("activation_function", default="swiglu", known=_GATED)
    return settings.activation("hidden_act", default="silu")


FAMILY = Family(
    _read,
    _NAMES,
    r"NomicBert",
    prefixes=("nomic_bert.", "bert."),
    code=("NomicBertModel", "NomicBertConfig"),
    without_effect="""
        attn_pdrop dense_seq_output embd_pdrop expert_choice_router fused_bias_fc
        fused_dropout_add_ln moe_impl moe_normalize_expert_weights moe_resid_pdrop moe_top_k
        pad_vocab_size_multiple reorder_and_upcast_attn resid_pdrop router_aux_loss_coef
        summary_activation summary_first_dropout summary_proj_to_labels summary_type
        summary_use_proj use_flash_attn use_xentropy ffn_div last_layer_subset
    """,
    usual_dropout=0.0,
)
