"""What a user writes in `--layers` and `--vectors`, checked against the model, as column
specifications.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from transforms.specs import OUTPUT, POOLER, Layer, VectorColumn

RESERVED = frozenset(
    {"id", "source", "source_row", "text", "pair", "metadata", "text_sha256", "model_text_sha256"}
    | {"n_tokens", "n_windows", "n_dropped", "n_unknown"}
)

_LAYER = r"-?\d+|[A-Za-z_]\w*"
_COLUMN = re.compile(
    r"(?:(?P<name>[^=@,]+)=)?(?P<pooling>[a-z_]+)"
    rf"(?:@(?P<first>{_LAYER})(?::(?P<last>-?\d+)(?:/(?P<combine>[a-z]+))?)?)?"
)
_OUTPUT = re.compile(rf"(?:(?P<name>[^=@,]+)=)?(?:{OUTPUT}@(?P<key>.+)|{POOLER})")
COMBINATIONS = ("concat", "sum", "mean")


def parse_layer(text: str, asked: str, layers: Sequence[Layer]) -> Layer:
    """A layer as a user writes it -> one of `layers`, those that the model gives.

    Raises `ValueError` with `asked` (flag and value) and the layers that there are.
    """
    if text in layers:
        return text
    numbers = [layer for layer in layers if isinstance(layer, int)]
    if not layers:
        raise ValueError(f"{asked}: {_allowed(layers)}")
    try:
        layer = int(text)
    except ValueError:
        names = [layer for layer in layers if isinstance(layer, str)]
        hint = f"; use a number or {', '.join(names)}" if names else ""
        raise ValueError(
            f"{asked}: {text!r} is not a layer number; write for example -1 for the last layer"
            f"{hint}"
        ) from None
    if layer in numbers:
        return layer
    last = max(numbers, default=0)
    if -max(last, 1) <= layer < 0 and last + 1 + layer in numbers:
        return last + 1 + layer
    raise ValueError(f"{asked}: {_allowed(layers)}")


def _allowed(layers: Sequence[Layer]) -> str:
    if not layers:
        return "the model gives sentence vectors only, no layers; leave it away"
    numbers = [layer for layer in layers if isinstance(layer, int)]
    names = "".join(f", or {layer}" for layer in layers if isinstance(layer, str))
    if not numbers:
        return f"the model's layers have names; use {names.removeprefix(', or ')}"
    first, last = numbers[0], numbers[-1]
    if last == -1:
        return f"the model gives its last layer alone; use -1{names}"
    if last == 0:
        return f"the model gives one layer, that of the embeddings; use 0{names}"
    return f"the model has {last} layers; use -{max(last, 1)}..-1 or {first}..{last}{names}"


def parse_layers(text: str, layers: Sequence[Layer]) -> tuple[tuple[str, Layer], ...]:
    """`--layers`: `-1,-2` -> column name and each layer, in the order asked for."""
    parts = [part.strip() for part in text.split(",")]
    found = [parse_layer(part, f"--layers={part}", layers) for part in parts]
    for part, layer in zip(parts, found):
        if found.count(layer) > 1:
            raise ValueError(
                f"--layers={text}: layer {part} is asked for twice; name each layer once"
            )
    names = [part if layer == part else int(part) for part, layer in zip(parts, found)]
    return tuple((f"layer@{name}", layer) for name, layer in zip(names, found))


def parse_vectors(
    text: str, poolings: Collection[str], layers: Sequence[Layer], outputs: Sequence[str]
) -> tuple[VectorColumn, ...]:
    """`--vectors`: comma-separated `[NAME=]POOLING@LAYER`,
    `[NAME=]POOLING@FROM:TO[/concat|sum|mean]`, `[NAME=]pooler`, `[NAME=]output@KEY`.

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
        if name in RESERVED:
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
            f" [NAME=]POOLING@FROM:TO[/concat|sum|mean], [NAME=]{POOLER} or [NAME=]{OUTPUT}@KEY"
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
    first = parse_layer(match["first"], f"--vectors={part}", layers)
    if match["last"] is None:
        return VectorColumn(name, pooling, (first,), combine)
    last = parse_layer(match["last"], f"--vectors={part}", layers)
    if isinstance(first, str) or isinstance(last, str):
        raise ValueError(f"--vectors={part}: from a number to a number; {first} is a name")
    if first > last:
        raise ValueError(
            f"--vectors={part}: the lower layer comes first; write {match['last']}:{match['first']}"
        )
    return VectorColumn(name, pooling, tuple(range(first, last + 1)), combine)
