"""What a transformer is made of: small, frozen, picklable; nothing here computes.

A family of models says it by its configuration (`models/transformers/families`), and each part has
a block that computes it (`models/transformers/blocks`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# Where the norms of a layer stand: before each of its two halves, after its sum with the input, or
# before and, not yet summed, after it.
BEFORE, AFTER, AROUND = "before", "after", "around"


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalization; with `rms` by the root of the mean square, and no mean is subtracted.
    Without `beta` nothing is added.
    """

    epsilon: float
    rms: bool = False
    beta: bool = True


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Tables of words, positions and segments, `width` wide, whose rows are added.

    `positions` and `segment_types` are 0 where there is no such table. The first token has the
    position `first_position`; where that is not 0, words of the number before it are not counted. A
    dense layer, the `projection`, leads to the width of the model: before the norm or after it.
    """

    vocab_size: int
    width: int
    norm: Norm | None = None
    positions: int = 0
    first_position: int = 0
    segment_types: int = 0
    scale: float = 1.0
    projection: str = ""


@dataclass(frozen=True, slots=True)
class Rotary:
    """The angle by which each pair of a head's numbers turns from one position to the next, and
    what cosine and sine are multiplied by. In windows of more than `usual_length` tokens the angles
    are the `long` ones, where there are any. With `ends` they are known up to the model's `longest`
    alone.
    """

    frequencies: tuple[float, ...]
    factor: float = 1.0
    long: tuple[float, ...] = ()
    usual_length: int = 0
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a token attends, back and ahead (None: to the end), and how its queries and keys are
    turned.
    """

    back: int | None = None
    ahead: int | None = None
    rotary: Rotary | None = None


@dataclass(frozen=True, slots=True)
class Buckets:
    """A table of numbers, one for each head and bucket of distances, that are added to the
    attention's scores. Distances from `furthest` share one bucket.
    """

    count: int
    furthest: int


@dataclass(frozen=True, slots=True)
class Disentangled:
    """Scores of content against position and of position against content, by a table of
    2 `span` rows for distances.

    Distances are in `buckets` (0: each has its own) up to `furthest`. `shared`: positions take the
    layer's own kernels of queries and keys.
    """

    span: int
    buckets: int
    furthest: int
    to_position: bool
    from_position: bool
    shared: bool
    norm: Norm | None = None


@dataclass(frozen=True, slots=True)
class Attention:
    """`groups` of the `heads` share keys and values. `scale` multiplies the scores; `head_norm` is
    over each head's queries, and over its keys.
    """

    heads: int
    groups: int
    head_size: int
    scale: float
    bias: bool = True
    output_bias: bool = True
    head_norm: Norm | None = None
    buckets: Buckets | None = None
    disentangled: Disentangled | None = None


@dataclass(frozen=True, slots=True)
class FeedForward:
    """`activation` is a key of `blocks.feed_forward.ACTIVATIONS`. Where it is gated, the activated
    product is multiplied by a second one.
    """

    inner: int
    activation: str
    gated: bool = False
    bias: bool = True
    output_bias: bool = True


@dataclass(frozen=True, slots=True)
class Convolution:
    """Over the embeddings, added to the first layer's output before a norm."""

    kernel: int
    groups: int
    activation: str


@dataclass(frozen=True, slots=True)
class Transformer:
    """The shape and arithmetic of a model. `reaches` has one for each layer; `weights_of` the
    number of the layer whose weights a layer takes, its own where it is empty. Files name
    the arrays of a layer by its group of `layers_of_group`, and by its place there.

    `longest` counts all tokens of a window, and is `usual_length` where that is not 0 and nobody
    asks for more. Of some families the first layer attends to what no norm was over (`first_norm`).
    `family` is a key of `families.table.FAMILIES`.
    """

    hidden_size: int
    embeddings: Embeddings
    attention: Attention
    feed_forward: FeedForward
    norm: Norm
    reaches: tuple[Reach, ...]
    longest: int
    norms: str = AFTER
    first_norm: bool = True
    final_norm: bool = False
    convolution: Convolution | None = None
    weights_of: tuple[int, ...] = ()
    layers_of_group: int = 1
    usual_length: int = 0
    family: str = "bert"

    @property
    def layer_count(self) -> int:
        return len(self.reaches)

    @property
    def ends_differ(self) -> bool:
        """Whether the first layer, or the last, does more than those between."""
        return bool(self.convolution) or self.final_norm or not self.first_norm

    @property
    def vocab_size(self) -> int:
        return self.embeddings.vocab_size

    def source(self, layer: int) -> int:
        """The number of the layer whose weights this one takes."""
        return self.weights_of[layer] if self.weights_of else layer

    def lower(self, count: int) -> Transformer:
        """The model of the first layers alone; only the whole has the final norm."""
        whole = count == self.layer_count
        return replace(
            self,
            reaches=self.reaches[:count],
            weights_of=self.weights_of[:count],
            final_norm=self.final_norm and whole,
        )
