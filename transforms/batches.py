"""Windows of like length put together, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from corpusvec.transforms.elements import Window
from corpusvec.transforms.specs import ModelSpec

_BATCH_TOKENS, _BATCH_BYTES = 1024, 1 << 15  # padding included
_STEPS = 16  # lengths between a power of two and the next


def padded_length(windows: Sequence[Window], longest: int | None) -> int:
    """What the windows of a batch are padded to: one of a few lengths, at most the `longest` that
    the model takes (None: it has none, or padding would change its vectors). A single window is
    never padded.

    Each shape costs memory, as kernels are compiled for it and kept.
    """
    length = max(window.size for window in windows)
    return length if len(windows) == 1 else _rounded(length, longest)


def _rounded(length: int, longest: int | None) -> int:
    if longest is None:
        return length
    step = 2 ** max((length - 1).bit_length() - _STEPS.bit_length(), 0)
    return min(-(-length // step) * step, longest)


def cut_batches(
    windows: Iterable[Window], budget: int, padding: bool = True, longest: int | None = None
) -> Iterator[list[Window]]:
    """Sort by size and cut, longest first, so that each batch stays within `budget` padded tokens
    by `padded_length`, or bytes of models that take strings.

    A window longer than the budget is a batch of its own. Without `padding` the windows of a batch
    are all as long. Every window is in exactly one batch.
    """
    batch: list[Window] = []
    length = size = 0  # of the longest in the batch, and what it is padded to
    for window in sorted(windows, key=lambda window: window.size, reverse=True):
        if batch and ((len(batch) + 1) * size > budget or not (padding or window.size == length)):
            yield batch
            batch = []
        if not batch:
            length, size = window.size, _rounded(window.size, longest)
        batch.append(window)
    if batch:
        yield batch


def batch_budget(spec: ModelSpec) -> int:
    """What a batch may have: tokens, padding included; bytes where the model takes strings."""
    return _BATCH_TOKENS if spec.tokenizer else _BATCH_BYTES
