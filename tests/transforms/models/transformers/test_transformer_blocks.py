"""Every block against an independent reference in float64, over configurations drawn at random."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from corpusvec.transforms.architectures import (
    AFTER,
    AROUND,
    BEFORE,
    Attention,
    Buckets,
    Convolution,
    Disentangled,
    Embeddings,
    FeedForward,
    Norm,
    Reach,
    Rotary,
    Transformer,
)
from corpusvec.transforms.models.transformers import weights
from corpusvec.transforms.specs import Wanted
from tests import oracles

# A model is built for each example: a failure is told as it is found, not made smaller.
FEW = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
LENGTHS = (1, 2, 13, 20)
VOCABULARY = 30

norms = st.builds(
    Norm, st.sampled_from([1e-12, 1e-6, 1e-2]), rms=st.booleans(), beta=st.booleans()
).map(lambda norm: Norm(norm.epsilon, norm.rms, norm.beta and not norm.rms))
maybe = st.integers(0, 12) | st.none()


@st.composite
def embeddings(draw, hidden):
    projection = draw(st.sampled_from(["", "", BEFORE, AFTER]))
    first = draw(st.sampled_from([0, 0, 3]))
    return Embeddings(
        vocab_size=VOCABULARY,
        width=draw(st.sampled_from([8, 20])) if projection else hidden,
        norm=draw(norms | st.none()),
        positions=draw(st.sampled_from([0, max(LENGTHS) + first])),
        first_position=first,
        segment_types=draw(st.sampled_from([0, 2, 3])),
        scale=draw(st.sampled_from([1.0, 3.5])),
        projection=projection,
    )


@st.composite
def distances(draw):
    """What attention is told of how far apart two tokens are."""
    kind = draw(st.sampled_from(["nothing", "nothing", "buckets", "disentangled"]))
    if kind == "buckets":
        count = draw(st.sampled_from([4, 7, 16]))
        return {"buckets": Buckets(count, draw(st.integers(count // 4 + 1, 40)))}
    if kind == "nothing":
        return {}
    buckets, furthest = draw(st.sampled_from([(0, 9), (6, 12), (8, 40), (11, 9)]))
    return {
        "disentangled": Disentangled(
            span=buckets or furthest,
            buckets=buckets,
            furthest=furthest,
            to_position=draw(st.booleans()),
            from_position=draw(st.booleans()),
            shared=draw(st.booleans()),
            norm=draw(norms | st.none()),
        )
    }


@st.composite
def transformers(draw):
    hidden, layers = draw(st.sampled_from([12, 24])), draw(st.integers(1, 3))
    told = draw(distances())
    heads, groups = draw(st.sampled_from([(1, 1), (2, 2), (4, 2), (6, 1)]))
    groups = heads if "disentangled" in told else groups
    size = hidden // heads if "disentangled" in told else draw(st.sampled_from([4, 6]))
    angles = st.lists(st.floats(0, 2, width=32), min_size=size // 2, max_size=size // 2)
    turns = st.none()
    if not told and size % 2 == 0:
        angles, factors = angles.map(tuple), st.sampled_from([1.0, 1.3])
        turns |= st.builds(Rotary, angles, factors)
        turns |= st.builds(Rotary, angles, factors, angles, st.sampled_from([2, 13]))
    reaches = draw(
        st.lists(st.builds(Reach, maybe, maybe, turns), min_size=layers, max_size=layers)
    )
    convolution = Convolution(3, draw(st.sampled_from([1, 2])), "tanh")
    how = draw(st.sampled_from([BEFORE, AFTER, AROUND]))
    shared = draw(st.integers(0, 4)) == 0
    return Transformer(
        hidden_size=hidden,
        embeddings=draw(embeddings(hidden)),
        attention=Attention(
            heads,
            groups,
            size,
            draw(st.sampled_from([1.0, 0.4])),
            bias=draw(st.booleans()),
            output_bias=draw(st.booleans()),
            head_norm=draw(norms | st.none()),
            **told,
        ),
        feed_forward=FeedForward(
            draw(st.sampled_from([8, 30])),
            draw(st.sampled_from(["gelu", "gelu_tanh", "relu", "silu", "tanh"])),
            gated=draw(st.booleans()),
            bias=draw(st.booleans()),
            output_bias=draw(st.booleans()),
        ),
        norm=draw(norms),
        reaches=tuple(reaches),
        longest=max(LENGTHS),
        norms=how,
        first_norm=how == AFTER or shared or draw(st.booleans()),
        final_norm=draw(st.booleans()),
        convolution=convolution if draw(st.integers(0, 4)) == 0 else None,
        weights_of=(0,) * layers if shared else (),
    )


def random_weights(config, seed):
    generator = np.random.default_rng(seed)
    return {
        name: (generator.normal(0, 0.3, shape) + name.endswith("gamma")).astype(np.float32)
        for name, shape in weights.shapes(config, pooler=False).items()
    }


def run(config, arrays, ids, segments, precision="float32"):
    """The layers of texts in one batch, padded to a length that is none of theirs."""
    from corpusvec.transforms.models.transformers.forward import Graphs

    every = tuple(range(config.layer_count + 1))
    graphs = Graphs.build(config, Wanted(every, precision=precision), arrays)
    batch = np.zeros((2, len(ids), max(LENGTHS)), np.int32)
    for row, (numbers, kinds) in enumerate(zip(ids, segments)):
        batch[:, row, : len(numbers)] = numbers, kinds
    lengths = np.array([len(numbers) for numbers in ids], np.int32)
    none = np.zeros((0, *batch.shape[1:]), np.float32)
    found = graphs.run(batch[0], batch[1], lengths, none).layers
    return [[found[n][row, : len(one)] for n in every] for row, one in enumerate(ids)]


def assert_equals_reference(config, seed):
    generator = np.random.default_rng(seed)
    arrays = random_weights(config, seed)
    ids = [generator.integers(0, VOCABULARY, length) for length in LENGTHS]
    types = max(config.embeddings.segment_types, 1)
    segments = [generator.integers(0, types, length) for length in LENGTHS]
    for found, numbers, kinds in zip(run(config, arrays, ids, segments), ids, segments):
        expected = oracles.transformer(arrays, asdict(config), numbers, kinds)
        # Attention that is steep makes much of how float32 rounds, whoever computes it.
        shaken = oracles.transformer(rounded_otherwise(arrays), asdict(config), numbers, kinds)
        assert len(found) == len(expected)
        for layer, values in enumerate(expected):
            size = max(1.0, float(np.abs(values).max()))
            close = max(5e-5 * size, 10 * float(np.abs(shaken[layer] - values).max()))
            np.testing.assert_allclose(found[layer], values, rtol=0, atol=close)


def rounded_otherwise(arrays):
    """Weights that differ by half of what float32 tells apart."""
    generator = np.random.default_rng(0)
    return {
        name: values * (1 + generator.uniform(-(2**-24), 2**-24, values.shape))
        for name, values in arrays.items()
    }


def test_one_head_that_is_told_distances_equals_the_reference():
    """For these TensorFlow's product of a batch with one matrix is wrong."""
    norm = Norm(1e-6)
    config = Transformer(
        hidden_size=12,
        embeddings=Embeddings(vocab_size=VOCABULARY, width=12, norm=norm),
        attention=Attention(1, 1, 12, 0.3, disentangled=Disentangled(9, 0, 9, True, True, False)),
        feed_forward=FeedForward(8, "gelu"),
        norm=norm,
        reaches=(Reach(), Reach()),
        longest=max(LENGTHS),
    )
    assert_equals_reference(config, seed=1)


@settings(FEW, max_examples=25)
@given(config=transformers(), seed=st.integers(0, 1000))
def test_any_transformer_of_these_blocks_equals_the_reference(config, seed):
    assert_equals_reference(config, seed)
