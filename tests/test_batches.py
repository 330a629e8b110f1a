"""Batches hold every window once and spend little on padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.elements import window
from transforms.batches import cut_batches


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 2048))
def test_every_window_is_in_one_batch_and_the_budget_is_kept(lengths, budget):
    windows = [window([0] * length) for length in lengths]
    batches = list(cut_batches(iter(windows), budget))
    assert sorted(map(id, windows)) == sorted(id(w) for batch in batches for w in batch)
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget


@given(st.lists(st.integers(1, 50), min_size=2, max_size=80), st.integers(50, 500))
def test_no_batch_could_have_taken_the_next_window(lengths, budget):
    """Longest first, each batch as full as the budget lets it be."""
    batches = list(cut_batches((window([0] * length) for length in lengths), budget))
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
    batches = list(cut_batches((window([0] * length) for length in drawn), 1024))
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    assert padded <= 1.08 * drawn.sum()
