"""A batch encoded so that one bad window does not take its neighbours along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.elements import Failure
from corpusvec.transforms.models.capacities import THIS_PROCESS
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import id_windows, text_windows
from corpusvec.transforms.storage.digests import failure_of

# Lines of TensorFlow that name no cause.
_EMPTY = re.compile(
    r"Graph execution error:|Detected at node|File \"|<stack traces|\(most recent|"
    r"\d+ root error|\(\d+\) \w+:?$|\[\[|=====|-----"
)


_NO_MEMORY = "ResourceExhaustedError"  # TensorFlow's, which not every model needs


class BrokenModel(RuntimeError):
    """The model fails on anything: no document is to blame."""


def encode_each(encoder: Encoder, windows: Windows) -> list[Encoded]:
    """What the encoder makes of a batch; a window that cannot be encoded, or gives values that are
    not finite, has a failure. A batch that fails is halved, down to single windows.

    So is one that is too much for the device's memory, and from then on each that is as large.
    Raises `BrokenModel` where the model fails on a probe too.
    """
    try:
        if THIS_PROCESS.fits(windows):
            return [_checked(encoder.encode(windows))]
    except (
        Exception
    ) as error:  # whatever the model raises: what matters is whether it raises on a single window
        if len(windows) == 1:
            _check_model(encoder, windows, error)
            failure = _failed(windows, 0, *kind_and_reason(error))
            return [Encoded(windows, {}, {}, {0: failure})]
        if type(error).__name__ == _NO_MEMORY:
            THIS_PROCESS.was_exceeded_by(windows)
    middle = len(windows) // 2
    halves = windows.take(slice(middle)), windows.take(slice(middle, None))
    return [found for half in halves for found in encode_each(encoder, half)]


def _checked(encoded: Encoded) -> Encoded:
    """With failures for windows whose values are not finite; padding may hold anything."""
    failures: dict[int, Failure] = {}
    for what, rows in _not_finite(encoded):
        name = what if isinstance(what, str) else f"layer {what}"
        for row in rows:
            error = f"the model gave values that are not finite in {name}"
            failures.setdefault(row, _failed(encoded.windows, row, error))
    return replace(encoded, failures=failures) if failures else encoded


def _not_finite(encoded: Encoded) -> Iterator[tuple[int | str, list[int]]]:
    """Layers and outputs, and in which rows they are not."""
    lengths = encoded.windows.lengths.tolist()
    for what, layer in encoded.layers.items():
        if not np.isfinite(layer).all():  # padding may be none
            own = [layer[row, :length] for row, length in enumerate(lengths)]
            yield what, [row for row, one in enumerate(own) if not np.isfinite(one).all()]
    for what, finite in encoded.finite.items():
        yield what, np.flatnonzero(~finite).tolist()
    for what, values in encoded.outputs.items():
        yield what, np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist()


def _failed(windows: Windows, row: int, error: str, more: str = "") -> Failure:
    index, count = int(windows.indices[row]), int(windows.counts[row])
    where = f"window {index + 1} of {count}" if count > 1 else ""
    detail = ": ".join(part for part in (where, more) if part)
    return failure_of("encode", windows.documents[int(windows.owners[row])], error, detail)


def kind_and_reason(error: Exception) -> tuple[str, str]:
    """What an error says in one line, and the rest of it, shortened.

    TensorFlow says first that there was an error, and where in the graph; what it was comes later.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if not _EMPTY.match(line)), lines[0] if lines else "")
    if first:
        lines.remove(first)
    return f"{type(error).__name__}: {first}", " ".join(lines)[:1000]


def _check_model(encoder: Encoder, blamed: Windows, error: Exception) -> None:
    """Raises where three tokens, or a text, of no meaning cannot be encoded either."""
    try:
        encoder.encode(id_windows([0, 0, 0]) if blamed.texts is None else text_windows("a"))
    except Exception:
        raise BrokenModel(
            "the model fails on every input, first seen at document"
            f" {blamed.documents.ids[int(blamed.owners[0])]!r}: {kind_and_reason(error)[0]}"
        ) from error
