"""The windows that all programs encode, as the peers' batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_BATCH = 32


def read_batches(path: str, count: int = _BATCH) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """A JSON file, a list of lists of token ids -> batches of so many of like length, ids and mask
    [B, T] int64, and how many tokens there are without the padding.
    """
    windows = sorted(json.loads(Path(path).read_text()), key=len)
    return list(_padded(windows, count)), sum(map(len, windows))


def _padded(windows: list[list[int]], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(windows), count):
        batch = windows[start : start + count]
        ids = np.zeros((len(batch), len(batch[-1])), np.int64)  # the last is the longest
        mask = np.zeros_like(ids)
        for row, window in enumerate(batch):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        yield ids, mask
