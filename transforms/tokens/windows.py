"""Long texts cut into windows that fit the encoder, special tokens put in their places.

A pair is one stream of content tokens, A then B. The tokens of a document are the same however it
is cut: its own [CLS], A, the separator, B and its last [SEP]; every other special token is a
window's and owned by nobody.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from corpusvec.transforms.elements import OWN, PROMPT, SPECIAL, Document, Window
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokenizers import MARK, Tokenizer, Tokens

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


def prompted(plan: WindowPlan, tokenizer: Tokenizer) -> WindowPlan:
    """The plan with its prompt as the tokenizer is to be given it, and counted. Once for a plan.

    Raises `ValueError` where the tokenizer cannot find what the prompt holds.
    """
    if not plan.prompt:
        return plan
    prompt = tokenizer.spelled(plan.prompt)
    (alone,) = tokenizer.encode([prompt], spans=False)
    return replace(plan, prompt=prompt, prompt_tokens=len(alone))


def cut(
    document: Document,
    a: Tokens,
    b: Tokens | None,
    tokenizer: Tokenizer,
    plan: WindowPlan,
    stamp: Any = None,
) -> Iterable[Window]:
    """Tokens of `model_texts` -> windows with the `stamp`, each made when it is asked for. The plan
    is `prompted`.

    Raises, at the call, `EmptyText` where nothing is left to embed and `TextTooLong` where the plan
    says so.
    """
    check_text(document, plan)
    n_prompt = 0
    if plan.prompt:  # `a` has spans then
        n_prompt = int(np.count_nonzero(a.spans[:, 1] <= len(plan.prompt)))  # type: ignore[index]
    b = b or None  # as the original: a text B without tokens is no text B
    if b is None and len(a) == n_prompt:
        raise EmptyText(document.id)
    total = len(a) + len(b or ())
    first, last = _around(tokenizer)
    middle = tokenizer.separators if b else 0
    room = total if plan.max_seq_length is None else plan.max_seq_length - first - middle - last
    if total > room and plan.long_text == "error":
        raise TextTooLong(
            f"{total} tokens, {room} fit beside the special ones;"
            " let --long_text=window cut it, or truncate"
        )
    if total > room and plan.long_text == "truncate":
        a, b, n_prompt = _shortened(a, b, n_prompt, room, plan)
    overlap = min(64, room // 4) if plan.overlap is None else min(plan.overlap, room - 1)
    dropped = total - len(a) - len(b or ())
    whole = _whole(document, a, b, tokenizer, plan, n_prompt, dropped, stamp)
    if total <= room or plan.long_text == "truncate":
        return [whole]
    separators = range(first + len(a), first + len(a) + middle)
    return _windows(whole, tokenizer, separators, room, overlap)


def _around(tokenizer: Tokenizer) -> tuple[int, int]:
    """How many special tokens stand before a text, and after it."""
    return int(tokenizer.cls is not None), int(tokenizer.sep is not None)


def whole_text(document: Document, plan: WindowPlan, stamp: Any = None) -> list[Window]:
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
        stamp=stamp,
    )
    return [window]


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


def _shortened(
    a: Tokens, b: Tokens | None, n_prompt: int, room: int, plan: WindowPlan
) -> tuple[Tokens, Tokens | None, int]:
    """The texts, and how many tokens of the prompt, that `room` tokens leave."""
    keep_a, keep_b = truncated(len(a), len(b or ()), room, plan.b_first)
    if plan.keep_end:
        n_prompt = max(0, n_prompt - (len(a) - keep_a))
        a, b = a.tail(keep_a), b.tail(keep_b) if b and keep_b else None
    else:
        a, b = a.head(keep_a), b.head(keep_b) if b and keep_b else None
    if b is None and len(a) <= n_prompt:
        raise TextTooLong(f"the prompt fills all {room} tokens; raise --max_seq_length")
    return a, b, n_prompt


def _whole(
    document: Document,
    a: Tokens,
    b: Tokens | None,
    tokenizer: Tokenizer,
    plan: WindowPlan,
    n_prompt: int,
    n_dropped: int,
    stamp: Any,
) -> Window:
    """The document in one window, whatever its length: [CLS] A [SEP], or [CLS] A, separators, B
    [SEP], without those of the special tokens that the model does not have.
    """
    cls, sep = _special(tokenizer.cls), _special(tokenizer.sep)
    middle = sep * tokenizer.separators if b is not None else ()
    parts = (*cls, a, *sep) if b is None else (*cls, a, *middle, b, *sep)
    ids = np.concatenate([part.ids for part in parts])
    lengths = len(cls), len(a), len(middle), len(b or ()), len(sep)
    layout = _known_layout if len(ids) <= _SHORT else _layout
    roles, segments = layout(lengths, min(n_prompt, len(a)))
    return Window(
        document=document,
        index=0,
        count=1,
        tokens=tuple(itertools.chain(*(part.tokens for part in parts)))
        if plan.spans or tokenizer.strings
        else (),
        ids=ids,
        segments=segments,
        roles=roles,
        spans=_spans(document, parts, a, roles, plan) if plan.spans else None,
        start=0,
        stop=len(ids),
        position=0,
        n_unknown=_unknown([a.ids] if b is None else [a.ids, b.ids], tokenizer.unknown),
        n_dropped=n_dropped,
        n_skipped=_skipped(plan, len(cls), len(ids)),
        stamp=stamp,
    )


def _skipped(plan: WindowPlan, n_cls: int, length: int) -> int:
    """How many tokens the prompt and what is before it take, of those that a document has.

    Source: sentence-transformers, Transformer._get_prompt_length: those that the prompt has alone,
    so that a token which goes on into the text is the prompt's. Unlike there, the last one counts.
    """
    return min(n_cls + plan.prompt_tokens, length - 1) if plan.prompt else 0


@functools.cache
def _special(token: tuple[str, int] | None) -> tuple[Tokens, ...]:
    """A special token as tokens of a text; none where the model has none."""
    if token is None:
        return ()
    name, number = token
    return (Tokens((name,), np.array([number], np.int32), np.full((1, 2), -1, np.int32)),)


def _layout(lengths: tuple[int, int, int, int, int], n_prompt: int) -> tuple[np.ndarray, ...]:
    """Roles and segments [T] int8 of [CLS], A, separators, B and [SEP], so many of each; to be
    read, not written.
    """
    cls, a, middle, b, sep = lengths
    counts = cls, n_prompt, a - n_prompt, middle, b, sep
    roles = np.repeat(np.array((SPECIAL, PROMPT, OWN, SPECIAL, OWN, SPECIAL), np.int8), counts)
    segments = np.repeat(np.array((0, 0, 0, 0, 1, b > 0), np.int8), counts)
    roles.flags.writeable = segments.flags.writeable = False
    return roles, segments


_known_layout = functools.lru_cache(maxsize=4096)(_layout)  # short texts are many, of few lengths
_SHORT = 512  # tokens


def _spans(
    document: Document, parts: Sequence[Tokens], a: Tokens, roles: np.ndarray, plan: WindowPlan
) -> np.ndarray:
    """[T, 2] int32: those of the document's own tokens, each in its text; -1 for all others."""
    of_a = _source_spans(document, a, len(plan.prompt))
    found: list[Any] = [of_a if part is a else part.spans for part in parts]
    spans = np.concatenate(found, dtype=np.int32, casting="same_kind")
    if plan.prompt:
        spans[roles == PROMPT] = -1
    return spans


def _source_spans(document: Document, a: Tokens, prompt_length: int) -> np.ndarray:
    """[T, 2]: spans of A in the text as it stands in the source, without prompt and with markup."""
    spans: np.ndarray = a.spans  # type: ignore[assignment]
    if prompt_length:
        spans = np.maximum(spans - prompt_length, 0)
    if document.alignment:
        return span_maps.through_alignment(spans, document.alignment, len(document.text))
    return spans


def _unknown(texts: Sequence[np.ndarray], unknown: int | None) -> int | None:
    """Of ids without special tokens; None where only the model knows its vocabulary."""
    if unknown is None:
        return None
    return sum(int(np.count_nonzero(ids == unknown)) for ids in texts)


def _windows(
    whole: Window, tokenizer: Tokenizer, separators: range, room: int, overlap: int
) -> Iterator[Window]:
    """The whole document, cut into windows of `room` content tokens. Neighbours share `overlap` of
    them and each owns half of those: a token belongs to the window that shows it with more of its
    surroundings. `separators` is where those of a pair stand, empty for a single text.
    """
    first, last = _around(tokenizer)

    def place(content: int) -> int:  # in `whole`, where the token before it ends
        return first + content + (len(separators) if content >= separators.start - first else 0)

    length, stride = len(whole) - first - len(separators) - last, room - overlap
    count = 1 + -(-(length - room) // stride)
    for index, start in enumerate(range(0, count * stride, stride)):
        stop, ends = min(start + room, length), index + 1 == count
        own_start = place(start + overlap // 2) if index else 0
        own_stop = place(stop - overlap + overlap // 2) if not ends else len(whole)
        # A's end is behind the separators: they follow its last token, and close a window there.
        held_start, held_stop = place(start) if index else first, place(stop)
        closed = separators and held_stop == separators.stop
        closing = [] if closed else [len(whole) - 1][:last]
        order = np.concatenate([range(first), range(held_start, held_stop), closing]).astype(int)
        segments = np.append(whole.segments[order[:-1]], whole.segments[held_stop - 1])
        shift = first - held_start  # from a place in `whole` to one in the window
        own = slice(own_start, own_stop)
        yield replace(
            whole,
            index=index,
            count=count,
            tokens=tuple([whole.tokens[i] for i in order.tolist()]) if whole.tokens else (),
            ids=whole.ids[order],
            segments=segments,
            roles=whole.roles[order],
            spans=None if whole.spans is None else whole.spans[order],
            start=own_start + shift if index else 0,
            stop=own_stop + shift if not ends else len(order),
            position=own_start,
            n_unknown=_unknown([whole.ids[own][whole.roles[own] != SPECIAL]], tokenizer.unknown),
        )


def cut_each(
    waiting: Sequence[tuple[Document, Any]], tokenizer: Tokenizer | None, plan: WindowPlan
) -> Iterator[Callable[[], Iterable[Window]]]:
    """For each document, with what its windows are stamped with, what makes them or raises."""
    if tokenizer is None:
        for document, stamp in waiting:
            yield functools.partial(whole_text, document, plan, stamp)
        return
    plan = prompted(plan, tokenizer)
    texts = [_read(document, plan.prompt) for document, _ in waiting]
    spans = plan.spans or bool(plan.prompt)
    firsts = tokenizer.encode([a for a, _ in texts], spans)
    seconds = iter(tokenizer.encode([b for _, b in texts if b is not None], spans))
    for (document, stamp), a, (_, pair) in zip(waiting, firsts, texts):
        b = next(seconds) if pair is not None else None
        yield functools.partial(cut, document, a, b, tokenizer, plan, stamp)


def _read(document: Document, prompt: str) -> tuple[str, str | None]:
    """What the tokenizer reads of a document. A text has no name of a special token."""
    text, pair = model_texts(document, "")
    if MARK in text or (pair and MARK in pair):
        text, pair = text.replace(MARK, _OTHER_MARK), pair and pair.replace(MARK, _OTHER_MARK)
    return prompt + text, pair
