"""Windows of like length put together, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from corpusvec.transforms.columns import Windows
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.specs import ModelSpec

_BATCH_TOKENS, _BATCH_BYTES = 1024, 1 << 15  # padding included
_STEPS = 16  # lengths between a power of two and the next
_LEAST = 4  # tokens from one length to the next, where each shape is compiled


def padded_length(windows: Windows, longest: int | None, few: bool = False) -> int:
    """What the windows of a batch are padded to: one of a few lengths, at most the `longest` that
    the model takes (None: it has none, or padding would change its vectors). A single window is
    never padded.

    Each shape costs memory, as kernels are compiled for it and kept; they are still fewer where
    they shall be `few`, and there a single window is padded, too.
    """
    length = int(windows.sizes.max())
    return length if len(windows) == 1 and not few else _rounded(length, longest, few)


def padded_rows(windows: Windows, few: bool) -> int:
    """How many windows a batch is computed with: a power of two where shapes shall be `few`."""
    return 1 << (len(windows) - 1).bit_length() if few else len(windows)


def _rounded(length: int, longest: int | None, few: bool) -> int:
    if longest is None:
        return length
    step = 2 ** max((length - 1).bit_length() - _STEPS.bit_length(), 0)
    step = max(step, _LEAST) if few else step
    return min(-(-length // step) * step, longest)


def cut_batches(
    windows: Windows,
    budget: int,
    padding: bool = True,
    longest: int | None = None,
    few: bool = False,
) -> Iterator[Windows]:
    """Sort by size and cut, longest first, so that each batch stays within `budget` padded tokens
    by `padded_length`, or bytes of models that take strings.

    A window longer than the budget is a batch of its own. Without `padding` the windows of a batch
    are all as long. Where shapes shall be `few`, a full batch has a power of two of windows. Every
    window is in exactly one batch.
    """
    order = np.argsort(-windows.sizes, kind="stable")
    sizes = windows.sizes[order]
    start = 0
    while start < len(order):
        size = int(sizes[start])
        count = max(1, budget // max(1, _rounded(size, longest, few)))
        stop = start + (1 << (count.bit_length() - 1) if few else count)
        if not padding:
            stop = min(stop, int(np.searchsorted(-sizes, -size, side="right")))
        yield windows.take(order[start:stop])
        start = stop


def filled(windows: Windows, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and segments of a batch, special tokens put in and padded by zeros, [B, width] int32."""
    stream, opened = windows.stream, windows.opened[:, None]
    held = windows.stops - windows.starts
    ids, segments = np.zeros((2, len(windows), width), np.int32)
    columns = np.arange(width)
    there = (columns >= opened) & (columns < opened + held[:, None])
    places = places_of(windows.starts, held)
    ids[there], segments[there] = stream.ids[places], stream.segments[places]
    if stream.cls is not None:
        ids[windows.opened > 0, 0] = stream.cls[1]
    if stream.sep is not None and windows.closed.any():
        closed = np.flatnonzero(windows.closed)
        ends = (windows.opened + held)[closed]
        ids[closed, ends] = stream.sep[1]
        segments[closed, ends] = stream.segments[windows.stops[closed] - 1]
    return ids, segments


def batch_budget(spec: ModelSpec) -> int:
    """What a batch may have: tokens, padding included; bytes where the model takes strings."""
    return _BATCH_TOKENS if spec.tokenizer else _BATCH_BYTES
