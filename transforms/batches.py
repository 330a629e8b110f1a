"""Windows of like length put together, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transforms.elements import Window


def cut_batches(windows: Iterable[Window], budget: int) -> Iterator[list[Window]]:
    """Sort by length and cut, longest first, so that `len(batch) * longest` stays within `budget`
    padded tokens.

    A window longer than the budget is a batch of its own. Every window is in exactly one batch.
    """
    batch: list[Window] = []
    longest = 0
    for window in sorted(windows, key=len, reverse=True):
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        if not batch:
            longest = len(window)
        batch.append(window)
    if batch:
        yield batch
