"""A sample of the input, read and tokenized as a run does it, in a few seconds."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from corpusvec.pipeline.embedders import cut
from corpusvec.pipeline.first_models import Languages
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.plans.blocks import Source
from corpusvec.pipeline.plans.estimates import Block
from corpusvec.pipeline.settings import Recipe
from corpusvec.transforms.elements import Document, Failure, Window
from corpusvec.transforms.snapshots.manifests import REPEATED
from corpusvec.transforms.storage.digests import DigestSet, key_of
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import EMPTY

# What is counted; `long` are documents in several windows, `repeated` those whose text one before
# has, `size` is what the encoder is given.
COUNTS = (
    *("records", "documents", "empty", "rejected", "tokens", "windows", "long", REPEATED),
    *("dropped_tokens", "unknown_tokens", "size"),
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
    windows: list[Window] = field(default_factory=list)
    languages: Languages = field(default_factory=Languages)
    whole: bool = False
    reading: Clock = field(default_factory=Clock)
    tokenizing: Clock = field(default_factory=Clock)


def take_sample(job: Job, seconds: float = _SECONDS) -> Sample:
    """Blocks of the job's files, tokenized, until the time is over; with a limit the first ones,
    up to it.
    """
    sample, tokenizer = Sample(), _Tokenizer(job.recipe)
    source = Source(job.files, job.input_format, job.unit, job.markup)
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
    sample.windows, sample.languages = tokenizer.kept, tokenizer.languages
    return sample


class _Tokenizer:
    """Counts what documents become, and keeps some of their windows."""

    def __init__(self, recipe: Recipe):
        self._plan = recipe.windows
        spec = recipe.spec.tokenizer
        self._tokenizer = load_tokenizer(spec) if spec else None
        self._ids, self._texts, self._chance = DigestSet(), DigestSet(), random.Random(0)
        self._seen = 0
        self.kept: list[Window] = []
        self.languages = Languages()

    def counted(self, records: Sequence[Document | Failure]) -> Counter[str]:
        counts = Counter(dict.fromkeys(COUNTS, 0) | {"records": len(records)})
        new = [r for r in records if isinstance(r, Document) and self._ids.add(r.id)]
        counts["rejected"] = len(records) - len(new)
        for start in range(0, len(new), _TOGETHER):
            for one in cut(new[start : start + _TOGETHER], self._tokenizer, self._plan):
                if isinstance(one, Failure):
                    counts["empty" if one.error == EMPTY else "rejected"] += 1
                else:
                    self._count(one, counts)
        return counts

    def _count(self, windows: list[Window], counts: Counter[str]) -> None:
        counts["documents"] += 1
        counts["windows"] += len(windows)
        counts["long"] += len(windows) > 1
        counts["dropped_tokens"] += windows[0].n_dropped
        self.languages.add(windows[0].document.text, sum(w.stop - w.start for w in windows))
        for window in windows:
            counts["tokens"] += window.stop - window.start
            counts["unknown_tokens"] += window.n_unknown or 0
        if not self._texts.add_digest(key_of(windows[0].document)):
            counts[REPEATED] += 1  # which the encoder is not given
            return
        for window in windows:
            counts["size"] += window.size
            self._keep(window)

    def _keep(self, window: Window) -> None:
        """Source: Vitter 1985, algorithm R."""
        self._seen += 1
        if len(self.kept) < _WINDOWS:
            self.kept.append(window)
        elif (place := self._chance.randrange(self._seen)) < _WINDOWS:
            self.kept[place] = window
