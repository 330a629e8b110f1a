"""Character spans: from what a tokenizer saw back to the user's text, in code points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from corpusvec.transforms.elements import Alignment
from corpusvec.transforms.ranges import edges_of

_SPACES = np.array([chr(code).isspace() for code in range(0x3002)])  # the last one is U+3000


def lowercase(text: str) -> tuple[str, np.ndarray | None]:
    """Lower-case a whole text, as Python does (final sigma).

    Returns the text and, where that changed its length (only U+0130 does), the place in `text` of
    each of its characters and of its end, [len + 1] int; else None.
    """
    low = text.lower()
    if len(low) == len(text):
        return low, None
    return low, origins_of([len(char.lower()) for char in text])


def origins_of(lengths: Sequence[int]) -> np.ndarray:
    """Origins as `lowercase` gives them, of a text whose characters became `lengths` long."""
    return np.repeat(np.arange(len(lengths) + 1), [*lengths, 1])


def through_origins(spans: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """`spans` [T, 2] in a changed text -> [T, 2] in the original; origins as of `lowercase`."""
    starts, stops = origins[spans[:, 0]], origins[np.maximum(spans[:, 1] - 1, 0)] + 1
    return np.stack([starts, np.where(spans[:, 1] > spans[:, 0], stops, starts)], axis=1)


def through_alignment(spans: np.ndarray, alignment: Alignment, length: int) -> np.ndarray:
    """`spans` [T, 2] in `alignment.apply(text)` -> [T, 2] in the text of `length` code points."""
    origins = [np.arange(start, stop) for start, stop in alignment.runs]
    return through_origins(spans, np.concatenate([*origins, [length]]).astype(np.int64))


def starts_of(texts: Sequence[str]) -> np.ndarray:
    """Where each text begins, [N] int64, if they follow each other with one character between."""
    return edges_of(np.array([len(text) + 1 for text in texts], np.int64))[:-1]


def in_each(
    spans: np.ndarray,
    owners: np.ndarray,
    texts: Sequence[str],
    origins: Sequence[np.ndarray | None],
    blanks: np.ndarray | None,
) -> np.ndarray:
    """`spans` [T, 2] in what a tokenizer saw of many texts, laid one after the other as in
    `starts_of` -> [T, 2] int32, each in the text of its owner.

    `origins` as of `lowercase`; `blanks` as of `without_space`, None where the tokenizer leaves
    white space out.
    """
    starts = starts_of(texts)
    if any(one is not None for one in origins):
        known = [
            np.arange(len(text) + 1) if one is None else one for text, one in zip(texts, origins)
        ]
        every = np.concatenate([one + start for one, start in zip(known, starts.tolist())])
        spans = through_origins(spans, every)
    if blanks is not None:
        spans = without_space(spans, "\0".join(texts), blanks)
    return (spans - starts[owners][:, None]).astype(np.int32)


def along_each(
    lengths: np.ndarray,
    owners: np.ndarray,
    offsets: Sequence[Sequence[int]],
    texts: Sequence[str],
) -> np.ndarray:
    """Pieces of `lengths` characters, one after the other in normalized texts, each in that of its
    owner -> spans [T, 2], as if the texts followed each other as in `starts_of`.

    `offsets` says of each text where in it each normalized character, and their end, comes from.
    """
    taken = lengths.astype(np.int64)
    sizes = np.array([len(some) for some in offsets], np.int64)
    of_texts = np.bincount(owners, taken, len(texts)).astype(np.int64)
    shifts = edges_of(sizes) - edges_of(of_texts)
    starts = edges_of(taken)[:-1] + shifts[owners]
    begins = starts_of(texts)
    places = np.fromiter(itertools.chain.from_iterable(offsets), np.int64, int(sizes.sum()))
    places += np.repeat(begins, sizes)
    # A character ends where the next one from another place begins, or its text ends.
    ends = np.minimum(_following(places), np.repeat(begins + list(map(len, texts)), sizes))
    return np.stack([places[starts], ends[np.maximum(starts + taken - 1, starts)]], axis=1)


def _following(places: np.ndarray) -> np.ndarray:
    """Of each the next higher one, ascending mostly; behind the last one there is nothing."""
    rises = np.diff(places, prepend=-1)
    if (rises >= 0).all():
        distinct = places[rises > 0]
        behind = np.cumsum(rises > 0, dtype=np.int64)
    else:
        distinct = np.unique(places)
        behind = np.searchsorted(distinct, places, "right")
    return np.append(distinct, np.iinfo(np.int64).max)[behind]


def through_offsets(spans: np.ndarray, offsets: Sequence[int], end: int) -> np.ndarray:
    """`spans` [T, 2] in a normalized text -> [T, 2] in the text of `end` code points; offsets as of
    `along_each`.
    """
    places = np.array(offsets)
    ends = np.minimum(_following(places), end)
    starts, stops = spans[:, 0], spans[:, 1]
    return np.stack([places[starts], ends[np.maximum(stops - 1, starts)]], axis=1)


def without_space(spans: np.ndarray, text: str, blanks: np.ndarray) -> np.ndarray:
    """Spans [T, 2] without the white space that they begin with; one of nothing else keeps it.

    `blanks` [T] bool: tokens that say they are white space. Where there is none, their span is
    empty: some models put a space of their own before a text.
    """
    if not text or not len(spans):
        return spans
    codes = code_points(text)
    starts, stops = spans[:, 0], spans[:, 1]
    spaced = _is_space(codes[np.minimum(starts, len(codes) - 1)])
    if spaced.any():
        words = np.arange(len(codes) + 1, dtype=np.int32)
        words[:-1][_is_space(codes)] = len(codes)
        following = np.minimum.accumulate(words[::-1])[::-1][starts]
        starts = np.where(following < stops, following, starts)
    return np.stack([starts, np.where(blanks & ~spaced, starts, stops)], axis=1)


def code_points(text: str) -> np.ndarray:
    """[len] uint32"""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _is_space(codes: np.ndarray) -> np.ndarray:
    return _SPACES[np.minimum(codes, len(_SPACES) - 1)]
