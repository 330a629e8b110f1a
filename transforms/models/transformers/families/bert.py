"""BERT and those that differ from it in where positions begin: XLM-RoBERTa, RoBERTa, CamemBERT and
LUKE; and ELECTRA, whose embeddings may be narrower than its layers.

Source: google-research/bert, modeling.py; transformers 5.23, models of these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from corpusvec.transforms.architectures import (
    AFTER,
    Attention,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Transformer,
)
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import ACTIVATIONS, Settings

NAMES = {
    "embeddings/word_embeddings": "embeddings.word_embeddings",
    "embeddings/position_embeddings": "embeddings.position_embeddings",
    "embeddings/token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/LayerNorm": "embeddings.LayerNorm",
    "embeddings/projection": "embeddings_project",
    "layer/attention/self/query": "encoder.layer.{}.attention.self.query",
    "layer/attention/self/key": "encoder.layer.{}.attention.self.key",
    "layer/attention/self/value": "encoder.layer.{}.attention.self.value",
    "layer/attention/output/dense": "encoder.layer.{}.attention.output.dense",
    "layer/attention/output/LayerNorm": "encoder.layer.{}.attention.output.LayerNorm",
    "layer/intermediate/dense": "encoder.layer.{}.intermediate.dense",
    "layer/output/dense": "encoder.layer.{}.output.dense",
    "layer/output/LayerNorm": "encoder.layer.{}.output.LayerNorm",
    "pooler/dense": "pooler.dense",
}
# Of BERT; the others' vocabularies differ, and the table has as many rows as it has.
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
_ROBERTA = DEFAULTS | {"vocab_size": 50265}
_LUKE = DEFAULTS | {"vocab_size": 50267}
_ELECTRA = DEFAULTS | {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}


def described(
    settings: Settings,
    defaults: Mapping[str, int],
    activations: Mapping[str, str] = ACTIVATIONS,
    epsilon: float | None = None,
    first_position: int = 0,
    segments: int | None = None,
    activation: str = "gelu",
) -> Transformer:
    """A BERT's shape, from the names that both google-research and transformers give its numbers.

    `segments`, `epsilon` and `activation` are a family's own. Raises `ValueError` where a number
    without a default is missing, or they contradict each other.
    """

    def whole(key: str) -> int:
        return settings.whole(key, default=defaults.get(key))

    activation = settings.activation("hidden_act", default=activation, known=activations)
    if epsilon is None:
        epsilon = settings.epsilon("layer_norm_eps", default=1e-12)
    norm, hidden, heads = Norm(epsilon), whole("hidden_size"), whole("num_attention_heads")
    size = settings.divided("hidden_size", hidden, "num_attention_heads", heads)
    positions = whole("max_position_embeddings")
    _check_room(settings, positions, first_position)
    segments = whole("type_vocab_size") if segments is None else segments
    return Transformer(
        hidden_size=hidden,
        embeddings=Embeddings(
            whole("vocab_size"), hidden, norm, positions, first_position, segments
        ),
        attention=Attention(heads, heads, size, size**-0.5),
        feed_forward=FeedForward(whole("intermediate_size"), activation),
        norm=norm,
        reaches=(Reach(),)
        * settings.layers("num_hidden_layers", default=defaults.get("num_hidden_layers")),
        longest=positions - first_position,
    )


def _check_room(settings: Settings, positions: int, first: int) -> None:
    if positions <= first:
        raise ValueError(
            f"{settings.file}: max_position_embeddings {positions} leaves no place for a token: the"
            f" first is at {first}"
        )


def _bert(settings: Settings) -> Transformer:
    return described(settings, DEFAULTS)


def _after_padding(settings: Settings, defaults: Mapping[str, int]) -> Transformer:
    """Positions begin after the number of the padding."""
    first = settings.whole("pad_token_id", default=1, least=0) + 1
    return described(settings, defaults, first_position=first)


def _electra(settings: Settings) -> Transformer:
    model = described(settings, _ELECTRA)
    width = settings.whole("embedding_size", default=128)
    projection = AFTER if width != model.hidden_size else ""
    embeddings = replace(model.embeddings, width=width, projection=projection)
    return replace(model, embeddings=embeddings)


BERT = Family(_bert, NAMES, r"Bert", prefixes=("bert.", "roberta."))
XLM_ROBERTA = Family(
    lambda settings: _after_padding(settings, DEFAULTS),
    NAMES,
    r"(XLM)?Roberta",
    prefixes=("roberta.", "bert.", "camembert."),
)
ROBERTA = Family(
    lambda settings: _after_padding(settings, _ROBERTA),
    NAMES,
    r"(XLM)?Roberta|Camembert",
    prefixes=("roberta.", "camembert.", "bert."),
)
LUKE = Family(
    lambda settings: _after_padding(settings, _LUKE),
    NAMES,
    r"Luke",
    prefixes=("luke.",),
    without_effect="""
        cls_entity_prediction entity_emb_size entity_vocab_size use_entity_aware_attention
    """,
)
ELECTRA = Family(
    _electra,
    NAMES,
    r"Electra",
    prefixes=("electra.",),
    without_effect="summary_activation summary_last_dropout summary_type summary_use_proj",
)
