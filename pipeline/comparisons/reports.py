"""What `verify` tells of vectors made again: the fields here are the keys of `verify --json`.

What is not known is null. Documents are named by their ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lengths:
    """Norms of vectors."""

    mean: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Cosines:
    """Of each document's old vector with its new one; a hundredth of them is below
    `quantile_1`.
    """

    mean: float
    least: float
    least_at: str
    quantile_1: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Shares of the `at` documents nearest to each by its old vector that are among as many nearest
    by its new one. A document without a new vector keeps none; of equal texts the first counts.
    `by_chance` is what vectors that have nothing to do with each other would keep.
    """

    at: int
    documents: int
    mean: float
    least: float
    least_at: str
    by_chance: float


@dataclass(frozen=True, slots=True)
class LinksFound:
    """Links between documents of the sample, and the shares of them whose target is among the `at`
    nearest by each one's vectors. The words of the links are not masked, as in `evaluate`.
    """

    at: int
    links: int
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column that both have. Without the same number of dimensions only neighbours can be
    compared; those are null where too few documents have vectors. `same`: no difference is more
    than rounding.
    """

    name: str
    old_dimensions: int
    new_dimensions: int
    neighbours: Neighbours | None
    links: LinksFound | None
    cosines: Cosines | None
    largest_difference: float | None
    largest_at: str | None
    same: bool
    old_norms: Lengths | None
    new_norms: Lengths | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: `seconds_per_1000` documents are those of encoding, all streams together, for
    the old one as its manifest says. `not_finite` are documents with a NaN or an infinity.
    """

    model: str
    kind: str
    digest: str
    tokens_per_document: float | None
    unknown_share: float | None
    not_finite: int
    seconds_per_1000: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why so many documents get no vector, and the first of them."""

    error: str
    documents: int
    first: str


@dataclass(frozen=True, slots=True)
class Swap:
    """A snapshot's model and another, or the same again. `settings` are the parts of the manifest's
    `run` that differ, `versions` those of programs, each old and new.
    """

    same_model: bool
    settings: tuple[str, ...]
    versions: Mapping[str, tuple[str | None, str | None]]
    old: Side
    new: Side
    rejected: int
    reasons: tuple[Reason, ...]
    columns: tuple[ColumnChange, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deviation:
    """The largest difference from the vector of the text alone, and where it is."""

    largest: float
    at: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of vectors, or with `tokens` of those of tokens. `greatest` is its greatest value;
    `deviations` are by arrangement. `same`: none is more than rounding.
    """

    name: str
    tokens: bool
    greatest: float
    deviations: Mapping[str, Deviation]
    same: bool


@dataclass(frozen=True, slots=True)
class Invariance:
    """Texts encoded alone, and then as a run puts them together (`as_in_a_run`), beside texts of
    any length (`mixed_lengths`) and each beside the longest (`beside_longest`; neither for a model
    that is never given padding). `size` is the tokens (bytes, where it takes strings) from the
    shortest to the longest. `lost` are documents that have a vector alone, and in some arrangement
    none.
    """

    model: str
    documents: int
    size: tuple[int, int]
    unit: str
    columns: tuple[Column, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot of `documents`, of which `sample` were looked at. `unreadable` were left out: what
    the model read of their texts cannot be restored. `enough`: no column keeps less than
    `min_neighbours`; null where nobody asked.
    """

    output: str
    snapshot: str
    documents: int
    sample: int
    row_groups: int
    unreadable: int
    notes: tuple[str, ...]
    swap: Swap | None
    invariance: Invariance | None
    min_neighbours: float | None
    enough: bool | None
    verdict: tuple[str, ...] = ()
