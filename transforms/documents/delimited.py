"""CSV and TSV: one document for each row below the header.

Python's reader, not Arrow's: it knows on which line a row begins, takes fields of any length, and
goes on behind a row that is broken. All values stay the text that they are.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import BinaryIO

from corpusvec.transforms.columns import Records, Row, gathered
from corpusvec.transforms.documents.encodings import marked
from corpusvec.transforms.documents.formats import ALL_FIELDS, Fields, Open
from corpusvec.transforms.documents.streams import BrokenInput, from_start
from corpusvec.transforms.documents.tables import Table, columns_of
from corpusvec.transforms.elements import Failure

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST = 1 << 26  # characters of a field: a longer one has a quote that is never closed


def read_csv(
    open_: Open, source: str, name: str, fields: Fields = ALL_FIELDS, skipped: int = 0
) -> Iterator[Records]:
    """Separated by commas, or what the header has: semicolons, tabs, bars. See `_rows`."""
    return gathered(_rows(open_, source, name, fields, skipped, _DELIMITERS))


def read_tsv(
    open_: Open, source: str, name: str, fields: Fields = ALL_FIELDS, skipped: int = 0
) -> Iterator[Records]:
    """Separated by tabs, quoted as in CSV. See `_rows`."""
    return gathered(_rows(open_, source, name, fields, skipped, ("\t",)))


def _rows(
    open_: Open, source: str, name: str, fields: Fields, skipped: int, delimiters: Sequence[str]
) -> Iterator[Row | Failure]:
    """An id is `name:line`, of the line where the row begins, where no column has it. A row with
    more or fewer values than the header is a failure, as is one whose quotes do not match. Blank
    lines are no rows; `skipped` lines below the header are not in what is opened.

    Raises: BrokenInput for a file that is not UTF-8 (or UTF-16 with its mark), and for a header
    without the columns.
    """
    with closing(_as_text(open_(), source)) as stream:
        lines = _decoded(stream, source)
        first = next(lines, "")
        csv.field_size_limit(_LONGEST)
        try:
            delimiter = _delimiter(first, fields, delimiters)
            rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
            header = next(rows, [])
        except csv.Error as error:
            raise BrokenInput(f"{source}: its header is no CSV ({error}); correct it") from error
        if not header:
            raise BrokenInput(f"{source}: has no header; its first line must name the columns")
        places = {column: at for at, column in enumerate(header)}
        table = Table(source, name, columns_of(header, fields, source), places)
        while True:
            number = skipped + rows.line_num + 1
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield table.failure(number, _said(error, skipped + rows.line_num))
                continue
            if not values:
                continue
            if problem := _problem(values, header):
                yield table.failure(number, problem)
            else:
                yield table.record(number, values)


def _as_text(stream: BinaryIO, source: str) -> io.TextIOWrapper:
    """What is not UTF-8 becomes halves of surrogate pairs in its row. Excel's UTF-16 has a mark."""
    buffered = io.BufferedReader(stream)  # type: ignore[type-var]
    if marked(buffered.peek(4)[:4]) == "UTF-16":
        return io.TextIOWrapper(buffered, "utf-16", errors="surrogatepass", newline="")
    checked = from_start(buffered, source)
    return io.TextIOWrapper(checked, "utf-8-sig", errors="surrogateescape", newline="")


def _decoded(stream: io.TextIOWrapper, source: str) -> Iterator[str]:
    """Names the file where its UTF-16 is none."""
    try:
        yield from stream
    except UnicodeDecodeError as error:
        raise BrokenInput(
            f"{source}: is cut off or no UTF-16 ({error.reason}); save it again"
        ) from error


def _delimiter(first: str, fields: Fields, delimiters: Sequence[str]) -> str:
    """The first by which the header has the column of the text; else that which cuts it most."""
    cut = {mark: next(csv.reader([first], delimiter=mark), []) for mark in delimiters}
    fitting = [mark for mark, names in cut.items() if fields.text in names]
    return fitting[0] if fitting else max(delimiters, key=lambda mark: len(cut[mark]))


def _problem(values: Sequence[str], header: Sequence[str]) -> str:
    """Why a row is no record; empty where it is one."""
    if len(values) != len(header):
        return f"the row has {_counted(len(values))}, and the header {len(header):,}"
    for column, value in zip(header, values, strict=True):
        if value.isascii():
            if "\0" in value:
                return f"`{column}` has a NUL, as UTF-16 and damaged files have"
            continue
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"`{column}` is not UTF-8"
    return ""


def _counted(n: int) -> str:
    return f"{n:,} value" if n == 1 else f"{n:,} values"


def _said(error: csv.Error, line: int) -> str:
    """The library's words, or better ones."""
    said = str(error)
    if "unexpected end" in said or "field limit" in said:
        return f"the row has a quote that is not closed up to line {line:,}; close it"
    return f"the row is no CSV: {said}; double a quote that is part of a value"
