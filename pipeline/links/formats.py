"""Suggestions as lines, tables and files: the functions that `FORMS` of `flags` names."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.terminal.formats import shortened
from corpusvec.transforms.links.passages import marked
from corpusvec.transforms.links.suggestions import Suggestion

_WIDEST = 160  # columns of a terminal
_REASON = {"mine": pa.string(), "theirs": pa.string(), "phrase": pa.string(), "score": pa.float32()}
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("document", "title", "target", "target_title")),
        ("score", pa.float64()),
        ("red", pa.bool_()),
        ("linked", pa.bool_()),
        ("links_away", pa.int32()),
        ("why", pa.list_(pa.struct(list(_REASON.items())))),
    ]
)


def records(pages: Pages, suggestions: Sequence[Suggestion]) -> Iterator[dict[str, Any]]:
    """Each as a record, with titles."""
    for one in suggestions:
        told = asdict(one) | {"why": [reason._asdict() for reason in one.why]}
        target = one.target if one.red else pages.titles[pages.rows[one.target]]
        titles = {"title": pages.titles[pages.rows[one.document]], "target_title": target}
        yield {name: (told | titles)[name] for name in _SCHEMA.names}


def as_table(pages: Pages, suggestions: Sequence[Suggestion]) -> bytes:
    """For a terminal: a heading for each document, then its suggestions and why."""
    width = min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)
    lines: list[str] = []
    for document, some in groupby(suggestions, attrgetter("document")):
        lines += [*([""] if lines else []), pages.titles[pages.rows[document]]]
        for one in some:
            title = one.target if one.red else pages.titles[pages.rows[one.target]]
            kind = "  (red link)" if one.red else "  (linked)" if one.linked else _away(one)
            lines.append(f"  {one.score:.3f}  {shortened(title, width - 24)}{kind}")
            for reason in one.why:
                for sign, text in (("<", reason.mine), (">", reason.theirs)):
                    lines.append(f"      {sign} {_around(text, reason.phrase, width - 10)}")
    return "".join(f"{line}\n" for line in lines or ["no suggestions"]).encode()


def _away(one: Suggestion) -> str:
    return "" if one.links_away is None else f"  ({one.links_away} links away)"


def _around(text: str, phrase: str, width: int) -> str:
    """A line of a passage, with its phrase marked and in sight."""
    line = marked(" ".join(text.split()), phrase)
    start = max(0, line.find("«") - width // 3) if len(line) > width else 0
    return shortened(f"{'…' if start else ''}{line[start:]}", width)


def as_csv(pages: Pages, suggestions: Sequence[Suggestion]) -> bytes:
    """A row for each, with the nearest pair of passages."""
    target = io.StringIO(newline="")
    rows = csv.writer(target, lineterminator="\n")
    names = [name for name in _SCHEMA.names if name != "why"]
    rows.writerow([*names, "mine", "theirs", "phrase"])
    for record in records(pages, suggestions):
        first = record["why"][0] if record["why"] else {}
        values = [str(v).lower() if isinstance(v, bool) else v for v in map(record.get, names)]
        rows.writerow([*values, *(first.get(name, "") for name in ("mine", "theirs", "phrase"))])
    return target.getvalue().encode("utf-8", "replace")


def as_json(pages: Pages, suggestions: Sequence[Suggestion]) -> bytes:
    """A list of objects."""
    told = list(records(pages, suggestions))
    return json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def as_parquet(pages: Pages, suggestions: Sequence[Suggestion]) -> bytes:
    """A Parquet file with a row for each."""
    target = pa.BufferOutputStream()
    rows = pa.Table.from_pylist(list(records(pages, suggestions)), _SCHEMA)
    pq.write_table(rows, target, compression="zstd")
    return target.getvalue().to_pybytes()
