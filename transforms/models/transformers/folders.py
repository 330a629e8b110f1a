"""What the readers of model folders share: small files read with errors that name them, digests,
common checks.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers import weights
from corpusvec.transforms.specs import POOLER, TokenizerSpec, VectorColumn
from corpusvec.transforms.storage.file_digests import sha256
from corpusvec.transforms.tokens.tokenizers import Tokenizer, load_tokenizer


def of_our_own(
    config: Transformer, pooler: bool, columns: tuple[VectorColumn, ...] = ()
) -> dict[str, Any]:
    """What a `ModelSpec` says of any model that `forward` runs; `columns` where its files name
    some.
    """
    shapes = weights.shapes(config, pooler).values()
    return {
        "transformer": config,
        "hidden_size": config.hidden_size,
        "longest": config.longest,
        "layers": tuple(range(config.layer_count + 1)),
        "outputs": (POOLER,) if pooler else (),
        "parameters": sum(math.prod(shape) for shape in shapes),
        "default_columns": columns or second_to_last(config.layer_count),
    }


def of_tokenizer(library: Tokenizer) -> dict[str, Any]:
    """What a `ModelSpec` says of its tokenizer."""
    return {
        "specials": sum(token is not None for token in (library.cls, library.sep)),
        "separators": library.separators,
        "pairs": library.pairs,
    }


def second_to_last(layer_count: int) -> tuple[VectorColumn, ...]:
    """The sentence vector of a BERT that does not say which is its own: the last layer is too near
    to what it was trained for.
    """
    return (VectorColumn("vector", "mean", (max(layer_count - 1, 1),)),)


def say_lowercase(do_lower_case: str) -> bool | None:
    """`--do_lower_case`: true, false, or None for auto."""
    return {"true": True, "false": False, "auto": None}[do_lower_case]


def check_own_tokenizer(files: Sequence[Path], own: Sequence[Path]) -> None:
    """Raises `ValueError` where the tokenizer in `files` is another than the model's `own`."""
    for file in files:
        if own and not any(filecmp.cmp(file, one, shallow=False) for one in own):
            raise ValueError(
                f"--tokenizer={file}: the model has its own tokenizer {own[0]}; omit --tokenizer"
            )


def fitting_tokenizer(spec: TokenizerSpec, vocab_size: int) -> Tokenizer:
    """Raises `ValueError` where a tokenizer gives ids that the embedding table does not have."""
    tokenizer = load_tokenizer(spec)
    if tokenizer.size > vocab_size:
        raise ValueError(
            f"{spec.vocabulary or spec.path}: has {tokenizer.size} tokens, the model's embedding"
            f" table {vocab_size}; is it another model's?"
        )
    return tokenizer


def digest_of(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """SHA-256 over the contents of the files, in the order given, and the settings; not over where
    they are.
    """
    total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        total.update(bytes.fromhex(sha256(str(file))))
    return total.hexdigest()
