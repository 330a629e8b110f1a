"""SavedModels and TF1 Hub modules: which of their functions is called, by which of our adapters,
and what it gives.

Each adapter is a kind of its own and has `takes(signature)`; here is what they share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from corpusvec.transforms.models.saved_models import signatures
from corpusvec.transforms.models.saved_models.signatures import CALL, PART, SavedModel
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.models.transformers.folders import digest_of
from corpusvec.transforms.specs import (
    OUTPUT,
    Asked,
    Layer,
    ModelSpec,
    Signature,
    Tensor,
    TokenizerSpec,
    VectorColumn,
)

FILE = "saved_model.pb"
# The order in which functions are tried where the user names none.
_FIRST = (CALL, "serving_default", "default", "tokens")
_TWINS = {*_FIRST, "serve"}  # names of one function, where an adapter takes several of them
_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Choice:
    """The function of a model that is called, and the name of the adapter that calls it."""

    model: SavedModel
    signature: Signature
    adapter: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What a function gives: keys of its outputs by the names that users have for them."""

    layers: Mapping[Layer, str]
    outputs: Mapping[str, str]

    @classmethod
    def of_texts(cls, keys: Iterable[str]) -> Given:
        """Outputs by their own names, and no layer."""
        return cls({}, {key: key for key in keys})


def is_there(path: str) -> bool:
    """Whether a folder holds a SavedModel or a TF1 Hub module."""
    return (Path(path) / FILE).is_file()


def recognised(path: str, asked: Asked, adapter: str) -> bool:
    """Whether this adapter is the one to run the model. Raises `ValueError` as `chosen` does."""
    return is_there(path) and chosen(path, asked).adapter == adapter


def adapters() -> dict[str, ModuleType]:
    """The modules of the kinds that run functions of SavedModels, by kind."""
    modules = {name: kind.load_module() for name, kind in KINDS.items()}
    return {name: module for name, module in modules.items() if hasattr(module, "takes")}


def adapter_of(signature: Signature) -> str | None:
    """The kind that runs a function, None where there is none."""
    if signature.training:
        return None  # dropout
    return next((name for name, module in adapters().items() if module.takes(signature)), None)


def chosen(path: str, asked: Asked) -> Choice:
    """The function to call: the one asked for, or the first that an adapter takes.

    Raises `ValueError` where there is none, with all that there are.
    """
    model = signatures.read(path)
    there = model.signatures
    if asked.signature:
        there = tuple(found for found in there if found.name == asked.signature)
        if not there:
            names = ", ".join(dict.fromkeys(found.name for found in model.signatures)) or "none"
            raise ValueError(f"--signature={asked.signature}: {path} has no such one; has: {names}")
    usable = [(found, name) for found in there if (name := adapter_of(found))]
    if not usable:
        flag = f"--signature={asked.signature}: " if asked.signature else f"--model={path}: "
        listed = "; ".join(map(described, there)) or "none; save the model with signatures=…"
        raise ValueError(
            f"{flag}no function takes strings, words or token ids and gives vectors. There are:"
            f" {listed}"
        )
    signature, adapter = min(usable, key=lambda one: _rank(one[0]))
    return Choice(model, signature, adapter, _notes(signature, adapter, usable))


def _rank(signature: Signature) -> tuple[Any, ...]:
    place = _FIRST.index(signature.name) if signature.name in _FIRST else len(_FIRST)
    fixed = sum(size is not None for tensor in signature.inputs for size in tensor.shape or ())
    return place, signature.name, signature.training is None, not signature.usual, fixed


def _notes(
    signature: Signature, adapter: str, usable: Sequence[tuple[Signature, str]]
) -> tuple[str, ...]:
    """Where the user may have meant another function, one that gives other vectors."""
    notes = []
    alike = [
        one for one, _ in usable if (one.name, one.training) == (signature.name, signature.training)
    ]
    if len(alike) > 1:
        notes.append(
            f"of {len(alike)} traces of {signature.name} this is run: {described(signature)}"
        )
    twins = _TWINS if signature.name in _TWINS else {signature.name}
    others = dict.fromkeys(
        one.name for one, name in usable if name != adapter or one.name not in twins
    )
    if others:
        notes.append(
            f"{signature.name} is called; --signature={next(iter(others))} would call another"
            f" ({', '.join(others)} can be run)"
        )
    return tuple(notes)


def described(signature: Signature) -> str:
    """`default(strings: string [?]) -> elmo: float32 [?, ?, 32]`"""
    inputs, outputs = (
        ", ".join(
            f"{tensor.name}: {tensor.dtype} {shape_text(tensor)}" for tensor in tensors[:_SHOWN]
        )
        + (f", … ({len(tensors)} in all)" if len(tensors) > _SHOWN else "")
        for tensors in (signature.inputs, signature.outputs)
    )
    return f"{signature.name}({inputs}) -> {outputs or 'nothing'}"


_SHOWN = 8


def shape_text(tensor: Tensor) -> str:
    """`[?, 128]`; `[…]` where not even the rank is known."""
    if tensor.shape is None:
        return "[…]"
    return "[" + ", ".join("?" if size is None else str(size) for size in tensor.shape) + "]"


def vectors_of(signature: Signature, rank: int) -> list[str]:
    """Keys of the outputs that are floats of this rank; 2 is taken for where it is unknown, but not
    of the parts of a ragged or sparse tensor, whose rows are no texts.
    """
    return [
        tensor.name
        for tensor in signature.outputs
        if tensor.dtype in _FLOATS
        and (2 if tensor.rank is None else tensor.rank) == rank
        and not PART.search(tensor.name)
    ]


def width_of(signature: Signature, key: str) -> int | None:
    """How wide an output's vectors are, where the signature says."""
    shapes = {tensor.name: tensor.shape for tensor in signature.outputs}
    return (shapes.get(key) or (None,))[-1]


def given_by(signature: Signature, kind: str) -> Given:
    """What a function gives, by the adapter that runs it."""
    module = adapters()[kind]
    if hasattr(module, "given_by"):
        return module.given_by(signature)
    return Given({}, {key: key for key in vectors_of(signature, 2)})


def layer_widths(spec: ModelSpec) -> dict[Layer, int | None]:
    """How wide each layer is, as far as is known."""
    if spec.signature is None:
        return dict.fromkeys(spec.layers, spec.hidden_size)
    given = given_by(spec.signature, spec.kind).layers
    return {layer: width_of(spec.signature, key) for layer, key in given.items()}


def sentence_column(
    path: str, signature: Signature, given: Given, asked: Asked
) -> tuple[VectorColumn, ...]:
    """The column `vector` where nobody asks for another: that of `--output_key`, else the output
    `default`, else the only one; none where more than one could be meant.

    Raises `ValueError` where there is no such output.
    """
    if key := asked.output_key:
        layers = {used: layer for layer, used in given.layers.items()}
        if key in given.outputs or key in given.outputs.values():
            names = {used: name for name, used in given.outputs.items()}
            return (VectorColumn("vector", OUTPUT, output=names.get(key, key)),)
        if key in layers:
            return (VectorColumn("vector", "mean", (layers[key],)),)
        there = ", ".join(dict.fromkeys([*given.outputs.values(), *layers])) or "none"
        raise ValueError(
            f"--output_key={key}: {signature.name} of {path} gives no such vectors; use one of"
            f" {there}"
        )
    if "default" in given.outputs or len(set(given.outputs.values())) == 1:
        output = "default" if "default" in given.outputs else next(iter(given.outputs))
        return (VectorColumn("vector", OUTPUT, output=output),)
    if not given.outputs and len(given.layers) == 1:
        return (VectorColumn("vector", "mean", tuple(given.layers)),)
    return ()


def bare_spec(
    choice: Choice,
    given: Given,
    columns: tuple[VectorColumn, ...],
    tokenizer: TokenizerSpec | None,
    notes: tuple[str, ...],
    padding: bool = True,
) -> ModelSpec:
    """A model that puts nothing around a text, takes single ones, and those of any length."""
    path = choice.model.path
    return ModelSpec(
        kind=choice.adapter,
        path=path,
        digest=digest(path, tokenizer),
        tokenizer=tokenizer,
        max_seq_length=None,
        longest=None,
        layers=tuple(given.layers),
        outputs=tuple(given.outputs),
        default_columns=columns,
        hidden_size=hidden_size(choice.signature, given, columns),
        parameters=choice.model.parameters,
        signature=choice.signature,
        specials=0,
        separators=0,
        pairs=False,
        padding=padding,
        notes=notes,
    )


def undecided(spec: ModelSpec) -> str:
    """What to say of a model without a default column."""
    there = ", ".join(dict.fromkeys([*spec.outputs, *map(str, spec.layers)]))
    name = spec.signature.name if spec.signature else ""
    return (
        f"{name} has several outputs ({there}); say with --output_key which one is the sentence"
        " vector"
    )


def digest(path: str, tokenizer: TokenizerSpec | None = None) -> str:
    """SHA-256 over all files of a model's folder and their names in it, and a tokenizer's that are
    elsewhere; not over where they lie.
    """
    folder = Path(path)
    # Through links too: a store of models may hold `variables` elsewhere.
    there = [Path(at, name) for at, _, names in os.walk(folder, followlinks=True) for name in names]
    files = [
        file
        for file in sorted(there)
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(folder).parts)
    ]
    names = [file.relative_to(folder).as_posix() for file in files]
    beside = [tokenizer.path, tokenizer.vocabulary] if tokenizer else []
    more = [Path(file) for file in beside if file and not Path(file).is_relative_to(folder)]
    return digest_of([*files, *more], {"files": names})


def hidden_size(signature: Signature, given: Given, columns: Sequence[VectorColumn]) -> int | None:
    """The width of the highest layer, or of the sentence vector."""
    own = [given.outputs[column.output] for column in columns if column.output]
    keys = [*given.layers.values()][-1:] or own or [*given.outputs.values()]
    return width_of(signature, keys[0]) if keys else None
