"""What a user writes in `--layers` and `--vectors`, checked against the model, as column
specifications.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from corpusvec.transforms.specs import OUTPUT, POOLER, Layer, VectorColumn

ALL = "all"  # that a model gives
_LAYER = r"-?\d+|[A-Za-z_]\w*"
_COLUMN = re.compile(
    r"(?:(?P<name>[^=@,]+)=)?(?P<pooling>[a-z_]+)"
    rf"(?:@(?P<first>{_LAYER})(?:(?::(?P<last>-?\d+)|(?<=@{ALL}))(?:/(?P<combine>[a-z]+))?)?)?"
)
_RANGE = re.compile(r"(?P<first>-?\d+):(?P<last>-?\d+)")
_OUTPUT = re.compile(rf"(?:(?P<name>[^=@,]+)=)?(?:{OUTPUT}@(?P<key>.+)|{POOLER})")
COMBINATIONS = ("concat", "sum", "mean")


def parse_layer(text: str, asked: str, layers: Sequence[Layer]) -> Layer:
    """A layer as a user writes it -> one of `layers`, those that the model gives.

    `asked` is the flag and the value as it was typed. Raises `ValueError` with it, and with what
    can be typed instead.
    """
    if text in layers:
        return text
    if not layers:
        raise ValueError(f"{asked}: {_there_are(layers)}; omit the flag")
    try:
        layer = int(text)
    except ValueError:
        layer = None
    numbers = [one for one in layers if isinstance(one, int)]
    if layer in numbers:
        return layer
    last = max(numbers, default=0)
    if layer is not None and -max(last, 1) <= layer < 0 and last + 1 + layer in numbers:
        return last + 1 + layer
    what = f"{text!r} is not a layer; " if layer is None else ""
    raise ValueError(f"{asked}: {what}{_there_are(layers)}; type {_typable(asked, layers)}")


def parse_range(first: str, last: str, asked: str, layers: Sequence[Layer]) -> tuple[int, ...]:
    """The layers from a number to a number, both counted. Raises as `parse_layer`."""
    lower, upper = parse_layer(first, asked, layers), parse_layer(last, asked, layers)
    if isinstance(lower, str) or isinstance(upper, str):
        raise ValueError(f"{asked}: from a number to a number; {first} is a name")
    if lower > upper:
        instead = asked.replace(f"{first}:{last}", f"{last}:{first}")
        raise ValueError(f"{asked}: the lower layer comes first; type {instead}")
    return tuple(range(lower, upper + 1))


def _there_are(layers: Sequence[Layer]) -> str:
    """The layers of a model, in words."""
    if not layers:
        return "the model gives sentence vectors only, no layers"
    numbers = [layer for layer in layers if isinstance(layer, int)]
    names = ", ".join(layer for layer in layers if isinstance(layer, str))
    if not numbers:
        return f"the model's layers have names: {names}"
    also = f", and {names}" if names else ""
    first, last = numbers[0], numbers[-1]
    if last == -1:
        return f"the model gives its last layer alone{also}"
    if last == 0:
        return f"the model gives one layer, that of the embeddings{also}"
    return f"the model has layers {first} to {last} (-1 is {last}){also}"


def _typable(asked: str, layers: Sequence[Layer]) -> str:
    """What a user may type in place of `asked`."""
    numbers = [layer for layer in layers if isinstance(layer, int)]
    names = [layer for layer in layers if isinstance(layer, str)]
    values: list[Layer] = [-1 if numbers[-1] else 0] if numbers else []
    values += names[:1]
    if len(numbers) > 2:
        values.append(f"-{min(4, numbers[-1])}:-1")
    if len(layers) > 1:
        values.append(ALL)
    flag, _, value = asked.partition("=")
    before = value[: value.rfind("@") + 1]  # a pooling, in --vectors
    typed = [f"{flag}={before}{one}" for one in values]
    return " or ".join([", ".join(typed[:-1]), typed[-1]] if len(typed) > 1 else typed)


def parse_layers(text: str, layers: Sequence[Layer]) -> tuple[tuple[str, Layer], ...]:
    """`--layers`: `-1,-2`, `-4:-1` or `all` -> column name and each layer, in the order asked for.

    Raises `ValueError` with the flag, the part that is wrong and what can be typed.
    """
    parts = [part.strip() for part in text.split(",")]
    found = [column for part in parts for column in _token_columns(part, layers)]
    chosen = [layer for _, layer in found]
    for name, layer in found:
        if chosen.count(layer) > 1:
            raise ValueError(
                f"--layers={text}: layer {name} is asked for twice; name each layer once"
            )
    return tuple((f"layer@{name}", layer) for name, layer in found)


def _token_columns(part: str, layers: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Each layer of a part of `--layers`, by the number that it was counted by."""
    asked = f"--layers={part}"
    if part == ALL and layers:
        return [(layer, layer) for layer in layers]
    if match := _RANGE.fullmatch(part):
        several = parse_range(match["first"], match["last"], asked, layers)
        from_end = match["first"].startswith("-") and match["last"].startswith("-")
        start = int(match["first"]) if from_end else several[0]
        return [(start + place, layer) for place, layer in enumerate(several)]
    layer = parse_layer(part, asked, layers)
    return [(part if layer == part else int(part), layer)]


def parse_vectors(
    text: str,
    poolings: Collection[str],
    layers: Sequence[Layer],
    outputs: Sequence[str],
    reserved: Collection[str] = (),
) -> tuple[VectorColumn, ...]:
    """`--vectors`: comma-separated `[NAME=]POOLING@LAYER`,
    `[NAME=]POOLING@FROM:TO[/concat|sum|mean]` (`all` for FROM:TO), `[NAME=]pooler`,
    `[NAME=]output@KEY`. Columns may not have the names `reserved` for others.

    Raises `ValueError` with the flag, the part that is wrong and what is allowed.
    """
    parts = [part.strip() for part in text.split(",")]
    columns = tuple(
        _parse_output(part, match, outputs)
        if (match := _OUTPUT.fullmatch(part))
        else _parse_column(part, poolings, layers, outputs)
        for part in parts
    )
    names = [column.name for column in columns]
    for name, part in reversed(list(zip(names, parts))):
        if names.count(name) > 1:
            raise ValueError(
                f"--vectors: two columns are named {name!r}; name one of them, as in"
                f" other={part.rpartition('=')[2]}"
            )
        if name in reserved:
            raise ValueError(
                f"--vectors: {name!r} is a column of its own in the output; choose another name"
            )
    return columns


def _parse_output(part: str, match: re.Match[str], outputs: Sequence[str]) -> VectorColumn:
    key = match["key"] or POOLER
    if key not in outputs:
        own = [name if name == POOLER else f"{OUTPUT}@{name}" for name in outputs]
        what = f"output {key!r}" if match["key"] else "pooler"
        use = ", ".join(own) or "a pooling of a layer, as mean@-1"
        raise ValueError(f"--vectors={part}: the model has no {what}; use {use}")
    return VectorColumn(match["name"] or part, OUTPUT, output=key)


def _parse_column(
    part: str, poolings: Collection[str], layers: Sequence[Layer], outputs: Sequence[str]
) -> VectorColumn:
    match = _COLUMN.fullmatch(part)
    if not match:
        raise ValueError(
            f"--vectors={part!r}: write [NAME=]POOLING@LAYER,"
            f" [NAME=]POOLING@FROM:TO[/concat|sum|mean] ({ALL} for FROM:TO), [NAME=]{POOLER} or"
            f" [NAME=]{OUTPUT}@KEY"
        )
    name, pooling, combine = match["name"] or part, match["pooling"], match["combine"] or "concat"
    if pooling == POOLER:
        raise ValueError(
            f"--vectors={part}: the pooled output is of no layer; write {POOLER} alone"
        )
    if pooling not in poolings:
        own = [key if key == POOLER else f"{OUTPUT}@{key}" for key in outputs]
        raise ValueError(
            f"--vectors={part}: {pooling!r} is no pooling of this model;"
            f" use one of {', '.join([*poolings, *own])}"
        )
    if match["first"] is None:
        raise ValueError(f"--vectors={part}: which layer? Write for example {pooling}@-2")
    if combine not in COMBINATIONS:
        raise ValueError(
            f"--vectors={part}: layers are put together by {', '.join(COMBINATIONS)},"
            f" not by {combine!r}"
        )
    return VectorColumn(name, pooling, _column_layers(match, f"--vectors={part}", layers), combine)


def _column_layers(match: re.Match[str], asked: str, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    if match["last"] is not None:
        return parse_range(match["first"], match["last"], asked, layers)
    if match["first"] == ALL and layers and ALL not in layers:
        return tuple(layers)
    return (parse_layer(match["first"], asked, layers),)
