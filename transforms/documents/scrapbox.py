"""Scrapbox exports: JSON of any size, read page by page; one document per page or per line.

An export is `{"name": project, "pages": [{"title", "created", "updated", "views", "lines": [...]},
...], "users": ...}`, its keys in any order, a line either a string or an object with `text`,
`created`, `updated`; `exported` is when it was made. Of `users` nothing is read. A file may also be
one page, as Scrapbox's API gives it and backups keep it in a folder for each project.
"""

from __future__ import annotations

import codecs
import itertools
import json
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO

import ijson

from corpusvec.transforms.columns import Records, Row, gathered
from corpusvec.transforms.documents.ages import Dates, as_seconds
from corpusvec.transforms.documents.scrapbox_markup import link_targets, notation_of, strip_lines
from corpusvec.transforms.documents.streams import BrokenInput, MendedJson, from_start
from corpusvec.transforms.elements import Alignment, Document, Failure
from corpusvec.transforms.ranges import Run
from corpusvec.transforms.storage.digests import model_text_sha256

_UNPARSED = (ijson.JSONError, ArithmeticError, ValueError, RecursionError)
_END = object()
_LONGEST_LINE = 1 << 20  # bytes; a longer one tells as little as its start
_PAGES, _ONE_PAGE = "pages.item", ""  # where ijson finds the pages of a file
_DEEPEST = 200  # lists and objects within each other; an export has six


class _BadRecordError(Exception):
    """Why a page or a line becomes a `Failure`."""


class _Object(dict):
    """An object of JSON; `twice` is a key that stands in it more than once."""

    twice: str | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = key
        super().__setitem__(key, value)


class _Watched:
    """The bytes of an export, as `MendedJson` gives them; what it has beside its pages is looked at
    as they are read.
    """

    def __init__(self, mended: MendedJson, source: str, dates: Dates):
        self._mended, self._source, self._dates = mended, source, dates
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._keys: set[str] = set()
        self._key, self._depth = "", 0

    def read(self, size: int = -1) -> bytes:
        """As of any file. Raises: BrokenInput for a key that the export has twice, and for nesting
        over which a parser would take hours.
        """
        data = self._mended.read(size)
        if size == 0:
            return data
        # Who reads parses the same, and can say where it is broken.
        with suppress(*_UNPARSED, StopIteration):
            self._parser.send(data)
        for event, value in self._events:
            if event.startswith("start_"):
                self._depth += 1
                if self._depth > _DEEPEST:
                    raise BrokenInput(
                        f"{self._source}: its JSON is nested more than {_DEEPEST} deep, as no"
                        " export is; export it again"
                    )
            elif event.startswith("end_"):
                self._depth -= 1
            elif self._depth == 1:
                self._see(event, value)
        self._events.clear()
        return data

    def _see(self, event: str, value: Any) -> None:
        if event == "map_key":
            self._key = value
            self._see_key(value)
        elif event == "number" and self._key == "exported":
            self._dates.exported = as_seconds(value)

    def _see_key(self, key: str) -> None:
        if key in self._keys:
            raise BrokenInput(
                f"{self._source}: the export has its key `{self._mended.readable(key)}` twice, and"
                " one would count for both; export it again"
            )
        self._keys.add(key)


@dataclass(frozen=True, slots=True)
class _Export:
    """What all pages of a file have in common."""

    source: str
    project: str
    strip: bool
    mended: MendedJson  # knows the marks that stand for broken text

    def page_id(self, page: Any, ordinal: int) -> str:
        """`project/title`; a page that lies in no folder is of no project."""
        title = _readable_title(self.mended, page, ordinal)
        return f"{self.project}/{title}" if self.project else title

    def failure(self, document_id: str, row: int, error: str) -> Failure:
        return Failure("read", document_id, self.source, row, error)


def read_scrapbox(
    open_: Callable[[], BinaryIO],
    source: str,
    name: str,
    unit: str = "page",
    markup: str = "strip",
    dates: Dates | None = None,
) -> Iterator[Records]:
    """One result for each page of the export, or each line (`unit="line"`), in order.

    `name` is not used: an id is `project/title` or `project/title#line`. With `markup="strip"` the
    alignment of a document leaves its notation out. `open_` is called at least twice: for the head
    of the file, and for its pages. `dates` gets the times that the export contains.

    Raises: BrokenInput for a file that is cut off or no Scrapbox export.
    """
    dates = dates or Dates()
    try:
        project, pages = _head(open_, source)
    except BrokenInput:
        _check_kind(open_, source)
        raise
    with closing(open_()) as stream:
        mended = MendedJson(stream)
        export = _Export(source, project, markup == "strip", mended)
        row = 0
        for ordinal, page in _pages(_Watched(mended, source, dates), mended, source, pages):
            dates.see_page(page.get("updated") if isinstance(page, dict) else None)
            if unit != "line":
                yield from gathered([_page_result(export, page, ordinal)])
                continue
            for records in gathered(_line_results(export, page, ordinal, row)):
                row += len(records)
                yield records


def _pages(
    stream: MendedJson | _Watched, mended: MendedJson, source: str, prefix: str = _PAGES
) -> Iterator[tuple[int, Any]]:
    """The pages of a file, counted from 1."""
    pages = ijson.items(stream, prefix, map_type=_Object)
    place = "before its first page ends"
    for ordinal in itertools.count(1):
        with _parsing(source, place):
            page = next(pages, _END)
        if page is _END:
            return
        yield ordinal, page
        title = json.dumps(_readable_title(mended, page, ordinal), ensure_ascii=False)
        place = f"after page {ordinal} {title}"


@contextmanager
def _parsing(source: str, place: str) -> Iterator[None]:
    """Names the file, and the place in it, when its JSON cannot be parsed."""
    try:
        yield
    except BrokenInput:
        raise
    except _UNPARSED as error:
        what = str(error).strip().partition("\n")[0].strip() or type(error).__name__
        raise BrokenInput(
            f"{source}: the file is cut off or no JSON {place} ({what}); export it again"
        ) from error


def _head(open_: Callable[[], BinaryIO], source: str) -> tuple[str, str]:
    """The name of the project, and what ijson calls its pages, after a check of the file's shape up
    to its first page. One page alone is of the project that its folder is named after.
    """
    name, keys = None, set()
    with closing(open_()) as stream, _parsing(source, "before its pages"):
        mended = MendedJson(from_start(stream, source))
        events = ijson.parse(_Watched(mended, source, Dates()))
        if next(events)[1] != "start_map":
            raise _no_export(source, "it is not an object with `name` and `pages`")
        for prefix, event, value in events:
            if prefix == "name":
                name = value
            elif event == "map_key" and not prefix:
                keys.add(value)
            elif prefix == "pages":
                if event != "start_array":
                    raise _no_export(source, "its `pages` are not a list")
                break
        else:
            if {"title", "lines"} <= keys:
                return posixpath.basename(posixpath.dirname(source)), _ONE_PAGE
            raise _no_export(source, "it has no `pages`")
    if name is None:
        name = _late_name(open_, source)
    if not isinstance(name, str) or mended.mark in name:
        raise _no_export(source, "its `name`, the project, is missing or not a text")
    return name, _PAGES


def _check_kind(open_: Callable[[], BinaryIO], source: str) -> None:
    """Raises: BrokenInput for a file that is something else, where that says more than an error of
    the parser.
    """
    with closing(open_()) as stream:
        first, second = stream.readline(_LONGEST_LINE), stream.readline(_LONGEST_LINE)
        rest = stream.read(_LONGEST_LINE)
    if not (first.removeprefix(codecs.BOM_UTF8) + second + rest).strip():
        raise BrokenInput(f"{source}: the file is empty; export it again or leave it out")
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return
    if isinstance(record, dict) and second.lstrip().startswith(b"{"):
        raise _no_export(source, "each line is JSON of its own, as --input_format=jsonl reads it")


def _late_name(open_: Callable[[], BinaryIO], source: str) -> str | None:
    """The name of a project that stands after its pages; they are parsed, but not built."""
    with closing(open_()) as stream:
        mended = MendedJson(stream)
        try:
            name = next(ijson.items(_Watched(mended, source, Dates()), "name"), None)
        except _UNPARSED:
            with closing(open_()) as again:
                mended = MendedJson(again)
                for _ in _pages(mended, mended, source):  # raises, and says where
                    pass
            raise
    return None if isinstance(name, str) and mended.mark in name else name


def _no_export(source: str, why: str) -> BrokenInput:
    return BrokenInput(
        f"{source}: not a Scrapbox export: {why}; "
        "say with --input_format what it is, or export it again"
    )


def _page_result(export: _Export, page: Any, ordinal: int) -> Row | Failure:
    """One document of all lines, joined by newlines."""
    page_id = export.page_id(page, ordinal)
    try:
        metadata, lines = _page_parts(export, page)
        texts = [
            _text(export, _text_of(export, line, number), "line", number)
            for number, line in enumerate(lines, 1)
        ]
    except _BadRecordError as bad:
        return export.failure(page_id, ordinal, f"page {ordinal}: {bad}")
    text = "\n".join(texts)
    notation = notation_of(texts)
    alignment = _joined(texts, [line.kept for line in notation]) if export.strip else None
    links = link_targets(itertools.chain.from_iterable(line.links for line in notation))
    return page_id, text, None, export.source, ordinal, metadata, alignment, links


def _line_results(export: _Export, page: Any, ordinal: int, row: int) -> Iterator[Row | Failure]:
    """One document for each line; `row` lines of the file were before them."""
    page_id = export.page_id(page, ordinal)
    try:
        metadata, lines = _page_parts(export, page)
    except _BadRecordError as bad:
        given = page.get("lines") if isinstance(page, dict) else None
        for number in range(max(1, len(given)) if isinstance(given, list) else 1):
            error = f"page {ordinal}: {bad}"
            yield export.failure(f"{page_id}#{number}", row + number + 1, error)
        return
    texts = [line.get("text") if isinstance(line, dict) else line for line in lines]
    known = [text if isinstance(text, str) else "" for text in texts]
    for number, (line, notation) in enumerate(zip(lines, notation_of(known), strict=True)):
        line_id = f"{page_id}#{number}"
        try:
            text = _text(export, _text_of(export, line, number + 1), "line", number + 1)
            own = _stamps(export, line, "created", "updated") if isinstance(line, dict) else {}
        except _BadRecordError as bad:
            yield export.failure(line_id, row + number + 1, f"page {ordinal}: {bad}")
            continue
        alignment = _joined([text], [notation.kept]) if export.strip else None
        place = (export.source, row + number + 1)
        targets = link_targets(notation.links)
        yield line_id, text, None, *place, {**metadata, **own}, alignment, targets


def _page_parts(export: _Export, page: Any) -> tuple[dict[str, str], Sequence[Any]]:
    """The metadata and the lines, not yet checked, of a page."""
    if not isinstance(page, dict):
        raise _BadRecordError("it is not an object")
    _refuse_twice(export, page, "it has")
    title = _text(export, page.get("title"), "title")
    lines = page.get("lines")
    if not isinstance(lines, list):
        raise _BadRecordError("its `lines` are missing or not a list")
    metadata = {"title": title, **_stamps(export, page, "created", "updated", "views")}
    return metadata, lines or [title]


def _refuse_twice(export: _Export, record: Any, what: str) -> None:
    for twice in _twice(record):
        key = export.mended.readable(twice)
        raise _BadRecordError(f"{what} the key `{key}` twice; only one of them can be meant")


def _twice(value: Any) -> Iterator[str]:
    """Keys that stand twice in an object, and in those within it; lines tell of their own."""
    if isinstance(value, _Object):
        if value.twice is not None:
            yield value.twice
        value = [inner for key, inner in value.items() if key != "lines"]
    for inner in value if isinstance(value, list) else ():
        yield from _twice(inner)


def _text_of(export: _Export, line: Any, number: int) -> Any:
    """What may be the text of a line."""
    if isinstance(line, str):
        return line
    _refuse_twice(export, line, f"its line {number} has")
    return line.get("text") if isinstance(line, dict) else line


def _text(export: _Export, value: Any, *what: object) -> str:
    if not isinstance(value, str):
        raise _BadRecordError(f"its {' '.join(map(str, what))} is missing or not a text")
    if export.mended.mark in value:
        bad = export.mended.bad_bytes in value
        why = "has bytes that are not UTF-8" if bad else "has half a surrogate pair"
        raise _BadRecordError(f"its {' '.join(map(str, what))} {why}")
    return value


def _stamps(export: _Export, record: dict[str, Any], *keys: str) -> dict[str, str]:
    """The given fields, where they are there, as strings."""
    found = {}
    for key in keys:
        value = record.get(key)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            found[key] = str(value)
        elif value is not None:
            found[key] = _text(export, value, f"`{key}`")
    return found


def _readable_title(mended: MendedJson, page: Any, ordinal: int) -> str:
    """The title, for ids and messages, whatever the page is."""
    title = page.get("title") if isinstance(page, dict) else None
    if not isinstance(title, str):
        return f"(page {ordinal})"
    return mended.readable(title)


def alignment_again(text: str, digest: str) -> Alignment | None:
    """How a document's text was stripped, by the SHA-256 of what the model read of it; None where
    that cannot be found out.

    A line alone does not say whether it was part of a table: both are tried. A line of a page may
    hold a newline of its own, which looks like the end of a line now.
    """
    lines = text.split("\n")
    for texts, kept in (
        (lines, strip_lines(lines)),
        ([text], strip_lines([text])),
        ([text], strip_lines(["table:a", text])[1:]),
    ):
        alignment = _joined(texts, kept)
        if model_text_sha256(Document("", text, alignment=alignment)) == digest:
            return alignment
    return None


def _joined(texts: Sequence[str], kept: Sequence[tuple[Run, ...]]) -> Alignment | None:
    """The runs of lines in the text that they make, newlines kept; None if that is all of it."""
    if all(map(_is_all_of, kept, texts)):
        return None
    runs: list[Run] = []
    offset = 0
    for text, line_runs in zip(texts, kept, strict=True):
        newline = [(offset - 1, offset)] if offset else []
        for start, stop in (*newline, *((offset + a, offset + b) for a, b in line_runs)):
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((start, stop))
        offset += len(text) + 1
    return Alignment(tuple(runs))


def _is_all_of(runs: tuple[Run, ...], text: str) -> bool:
    return runs == ((0, len(text)),) if text else not runs
