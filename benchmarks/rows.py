"""Rows of the table: what was measured, what came out, what was wanted, and whether it is met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEAD = ("what", "figure", "target", "met?")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; `met` is None where nothing is wanted, or nothing was measured."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


def ratio(what: str, ratios: Sequence[float], *, least: float | None = None) -> Row:
    """The median of what the rounds gave, and in brackets the lowest and the highest."""
    return at_least(what, _figure(ratios), statistics.median(ratios), least)


def within(what: str, ratios: Sequence[float], part: float) -> Row:
    """A row for a ratio that should be 1, give or take `part`."""
    off = abs(statistics.median(ratios) - 1)
    return Row(what, _figure(ratios), f"1 ± {part:g}", off <= part)


def _figure(ratios: Sequence[float]) -> str:
    figure = f"{statistics.median(ratios):.2f}"
    if len(ratios) > 1:
        figure += f" ({min(ratios):.2f}–{max(ratios):.2f})"
    return figure


def at_least(what: str, figure: str, value: float, least: float | None) -> Row:
    """`value` is what `figure` shows; it should be high."""
    if least is None:
        return Row(what, figure)
    return Row(what, figure, f"≥ {least:g}", value >= least)


def at_most(what: str, figure: str, value: float, most: float, unit: str = "") -> Row:
    """A row for a figure that should be low."""
    return Row(what, figure, f"≤ {most:g}{unit}", value <= most)


def ratio_at_most(what: str, ratios: Sequence[float], most: float) -> Row:
    """Like `ratio`, for what should be low."""
    return at_most(what, _figure(ratios), statistics.median(ratios), most)


def rates(what: str, found: Sequence[float], unit: str) -> Row:
    """The median of the rounds, in `unit` a second; nothing is wanted of it."""
    return Row(what, f"{statistics.median(found):,.0f} {unit}/s")


def not_measured(what: str, target: str, why: str) -> Row:
    """A row without a figure, and what is missing for one."""
    return Row(what, f"not measured: {why}", target)


def head() -> str:
    """The first two lines of a table."""
    return f"{_line(HEAD)}\n{'|---' * len(HEAD)}|"


def body(rows: Iterable[Row]) -> str:
    """Its other lines."""
    met = {True: "yes", False: "**no**", None: ""}
    return "\n".join(_line((row.what, row.figure, row.target, met[row.met])) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
