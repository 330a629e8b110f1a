"""Document -> Window."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.elements import Document, Window
from transforms.measures import counters
from transforms.measures.beam_times import Stamp, keys, stamped
from transforms.measures.clocks import Spent
from transforms.models.sources.placements import Origin, here
from transforms.specs import TokenizerSpec
from transforms.storage.digests import failure_of
from transforms.tokens.tokenizers import MARK, load_tokenizer
from transforms.tokens.tokens import Tokenizer
from transforms.tokens.windows import (
    EmptyText,
    TextTooLong,
    UnwantedPair,
    WindowPlan,
    cut,
    model_texts,
    prompted,
    whole_text,
)

_DOCUMENTS, _CHARACTERS = 256, 1 << 20  # the library is fastest on many texts at once
_OTHER_MARK = "\ufdd1"  # which tokenizers treat alike
_COUNTED = 1 << 14  # tokens: the progress line needs no more


@dataclass(kw_only=True, eq=False)
class Tokenize(beam.PTransform):
    """`PCollection[Document]` -> `windows`, `failures` (those that do not fit where none may be
    cut, and pairs that the model does not take), `empty` (`Failure`s too: documents without a token
    of their own) and `counts`, of the milliseconds it took. Without a `tokenizer` a document is one
    window, which holds its text.
    """

    tokenizer: TokenizerSpec | None
    plan: WindowPlan
    origin: Origin | None = None

    def expand(self, documents):
        tokenize = _TokenizeFn(self.tokenizer, self.plan, self.origin)
        return documents | beam.ParDo(tokenize).with_outputs(
            "failures", "empty", "counts", main="windows"
        )


class _TokenizeFn(beam.DoFn):
    def __init__(self, spec: TokenizerSpec | None, plan: WindowPlan, origin: Origin | None):
        self._spec, self._plan, self._origin = spec, plan, origin

    def setup(self):
        self._tokenizer = load_tokenizer(here(self._spec, self._origin)) if self._spec else None
        self._keys = keys()

    def start_bundle(self):
        self._waiting: list[tuple[Document, Stamp]] = []
        self._characters = 0
        self._spent = Spent("tokenize_ms")
        self._stamp: Stamp | None = None  # of any document of the bundle: counts go where it does

    def process(
        self,
        document: Document,
        timestamp=beam.DoFn.TimestampParam,
        window=beam.DoFn.WindowParam,
    ):
        self._stamp = stamp = Stamp(timestamp, window, next(self._keys))
        if not (_is_unicode(document.text) and _is_unicode(document.pair or "")):
            yield stamped(
                failure_of("tokenize", document, "holds half of a surrogate pair"),
                stamp,
                "failures",
            )
            return
        self._waiting.append((document, stamp))
        self._characters += document.characters
        if len(self._waiting) >= _DOCUMENTS or self._characters >= _CHARACTERS:
            yield from self._spent.during(self._flush())

    def finish_bundle(self):
        yield from self._spent.during(self._flush())
        if self._stamp:
            for report in self._spent.reports():
                yield stamped(report, self._stamp, "counts")

    def _flush(self) -> Iterator:
        waiting, self._waiting, self._characters = self._waiting, [], 0
        size = 0
        for (document, stamp), windows in zip(
            waiting, cut_each(waiting, self._tokenizer, self._plan)
        ):
            try:
                for window in windows():
                    size += window.size
                    if size >= _COUNTED:
                        counters.count("read_tokens", size)
                        size = 0
                    yield stamped(window, stamp)
            except EmptyText:
                counters.count("empty")
                yield stamped(
                    failure_of("tokenize", document, "no token of its own"), stamp, "empty"
                )
            except (TextTooLong, UnwantedPair) as error:
                yield stamped(failure_of("tokenize", document, str(error)), stamp, "failures")
        counters.count("read_tokens", size)


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


def _is_unicode(text: str) -> bool:
    """Readers see to it; a user's own program may send anything that Python calls a string."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
