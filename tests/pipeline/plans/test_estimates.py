"""From the sample to the whole, and from seconds here to hours on many machines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.pipeline.plans.estimates import Block, Work, corpus, cost, margin

_BLOCKS = st.lists(
    st.builds(
        lambda size, records: Block(size, {"records": records}),
        st.integers(1, 10**6),
        st.integers(0, 10**4),
    ),
    min_size=1,
)


@given(_BLOCKS)
def test_what_was_all_read_is_what_it_is(blocks):
    read = sum(block.bytes for block in blocks)
    for found in (corpus(blocks, read, whole=True), corpus(blocks, read, whole=False)):
        assert found.whole
        assert found.counts["records"] == sum(block.counts["records"] for block in blocks)
        assert found.margins["records"] == 0


@given(_BLOCKS, st.integers(2, 1000))
def test_counts_go_by_bytes(blocks, times):
    read = sum(block.bytes for block in blocks)
    found = corpus(blocks, times * read, whole=False)
    assert found.scale == pytest.approx(times)
    assert found.counts["records"] == pytest.approx(
        times * sum(block.counts["records"] for block in blocks)
    )


@given(_BLOCKS, st.integers(1, 10**9), st.integers(1, 10**5))
def test_a_limit_is_never_passed_and_the_sample_is_always_in_it(blocks, size, limit):
    sampled = sum(block.counts["records"] for block in blocks)
    found = corpus(blocks, size, whole=False, limit=limit).counts["records"]
    assert sampled <= found * (1 + 1e-9)
    assert found <= max(limit, sampled) * (1 + 1e-9)


def test_the_margin_holds_nineteen_times_in_twenty():
    chance = np.random.default_rng(0)
    every = [
        Block(1000, {"documents": int(n)}) for n in chance.lognormal(3, 1, size=2000).round() + 1
    ]
    true = sum(block.counts["documents"] for block in every)
    inside = 0
    for _ in range(200):
        chosen = [every[i] for i in chance.choice(len(every), 200, replace=False)]
        found = corpus(chosen, 2_000_000, whole=False)
        off = abs(found.counts["documents"] / true - 1)
        inside += off <= found.margins["documents"]
    assert 180 <= inside <= 199


def test_blocks_that_are_alike_leave_nothing_open_and_one_block_everything():
    alike = [Block(100, {"documents": 7})] * 5
    assert margin(alike, "documents") == pytest.approx(0, abs=1e-12)
    assert margin(alike[:1], "documents") is None
    assert corpus(alike[:1], 1000, whole=False).margins["documents"] is None
    assert margin(alike, "rejected") is None  # none was seen: that says nothing of how many


_SECONDS = st.floats(0, 1e7)
_WORK = st.builds(
    lambda start, encode, load, longest, cores, gpu: Work(
        start, encode, load, load, longest * load, cores, gpu
    ),
    _SECONDS,
    _SECONDS,
    _SECONDS,
    st.floats(0, 1),
    st.integers(1, 64),
    st.booleans(),
)


@given(_WORK, st.integers(1, 1000), st.integers(1, 64))
def test_more_workers_are_never_slower_and_never_faster_than_their_number(work, workers, cores):
    one, many, more = (work.shared(n, cores) for n in (1, workers, workers + 1))
    assert more <= many * (1 + 1e-9)
    assert (many - work.start) * workers >= (one - work.start) * (1 - 1e-9) - 1e-9
    assert many >= work.start
    assert work.shared(1, work.cores) == work.alone()


def test_what_keeps_a_run_waiting():
    work = Work(start=10, encode=100, thread=20, load=20, longest=0, cores=2)
    assert work.alone() == 10 + 100 + 20 / 2  # the thread takes cores away from the encoder
    assert work.shared(1, 100) == 10 + 20  # it has become what all wait for
    assert work.shared(10, 2) == 10 + 110 / 10 / 0.8
    large = Work(start=10, encode=100, thread=20, load=20, longest=15, cores=2)
    assert large.shared(1000, 2) == 10 + 15  # one file, which one worker reads
    assert Work(10, 100, 20, 20, 0, cores=2, gpu=True).alone() == 110  # its own cores are free
    assert cost(7200, workers=3, cores=4, price=0.05) == pytest.approx(1.2)
