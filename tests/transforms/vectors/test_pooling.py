"""Pooling over the windows of a document is pooling the document, wherever it was cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.elements import OWN, PROMPT, SPECIAL, Document
from corpusvec.transforms.specs import VectorColumn
from corpusvec.transforms.vectors.poolings import (
    POOLINGS,
    Owned,
    finish,
    poolings_of,
    shares,
    start,
    states,
)
from tests.elements import together, window

HIDDEN = 3


def encoded(vectors, roles, before=0, after=0, index=0, position=0, skipped=0, pooler=None):
    """A window of all layers' `vectors` [L, T, H]; `before` and `after` are tokens of others, and
    the document's first `skipped` are the prompt's.
    """
    length = vectors.shape[1]
    part = window(
        [0] * length,
        index=index,
        roles=np.asarray(roles, np.int8),
        start=before,
        stop=length - after,
        position=position,
        n_skipped=skipped,
    )
    return part, vectors, pooler


def pooled(column, parts, mask_special=False, beside=0):
    """The vector of a document whose windows are `parts`, in one batch with `beside` others."""
    batch, owned = batched(list(parts), beside)
    starts = np.arange(beside + 1)
    return finish(column, start(column, batch, owned, mask_special), starts)[beside]


def batched(parts, beside=0):
    """The windows in one batch, padded by what is no number."""
    other = np.full((len(parts[0][1]), 1, parts[0][1].shape[2]), 7, np.float32)
    parts = [encoded(other, [OWN])] * beside + parts
    windows = together([replace(part, document=Document("d", "")) for part, _, _ in parts])
    width = max(vectors.shape[1] for _, vectors, _ in parts)
    layers = np.full((len(parts[0][1]), len(parts), width, parts[0][1].shape[2]), np.nan)
    for row, (_, vectors, _) in enumerate(parts):
        layers[:, row, : vectors.shape[1]] = vectors
    outputs = {} if parts[0][2] is None else {"pooler": np.stack([one for _, _, one in parts])}
    batch = Encoded(windows, dict(enumerate(layers.astype(np.float32))), outputs)
    return batch, Owned(windows, width)


# The definitions, over one unsplit document: vectors [T, H], which tokens count, which are own, and
# where it begins: after a prompt that does not count.
def _weighted(vectors, keep):
    weights = np.arange(1, len(vectors) + 1)[keep]
    return (vectors[keep] * weights[:, None]).sum(axis=0) / weights.sum()


MEANINGS = {
    "cls": lambda v, keep, own, skipped: v[skipped],
    "sep": lambda v, keep, own, skipped: v[-1],
    "first": lambda v, keep, own, skipped: v[own][0],
    "last": lambda v, keep, own, skipped: v[own][-1],
    "mean": lambda v, keep, own, skipped: v[keep].mean(axis=0),
    "max": lambda v, keep, own, skipped: v[keep].max(axis=0),
    "mean_max": lambda v, keep, own, skipped: np.append(v[keep].mean(axis=0), v[keep].max(axis=0)),
    "mean_sqrt": lambda v, keep, own, skipped: v[keep].sum(axis=0) / np.sqrt(keep.sum()),
    "weighted_mean": lambda v, keep, own, skipped: _weighted(v, keep),
}
COMBINED = {
    "concat": lambda layers: np.concatenate(list(layers), axis=1),
    "sum": lambda layers: layers.sum(axis=0),
    "mean": lambda layers: layers.mean(axis=0),
}


def expected(column, vectors, roles, mask_special):
    combined = COMBINED[column.combine](vectors[list(column.layers)].astype(np.float64))
    keep = np.ones(len(roles), bool)
    if mask_special:
        keep &= roles != SPECIAL
    skipped = skipped_of(roles) if column.skip_prompt else 0
    keep[:skipped] = False
    meanings = [MEANINGS[name] for name in column.pooling.split("+")]
    return np.concatenate([meaning(combined, keep, roles == OWN, skipped) for meaning in meanings])


def skipped_of(roles):
    """[CLS] and the prompt, where there is one."""
    return int(np.flatnonzero(roles == PROMPT)[-1] + 1) if PROMPT in roles else 0


@st.composite
def documents(draw):
    """Vectors [3 layers, T, H] and roles [T] of a document: perhaps a prompt, perhaps a pair."""
    prompt, a, b = draw(st.integers(0, 5)), draw(st.integers(0, 20)), draw(st.integers(0, 20))
    middle = draw(st.integers(1, 2)) if b or not a else 0
    roles = [SPECIAL] + [PROMPT] * prompt + [OWN] * a + [SPECIAL] * middle
    roles = np.array(roles + [OWN] * (max(b, 1) if middle else 0) + [SPECIAL], np.int8)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.normal(0, 1, (3, len(roles), HIDDEN)).astype(np.float32), roles


def split(vectors, roles, cuts, generator):
    """The document in windows that own `cuts`-separated parts, among tokens of their own."""
    edges = [0, *sorted(cuts), len(roles)]
    for index, (first, last) in enumerate(zip(edges, edges[1:])):
        before, after = generator.integers(0, 4, 2)
        around = generator.normal(100, 50, (len(vectors), before + after, HIDDEN))
        yield encoded(
            np.concatenate(
                [around[:, :before], vectors[:, first:last], around[:, before:]], axis=1
            ).astype(np.float32),
            np.concatenate(
                [
                    generator.integers(0, 3, before),
                    roles[first:last],
                    generator.integers(0, 3, after),
                ]
            ),
            before=before,
            after=after,
            index=index,
            position=first,
            skipped=skipped_of(roles),
        )


@settings(max_examples=400, deadline=None)
@given(
    document=documents(),
    cuts=st.sets(st.integers(2, 50), max_size=6),  # the first window owns more than [CLS]
    pooling=st.sampled_from([*MEANINGS, "cls+mean", "max+mean_sqrt+weighted_mean"]),
    layers=st.sampled_from([(0,), (2,), (1, 2), (0, 1, 2)]),
    combine=st.sampled_from(sorted(COMBINED)),
    mask_special=st.booleans(),
    skip_prompt=st.booleans(),
)
def test_pooling_over_windows_equals_pooling_the_unsplit_document(
    document, cuts, pooling, layers, combine, mask_special, skip_prompt
):
    vectors, roles = document
    column = VectorColumn("v", pooling, layers, combine, skip_prompt=skip_prompt)
    cuts = [cut for cut in cuts if cut < len(roles)]
    parts = split(vectors, roles, cuts, np.random.default_rng(len(roles)))
    vector = pooled(column, parts, mask_special, beside=len(roles) % 3)
    assert vector.dtype == np.float32
    wanted = expected(column, vectors, roles, mask_special)
    np.testing.assert_allclose(vector, wanted, rtol=0, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(
    document=documents(),
    cuts=st.sets(st.integers(1, 50), max_size=6),
    poolings=st.lists(st.sampled_from([*MEANINGS, "cls+mean"]), min_size=1, max_size=3),
    layers=st.sampled_from([(0,), (1, 2), (0, 1, 2)]),
    combine=st.sampled_from(sorted(COMBINED)),
    mask_special=st.booleans(),
    skip_prompt=st.booleans(),
)
def test_a_graph_starts_as_numpy_does(
    document, cuts, poolings, layers, combine, mask_special, skip_prompt
):
    """Where the model is on a GPU: the same states, of all columns at once."""
    from corpusvec.transforms.models.hardware import tf
    from corpusvec.transforms.models.transformers.blocks import pooling

    vectors, roles = document
    cuts = [cut for cut in cuts if cut < len(roles)]
    batch, owned = batched(list(split(vectors, roles, cuts, np.random.default_rng(len(roles)))))
    columns = [
        VectorColumn(str(n), name, layers, combine, skip_prompt=skip_prompt)
        for n, name in enumerate(poolings)
    ]
    given = shares(columns, owned, mask_special)
    there = {key: tf.constant(layer) for key, layer in batch.layers.items()}
    found = [one.numpy() for one in pooling.pooled(columns, there, given)]
    made = states(columns, found, given)
    for column in columns:
        expected = start(column, batch, owned, mask_special)
        assert len(made[column.name]) == len(expected)
        for one, other in zip(made[column.name], expected):
            np.testing.assert_array_equal(one.weights > 0, other.weights > 0)
            some = one.weights > 0
            np.testing.assert_allclose(one.values[some], other.values[some], rtol=1e-7, atol=1e-6)
            ours, theirs = (
                next(p.strategy for p in poolings_of(column)).finish(state.take(some))
                for state in (made[column.name][0], expected[0])
            )
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_a_graph_adds_in_float64():
    from corpusvec.transforms.models.hardware import tf
    from corpusvec.transforms.models.transformers.blocks import pooling

    batch, owned = batched([encoded(np.full((1, 200_000, 1), 1000.001, np.float32), [O] * 200_000)])
    column = VectorColumn("v", "mean", (0,))
    given = shares([column], owned, False)
    (found,) = pooling.pooled([column], {0: tf.constant(batch.layers[0])}, given)
    made = states([column], [found.numpy()], given)
    assert finish(column, made["v"], np.array([0]))[0, 0] == np.float32(1000.001)


def test_every_pooling_has_a_meaning_here():
    assert set(POOLINGS) == set(MEANINGS)


S, P, O = SPECIAL, PROMPT, OWN  # noqa: E741


@pytest.mark.parametrize(
    ("roles", "counted"),
    [
        ([S, P, P, O, O, S], [3, 4, 5]),
        ([S, O, O, S], [0, 1, 2, 3]),
        ([S, P, S, O, S], [2, 3, 4]),
    ],
    ids=["prompt", "no prompt", "no text of its own before the pair"],
)
def test_model_that_leaves_its_prompt_out_leaves_out_the_cls_before_it(roles, counted):
    """As sentence-transformers with include_prompt=false, which without a prompt counts [CLS]."""
    vectors = np.arange(len(roles) * HIDDEN, dtype=np.float32).reshape(1, -1, HIDDEN)
    column = VectorColumn("v", "mean", (0,), skip_prompt=True)
    vector = pooled(column, [encoded(vectors, roles, skipped=skipped_of(np.array(roles)))])
    np.testing.assert_allclose(vector, vectors[0, counted].mean(axis=0))


def test_prompt_longer_than_a_window_is_left_out_of_all_of_them():
    vectors = np.arange(7 * HIDDEN, dtype=np.float32).reshape(1, -1, HIDDEN)
    column = VectorColumn("v", "mean", (0,), skip_prompt=True)
    parts = [
        encoded(vectors[:, :3], [S, P, P], index=0, skipped=4),
        encoded(vectors[:, 3:5], [P, O], index=1, position=3, skipped=4),
        encoded(vectors[:, 5:], [O, S], index=2, position=5, skipped=4),
    ]
    np.testing.assert_allclose(pooled(column, parts), vectors[0, 4:].mean(axis=0))


def test_pooler_of_a_long_text_is_its_first_windows():
    vectors = np.zeros((1, 2, HIDDEN), np.float32)
    parts = [
        encoded(vectors, [S, O], index=n, pooler=np.full(HIDDEN, n + 1, np.float32))
        for n in range(3)
    ]
    np.testing.assert_array_equal(
        pooled(VectorColumn("v", "output", output="pooler"), parts), [1, 1, 1]
    )


def test_mean_of_many_tokens_keeps_its_precision():
    """Sums are in float64: 200,000 tokens far from zero do not eat the small differences."""
    vectors = np.full((1, 200_000, 1), 1000.001, np.float32)
    vector = pooled(VectorColumn("v", "mean", (0,)), [encoded(vectors, [O] * 200_000)])
    assert vector[0] == np.float32(1000.001)


@pytest.mark.parametrize("pooling", ["cls", "sep", "first", "last", "mean", "max"])
def test_what_is_kept_of_a_batch_is_no_view_of_it(pooling):
    """Thousands of vectors wait to be written; each would keep a whole batch in memory."""
    batch = np.arange(24, dtype=np.float32).reshape(6, 4)
    (strategy,) = POOLINGS[pooling]
    starts, stops = np.array([0, 2]), np.array([2, 6])
    state = strategy.strategy.start(batch, np.arange(6), starts, stops)
    assert not np.shares_memory(strategy.strategy.finish(state), batch)
