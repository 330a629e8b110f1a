"""The arrays of a transformer: their names and shapes, the same whichever program wrote the file.

The names are those of google-research/bert's checkpoints without the leading `bert/`, and more of
their kind where other families have more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from corpusvec.transforms.architectures import BEFORE, Norm, Transformer

WORDS = "embeddings/word_embeddings"
POOLER_KERNEL = "pooler/dense/kernel"
Shapes = Mapping[str, tuple[int, ...]]


def shapes(config: Transformer, pooler: bool) -> dict[str, tuple[int, ...]]:
    """Every array that a model of this shape has, by name; dense kernels are [inputs, outputs]."""
    found = dict(_embeddings(config))
    first = {config.source(number): number for number in reversed(range(config.layer_count))}
    for number in sorted(first.values()):
        found |= _layer(config, number)
    if config.final_norm:
        found |= _norm("encoder/final", config.hidden_size, config.norm)
    if pooler:
        found |= _dense("pooler/dense", config.hidden_size, config.hidden_size)
    return found


def layer_name(config: Transformer, number: int) -> str:
    """What the names of the arrays of a layer begin with."""
    return f"encoder/layer_{config.source(number)}"


def _embeddings(config: Transformer) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tables, and what all layers share."""
    own, hidden = config.embeddings, config.hidden_size
    yield WORDS, (own.vocab_size, own.width)
    if own.positions:
        yield "embeddings/position_embeddings", (own.positions, own.width)
    if own.segment_types:
        yield "embeddings/token_type_embeddings", (own.segment_types, own.width)
    if own.norm:
        width = hidden if own.projection == BEFORE else own.width
        yield from _norm("embeddings", width, own.norm).items()
    if own.projection:
        bias = own.projection != BEFORE
        yield from _dense("embeddings/projection", own.width, hidden, bias).items()
    if buckets := config.attention.buckets:
        yield "encoder/relative_attention_bias", (buckets.count, config.attention.heads)
    if places := config.attention.disentangled:
        yield "encoder/rel_embeddings", (2 * places.span, hidden)
        if places.norm:
            yield from _norm("encoder/rel_embeddings", hidden, places.norm).items()
    if convolution := config.convolution:
        inputs = hidden // convolution.groups
        yield "encoder/convolution/kernel", (convolution.kernel, inputs, hidden)
        yield "encoder/convolution/bias", (hidden,)
        yield from _norm("encoder/convolution", hidden, config.norm).items()


def _layer(config: Transformer, number: int) -> dict[str, tuple[int, ...]]:
    name, hidden = layer_name(config, number), config.hidden_size
    attention, inner = config.attention, config.feed_forward
    width, narrow = (n * attention.head_size for n in (attention.heads, attention.groups))
    own = f"{name}/attention/self"
    found: dict[str, tuple[int, ...]] = {}
    for part, outputs in (("query", width), ("key", narrow), ("value", narrow)):
        found |= _dense(f"{own}/{part}", hidden, outputs, attention.bias)
    if attention.head_norm:
        for part in ("query", "key"):
            found |= _norm(f"{own}/{part}", attention.head_size, attention.head_norm)
    if (places := attention.disentangled) and not places.shared:
        for part, there in (("key", places.to_position), ("query", places.from_position)):
            if there:
                found |= _dense(f"{own}/position_{part}", hidden, width)
    found |= _dense(f"{name}/attention/output/dense", width, hidden, attention.output_bias)
    for part in ("gate", "dense") if inner.gated else ("dense",):
        found |= _dense(f"{name}/intermediate/{part}", hidden, inner.inner, inner.bias)
    found |= _dense(f"{name}/output/dense", inner.inner, hidden, inner.output_bias)
    for place in norm_places(config, number):
        found |= _norm(f"{name}/{place}", hidden, config.norm)
    return found


def norm_places(config: Transformer, number: int) -> tuple[str, ...]:
    """Where the norms of a layer stand, as their names say."""
    before = ("attention/input", "intermediate/input")[0 if config.first_norm or number else 1 :]
    after = ("attention/output", "output")
    if config.norms == BEFORE:
        return before
    return after if config.norms == "after" else (*before, *after)


def _dense(name: str, inputs: int, outputs: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {f"{name}/kernel": (inputs, outputs)}
    return found | ({f"{name}/bias": (outputs,)} if bias else {})


def _norm(name: str, width: int, norm: Norm) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {f"{name}/LayerNorm/gamma": (width,)}
    return found | ({f"{name}/LayerNorm/beta": (width,)} if norm.beta else {})


def check_shapes(there: Shapes, config: Transformer, pooler: bool, where: str) -> None:
    """Raises `ValueError` with the first array that is missing or has another shape than the
    configuration says.
    """
    for name, shape in shapes(config, pooler).items():
        if name not in there:
            raise ValueError(
                f"{where}: the weights have no {name}; is the file whole, and of a model as the"
                " configuration says?"
            )
        if tuple(there[name]) != shape:
            raise ValueError(
                f"{where}: {name} has the shape {list(there[name])},"
                f" the configuration says {list(shape)}"
            )
