"""A plan as text: labels on the left, and a table of runs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from corpusvec.pipeline.plans.estimates import EFFICIENCY
from corpusvec.pipeline.terminal.formats import bytes_text, clock, counted
from corpusvec.transforms.measures import names

if TYPE_CHECKING:
    from corpusvec.pipeline.plans.reports import Report

_WIDTH, _LABEL = 100, 13


def lines(report: Report) -> Iterator[str]:
    """What there is, what comes out, how long it takes, and what all of it rests on."""
    for label, text in _facts(report):
        yield f"{label:<{_LABEL}} {text}"
    yield ""
    yield from _table(report)
    yield ""
    yield from textwrap.wrap(" ".join(_grounds(report)), _WIDTH)
    if report.advice:
        yield f"note: {report.advice}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    counts = report.counts
    yield "input", f"{counted(report.files, 'file')}, {bytes_text(report.input_bytes)}"
    others = ", ".join(f"{counts[name]:,} {name}" for name in (names.REJECTED, names.EMPTY))
    yield "documents", f"{_about(report, 'documents')}; {others}"
    if report.unit == "tokens":
        mean = counts[names.TOKENS] / counts[names.DOCUMENTS]
        yield "tokens", f"{_about(report, 'tokens')}, {mean:,.0f} a document"
        cut = counted(counts["long"], "document") if counts["long"] else "no document"
        yield "windows", f"{counts[names.WINDOWS]:,}; {cut} in several"
    if counts[names.REPEATED]:
        number = f"{counts[names.REPEATED]:,}"
        most = number if report.sample["whole"] else f"about {number} or more"
        yield names.REPEATED, f"{most} documents have the text of another one: it is embedded once"
    if counts[names.DROPPED_TOKENS]:
        yield "cut off", f"{counts[names.DROPPED_TOKENS]:,} tokens (--long_text=truncate)"
    if counts[names.UNKNOWN_TOKENS]:
        share = counts[names.UNKNOWN_TOKENS] / counts[names.TOKENS]
        yield "unknown", f"{counts[names.UNKNOWN_TOKENS]:,} tokens, {share:.1%}"
    tables = ", ".join(
        f"{table} {bytes_text(size)} in {counted(report.output_files[table], 'file')} or more"
        for table, size in report.bytes.items()
    )
    yield "to write", tables
    yield "memory", f"{bytes_text(report.memory_bytes)} a process"
    speed = f"{report.speed:,.0f} {report.unit}/s"
    yield "speed", f"{speed} on this machine, after {report.start_seconds:.1f} s to start"
    if rates := report.by_precision:
        best = max(rates, key=rates.__getitem__)
        listed = ", ".join(f"{name} {rate:,.0f}" for name, rate in sorted(rates.items()))
        yield "precision", f"{listed} {report.unit}/s; --precision={best} is faster here"


def _about(report: Report, name: str) -> str:
    """A count, and how far it may be off."""
    margin = report.margins[name]
    number = f"{report.counts[name]:,}"
    if margin is None:
        return f"about {number}"
    return f"about {number} ± {margin:.0%}" if margin else number


def _table(report: Report) -> Iterator[str]:
    rows: list[Sequence[str]] = [["workers", "cores each", "time", "core hours"]]
    for place, run in enumerate(report.runs):
        name = f"{run.workers:,}" if place else "this machine"
        rows.append([name, f"{run.cores:,}", clock(run.seconds), f"{run.core_hours:,.2f}"])
    if report.price is not None:
        costs = [f"{run.cost:,.2f}" for run in report.runs]
        rows = [[*row, last] for row, last in zip(rows, ["cost", *costs])]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))
        yield "  ".join([f"{row[0]:<{widths[0]}}", *cells])


def _grounds(report: Report) -> Iterator[str]:
    sample = report.sample
    whole = f"all {sample['documents']:,} documents"
    some = f"{sample['documents']:,} of about {report.counts[names.DOCUMENTS]:,} documents"
    yield (
        f"From {whole if sample['whole'] else some}, read and tokenized in"
        f" {sample['seconds']:.1f} s, and {sample['encoded']:,} {report.unit} encoded in"
        f" {sample['encode_seconds']:.1f} s."
    )
    if sample["from_start"] and not sample["whole"]:
        yield (
            "Exports, compressed files and what --limit lets through were read from their start on,"
            " which may not be like the rest."
        )
    if len(report.runs) > 1:
        yield (
            "Workers are taken to be like this machine, core for core, and several to give"
            f" {EFFICIENCY:.0%} of what they could; what a cluster takes to start is not in it."
        )
    if report.price is not None:
        yield f"Costs are at {report.price:g} for the hour of a core."
