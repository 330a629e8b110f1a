"""SavedModels and TF1 Hub modules that take token ids as BERT does, with mask and segments."""

from __future__ import annotations

import bisect
import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from corpusvec.transforms.batches import filled, padded_length
from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.exports import notes as export_notes
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import check_ids, fails, id_windows, stabilized
from corpusvec.transforms.models.saved_models import asset_tokenizers, choices
from corpusvec.transforms.models.saved_models.choices import Choice, Given, chosen, vectors_of
from corpusvec.transforms.models.saved_models.functions import SavedFunction
from corpusvec.transforms.models.transformers.folders import fitting_tokenizer, second_to_last
from corpusvec.transforms.specs import (
    POOLER,
    Asked,
    Layer,
    ModelSpec,
    Signature,
    VectorColumn,
    Wanted,
)
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

_IDS, _MASK, _TYPES = "ids", "mask", "types"
_ROLES: Mapping[str, str] = {
    **dict.fromkeys(("input_word_ids", "input_ids", "word_ids", "token_ids", "ids"), _IDS),
    **dict.fromkeys(("input_mask", "attention_mask", "padding_mask", "mask"), _MASK),
    **dict.fromkeys(("input_type_ids", "segment_ids", "token_type_ids"), _TYPES),
}
_NUMBERED = re.compile(r"(?P<stem>.*?)[_/:]?(?P<place>[012])")
_STACK = re.compile(r"encoder_outputs/\d+")
_SEQUENCE, _POOLED = "sequence_output", "pooled_output"
_PART = re.compile(r"/part_\d+$")
_UNKNOWN_LENGTH = 512  # that of nearly every BERT


def roles_of(signature: Signature) -> dict[str, str] | None:
    """The inputs by what they are for, None where they are not a BERT's.

    Unnamed ones come in the order of TensorFlow Hub's first BERTs: ids, mask, types. A single one
    can only be ids. Where all have names that say it, some may be floats: Keras makes them so where
    nobody says what they are, and masks are numbers to multiply with, or true and false.
    """
    names = [tensor.name for tensor in signature.inputs]
    kinds = {tensor.dtype.rstrip("0123456789") for tensor in signature.inputs}
    if not names or any(tensor.rank not in (2, None) for tensor in signature.inputs):
        return None
    roles = {_ROLES[name]: name for name in names if name in _ROLES}
    named = len(roles) == len(names) and _IDS in roles
    if named and len(names) > 1 and kinds <= {"int", "float", "bool"}:
        types = {tensor.name: tensor.dtype for tensor in signature.inputs}
        return roles if types[roles[_IDS]] not in ("bool", "float16", "int8") else None
    if kinds != {"int"}:
        return None
    if len(names) == 1:
        return {_IDS: names[0]}
    numbered = [_NUMBERED.fullmatch(name) for name in names]
    places = {match["place"]: match[0] for match in numbered if match}
    if len(names) == 3 and len(places) == 3 and len({m["stem"] for m in numbered if m}) == 1:
        return dict(zip((_IDS, _MASK, _TYPES), (places[place] for place in "012")))
    return None


def takes(signature: Signature) -> bool:
    """Token ids, and vectors of tokens or texts."""
    given = given_by(signature)
    return roles_of(signature) is not None and bool(given.layers or given.outputs)


def given_by(signature: Signature) -> Given:
    """`encoder_outputs` are the layers from 1; without them there is only the last one, -1."""
    names = [tensor.name for tensor in signature.outputs]
    stack = sorted(filter(_STACK.fullmatch, names), key=lambda name: int(name.rpartition("/")[2]))
    texts = [key for key in vectors_of(signature, 2) if key not in (*stack, _SEQUENCE)]
    others = [key for key in vectors_of(signature, 3) if key not in (*stack, _SEQUENCE)]
    layers: dict[Layer, str] = {i + 1: key for i, key in enumerate(stack)}
    if not stack and _SEQUENCE in names:
        layers = {-1: _SEQUENCE}
    elif not stack and len(others) == 1:
        layers = {-1: others.pop()}
    pooled = [key for key in texts if key == _POOLED]
    if not pooled and len(texts) == 1 and texts[0].isdigit():
        pooled = texts
    outputs = {POOLER: pooled[0]} if pooled else {}
    return Given(layers | {key: key for key in others}, outputs | {key: key for key in texts})


def recognises(path: str, asked: Asked) -> bool:
    return choices.recognised(path, asked, "saved_bert")


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where the model is not whole, or cannot do what is asked."""
    choice = chosen(path, asked)
    signature, given = choice.signature, given_by(choice.signature)
    roles: dict[str, str] = roles_of(signature)  # type: ignore[assignment]
    exported = export_notes.read(Path(path) / "assets")
    tokenizer, notes = _tokenizer(choice, exported, asked)
    rows = _rows_of(choice, "word_embeddings")
    library = fitting_tokenizer(tokenizer, rows) if rows else load_tokenizer(tokenizer)
    longest, said = _longest(choice, roles)
    notes = (*choice.notes, *notes, *said)
    if guessed := [name for name in roles.values() if name not in _ROLES]:
        notes += (
            f"its inputs do not say what they are for; {', '.join(guessed)} are taken for"
            f" {', '.join(roles)}, in this order",
        )
    padding = _MASK in roles or _fixed_length(signature, roles) is not None
    if not padding:
        notes += ("it takes no mask: only texts of as many tokens are encoded together",)
    spec = ModelSpec(
        kind="saved_bert",
        path=path,
        digest=choices.digest(path, tokenizer),
        tokenizer=tokenizer,
        max_seq_length=longest or _UNKNOWN_LENGTH,
        longest=longest,
        layers=tuple(given.layers),
        outputs=tuple(given.outputs),
        default_columns=_columns(path, signature, given, asked),
        hidden_size=choices.hidden_size(signature, given, ()),
        parameters=choice.model.parameters,
        signature=signature,
        specials=0 if library.cls is None else 2,
        separators=library.separators,
        segments=library.segments and _TYPES in roles,
        pairs=library.cls is not None,
        padding=padding,
        notes=notes,
    )
    return _completed(spec, exported, asked)


def _completed(
    spec: ModelSpec, exported: export_notes.ExportNotes | None, asked: Asked
) -> ModelSpec:
    """With what the model's signature and variables do not say."""
    if exported:
        return _as_exported(spec, exported, asked)
    return spec if spec.longest else _with_length(spec)


def _tokenizer(
    choice: Choice, exported: export_notes.ExportNotes | None, asked: Asked
) -> asset_tokenizers.Found:
    """The one asked for, else that of our own export, else what lies in the assets."""
    if exported is None or asked.tokenizer:
        return asset_tokenizers.find(choice.model, asked)
    if asked.do_lower_case == "auto":
        return asset_tokenizers.Found(exported.tokenizer)
    lowercase = asked.do_lower_case == "true"
    told = replace(exported.tokenizer, lowercase=lowercase, lowercase_asked=True)
    return asset_tokenizers.Found(told)


def _as_exported(spec: ModelSpec, exported: export_notes.ExportNotes, asked: Asked) -> ModelSpec:
    """With what our own export says of the model that it was made from."""
    longest = min(spec.longest or exported.longest, exported.longest)
    last: dict[Layer, Layer] = {exported.layer_count: -1} if -1 in spec.layers else {}
    columns = tuple(
        replace(column, layers=tuple(last.get(layer, layer) for layer in column.layers))
        for column in exported.default_columns
    )
    layers = {layer for column in columns for layer in column.layers}
    known = not asked.output_key and layers <= set(spec.layers)
    notes = spec.notes
    if not known and not asked.output_key:
        notes += (
            "the sentence vector is not that of the model it was exported from: the layers that it"
            " needs are not among the outputs",
        )
    return replace(
        spec,
        longest=longest,
        max_seq_length=min(exported.max_seq_length, longest),
        segments=exported.segments,
        separators=exported.separators,
        default_columns=columns if known else spec.default_columns,
        notes=notes,
        prompts=exported.prompts,
        default_prompt=exported.default_prompt,
    )


def _columns(
    path: str, signature: Signature, given: Given, asked: Asked
) -> tuple[VectorColumn, ...]:
    numbers = [layer for layer in given.layers if isinstance(layer, int)]
    if asked.output_key == _SEQUENCE and numbers:  # what `encoder_outputs` ends with
        return (VectorColumn("vector", "mean", (numbers[-1],)),)
    if asked.output_key or not numbers:
        return choices.sentence_column(path, signature, given, asked)
    if numbers != [-1]:
        return second_to_last(max(numbers))
    return (VectorColumn("vector", "mean", (-1,)),)


def _rows_of(choice: Choice, name: str) -> int | None:
    """How many rows the table of this name has, where there is exactly one."""
    tables: Counter[str] = Counter()
    for variable, shape in {**choice.model.variables, **choice.model.made_as}.items():
        if name in variable and "relative" not in variable and len(shape) == 2:
            tables[_PART.sub("", variable)] += shape[0]  # a large table may be cut by its rows
    rows = set(tables.values())
    return rows.pop() if len(rows) == 1 else None


def _longest(choice: Choice, roles: Mapping[str, str]) -> tuple[int | None, tuple[str, ...]]:
    """The longest input: that of the signature, else what the table of positions has."""
    if fixed := _fixed_length(choice.signature, roles):
        return fixed, (f"every input is padded to the signature's {fixed} tokens",)
    return _rows_of(choice, "position_embedding"), ()


def _fixed_length(signature: Signature, roles: Mapping[str, str]) -> int | None:
    (ids,) = [tensor for tensor in signature.inputs if tensor.name == roles[_IDS]]
    return ids.shape[1] if ids.shape else None


def _with_length(spec: ModelSpec) -> ModelSpec:
    """What a model takes whose files do not say it."""
    if longest := _longest_tried(spec):
        return replace(spec, max_seq_length=longest, longest=longest)
    note = (
        f"its files do not say how long an input may be: {_UNKNOWN_LENGTH} tokens are taken unless"
        " --max_seq_length says otherwise"
    )
    return replace(spec, notes=(*spec.notes, note))


@functools.lru_cache(maxsize=4)
def _longest_tried(spec: ModelSpec) -> int | None:
    """The longest input that does not fail; None where none that was tried does, or all do."""
    encoder = SavedBertEncoder(spec, Wanted(spec.layers[-1:], spec.outputs[:1]))

    def too_long(length: int) -> bool:
        return fails(encoder, id_windows([0] * length))

    if too_long(1) or not too_long(_UNKNOWN_LENGTH):
        return None
    return bisect.bisect_left(range(1, _UNKNOWN_LENGTH), True, key=too_long)


def load(spec: ModelSpec, wanted: Wanted) -> Encoder:
    """Load the model and build its function.

    Raises `ValueError` where the tokenizer has ids that the model does not take.
    """
    encoder = SavedBertEncoder(spec, wanted)
    check_ids(encoder, spec)
    last = load_tokenizer(spec.tokenizer).size - 1  # type: ignore[arg-type]
    lengths = (1, 3, min(40, spec.longest or 40))
    probes = id_windows(*([min(7, last)] * length for length in lengths))
    return stabilized(encoder, probes, spec, wanted) if spec.padding else encoder


class SavedBertEncoder:
    """Ids in; layers, and the model's own sentence vectors, out."""

    def __init__(self, spec: ModelSpec, wanted: Wanted):
        signature: Signature = spec.signature  # type: ignore[assignment]
        self._roles: dict[str, str] = roles_of(signature)  # type: ignore[assignment]
        shapes = {tensor.name: tensor.shape for tensor in signature.inputs}
        batch, self._length = shapes[self._roles[_IDS]] or (None, None)
        self._function = SavedFunction(spec, given_by(signature), wanted, batch)
        self.streams, self._segments = self._function.streams, spec.segments
        self._longest = spec.longest_padded

    def encode(self, windows: Windows) -> Encoded:
        length = self._length or padded_length(windows, self._longest)
        ids, segments = filled(windows, length)
        there = np.arange(length) < windows.lengths[:, None]
        values = {_IDS: ids, _MASK: there.astype(np.int32), _TYPES: segments * self._segments}
        inputs = {name: values[role] for role, name in self._roles.items()}
        return self._function.encode(windows, inputs, length)
