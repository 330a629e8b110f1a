"""Document -> Window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.elements import HALVED, Document
from corpusvec.transforms.measures import counters
from corpusvec.transforms.measures.beam_times import Stamp, keys, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.models.placements import Origin, on_this_machine
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import (
    EMPTY,
    EmptyText,
    TextTooLong,
    UnwantedPair,
    WindowPlan,
    cut_each,
)

_DOCUMENTS, _CHARACTERS = 256, 1 << 20  # the library is fastest on many texts at once
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
        self._tokenizer = (
            load_tokenizer(on_this_machine(self._spec, self._origin)) if self._spec else None
        )
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
        if not document.is_unicode:
            yield stamped(failure_of("tokenize", document, HALVED), stamp, "failures")
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
                yield stamped(failure_of("tokenize", document, EMPTY), stamp, "empty")
            except (TextTooLong, UnwantedPair) as error:
                yield stamped(failure_of("tokenize", document, str(error)), stamp, "failures")
        counters.count("read_tokens", size)
