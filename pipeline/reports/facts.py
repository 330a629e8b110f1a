"""What a corpus is: counts, lengths, letters, and what went wrong with which documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusvec.pipeline.reports.writing import in_letters, totals
from corpusvec.transforms.measures import names

# What `facts` reads of the table of sentences.
COLUMNS = ("text", "text_sha256", "n_tokens", "n_dropped", "n_unknown")
_LISTED = 200  # documents of a list
_BARS = 24


def facts(
    batches: Iterable[pa.RecordBatch], counts: Mapping[str, int], places: Mapping[int, int]
) -> dict[str, Any]:
    """Of all documents. Lists name those that the page shows: `places` leads from rows to them."""
    letters: Counter[str] = Counter()
    digests: list[str] = []
    columns: list[list[np.ndarray]] = []
    for batch in batches:
        texts = batch["text"].to_pylist()
        letters.update(map(in_letters, texts))
        digests += batch["text_sha256"].to_pylist()
        numbers = [batch[name].fill_null(0).to_numpy() for name in COLUMNS[2:]]
        columns.append([np.array([len(text) for text in texts], np.int64), *numbers])
    lengths, tokens, dropped, unknown = map(np.concatenate, zip(*columns))
    shares = unknown / np.maximum(tokens, 1)
    return {
        "documents": len(lengths),
        "characters": int(lengths.sum()),
        "tokens": int(tokens.sum()),
        "windows": counts.get(names.WINDOWS, 0),
        "unknown": int(unknown.sum()),
        "rejected": counts.get(names.REJECTED, 0),
        "empty": counts.get(names.EMPTY, 0),
        "lengths": histogram(lengths),
        "languages": totals(letters),
        "truncated": _most(dropped, places, int),
        "unknown_list": _most(shares, places, lambda share: round(float(share), 4)),
        "duplicates": _duplicates(digests, places),
    }


def histogram(lengths: np.ndarray) -> dict[str, list[int]]:
    """How many of the `lengths` lie between which `edges`, each a like multiple of the one before;
    the last edge is beyond the longest.
    """
    least, most = max(1, int(lengths.min())), int(lengths.max()) + 1
    edges = np.unique(np.geomspace(least, max(most, least + 1), _BARS + 1).round().astype(int))
    counts, _ = np.histogram(np.maximum(lengths, 1), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _most(
    values: np.ndarray, places: Mapping[int, int], plain: Callable[[Any], Any]
) -> list[tuple[int, Any]]:
    """Documents that the page shows and whose value is above 0, highest first."""
    order = np.argsort(-values, kind="stable")
    rows = (int(row) for row in order[: np.count_nonzero(values > 0)])
    shown = [(places[row], plain(values[row])) for row in rows if row in places]
    return shown[:_LISTED]


def _duplicates(digests: Sequence[str], places: Mapping[int, int]) -> list[list[int]]:
    """Documents with one text."""
    same: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        if row in places:
            same.setdefault(digest, []).append(places[row])
    return [group for group in same.values() if len(group) > 1][:_LISTED]
