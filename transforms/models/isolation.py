"""A batch encoded so that one bad window does not take its neighbours along."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from corpusvec.transforms.elements import Encoded, Window
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import id_window, text_window
from corpusvec.transforms.storage.digests import failure_of

# Lines of TensorFlow that name no cause.
_EMPTY = re.compile(
    r"Graph execution error:|Detected at node|File \"|<stack traces|\(most recent|"
    r"\d+ root error|\(\d+\) \w+:?$|\[\[|=====|-----"
)


class BrokenModel(RuntimeError):
    """The model fails on anything: no document is to blame."""


def encode_each(encoder: Encoder, windows: Sequence[Window]) -> list[Encoded]:
    """One result for each window, in order; a window that cannot be encoded, or gives values that
    are not finite, has a failure. A batch that fails is halved, down to single windows.

    Raises `BrokenModel` where the model fails on a probe too.
    """
    try:
        return [_checked(encoded) for encoded in encoder.encode(windows)]
    except (
        Exception
    ) as error:  # whatever the model raises: what matters is whether it raises on a single window
        if len(windows) == 1:
            _check_model(encoder, windows[0], error)
            return [_failed(windows[0], *kind_and_reason(error))]
    middle = len(windows) // 2
    return encode_each(encoder, windows[:middle]) + encode_each(encoder, windows[middle:])


def _checked(encoded: Encoded) -> Encoded:
    for what, values in [*encoded.layers.items(), *encoded.outputs.items()]:
        if not np.isfinite(values).all():
            name = what if isinstance(what, str) else f"layer {what}"
            return _failed(encoded.window, f"the model gave values that are not finite in {name}")
    return encoded


def _failed(window: Window, error: str, more: str = "") -> Encoded:
    where = f"window {window.index + 1} of {window.count}" if window.count > 1 else ""
    detail = ": ".join(part for part in (where, more) if part)
    failure = failure_of("encode", window.document, error, detail)
    return Encoded(window, {}, {}, failure)


def kind_and_reason(error: Exception) -> tuple[str, str]:
    """What an error says in one line, and the rest of it, shortened.

    TensorFlow says first that there was an error, and where in the graph; what it was comes later.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if not _EMPTY.match(line)), lines[0] if lines else "")
    if first:
        lines.remove(first)
    return f"{type(error).__name__}: {first}", " ".join(lines)[:1000]


def _check_model(encoder: Encoder, blamed: Window, error: Exception) -> None:
    """Raises where three tokens, or a text, of no meaning cannot be encoded either."""
    try:
        encoder.encode([id_window([0, 0, 0]) if len(blamed) else text_window("a")])
    except Exception:
        raise BrokenModel(
            f"the model fails on every input, first seen at document {blamed.document.id!r}:"
            f" {kind_and_reason(error)[0]}"
        ) from error
