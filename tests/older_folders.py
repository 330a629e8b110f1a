"""Folders without a `tokenizer.json`, of each kind that is published: a SentencePiece model, a
vocabulary with its merges, or a vocabulary alone.

`golden_tokens.py` asks transformers for their tokens, `test_older_tokens.py` compares.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import pre_tokenizers

from tests.models import TEXTS

LINES = (
    *TEXTS[:8],
    "The É is 東京, and e\u0301 too",
    "  two  spaces\tand a tab ",
    "a▁b [DOC] text[DOC]text",
    "a\u200bb\u00adc \u0007 ＡＢＣ ｶﾞ",
    "extraordinarily quiet's",
    "It''s ``quoted'' 3,000 and 42, 3.11",
    '(He said: - "no" £5 €7 –8)',
    "a\nb\r\nc",
    "I (x)",
    "İstanbul ΣΊΣΥΦΟΣ ﬁ 😀 猫",
    "<extra_id_0> trailing ",
)
_DEBERTA = {
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    "pad_piece": "[PAD]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "unk_piece": "[UNK]",
}
_T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_ALBERT = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": "[CLS],[SEP],[MASK]",
    "user_defined_symbols": '(,),",-,.,–,£,€',
}
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_MERGES = (
    "t h",
    "th e",
    "Ġ the",
    "Ġ t",
    "Ġ a",
    "Ġa n",
    "Ġan d",
    "i n",
    "in g",
    "e r",
    "æ ĺ",
    "' s",
)
_WORDS = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>", *"abcdeghinoqrstuwxyzé.,(")


@dataclass(frozen=True)
class Kind:
    """`model_type`, what `tokenizer_config.json` says, and the file: a SentencePiece model that is
    trained with `training`, `vocab.json` that begins with `special`, or `vocab.txt`. `added` is a
    token behind those of the file.
    """

    model_type: str
    said: Mapping[str, Any] = field(default_factory=dict)
    file: str = "vocab.json"
    training: Mapping[str, Any] | None = None
    special: tuple[str, ...] = _ROBERTA
    added: str = ""


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"tokenizer_class": f"{name}Tokenizer", **more}


_EXTRA = {"extra_ids": 2, "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>"]}
_CASED = {"do_lower_case": False, "keep_accents": True}
_IDENTITY = {**_T5, "normalization_rule_name": "identity"}
KINDS: Mapping[str, Kind] = {
    "ALBERT's spiece.model": Kind("albert", _named("Albert"), "spiece.model", _ALBERT),
    "spiece.model, cased": Kind("albert", _named("Albert", **_CASED), "spiece.model", _ALBERT),
    "spiece.model without a class": Kind("albert", {}, "spiece.model", _ALBERT),
    "T5's spiece.model": Kind("t5", _named("T5"), "spiece.model", _T5),
    "T5 without rules": Kind("t5", _named("T5", **_EXTRA), "spiece.model", _IDENTITY),
    "mT5": Kind("mt5", _named("T5", extra_ids=0), "spiece.model", _T5),
    "DeBERTa 3": Kind(
        "deberta-v2",
        _named("DebertaV2", do_lower_case=False, vocab_type="spm"),
        "spm.model",
        _DEBERTA,
        added="[MASK]",
    ),
    "DeBERTa 2, lower case": Kind(
        "deberta-v2",
        {"do_lower_case": True},
        "spm.model",
        {**_DEBERTA, "user_defined_symbols": "[MASK],…"},
    ),
    "CamemBERT": Kind("camembert", _named("Camembert"), "sentencepiece.bpe.model", {}),
    "CamemBERT without a class": Kind("camembert", {}, "sentencepiece.bpe.model", {}),
    "RoBERTa": Kind("roberta", _named("Roberta")),
    "RoBERTa without a class": Kind("roberta"),
    "RoBERTa, a space before a text": Kind("roberta", _named("Roberta", add_prefix_space=True)),
    "Longformer's class": Kind("roberta", _named("Longformer")),
    "LUKE": Kind("luke", _named("Luke"), special=(*_ROBERTA, "<ent>", "<ent2>")),
    "GPT-2": Kind("roberta", _named("GPT2"), special=("<|endoftext|>",)),
    "Qwen2": Kind("qwen3", _named("Qwen2"), special=("<|endoftext|>",)),
    "MPNet's vocab.txt": Kind("mpnet", _named("MPNet"), "vocab.txt"),
}


def write(kind: Kind, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind.model_type}))
    (folder / "tokenizer_config.json").write_text(json.dumps(kind.said))
    if kind.training is not None:
        model = trained(tuple(kind.training.items()))
        (folder / kind.file).write_bytes(model)
        if kind.added:
            count = sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()
            (folder / "added_tokens.json").write_text(json.dumps({kind.added: count}))
    elif kind.file == "vocab.txt":
        lines = [*_WORDS, *(f"##{letter}" for letter in "abcdefghinoqrstuwxyz")]
        (folder / kind.file).write_text("\n".join(lines), "utf-8")
    else:
        pieces = [*kind.special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        pieces += [merge.replace(" ", "") for merge in _MERGES]
        numbers = {piece: number for number, piece in enumerate(pieces)}
        (folder / kind.file).write_text(json.dumps(numbers, ensure_ascii=False), "utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *_MERGES, ""]), "utf-8")
    return folder


@functools.cache
def trained(options: tuple[tuple[str, Any], ...]) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*(text.lower() for text in TEXTS), *TEXTS] * 3),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
        **dict(options),
    )
    return model.getvalue()
