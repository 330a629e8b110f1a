"""What a user writes in `--layers` and `--vectors`, checked against the model, as column
specifications.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from transforms.specs import POOLER, VectorColumn

RESERVED = frozenset(
    {"id", "source", "source_row", "text", "pair", "metadata", "text_sha256"}
    | {"n_tokens", "n_windows", "n_dropped", "n_unknown"}
)

_COLUMN = re.compile(
    r"(?:(?P<name>[^=@,]+)=)?(?P<pooling>[a-z_]+)"
    r"(?:@(?P<first>-?\d+)(?::(?P<last>-?\d+)(?:/(?P<combine>[a-z]+))?)?)?"
)
COMBINATIONS = ("concat", "sum", "mean")


def parse_layer(text: str, asked: str, layer_count: int) -> int:
    """A layer as a user writes it -> its index, 0 (the embedding output) to `layer_count`.

    Raises `ValueError` with `asked` (flag and value) and the layers that there are.
    """
    try:
        layer = int(text)
    except ValueError:
        raise ValueError(
            f"{asked}: {text!r} is not a layer number; write for example -1 for the last layer"
        ) from None
    if not -layer_count <= layer <= layer_count:
        raise ValueError(
            f"{asked}: the model has {layer_count} layers;"
            f" use -{layer_count}..-1 or 0..{layer_count}"
        )
    return layer if layer >= 0 else layer_count + 1 + layer


def parse_layers(text: str, layer_count: int) -> tuple[tuple[str, int], ...]:
    """`--layers`: `-1,-2` -> column name and index of each layer, in the order asked for."""
    parts = [part.strip() for part in text.split(",")]
    indices = [parse_layer(part, f"--layers={part}", layer_count) for part in parts]
    for part, index in zip(parts, indices):
        if indices.count(index) > 1:
            raise ValueError(
                f"--layers={text}: layer {part} is asked for twice; name each layer once"
            )
    return tuple((f"layer@{int(part)}", index) for part, index in zip(parts, indices))


def parse_vectors(
    text: str, poolings: Collection[str], layer_count: int
) -> tuple[VectorColumn, ...]:
    """`--vectors`: comma-separated `[NAME=]POOLING@LAYER`,
    `[NAME=]POOLING@FROM:TO[/concat|sum|mean]`, `[NAME=]pooler`.

    Raises `ValueError` with the flag, the part that is wrong and what is allowed.
    """
    parts = [part.strip() for part in text.split(",")]
    columns = tuple(_parse_column(part, poolings, layer_count) for part in parts)
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


def _parse_column(part: str, poolings: Collection[str], layer_count: int) -> VectorColumn:
    match = _COLUMN.fullmatch(part)
    if not match:
        raise ValueError(
            f"--vectors={part!r}: write [NAME=]POOLING@LAYER,"
            " [NAME=]POOLING@FROM:TO[/concat|sum|mean] or [NAME=]pooler"
        )
    name, pooling, combine = match["name"] or part, match["pooling"], match["combine"] or "concat"
    if pooling == POOLER:
        if match["first"] is not None:
            raise ValueError(
                f"--vectors={part}: the pooled output is of no layer; write {POOLER} alone"
            )
        return VectorColumn(name, POOLER)
    if pooling not in poolings:
        raise ValueError(
            f"--vectors={part}: {pooling!r} is no pooling;"
            f" use one of {', '.join(poolings)}, {POOLER}"
        )
    if match["first"] is None:
        raise ValueError(f"--vectors={part}: which layer? Write for example {pooling}@-2")
    if combine not in COMBINATIONS:
        raise ValueError(
            f"--vectors={part}: layers are put together by {', '.join(COMBINATIONS)},"
            f" not by {combine!r}"
        )
    first = parse_layer(match["first"], f"--vectors={part}", layer_count)
    last = parse_layer(match["last"] or match["first"], f"--vectors={part}", layer_count)
    if first > last:
        raise ValueError(
            f"--vectors={part}: the lower layer comes first; write {match['last']}:{match['first']}"
        )
    return VectorColumn(name, pooling, tuple(range(first, last + 1)), combine)
