"""Windows of like length put together, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transforms.elements import Window


def cut_batches(
    windows: Iterable[Window], budget: int, padding: bool = True
) -> Iterator[list[Window]]:
    """Sort by size and cut, longest first, so that `len(batch) * longest` stays within `budget`
    padded tokens, or bytes of models that take strings.

    A window longer than the budget is a batch of its own. Without `padding` the windows of a batch
    are all as long. Every window is in exactly one batch.
    """
    batch: list[Window] = []
    longest = 0
    for window in sorted(windows, key=lambda window: window.size, reverse=True):
        if batch and (
            (len(batch) + 1) * longest > budget or not (padding or window.size == longest)
        ):
            yield batch
            batch = []
        if not batch:
            longest = window.size
        batch.append(window)
    if batch:
        yield batch
