"""Batches hold every window once and spend little on padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.transforms.batches import cut_batches, padded_length, padded_rows
from corpusvec.transforms.models.probes import id_windows


def of_lengths(lengths):
    return id_windows(*([0] * length for length in lengths))


@given(st.lists(st.integers(1, 600), min_size=1, max_size=80), st.integers(1, 2048))
def test_every_window_is_in_one_batch_and_the_budget_is_kept(lengths, budget):
    batches = list(cut_batches(of_lengths(lengths), budget))
    owners = [owner for batch in batches for owner in batch.owners]
    assert sorted(owners) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch)
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget


@given(st.lists(st.integers(1, 600), min_size=1, max_size=80), st.integers(1, 2048))
def test_the_budget_is_kept_as_batches_are_padded(lengths, budget):
    longest = max(lengths)
    batches = list(cut_batches(of_lengths(lengths), budget, longest=longest))
    for batch in batches:
        length = padded_length(batch, longest)
        assert max(map(len, batch)) <= length <= longest
        assert len(batch) == 1 or len(batch) * length <= budget


def test_batches_are_padded_to_few_lengths():
    """96 lengths of 512, each at most an eighth longer; a single window as it is."""
    lengths = range(1, 513)
    padded = [padded_length(of_lengths([n, n]), 512) for n in lengths]
    assert len(set(padded)) == 96
    assert all(n <= to < 1.125 * n for n, to in zip(lengths, padded))
    assert [padded_length(of_lengths([n]), 512) for n in lengths] == list(lengths)
    assert [padded_length(of_lengths([n, n]), None) for n in lengths] == list(lengths)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=80), st.integers(1, 2048))
def test_batches_that_are_compiled_have_few_shapes(lengths, budget):
    """Lengths are multiples of four, and full batches a power of two of windows."""
    longest = 600
    batches = list(cut_batches(of_lengths(lengths), budget, longest=longest, few=True))
    assert sum(map(len, batches)) == len(lengths)
    for batch in batches:
        length, rows = padded_length(batch, longest, few=True), padded_rows(batch, few=True)
        assert length % 4 == 0
        assert max(map(len, batch)) <= length <= longest
        assert rows & (rows - 1) == 0
        assert len(batch) <= rows < 2 * len(batch)
        assert rows == 1 or rows * length <= budget


@given(st.lists(st.integers(1, 50), min_size=2, max_size=80), st.integers(50, 500))
def test_no_batch_could_have_taken_the_next_window(lengths, budget):
    """Longest first, each batch as full as the budget lets it be."""
    batches = list(cut_batches(of_lengths(lengths), budget))
    for batch, following in zip(batches, batches[1:]):
        assert len(batch[-1]) >= len(following[0])
        assert (len(batch) + 1) * len(batch[0]) > budget


@pytest.mark.parametrize(
    "lengths",
    [
        lambda random: random.geometric(1 / 46, 1024) + 2,
        lambda random: random.lognormal(np.log(48) - 0.5**2 / 2, 0.5, 1024),
        lambda random: random.uniform(3, 93, 1024),
        lambda random: random.normal(48, 12, 1024),
    ],
    ids=["geometric", "log-normal", "uniform", "normal"],
)
@pytest.mark.parametrize("seed", range(5))
def test_padding_costs_little(lengths, seed):
    """1,024 windows of 48 tokens on average, 1,024 padded tokens a batch: at most 8 % padding."""
    drawn = np.clip(lengths(np.random.default_rng(seed)), 3, 512).astype(int)
    batches = list(cut_batches(of_lengths(drawn), 1024, longest=512))
    padded = sum(len(batch) * padded_length(batch, 512) for batch in batches)
    assert padded <= 1.08 * drawn.sum()
