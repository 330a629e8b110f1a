"""The arguments of a function in a SavedModel, as it was traced with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Path_ = tuple[str, ...]
_TRAINING = ("training", "is_training")


def names_of(spec: Any) -> list[str]:
    """The names of the positional arguments, without `self`."""
    for pair in spec.fullargspec.named_tuple_value.values:
        if pair.key == "args":
            names = [value.string_value for value in pair.value.list_value.values]
            return names[1:] if names and (spec.is_method or names[0] == "self") else names
    return []


def defaults_of(spec: Any) -> dict[str, Any]:
    """What arguments are, by name, where a caller leaves them away."""
    values = {pair.key: pair.value for pair in spec.fullargspec.named_tuple_value.values}
    if "args" not in values or "defaults" not in values:
        return {}
    names = [value.string_value for value in values["args"].list_value.values]
    last = values["defaults"].tuple_value.values
    return dict(zip(names[len(names) - len(last) :], last))


def is_usual(inputs: Any, arguments: Sequence[str], defaults: Mapping[str, Any]) -> bool:
    """Whether what a trace was given beside tensors, and training, is what it would be anyway."""
    positional, named = inputs.tuple_value.values
    given = {**dict(zip(arguments, positional.tuple_value.values)), **named.dict_value.fields}
    return all(
        value == defaults[name]
        for name, value in given.items()
        if name in defaults and name not in _TRAINING and not _has_tensors(value)
    )


def _has_tensors(value: Any) -> bool:
    kinds = ("tensor_spec_value", "bounded_tensor_spec_value", "type_spec_value")
    return any(leaf.WhichOneof("kind") in kinds for _, leaf in leaves(value, ()))


def leaves(value: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    """What a nested structure holds, in the order in which TensorFlow flattens it."""
    kind = value.WhichOneof("kind")
    if kind in ("list_value", "tuple_value"):
        for i, item in enumerate(getattr(value, kind).values):
            yield from leaves(item, (*path, str(i)))
    elif kind == "dict_value":
        for key in sorted(value.dict_value.fields):
            yield from leaves(value.dict_value.fields[key], (*path, key))
    elif kind == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from leaves(pair.value, (*path, pair.key))
    else:
        yield path, value


def argument_at(path: Path_, arguments: list[str]) -> str:
    """Of a path in `((positional…), {keyword: …})`."""
    if path[0] == "1":
        return path[1]
    return arguments[int(path[1])] if int(path[1]) < len(arguments) else ""


def training(leaves: list[tuple[Path_, Any]], arguments: list[str]) -> bool | None:
    """What a trace was told of training, None where nothing."""
    for path, value in leaves:
        kind = value.WhichOneof("kind")
        if argument_at(path, arguments) in _TRAINING and kind in ("bool_value", "int64_value"):
            return bool(getattr(value, kind))
    return None
