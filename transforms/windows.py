"""Long texts cut into windows that fit the encoder, special tokens put in their places.

A pair is one stream of content tokens, A then B. The tokens of a document are the same however it
is cut: its own [CLS], A, the separator, B and its last [SEP]; every other special token is a
window's and owned by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from transforms import spans as span_maps
from transforms.elements import OWN, PROMPT, SPECIAL, Document, Window
from transforms.tokenizers import Tokenizer, Tokens

LONG_TEXT = ("window", "truncate", "error")


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How texts become windows: `max_seq_length` counts special tokens (None: any length),
    `overlap` is in content tokens (None: a quarter of the room, 64 at most), `prompt` stands before
    every text. Without `pairs` there is no place for a second text.
    """

    max_seq_length: int | None
    long_text: str = "window"
    overlap: int | None = None
    prompt: str = ""
    spans: bool = True
    pairs: bool = True

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


class EmptyText(Exception):
    """A document without a token of its own."""


class TextTooLong(ValueError):
    """A document that does not fit, where none may be cut."""


class UnwantedPair(ValueError):
    """A pair, of a model that takes single texts."""


def check_text(document: Document, plan: WindowPlan) -> None:
    """Raises `EmptyText` where a text is blank, `UnwantedPair` where there is one too many."""
    # Some tokenizers have a token for the white space of a blank text.
    if not any(text and not text.isspace() for text in model_texts(document, "")):
        raise EmptyText(document.id)
    if document.pair is not None and not plan.pairs:
        raise UnwantedPair("is a pair of texts, and the model takes single ones")


def model_texts(document: Document, prompt: str) -> tuple[str, str | None]:
    """What the tokenizer reads of a document: prompt and text without markup, and the other text of
    a pair.
    """
    text = document.alignment.apply(document.text) if document.alignment else document.text
    return prompt + text, document.pair


def cut(
    document: Document, a: Tokens, b: Tokens | None, tokenizer: Tokenizer, plan: WindowPlan
) -> Iterable[Window]:
    """Tokens of `model_texts` -> windows, each made when it is asked for.

    Raises, at the call, `EmptyText` where nothing is left to embed and `TextTooLong` where the plan
    says so.
    """
    check_text(document, plan)
    n_prompt = 0
    if plan.prompt:  # `a` has spans then
        n_prompt = int(np.count_nonzero(a.spans[:, 1] <= len(plan.prompt)))  # type: ignore[index]
    if b is None or len(b) == 0:
        b = None  # as the original: a text B without tokens is no text B
        if len(a) == n_prompt:
            raise EmptyText(document.id)
    total = _content(a, b)
    room = total
    if plan.max_seq_length is not None:
        specials = 2 * (tokenizer.cls is not None)
        room = plan.max_seq_length - specials - (tokenizer.separators if b is not None else 0)
    if total > room and plan.long_text == "error":
        raise TextTooLong(
            f"{total} tokens, {room} fit beside the special ones;"
            " let --long_text=window cut it, or truncate"
        )
    if total > room and plan.long_text == "truncate":
        keep_a, keep_b = truncated(len(a), len(b) if b is not None else 0, room)
        a, b = a.head(keep_a), b.head(keep_b) if b is not None and keep_b else None
        if b is None and len(a) <= n_prompt:
            raise TextTooLong(f"the prompt fills all {room} tokens; raise --max_seq_length")
    overlap = min(64, room // 4) if plan.overlap is None else min(plan.overlap, room - 1)
    whole = _whole(document, a, b, tokenizer, plan, n_prompt, n_dropped=total - _content(a, b))
    if total <= room or plan.long_text == "truncate":
        return [whole]
    first = int(tokenizer.cls is not None)
    middle = tokenizer.separators if b is not None else 0
    separators = range(first + len(a), first + len(a) + middle)
    return _windows(whole, first, separators, room, overlap, tokenizer.unknown)


def whole_text(document: Document, plan: WindowPlan) -> list[Window]:
    """The only window of a document for a model that takes strings.

    Raises `EmptyText` and `UnwantedPair`.
    """
    check_text(document, plan)
    window = Window(
        document=document,
        index=0,
        count=1,
        tokens=(),
        ids=np.zeros(0, np.int32),
        segments=np.zeros(0, np.int8),
        roles=np.zeros(0, np.int8),
        spans=None,
        start=0,
        stop=0,
        position=0,
        text=model_texts(document, plan.prompt)[0],
    )
    return [window]


def _content(a: Tokens, b: Tokens | None) -> int:
    return len(a) + (len(b) if b is not None else 0)


def truncated(a: int, b: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay: the longer one loses first, B where both are as long.

    Source: google-research/bert, extract_features.py, _truncate_seq_pair.
    """
    excess = max(0, a + b - room)
    for_balance = min(excess, abs(a - b))
    rest = excess - for_balance
    from_a = (for_balance if a > b else 0) + rest // 2
    from_b = (for_balance if b > a else 0) + rest - rest // 2
    return a - from_a, b - from_b


def _whole(
    document: Document,
    a: Tokens,
    b: Tokens | None,
    tokenizer: Tokenizer,
    plan: WindowPlan,
    n_prompt: int,
    n_dropped: int,
) -> Window:
    """The document in one window, whatever its length: [CLS] A [SEP], or [CLS] A, separators, B
    [SEP]; A alone where the model has no special tokens.
    """
    cls, sep = ([token] if token else [] for token in (tokenizer.cls, tokenizer.sep))
    middle = sep * (tokenizer.separators if b is not None else 0)
    names = [[name for name, _ in part] for part in (cls, middle, sep)]
    starts = len(cls), len(cls) + len(a) + len(middle)
    ids = np.full(starts[1] + len(b or ()) + len(sep), sep[0][1] if sep else 0, np.int32)
    roles = np.full(len(ids), SPECIAL, np.int8)
    ids[: len(cls)] = [number for _, number in cls]
    for start, part in zip(starts, (a, b)):
        if part is not None:
            ids[start : start + len(part)] = part.ids
            roles[start : start + len(part)] = OWN
    roles[starts[0] : starts[0] + min(n_prompt, len(a))] = PROMPT
    segments = ((np.arange(len(ids)) >= starts[1]) & (b is not None)).astype(np.int8)
    return Window(
        document=document,
        index=0,
        count=1,
        tokens=(*names[0], *a.tokens, *names[1], *(b.tokens if b else ()), *names[2]),
        ids=ids,
        segments=segments,
        roles=roles,
        spans=_spans(document, a, b, roles, starts, plan) if plan.spans else None,
        start=0,
        stop=len(ids),
        position=0,
        n_unknown=_unknown(ids, roles, tokenizer.unknown),
        n_dropped=n_dropped,
    )


def _spans(
    document: Document,
    a: Tokens,
    b: Tokens | None,
    roles: np.ndarray,
    starts: tuple[int, int],
    plan: WindowPlan,
) -> np.ndarray:
    """[T, 2] int32: those of the document's own tokens, each in its text; -1 for all others."""
    spans = np.full((len(roles), 2), -1, np.int32)
    spans[starts[0] : starts[0] + len(a)] = _source_spans(document, a, len(plan.prompt))
    spans[roles == PROMPT] = -1
    if b is not None:
        spans[starts[1] : starts[1] + len(b)] = b.spans  # type: ignore[assignment]
    return spans


def _source_spans(document: Document, a: Tokens, prompt_length: int) -> np.ndarray:
    """[T, 2]: spans of A in the text as it stands in the source, without prompt and with markup."""
    spans = np.maximum(a.spans - prompt_length, 0)  # type: ignore[operator]
    if document.alignment:
        return span_maps.through_alignment(spans, document.alignment, len(document.text))
    return spans


def _unknown(ids: np.ndarray, roles: np.ndarray, unknown: int | None) -> int | None:
    """None where only the model knows its vocabulary."""
    if unknown is None:
        return None
    return int(np.count_nonzero((ids == unknown) & (roles != SPECIAL)))


def _windows(
    whole: Window, first: int, separators: range, room: int, overlap: int, unknown: int | None
) -> Iterator[Window]:
    """The whole document, cut into windows of `room` content tokens. Neighbours share `overlap` of
    them and each owns half of those: a token belongs to the window that shows it with more of its
    surroundings. `first` is where in `whole` the content begins: 1 behind a [CLS], and then a [SEP]
    ends it, or 0. `separators` is where those of a pair stand, empty for a single text.
    """

    def place(content: int) -> int:  # in `whole`, where the token before it ends
        return first + content + (len(separators) if content >= separators.start - first else 0)

    length, stride = len(whole) - 2 * first - len(separators), room - overlap
    count = 1 + -(-(length - room) // stride)
    for index, start in enumerate(range(0, count * stride, stride)):
        stop, last = min(start + room, length), index + 1 == count
        own_start = place(start + overlap // 2) if index else 0
        own_stop = place(stop - overlap + overlap // 2) if not last else len(whole)
        # A's end is behind the separators: they follow its last token, and close a window there.
        held_start, held_stop = place(start) if index else first, place(stop)
        closed = not first or (separators and held_stop == separators.stop)
        closing = [] if closed else [len(whole) - 1]
        order = np.concatenate([range(first), range(held_start, held_stop), closing]).astype(int)
        segments = np.append(whole.segments[order[:-1]], whole.segments[held_stop - 1])
        shift = first - held_start  # from a place in `whole` to one in the window
        own = slice(own_start, own_stop)
        yield replace(
            whole,
            index=index,
            count=count,
            tokens=tuple([whole.tokens[i] for i in order.tolist()]),
            ids=whole.ids[order],
            segments=segments,
            roles=whole.roles[order],
            spans=None if whole.spans is None else whole.spans[order],
            start=own_start + shift if index else 0,
            stop=own_stop + shift if not last else len(order),
            position=own_start,
            n_unknown=_unknown(whole.ids[own], whole.roles[own], unknown),
        )
