"""Character spans: from what a tokenizer saw back to the text that the user has, in code points."""

from __future__ import annotations

import numpy as np

from transforms.elements import Alignment


def lowercase(text: str) -> tuple[str, np.ndarray | None]:
    """Lower-case a whole text, as Python does (final sigma).

    Returns the text and, where that changed its length (only U+0130 does), the place in `text` of each of its
    characters and of its end, [len + 1] int; else None.
    """
    low = text.lower()
    if len(low) == len(text):
        return low, None
    lengths = np.array([len(c.lower()) for c in text])
    origins = np.repeat(np.arange(len(text)), lengths)
    return low, np.append(origins, len(text))


def through_origins(spans: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """`spans` [T, 2] in a changed text -> [T, 2] in the original; `origins` as `lowercase` gives them."""
    starts, stops = spans[:, 0], spans[:, 1]
    last = origins[np.maximum(stops - 1, 0)] + 1
    mapped_starts = origins[starts]
    return np.stack([mapped_starts, np.where(stops > starts, last, mapped_starts)], axis=1)


def through_alignment(spans: np.ndarray, alignment: Alignment, length: int) -> np.ndarray:
    """`spans` [T, 2] in `alignment.apply(text)` -> [T, 2] in the text, which has `length` code points."""
    origins = [np.arange(start, stop) for start, stop in alignment.runs]
    return through_origins(spans, np.concatenate([*origins, [length]]).astype(np.int64))


def without_space(spans: np.ndarray, text: str) -> np.ndarray:
    """Spans [T, 2] without the white space that they begin with; one that holds nothing else keeps it."""
    for row in np.flatnonzero(_begins_with_space(spans, text)):
        start, stop = spans[row]
        inside = text[start:stop]
        if words := inside.lstrip():
            spans[row, 0] = stop - len(words)
    return spans


def _begins_with_space(spans: np.ndarray, text: str) -> np.ndarray:
    return np.fromiter(
        (stop > start and text[start].isspace() for start, stop in spans.tolist()), bool, len(spans)
    )
