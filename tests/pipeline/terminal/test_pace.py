"""When the time left is told, and that it is worth something then: runs on a simulated clock, whose
windows are sorted and batched as those of a run are.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from corpusvec.pipeline.terminal.pace import Left, Pace
from corpusvec.transforms.batch import _BatchFn
from corpusvec.transforms.batches import _BATCH_TOKENS, padded_length
from corpusvec.transforms.columns import DOCUMENTS
from corpusvec.transforms.documents.inputs import PIECE
from corpusvec.transforms.models.probes import id_windows

_TICK, _BYTES = 0.5, 5  # seconds between two looks; bytes of a token


@dataclass
class Run:
    """A local run of documents of so many tokens each, 0 for those that are reused."""

    documents: list[int]
    speed: float  # tokens a second
    loading: float = 20.0
    slower: float = 0.0  # by so much a token of a window of 128
    limit: int | None = None
    size: int = 0
    clock: float = 0.0
    totals: Counter = field(default_factory=Counter)
    told: list[tuple[float, Left]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = self.size or _BYTES * sum(n or 20 for n in self.documents)
        self.pace = Pace(self.size, self.limit)
        self.shapes: set = set()
        self.next_look = _TICK

    def spend(self, seconds: float) -> None:
        self.clock += seconds
        while self.clock >= self.next_look:
            self.pace.see(self.totals, self.next_look)
            if left := self.pace.left():
                self.told.append((self.next_look, left))
            self.next_look += _TICK

    def encode(self, batch: list) -> None:
        if not self.totals["models"]:
            self.totals["models"] = 1
            self.spend(self.loading)
        if (length := padded_length(batch, 256)) not in self.shapes:
            self.shapes.add(length)
            self.spend(0.1)  # its kernels are compiled
        tokens = int(batch.sizes.sum())
        self.spend(tokens / self.speed * (1 + self.slower * length / 128))
        self.totals["encoded_tokens"] += tokens

    def run(self) -> Run:
        batching, waiting, at = _BatchFn(_BATCH_TOKENS, True, 256), [], 0
        batching.start_bundle()
        for n, tokens in enumerate(self.documents, 1):
            at += _BYTES * (tokens or 20)
            self.totals["bytes_read"] = min(self.size, -(-at // PIECE) * PIECE)
            self.totals["records"] = n // DOCUMENTS * DOCUMENTS
            self.spend(1e-6)
            if tokens:
                waiting.append(tokens)
            if len(waiting) == DOCUMENTS:
                self.tokenize(batching, waiting)
                waiting = []
        self.tokenize(batching, waiting)
        for batch in batching.finish_bundle():
            self.encode(batch.value)
        return self

    def tokenize(self, batching, waiting: list[int]) -> None:
        self.totals["read_tokens"] += sum(waiting)
        if waiting:
            for batch in batching.process(id_windows(*([0] * tokens for tokens in waiting))):
                self.encode(batch.value)


def mixed(n: int) -> list[int]:
    """Many short texts and a few long ones."""
    draw = random.Random(7)
    return [min(256, 4 + int(draw.lognormvariate(3, 1))) for _ in range(n)]


def with_limit() -> Run:
    """The input is much longer, and read to the limit alone."""
    return Run(mixed(20_000), 3_000, limit=20_000, size=1 << 30)


RUNS = {
    "texts of one length": lambda: Run([24] * 40_000, 5_000),
    "texts of all lengths": lambda: Run(mixed(40_000), 5_000),
    "long texts cost more": lambda: Run(mixed(40_000), 5_000, slower=3.0),
    "a slow model": lambda: Run(mixed(20_000), 400),
    "a model that loads long": lambda: Run(mixed(40_000), 5_000, loading=300),
    "fewer texts than are sorted at once": lambda: Run(mixed(1_500), 400),
    "little more than is sorted at once": lambda: Run(mixed(3_000), 400),
    "the first half is reused": lambda: Run([0] * 40_000 + mixed(40_000), 5_000),
    "every other one is reused": lambda: Run([n for m in mixed(40_000) for n in (0, m)], 5_000),
    "a limit": with_limit,
}


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
def test_the_time_left_is_told_before_it_is_over_and_is_about_right(make):
    run = make().run()
    at, first = run.told[0]
    encoding = run.clock - run.loading
    assert run.loading + 5 < at < run.loading + 0.7 * encoding
    for when, left in run.told:
        truth = run.clock - when
        assert 0.6 * truth - 5 < left.seconds < 1.6 * truth + 5
        assert 0 <= left.share <= 1
    assert 0.6 < first.seconds / (run.clock - at) < 1.6


def test_nothing_is_told_of_a_run_that_is_over_soon():
    assert not Run(mixed(500), 5_000).run().told


def seen(pace: Pace, at: float, share: float, read: int, encoded: int) -> Left | None:
    """With an input of ten megabytes."""
    totals = {"models": 1, "bytes_read": int(share * 10**7)}
    pace.see(totals | {"read_tokens": read, "encoded_tokens": encoded}, at)
    return pace.left()


def test_what_the_time_left_is_made_of():
    """The clock starts with the first batch; what is reused before it counts for nothing."""
    pace = Pace(10**7)
    assert seen(pace, 100.0, 0.4, 50_000, 0) is None
    assert seen(pace, 120.0, 0.5, 50_000, 1_000) is None
    assert seen(pace, 124.0, 0.6, 100_000, 91_000) is None  # too soon
    assert seen(pace, 130.0, 0.6, 150_000, 71_000) is None  # more waits than is encoded
    # 50,000 wait; each tenth of the input has 100,000, and four are not read: 450,000 at 10,000/s.
    left = seen(pace, 130.0, 0.6, 151_000, 101_000)
    assert left is not None
    assert left.seconds == pytest.approx((50_000 + 4 * 101_000) / 10_000)
    assert left.share == pytest.approx(101_000 / (151_000 + 4 * 101_000))


def test_of_what_is_not_read_nothing_is_known_before_some_of_it_is():
    pace = Pace(10**7)
    assert seen(pace, 0.0, 0.5, 50_000, 1_000) is None
    assert seen(pace, 60.0, 0.52, 51_000, 50_000) is None
    assert seen(pace, 60.0, 0.53, 51_000, 50_000) is not None


def test_of_an_input_of_unknown_size_no_time_is_told():
    pace = Pace(0)
    for at in range(100):
        assert seen(pace, float(at), 0.0, 100 + at * 1000, 90 + at * 1000) is None
    assert pace.seconds == 99.0
