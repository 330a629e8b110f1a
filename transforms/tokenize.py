"""Documents -> Windows; and, with `--unit=window`, documents -> chunks before that."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import HALVED, Count
from corpusvec.transforms.measures import counters, names
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, Stamp, stamp_of, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.models.placements import Origin, on_this_machine
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.digests import failure_of
from corpusvec.transforms.tokens.chunks import ChunkPlan, cut_chunks
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import EMPTY, Cut, WindowPlan, cut


@dataclass(kw_only=True, eq=False)
class CutChunks(beam.PTransform):
    """`PCollection[Documents]` -> `chunks` (`Documents`), `failures` of those that cannot be cut,
    and `counts`: of `records`, since each chunk counts as one, and of the milliseconds it took.

    It runs before the search for earlier vectors, so every later stage sees chunks as documents.
    """

    tokenizer: TokenizerSpec
    plan: ChunkPlan
    origin: Origin | None = None

    def expand(self, documents):
        chunk = _ChunkFn(self.tokenizer, self.plan, self.origin)
        return documents | beam.ParDo(chunk).with_outputs("failures", "counts", main="chunks")


class _ChunkFn(beam.DoFn):
    def __init__(self, spec: TokenizerSpec, plan: ChunkPlan, origin: Origin | None):
        self._spec, self._plan, self._origin = spec, plan, origin

    def setup(self):
        self._tokenizer = load_tokenizer(on_this_machine(self._spec, self._origin))

    def start_bundle(self):
        self._spent, self._more = Spent(names.TOKENIZE_MS), 0

    def process(self, documents: Documents):
        yield from self._spent.during(self._chunks(documents))

    def finish_bundle(self):
        for count in (Count(names.RECORDS, self._more), *self._spent.reports()):
            yield stamped(count, OF_THE_RUN, "counts")

    def _chunks(self, documents: Documents) -> Iterator:
        found = cut_chunks(documents, self._tokenizer, self._plan)
        chunks = found.documents
        self._more += len(chunks) + len(found.refused) - len(documents)
        for row, why in found.refused:
            failure = failure_of("tokenize", documents[row], why)
            yield stamped(failure, stamp_of(documents, row), "failures")
        if len(chunks):
            yield chunks


@dataclass(kw_only=True, eq=False)
class Tokenize(beam.PTransform):
    """`PCollection[Documents]` -> `windows`, `failures` (those that do not fit where none may be
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
    """A batch is tokenized on another thread while this one reads the next and writes what is
    done: the libraries do not hold Python's lock.
    """

    def __init__(self, spec: TokenizerSpec | None, plan: WindowPlan, origin: Origin | None):
        self._spec, self._plan, self._origin = spec, plan, origin

    def setup(self):
        self._tokenizer = (
            load_tokenizer(on_this_machine(self._spec, self._origin)) if self._spec else None
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenize")

    def teardown(self):
        self._thread.shutdown()

    def start_bundle(self):
        self._ahead: deque[Future[tuple[Cut, float]]] = deque()
        self._seconds = 0.0
        self._stamp: Stamp | None = None  # of any document of the bundle: counts go where it does

    def process(self, documents: Documents):
        self._stamp = stamp_of(documents, 0)
        halved = _halved(documents)
        for row in halved:
            failure = failure_of("tokenize", documents[row], HALVED)
            yield stamped(failure, stamp_of(documents, row), "failures")
        if halved:
            documents = documents.take(sorted({*range(len(documents))}.difference(halved)))
        if len(documents):
            self._ahead.append(self._thread.submit(self._cut, documents))
        if len(self._ahead) > 1:
            yield from self._oldest()

    def finish_bundle(self):
        while self._ahead:
            yield from self._oldest()
        if self._stamp:
            yield stamped(
                Count(names.TOKENIZE_MS, round(1000 * self._seconds)), self._stamp, "counts"
            )

    def _cut(self, documents: Documents) -> tuple[Cut, float]:
        """The windows of a batch, and the seconds it took."""
        started = time.perf_counter()
        return cut(documents, self._tokenizer, self._plan), time.perf_counter() - started

    def _oldest(self) -> Iterator:
        found, seconds = self._ahead.popleft().result()
        self._seconds += seconds
        windows = found.windows
        documents = windows.documents
        for row in found.empty:
            counters.count(names.EMPTY)
            failure = failure_of("tokenize", documents[row], EMPTY)
            yield stamped(failure, stamp_of(documents, row), "empty")
        for row, why in found.refused:
            failure = failure_of("tokenize", documents[row], why)
            yield stamped(failure, stamp_of(documents, row), "failures")
        if len(windows):
            counters.count(names.READ_TOKENS, int(windows.sizes.sum()))
            yield stamped(windows, stamp_of(documents, int(windows.owners[0])))


def _halved(documents: Documents) -> list[int]:
    """Which hold half of a surrogate pair, as a user's own program may send them."""
    try:
        "\n".join(itertools.chain(documents.texts, filter(None, documents.pairs))).encode()
    except UnicodeEncodeError:
        return [row for row, document in enumerate(documents) if not document.is_unicode]
    return []
