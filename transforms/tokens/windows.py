"""Long texts cut into windows that fit the encoder, special tokens put in their places.

A pair is one stream of content tokens, A then B. The tokens of a document are the same however it
is cut: its own [CLS], A, the separator, B and its last [SEP]; every other special token is a
window's and owned by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import Documents, TokenStream, Windows
from corpusvec.transforms.elements import OWN, PROMPT, SPECIAL
from corpusvec.transforms.ranges import edges_of, places_of
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokenizers import MARK, Tokenizer
from corpusvec.transforms.tokens.tokens import TokenColumns, tokenized

_OTHER_MARK = "\ufdd1"  # which tokenizers treat like MARK
LONG_TEXT = ("window", "truncate", "error")


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How texts become windows: `max_seq_length` counts special tokens (None: any length),
    `overlap` is in content tokens (None: a quarter of the room, 64 at most), `prompt` stands before
    every text. `spans` asks for the tokens' strings and spans, without which windows are cheaper.
    Without `pairs` there is no place for a second text. With `keep_end`, truncation keeps the end
    of a text; for `b_first` see `truncated`. `prompt_tokens` is how many the prompt has alone, see
    `prompted`.
    """

    max_seq_length: int | None
    long_text: str = "window"
    overlap: int | None = None
    prompt: str = ""
    spans: bool = True
    pairs: bool = True
    keep_end: bool = False
    b_first: bool = False
    prompt_tokens: int = 0

    def check(self, specials: int) -> None:
        """Raises `ValueError` where a pair, with its `specials`, would find no room."""
        if self.max_seq_length is None:
            return
        room = self.max_seq_length - specials
        if room < 1:
            raise ValueError(
                f"--max_seq_length={self.max_seq_length}: special tokens alone take"
                f" {specials}; use at least {specials + 1}"
            )
        if self.overlap is not None and not 0 <= self.overlap < room:
            raise ValueError(
                f"--window_overlap={self.overlap}: a window has room for {room} tokens;"
                f" use 0..{room - 1}"
            )


EMPTY = "no token of its own"


UNWANTED_PAIR = "is a pair of texts, and the model takes single ones"


class Cut(NamedTuple):
    """Windows of documents, and by their rows those that have none: `empty` ones are without a
    token of their own, `refused` ones have a reason.
    """

    windows: Windows
    empty: list[int]
    refused: list[tuple[int, str]]


@dataclass(slots=True, eq=False)
class _Parts:
    """What of the tokens of A and of B is in each document, [D] int64 all: where it begins, and how
    many. `prompts` of A are the prompt's. What becomes of others is in `empty` and `refused`.
    Between A and B stand `separators`.
    """

    a_starts: np.ndarray
    a: np.ndarray
    b_starts: np.ndarray
    b: np.ndarray
    prompts: np.ndarray
    empty: set[int]
    refused: dict[int, str]
    separators: int

    @property
    def middle(self) -> np.ndarray:
        """[D] separators of each."""
        return np.where(self.b > 0, self.separators, 0)

    def without(self) -> np.ndarray:
        """[D] bool: documents that have no window; they then have no tokens either."""
        none = np.zeros(len(self.a), bool)
        none[[*self.empty, *self.refused]] = True
        for column in (self.a, self.b, self.prompts):
            column[none] = 0
        return none


def prompted(plan: WindowPlan, tokenizer: Tokenizer) -> WindowPlan:
    """The plan with its prompt as the tokenizer is to be given it, and counted. Once for a plan.

    Raises `ValueError` where the tokenizer cannot find what the prompt holds.
    """
    if not plan.prompt:
        return plan
    prompt = tokenizer.spelled(plan.prompt)
    (alone,) = tokenizer.encode([prompt], spans=False)
    return replace(plan, prompt=prompt, prompt_tokens=len(alone))


def cut(documents: Documents, tokenizer: Tokenizer | None, plan: WindowPlan) -> Cut:
    """The windows of documents. Without a tokenizer, for a model that takes strings, each is one
    window, which holds its text.
    """
    texts = [
        alignment.apply(text) if alignment else text
        for text, alignment in zip(documents.texts, documents.alignments)
    ]
    empty, refused = _unfit(documents, texts, plan)
    if tokenizer is None:
        return _whole_texts(documents, [plan.prompt + text for text in texts], empty, refused)
    plan = prompted(plan, tokenizer)
    spans = plan.spans or bool(plan.prompt)
    strings = plan.spans or tokenizer.strings
    a = tokenized(tokenizer, [plan.prompt + _read(text) for text in texts], spans, strings)
    paired = [row for row, pair in enumerate(documents.pairs) if pair is not None]
    seconds = [_read(pair) for pair in documents.pairs if pair is not None]
    b = tokenized(tokenizer, seconds, spans, strings)
    parts = _parts(a, b, paired, plan, (empty, refused), tokenizer.separators)
    total, (first, last) = parts.a + parts.b, _around(tokenizer)
    limit = plan.max_seq_length
    room = total if limit is None else limit - first - last - parts.middle
    _fit(parts, room, plan)
    without = parts.without()
    lengths = np.where(without, 0, first + parts.a + parts.middle + parts.b + last)
    stream = _stream(documents, (a, b), parts, lengths, tokenizer, plan)
    edges = edges_of(lengths)
    windows = Windows(
        documents=documents,
        stream=stream,
        unknown=_unknown(stream, edges, tokenizer.unknown),
        dropped=np.where(without, 0, total - parts.a - parts.b),
        skipped=_skipped(plan, first, lengths),
        texts=None,
        **_ranges(parts, (first, last), room, lengths, plan),
    )
    return Cut(windows, sorted(parts.empty), sorted(parts.refused.items()))


def _unfit(
    documents: Documents, texts: list[str], plan: WindowPlan
) -> tuple[set[int], dict[int, str]]:
    """Blank texts, and pairs where there is one text too many."""
    # Some tokenizers have a token for the white space of a blank text.
    empty = {row for row, text in enumerate(texts) if not text or text.isspace()}
    pairs = documents.pairs
    empty = {row for row in empty if not pairs[row] or pairs[row].isspace()}  # type: ignore[union-attr]
    refused = {}
    if not plan.pairs:
        refused = {
            row: UNWANTED_PAIR
            for row, pair in enumerate(pairs)
            if pair is not None and row not in empty
        }
    return empty, refused


def _around(tokenizer: Tokenizer) -> tuple[int, int]:
    """How many special tokens stand before a text, and behind it."""
    return int(tokenizer.cls is not None), int(tokenizer.sep is not None)


def _read(text: str) -> str:
    """What the tokenizer reads of a text, which has no name of a special token."""
    return text.replace(MARK, _OTHER_MARK) if MARK in text else text


def _whole_texts(
    documents: Documents, texts: list[str], empty: set[int], refused: dict[int, str]
) -> Cut:
    """A window of no tokens for each document."""
    rows = [row for row in range(len(texts)) if not (row in empty or row in refused)]
    none, of_each = np.zeros(len(rows), np.int64), np.zeros(len(texts), np.int64)
    nothing = np.zeros(0, np.int8)
    windows = Windows(
        documents=documents,
        stream=TokenStream(nothing.astype(np.int32), nothing, nothing, None, None, None, None),
        unknown=None,
        dropped=of_each,
        skipped=of_each,
        texts=texts,
        owners=np.array(rows, np.int64),
        indices=none,
        counts=none + 1,
        **dict.fromkeys(("starts", "stops", "own_starts", "own_stops"), none),
        **dict.fromkeys(("positions", "opened", "closed"), none),
    )
    return Cut(windows, sorted(empty), sorted(refused.items()))


def _parts(
    a: TokenColumns,
    b: TokenColumns,
    paired: list[int],
    plan: WindowPlan,
    unfit: tuple[set[int], dict[int, str]],
    separators: int,
) -> _Parts:
    """All tokens of the texts; as the original: a text B without tokens is no text B."""
    n = len(a.edges) - 1
    b_starts, n_b = np.zeros(n, np.int64), np.zeros(n, np.int64)
    b_starts[paired], n_b[paired] = b.edges[:-1], np.diff(b.edges)
    n_a, prompts = np.diff(a.edges), np.zeros(n, np.int64)
    if plan.prompt:
        prompts = _summed(a.spans[:, 1] <= len(plan.prompt), a.edges)  # type: ignore[index]
    alone = np.flatnonzero((n_b == 0) & (n_a == prompts)).tolist()
    empty, refused = unfit
    empty = empty | {row for row in alone if row not in refused}
    return _Parts(a.edges[:-1].copy(), n_a, b_starts, n_b, prompts, empty, refused, separators)


def _summed(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[N] -> the sum of each range that the edges make, [ranges] int64."""
    sums = edges_of(counts)
    return sums[edges[1:]] - sums[edges[:-1]]


def _fit(parts: _Parts, room: np.ndarray, plan: WindowPlan) -> None:
    """What the plan says of documents that are longer than the room of a window."""
    if plan.long_text == "window":
        return
    total = parts.a + parts.b
    for row in np.flatnonzero(total > room).tolist():
        if row in parts.empty or row in parts.refused:
            continue
        if plan.long_text == "error":
            parts.refused[row] = (
                f"{total[row]} tokens, {room[row]} fit beside the special ones;"
                " let --long_text=window cut it, or truncate"
            )
        elif not _shorten(parts, row, int(room[row]), plan):
            parts.refused[row] = f"the prompt fills all {room[row]} tokens; raise --max_seq_length"


def _shorten(parts: _Parts, row: int, room: int, plan: WindowPlan) -> bool:
    """Whether anything of the texts is left beside the prompt in `room` tokens."""
    a, b = int(parts.a[row]), int(parts.b[row])
    keep_a, keep_b = truncated(a, b, room, plan.b_first)
    if plan.keep_end:
        parts.prompts[row] = max(0, parts.prompts[row] - (a - keep_a))
        parts.a_starts[row] += a - keep_a
        parts.b_starts[row] += b - keep_b
    parts.a[row], parts.b[row] = keep_a, keep_b
    parts.prompts[row] = min(parts.prompts[row], keep_a)
    return keep_b > 0 or keep_a > parts.prompts[row]


def truncated(a: int, b: int, room: int, b_first: bool) -> tuple[int, int]:
    """How many tokens of each text stay: the longer one loses first. Where half of the room is left
    to each, an odd token is A's; with `b_first` the longer text's, B's where both are as long.

    Source: google-research/bert, extract_features.py, _truncate_seq_pair; tokenizers,
    truncation.rs, LongestFirst.
    """
    excess = max(0, a + b - room)
    for_balance = min(excess, abs(a - b))
    rest = excess - for_balance
    more, less = rest - rest // 2, rest // 2
    from_a, from_b = (more, less) if b_first and b >= a else (less, more)
    return a - from_a - (for_balance if a > b else 0), b - from_b - (for_balance if b > a else 0)


def _stream(
    documents: Documents,
    texts: tuple[TokenColumns, TokenColumns],
    parts: _Parts,
    lengths: np.ndarray,
    tokenizer: Tokenizer,
    plan: WindowPlan,
) -> TokenStream:
    """Each document in one piece, whatever its length: [CLS] A [SEP], or [CLS] A, separators, B
    [SEP]; A alone where the model has no special tokens.
    """
    a, b = texts
    (first, last), edges = _around(tokenizer), edges_of(lengths)
    n = int(edges[-1])
    a_places = places_of(edges[:-1] + first, parts.a)
    b_starts = edges[:-1] + first + parts.a + parts.middle
    b_places = places_of(b_starts, parts.b)
    of_a, of_b = places_of(parts.a_starts, parts.a), places_of(parts.b_starts, parts.b)
    ids = np.full(n, tokenizer.sep[1] if tokenizer.sep else 0, np.int32)
    if tokenizer.cls:
        ids[edges[:-1][lengths > 0]] = tokenizer.cls[1]
    ids[a_places], ids[b_places] = a.ids[of_a], b.ids[of_b]
    roles, segments = np.full(n, SPECIAL, np.int8), np.zeros(n, np.int8)
    roles[a_places], roles[b_places] = OWN, OWN
    roles[places_of(edges[:-1] + first, parts.prompts)] = PROMPT
    segments[places_of(b_starts, np.where(parts.b > 0, parts.b + last, 0))] = 1
    spans = None
    if plan.spans:
        spans = np.full((n, 2), -1, np.int32)
        spans[a_places] = _source_spans(documents, a.spans[of_a], parts.a, plan)  # type: ignore[index]
        spans[b_places] = b.spans[of_b]  # type: ignore[index]
        spans[roles == PROMPT] = -1
    names = None
    if plan.spans or tokenizer.strings:
        names = _names(texts, ids, (a_places, of_a), (b_places, of_b), tokenizer)
    return TokenStream(ids, segments, roles, spans, names, tokenizer.cls, tokenizer.sep)


_Moved = tuple[np.ndarray, np.ndarray]  # to where in the stream, from where in the texts


def _names(
    texts: tuple[TokenColumns, TokenColumns],
    ids: np.ndarray,
    a: _Moved,
    b: _Moved,
    tokenizer: Tokenizer,
) -> pa.Array:
    """The strings of the stream's tokens."""
    if texts[0].vocabulary is not None:
        return pa.DictionaryArray.from_arrays(pa.array(ids), texts[0].vocabulary)
    special = [token[0] for token in (tokenizer.sep, tokenizer.cls) if token]
    known = pa.concat_arrays([texts[0].names, texts[1].names, pa.array(special, pa.string())])
    of_b = len(texts[0].ids)
    order = np.full(len(ids), of_b + len(texts[1].ids))
    if tokenizer.cls:
        order[ids == tokenizer.cls[1]] += 1
    order[a[0]], order[b[0]] = a[1], of_b + b[1]
    return known.take(pa.array(order))


def _source_spans(
    documents: Documents, spans: np.ndarray, lengths: np.ndarray, plan: WindowPlan
) -> np.ndarray:
    """[N, 2]: spans of A in the texts as they stand in the source, without prompt and with
    markup.
    """
    if plan.prompt:
        spans = np.maximum(spans - len(plan.prompt), 0)
    edges = edges_of(lengths)
    for row, alignment in enumerate(documents.alignments):
        if alignment:
            own = slice(edges[row], edges[row + 1])
            length = len(documents.texts[row])
            spans[own] = span_maps.through_alignment(spans[own], alignment, length)
    return spans


def _unknown(stream: TokenStream, edges: np.ndarray, unknown: int | None) -> np.ndarray | None:
    """[D] unknown tokens, special ones not counted; None where only the model knows its
    vocabulary.
    """
    if unknown is None:
        return None
    return _summed((stream.ids == unknown) & (stream.roles != SPECIAL), edges)


def _skipped(plan: WindowPlan, n_cls: int, lengths: np.ndarray) -> np.ndarray:
    """How many tokens the prompt and what is before it take, of those that a document has.

    Source: sentence-transformers, Transformer._get_prompt_length: those that the prompt has alone,
    so that a token which goes on into the text is the prompt's. Unlike there, the last one counts.
    """
    if not plan.prompt:
        return np.zeros(len(lengths), np.int64)
    return np.minimum(n_cls + plan.prompt_tokens, np.maximum(lengths - 1, 0))


def _overlaps(
    content: np.ndarray, room: np.ndarray, lengths: np.ndarray, plan: WindowPlan
) -> tuple[np.ndarray, np.ndarray]:
    """[D] how many tokens neighbouring windows share, and how many windows there are."""
    overlap = np.minimum(64, room // 4)
    if plan.overlap is not None:
        overlap = np.minimum(plan.overlap, room - 1)
    stride = np.maximum(room - overlap, 1)
    counts = 1 + np.maximum(0, -(-(content - room) // stride))
    return overlap, np.where(lengths > 0, counts, 0)


def _ranges(
    parts: _Parts,
    around: tuple[int, int],
    room: np.ndarray,
    lengths: np.ndarray,
    plan: WindowPlan,
) -> dict[str, np.ndarray]:
    """The documents, cut into windows of `room` content tokens. Neighbours share an overlap, and
    each owns half of that: a token belongs to the window that shows it with more of its
    surroundings. `around` is how many tokens stand before the content and behind it.
    """
    (first, last), content = around, parts.a + parts.b
    overlap, counts = _overlaps(content, room, lengths, plan)
    owners = np.repeat(np.arange(len(counts)), counts)
    indices = places_of(np.zeros(len(counts), np.int64), counts)
    n_a, between = parts.a[owners], parts.middle[owners]

    def place(content: np.ndarray) -> np.ndarray:  # in the document, where the token before it ends
        return first + content + np.where(content >= n_a, between, 0)

    half, end, begin = overlap[owners] // 2, lengths[owners], edges_of(lengths)[owners]
    start = indices * (room - overlap)[owners]
    stop = np.minimum(start + room[owners], content[owners])
    is_first, is_last = indices == 0, indices + 1 == counts[owners]
    # A's end is behind the separators: they follow its last token, and close a window there.
    separated = (between > 0) & (place(stop) == first + n_a + between)
    own_start = np.where(is_first, 0, place(start + half))
    own_stop = np.where(is_last, end, place(stop - overlap[owners] + half))
    return {
        "owners": owners,
        "indices": indices,
        "counts": counts[owners],
        "starts": begin + np.where(is_first, 0, place(start)),
        "stops": begin + np.where(is_last, end, place(stop)),
        "own_starts": begin + own_start,
        "own_stops": begin + own_stop,
        "positions": own_start,
        "opened": np.where(is_first, 0, first),
        "closed": np.where(is_last | separated, 0, last),
    }
