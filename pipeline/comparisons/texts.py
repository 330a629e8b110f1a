"""What `verify` found of vectors made again, as text: tables of 100 columns, and in words what is
the same and what changed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from corpusvec.pipeline.comparisons.reports import (
    ColumnChange,
    Invariance,
    Lengths,
    Report,
    Side,
    Swap,
)
from corpusvec.pipeline.terminal.formats import counted, shortened

_WIDTH, _LABEL, _CELL = 100, 24, 36
_REASONS = 5  # that are shown
_ARRANGEMENTS = {
    "as_in_a_run": "as in a run",
    "mixed_lengths": "mixed lengths",
    "beside_longest": "beside the longest",
}
_UNRELATED = 0.5  # of a mean cosine: less is no likeness, in any space of texts


def lines(report: Report) -> Iterator[str]:
    """What was compared, in numbers, and then in words."""
    groups = counted(report.row_groups, "row group")
    yield f"{report.output}, snapshot {report.snapshot}"
    yield f"{report.sample:,} of {counted(report.documents, 'document')}, from {groups}"
    yield ""
    if report.swap:
        yield from _rows(_sides(report.swap))
        for column in report.swap.columns:
            yield ""
            yield from _rows(_column(column))
        yield ""
    if report.invariance:
        yield from _invariance(report.invariance)
        yield ""
    for sentence in [*(f"note: {note}" for note in report.notes), *report.verdict]:
        yield from textwrap.wrap(
            sentence, _WIDTH, subsequent_indent="  ", break_long_words=True, break_on_hyphens=False
        )


def _rows(rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    for label, old, new in rows:
        yield f"{label:<{_LABEL}}{old:<{_CELL}}  {new}".rstrip()


def _sides(swap: Swap) -> Iterator[tuple[str, str, str]]:
    old, new = swap.old, swap.new
    yield "", "old", "new"
    yield "model", _end_of(old.model), _end_of(new.model)
    yield "kind", old.kind, new.kind
    yield "digest", old.digest[:12], new.digest[:12]
    for label, name, form in (
        ("tokens a document", "tokens_per_document", ",.1f"),
        ("unknown tokens", "unknown_share", ".2%"),
        ("seconds for 1,000", "seconds_per_1000", ",.2f"),
    ):
        yield label, _number(getattr(old, name), form), _number(getattr(new, name), form)
    yield "NaN or infinite", f"{old.not_finite:,}", f"{new.not_finite:,}"
    yield "without a vector", "", f"{swap.rejected:,}"


def _column(column: ColumnChange) -> Iterator[tuple[str, str, str]]:
    yield f"column {shortened(column.name, _LABEL - 8)}", "old", "new"
    yield "dimensions", f"{column.old_dimensions:,}", f"{column.new_dimensions:,}"
    yield "norm: mean", _norm(column.old_norms, "mean"), _norm(column.new_norms, "mean")
    yield "norm: least", _norm(column.old_norms, "least"), _norm(column.new_norms, "least")
    yield "norm: greatest", _norm(column.old_norms, "greatest"), _norm(column.new_norms, "greatest")
    if near := column.neighbours:
        yield (
            f"kept of the {near.at} nearest",
            f"mean {near.mean:.3f}",
            f"by chance {near.by_chance:.3f}",
        )
        yield "", f"least {near.least:.3f}", shortened(near.least_at)
    if links := column.links:
        yield (
            f"{links.links:,} links: in the {links.at} nearest",
            f"{links.old:.3f}",
            f"{links.new:.3f}",
        )
    if cosines := column.cosines:
        yield (
            "cosine of old and new",
            f"mean {cosines.mean:.6f}",
            f"1 % below {cosines.quantile_1:.6f}",
        )
        yield "", f"least {cosines.least:.6f}", shortened(cosines.least_at)
    if column.largest_difference is not None:
        at = shortened(column.largest_at or "")
        yield "largest difference", f"{column.largest_difference:.2g}", at


def _norm(lengths: Lengths | None, name: str) -> str:
    return _number(None if lengths is None else getattr(lengths, name), ",.4f")


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _end_of(place: str) -> str:
    return place if len(place) <= _CELL else f"…{place[1 - _CELL :]}"


def _invariance(found: Invariance) -> Iterator[str]:
    least, most = found.size
    yield (
        f"largest differences from a text alone: {counted(found.documents, 'document')} of"
        f" {least:,} to {most:,} {found.unit}"
    )
    names = list(found.columns[0].deviations)
    heads = "".join(f"{_ARRANGEMENTS[name]:<20}" for name in names)
    yield f"{'':<{_LABEL}}{heads}greatest value"
    for column in found.columns:
        label = shortened(f"{column.name}{' of tokens' * column.tokens}", _LABEL - 1)
        cells = "".join(f"{column.deviations[name].largest:<20.2g}" for name in names)
        yield f"{label:<{_LABEL}}{cells}{column.greatest:.3g}"


# ----------------------------------------------------------------------------------- in words


def verdict(report: Report) -> Iterator[str]:
    """What is the same and what changed, and by how much; what follows is for the user to say."""
    if report.unreadable:
        yield (
            f"{counted(report.unreadable, 'document')} of the sample left out: what the model read"
            " of the text cannot be restored."
        )
    if report.swap:
        yield from _of_swap(report.swap)
    if report.invariance:
        yield from _of_batches(report.invariance)
    elif report.swap is None or report.swap.rejected < report.sample:
        yield "No text gets a vector alone: whether batches change it cannot be said."
    if report.enough is not None:
        kept = "as many as" if report.enough else "fewer than"
        yield f"Neighbours kept: {kept} --min_neighbours={report.min_neighbours:g} asks for."


def _of_swap(swap: Swap) -> Iterator[str]:
    yield "The model is the same." if swap.same_model else "The model is another one."
    settings = [name for name in swap.settings if not name.startswith(("model.", "tokenizer"))]
    if settings:
        yield f"Settings that differ: {', '.join(settings)}."
    if swap.versions:
        changed = (f"{name} {old} -> {new}" for name, (old, new) in swap.versions.items())
        yield f"Versions that differ: {', '.join(changed)}."
    for column in swap.columns:
        yield f"{column.name}: {_what_became_of(column)}."
    for names, which in ((swap.only_old, "the snapshot"), (swap.only_new, "the new vectors")):
        if names:
            yield f"Only in {which}, not compared: {', '.join(names)}."
    if swap.rejected:
        yield f"{counted(swap.rejected, 'document')} would get no vector:"
    for reason in swap.reasons[:_REASONS]:
        yield f"  {reason.documents:,}: {reason.error} (first {shortened(reason.first)})"
    if swap.old.not_finite:
        yield f"{counted(swap.old.not_finite, 'document')} of the snapshot: NaN or infinite."
    yield from _of_time(swap.old, swap.new)


def _what_became_of(column: ColumnChange) -> str:
    if column.same:
        largest = f"the largest difference is {column.largest_difference:.2g}"
        return f"the same, as far as their precision goes; {largest}"
    said = []
    if column.old_dimensions != column.new_dimensions and column.new_norms:
        said.append(f"{column.new_dimensions:,} dimensions instead of {column.old_dimensions:,}")
    elif column.cosines and column.cosines.mean < _UNRELATED:
        said.append(f"another space, with a mean cosine of {column.cosines.mean:.3f}")
    elif column.cosines:
        said.append(f"other vectors, with a mean cosine of {column.cosines.mean:.4f}")
    else:
        said.append("no new vector")
    if near := column.neighbours:
        said.append(
            f"of the {near.at} nearest {near.mean:.1%} are kept, {near.least:.0%} at least"
            f" ({near.by_chance:.1%} by chance)"
        )
    else:
        said.append("too few documents to compare neighbours")
    return "; ".join(said)


def _of_time(old: Side, new: Side) -> Iterator[str]:
    if old.seconds_per_1000 and new.seconds_per_1000:
        times = new.seconds_per_1000 / old.seconds_per_1000
        yield (
            f"Encoding takes {times:.2g} times as long as the snapshot's took, on the machine that"
            " made it."
        )


def _of_batches(found: Invariance) -> Iterator[str]:
    def named(same: bool) -> Sequence[str]:
        return [column.name for column in found.columns if column.same is same]

    if alike := named(True):
        most = max(
            deviation.largest
            for column in found.columns
            if column.same
            for deviation in column.deviations.values()
        )
        yield (
            f"The batch does not matter to {', '.join(alike)}: the largest difference is"
            f" {most:.2g}."
        )
    for column in found.columns:
        if not column.same:
            which, worst = max(column.deviations.items(), key=lambda one: one[1].largest)
            yield (
                f"{column.name} depends on the batch: {worst.largest:.2g} {_ARRANGEMENTS[which]},"
                f" with values up to {column.greatest:.2g} ({shortened(worst.at or '')})."
            )
    if found.lost:
        names = ", ".join(shortened(one) for one in found.lost[:_REASONS])
        yield (
            f"{counted(len(found.lost), 'document')} with a vector alone and none beside others:"
            f" {names}."
        )
