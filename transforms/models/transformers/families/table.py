"""The families by the `model_type` of a configuration: the only place that names them all."""

from __future__ import annotations

from collections.abc import Mapping

from corpusvec.transforms.models.transformers.families import (
    albert,
    bert,
    deberta,
    distilbert,
    gemma3,
    gte,
    llama,
    modernbert,
    mpnet,
    nomic,
    t5,
)
from corpusvec.transforms.models.transformers.families.family import Family

FAMILIES: Mapping[str, Family] = {
    "albert": albert.FAMILY,
    "bert": bert.BERT,
    "camembert": bert.ROBERTA,
    "deberta-v2": deberta.FAMILY,
    "distilbert": distilbert.FAMILY,
    "electra": bert.ELECTRA,
    "eurobert": llama.EUROBERT,
    "gemma3_text": gemma3.FAMILY,
    "gte": gte.FAMILY,
    "luke": bert.LUKE,
    "modernbert": modernbert.FAMILY,
    "mpnet": mpnet.FAMILY,
    "mt5": t5.FAMILY,
    "new": gte.FAMILY,
    "nomic_bert": nomic.FAMILY,
    "qwen3": llama.QWEN3,
    "roberta": bert.ROBERTA,
    "t5": t5.FAMILY,
    "xlm-roberta": bert.XLM_ROBERTA,
}
