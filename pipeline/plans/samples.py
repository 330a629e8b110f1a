"""A sample of the input, read and tokenized as a run does it, in a few seconds."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import numpy as np

from corpusvec.pipeline.first_models import Languages
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.plans.blocks import Source
from corpusvec.pipeline.plans.estimates import Block
from corpusvec.transforms.columns import Documents, Windows, compacted, joined_windows
from corpusvec.transforms.elements import Document, Failure
from corpusvec.transforms.measures import names
from corpusvec.transforms.storage.digests import DigestSet, keys_of
from corpusvec.transforms.tokens.chunks import cut_chunks
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import cut

# What is counted; `long` are documents in several windows, `repeated` those whose text one before
# has, `size` is what the encoder is given, `cut` how many records chunks are beyond those read.
COUNTS = (
    *(names.RECORDS, names.DOCUMENTS, names.EMPTY, names.REJECTED, names.TOKENS, names.WINDOWS),
    *("long", names.REPEATED),
    *(names.DROPPED_TOKENS, names.UNKNOWN_TOKENS, "size", "cut"),
)
_SECONDS = 4.0
_TOGETHER = 256  # documents that are tokenized at once
_WINDOWS = 2048  # that are kept, as many as a run sorts at once


@dataclass(slots=True)
class Clock:
    """Seconds, and those of all cores that went into them."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


@dataclass(slots=True)
class Sample:
    """What was read, as blocks and in all, and some of its windows, each as likely as any other."""

    blocks: list[Block] = field(default_factory=list)
    windows: Windows | None = None
    languages: Languages = field(default_factory=Languages)
    whole: bool = False
    reading: Clock = field(default_factory=Clock)
    tokenizing: Clock = field(default_factory=Clock)


def take_sample(job: Job, seconds: float = _SECONDS) -> Sample:
    """Blocks of the job's files, tokenized, until the time is over; with a limit the first ones,
    up to it.
    """
    sample, tokenizer = Sample(), _Tokenizer(job)
    source = Source(job.files, job.reading)
    left, started = job.limit, time.monotonic()
    with closing(source.parts(in_order=job.limit is not None)) as parts:
        while True:
            with sample.reading.running():
                part = next(parts, None)
            if part is None:
                break
            records = part.records[:left]
            with sample.tokenizing.running():
                sample.blocks.append(Block(part.bytes, tokenizer.counted(records)))
            left = None if left is None else left - len(records)
            if left == 0 or time.monotonic() - started > seconds:
                break
    read = sum(block.bytes for block in sample.blocks)
    sample.whole = left == 0 or read == sum(file.size for file in job.files)
    sample.windows = joined_windows(tokenizer.kept) if tokenizer.kept else None
    sample.languages = tokenizer.languages
    return sample


class _Tokenizer:
    """Counts what documents become, and keeps some of their windows."""

    def __init__(self, job: Job):
        self._plan, self._chunks = job.recipe.windows, job.chunks
        spec = job.recipe.spec.tokenizer
        self._tokenizer = load_tokenizer(spec) if spec else None
        self._ids, self._texts, self._chance = DigestSet(), DigestSet(), random.Random(0)
        self._seen = 0
        self.kept: list[Windows] = []
        self.languages = Languages()

    def counted(self, records: Sequence[Document | Failure]) -> Counter[str]:
        counts = Counter(dict.fromkeys(COUNTS, 0) | {names.RECORDS: len(records)})
        new = [r for r in records if isinstance(r, Document) and self._ids.add(r.id)]
        counts[names.REJECTED] = len(records) - len(new)
        for start in range(0, len(new), _TOGETHER):
            documents = Documents.of(new[start : start + _TOGETHER])
            if self._chunks and self._tokenizer:
                chunks, uncut = cut_chunks(documents, self._tokenizer, self._chunks)
                counts[names.REJECTED] += len(uncut)
                counts["cut"] += len(chunks) + len(uncut) - len(documents)
                documents = chunks
            found = cut(documents, self._tokenizer, self._plan)
            counts[names.EMPTY] += len(found.empty)
            counts[names.REJECTED] += len(found.refused)
            if len(found.windows):
                self._count(found.windows, counts)
        counts[names.RECORDS] += counts["cut"]
        return counts

    def _count(self, windows: Windows, counts: Counter[str]) -> None:
        first = windows.owners[windows.indices == 0]
        counts[names.DOCUMENTS] += len(first)
        counts[names.WINDOWS] += len(windows)
        counts["long"] += int((windows.counts[windows.indices == 0] > 1).sum())
        counts[names.DROPPED_TOKENS] += int(windows.dropped.sum())
        counts[names.TOKENS] += int(windows.owned.sum())
        counts[names.UNKNOWN_TOKENS] += 0 if windows.unknown is None else int(windows.unknown.sum())
        tokens = np.bincount(windows.owners, windows.owned, len(windows.documents))
        for row in first.tolist():
            self.languages.add(windows.documents.texts[row], int(tokens[row]))
        keys = keys_of(windows.documents)
        new = np.zeros(len(keys), bool)
        for row in first.tolist():
            new[row] = self._texts.add_digest(keys[row])
        counts[names.REPEATED] += len(first) - int(new.sum())  # which the encoder is not given
        windows = windows.take(new[windows.owners])
        counts["size"] += int(windows.sizes.sum())
        self._keep(windows)

    def _keep(self, windows: Windows) -> None:
        """Source: Vitter 1985, algorithm R."""
        rows: dict[int, int] = {}  # which is kept in which place
        for row in range(len(windows)):
            self._seen += 1
            place = self._seen - 1
            if place >= _WINDOWS:
                place = self._chance.randrange(self._seen)
            if place < _WINDOWS:
                rows[place] = row
        for place, row in sorted(rows.items()):
            one = compacted(windows.take(slice(row, row + 1)))
            self.kept[place : place + 1] = [one]
