"""The kinds of models: a row for each, with the module that knows it and the files that it has."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

_TEXT_FILES = ("*.json", "*.txt", "*.model", "*.vocab")  # settings and tokenizers


@dataclass(frozen=True, slots=True)
class Kind:
    """`module` is in `models`; `looks_for` says in a user's words what it looks for. The others are
    patterns of files. A model has one of its `weights`, or of the `older_weights`, which are
    fetched only where there are no others.
    """

    module: str
    looks_for: str
    weights: tuple[str, ...]
    files: tuple[str, ...] = _TEXT_FILES
    older_weights: tuple[str, ...] = ()

    def load_module(self) -> ModuleType:
        return importlib.import_module(f"..{self.module}", __package__)


_SAVED = (("saved_model.pb",), ("*.pb", "variables/*", "assets/*"))

# A kind's module has `recognises(path, asked)`, `describe(path, asked)` and `load(spec, wanted)`;
# those of our own BERT have `read_arrays(spec, pooler)` too, those of SavedModels
# `takes(signature)`.
KINDS: Mapping[str, Kind] = {
    "checkpoint": Kind(
        "transformers.checkpoints",
        "a TensorFlow 1 checkpoint (bert_config.json or config.ini, *.ckpt-*.index with its data,"
        " vocab.txt or a SentencePiece .model with its .vocab)",
        ("*.ckpt*.index",),
        (*_TEXT_FILES, "config.ini", "*.ckpt*.data-*"),
    ),
    "static": Kind(
        "static.tables",
        "a folder of static embeddings (StaticEmbedding of sentence-transformers, or model2vec:"
        " model.safetensors and tokenizer.json)",
        ("*.safetensors",),
    ),
    "hugging_face": Kind(
        "transformers.hugging_face",
        "a Hugging Face folder (config.json, model.safetensors or pytorch_model.bin, tokenizer.json"
        " or vocab.txt or sentencepiece.bpe.model)",
        ("*.safetensors",),
        older_weights=("pytorch_model*.bin",),
    ),
    # Functions of SavedModels and TF1 Hub modules (saved_model.pb and its variables). The first
    # that takes a function runs it.
    "saved_bert": Kind(
        "saved_models.ids",
        "a SavedModel or TF1 Hub module that takes token ids (a vocabulary in assets)",
        *_SAVED,
    ),
    "saved_words": Kind("saved_models.words", "one that takes words (ELMo, word vectors)", *_SAVED),
    "saved_pieces": Kind(
        "saved_models.pieces", "one that takes SentencePiece ids (USE-lite)", *_SAVED
    ),
    "saved_strings": Kind("saved_models.strings", "one that takes strings (USE, NNLM)", *_SAVED),
}


def patterns(*fields: str) -> list[str]:
    """Those of all kinds' `fields`."""
    kinds = reversed(list(KINDS.values()))
    return [*dict.fromkeys(one for kind in kinds for name in fields for one in getattr(kind, name))]
