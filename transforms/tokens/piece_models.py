"""What a SentencePiece model says of itself where its library does not tell.

Source: google/sentencepiece, sentencepiece_model.proto; transformers 4.57 and 5.23,
convert_slow_tokenizer.py, which rebuild a model for the tokenizers library.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIECES, _TRAINED, _NORMALIZED = "pieces", "trainer_spec", "normalizer_spec"
# By message: its fields, each with number, type and default.
_FIELDS = {
    "SentencePiece": (
        ("piece", 1, "STRING", ""),
        ("score", 2, "FLOAT", ""),
        ("type", 3, "INT32", "1"),
    ),
    "TrainerSpec": (
        ("model_type", 3, "INT32", "1"),
        ("split_by_whitespace", 22, "BOOL", "true"),
        ("treat_whitespace_as_suffix", 24, "BOOL", "false"),
        ("unk_id", 40, "INT32", "0"),
    ),
    "NormalizerSpec": (
        ("precompiled_charsmap", 2, "BYTES", ""),
        ("add_dummy_prefix", 3, "BOOL", "true"),
        ("remove_extra_whitespaces", 4, "BOOL", "true"),
        ("escape_whitespaces", 5, "BOOL", "true"),
    ),
}
_PARTS = ((_PIECES, "SentencePiece"), (_TRAINED, "TrainerSpec"), (_NORMALIZED, "NormalizerSpec"))
_UNIGRAM = 1
_CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 3, 4, 5, 6


@functools.lru_cache(maxsize=1)
def _message():
    """The class of the file's message. That of the sentencepiece package wants a newer protobuf."""
    from google.protobuf import (  # type: ignore[import-untyped]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(name="pieces.proto", package="corpusvec")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, default in fields:
            kind = kinds.Type.Value(f"TYPE_{kind}")
            field = message.field.add(name=field, number=number, type=kind, label=1)
            if default:
                field.default_value = default
    whole = file.message_type.add(name="Model")
    for number, (part, name) in enumerate(_PARTS, start=1):
        label = kinds.LABEL_REPEATED if part == _PIECES else kinds.LABEL_OPTIONAL
        whole.field.add(name=part, number=number, label=label, type_name=f".corpusvec.{name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("corpusvec.Model"))


def read(file: Path):
    """The message. Raises `ValueError` where it is no model."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return _message().FromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise ValueError(f"{file}: cannot be read as a SentencePiece model ({error})") from error


def is_unigram(model) -> bool:
    return model.trainer_spec.model_type == _UNIGRAM


def found_first(model) -> Iterator[tuple[str, bool]]:
    """Pieces that are found in a text before its rules are asked, and whether they are special."""
    for piece in model.pieces:
        if piece.type in (_CONTROL, _USER_DEFINED):
            yield piece.piece, piece.type == _CONTROL


def check(file: Path) -> None:
    """Raises `ValueError` where a model was trained with what transformers leaves out when it
    rebuilds it.
    """
    model = read(file)
    trained, normalized = model.trainer_spec, model.normalizer_spec
    types = {piece.type for piece in model.pieces}
    otherwise = {
        f"{_TRAINED}.model_type": not is_unigram(model),
        f"{_TRAINED}.user_defined_symbols": _USER_DEFINED in types,
        f"{_TRAINED}.byte_fallback": _BYTE in types,
        f"{_TRAINED}.split_by_whitespace": not trained.split_by_whitespace,
        f"{_TRAINED}.treat_whitespace_as_suffix": trained.treat_whitespace_as_suffix,
        f"{_PIECES}.type": _UNUSED in types,
        f"{_NORMALIZED}.add_dummy_prefix": not normalized.add_dummy_prefix,
        f"{_NORMALIZED}.remove_extra_whitespaces": not normalized.remove_extra_whitespaces,
        f"{_NORMALIZED}.escape_whitespaces": not normalized.escape_whitespaces,
    }
    for key, is_so in otherwise.items():
        if is_so:
            raise ValueError(
                f"{file}: {key} is not as in XLM-R's, and transformers makes other tokens of such a"
                " model than SentencePiece; save the tokenizer again, with a tokenizer.json"
            )


def as_tokenizer_json(file: Path) -> dict[str, Any]:
    """What transformers 5 makes of XLM-R's model, as a `tokenizer.json` says it."""
    import base64

    model = read(file)
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [(piece.piece, piece.score) for piece in model.pieces[3:]]
    characters = model.normalizer_spec.precompiled_charsmap
    encoded = base64.b64encode(characters).decode()
    normalizer = {"type": "Precompiled", "precompiled_charsmap": encoded} if characters else None
    return {
        "model": {"type": "Unigram", "vocab": [*special, *pieces, ("<mask>", 0.0)]},
        "normalizer": normalizer,
        "added_tokens": [],
    }
