"""DistilBERT: a BERT without segments and pooler, whose settings have names of their own.

Source: transformers 5.23, models/distilbert.
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
from corpusvec.transforms.models.transformers.families.settings import Settings

_NAMES = {
    "embeddings/word_embeddings": "embeddings.word_embeddings",
    "embeddings/position_embeddings": "embeddings.position_embeddings",
    "embeddings/LayerNorm": "embeddings.LayerNorm",
    "layer/attention/self/query": "transformer.layer.{}.attention.q_lin",
    "layer/attention/self/key": "transformer.layer.{}.attention.k_lin",
    "layer/attention/self/value": "transformer.layer.{}.attention.v_lin",
    "layer/attention/output/dense": "transformer.layer.{}.attention.out_lin",
    "layer/attention/output/LayerNorm": "transformer.layer.{}.sa_layer_norm",
    "layer/intermediate/dense": "transformer.layer.{}.ffn.lin1",
    "layer/output/dense": "transformer.layer.{}.ffn.lin2",
    "layer/output/LayerNorm": "transformer.layer.{}.output_layer_norm",
}


def _read(settings: Settings) -> Transformer:
    hidden = settings.whole("dim", "hidden_size", default=768)
    heads = settings.whole("n_heads", "num_attention_heads", default=12)
    size = settings.divided("dim", hidden, "n_heads", heads)
    positions = settings.whole("max_position_embeddings", default=512)
    norm = Norm(1e-12)
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(settings.whole("vocab_size", default=30522), hidden, norm, positions),
        attention=Attention(heads, heads, size, size**-0.5),
        feed_forward=FeedForward(
            settings.whole("hidden_dim", default=3072),
            settings.activation("activation", default="gelu"),
        ),
        norm=norm,
        reaches=(Reach(),) * settings.layers("n_layers", "num_hidden_layers", default=6),
        longest=positions,
    )


FAMILY = Family(
    _read,
    _NAMES,
    r"DistilBert",
    prefixes=("distilbert.",),
    # The table of positions is in the file, whether or not it was made of sines.
    without_effect="dropout attention_dropout qa_dropout seq_classif_dropout sinusoidal_pos_embds",
    dropout=("dropout", "attention_dropout"),
)
