"""Files of lines: text, pairs of texts, JSON.

The rules for lines follow bert-japanese's `extract_features.py`: a line is stripped of white space
at both ends, and the last ` ||| ` in it separates a pair. Unlike the original: a line ends at a
newline byte and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from corpusvec.transforms.columns import Documents, Records, Row, gathered
from corpusvec.transforms.documents.encodings import legacy_of, undecoded
from corpusvec.transforms.documents.formats import ALL_FIELDS, Fields, Open
from corpusvec.transforms.documents.streams import from_start
from corpusvec.transforms.elements import Failure

_SEPARATOR = " ||| "
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHOWN = 40  # characters of a key in an error
_TOGETHER = 1 << 16  # bytes of lines, about


def read_text(open_: Open, source: str, name: str, skipped: int = 0) -> Iterator[Records]:
    """One document for each line, its id `name:line`, from 1; `skipped` lines of the file come
    before what is opened.
    """
    for first, lines in _lines(open_, source, skipped):
        if (texts := _texts_of(lines)) is None:
            yield from gathered(_each_text(lines, source, name, first))
        else:
            ids = [f"{name}:{row}" for row in range(first, first + len(texts))]
            yield Records(Documents.of_texts(ids, texts, source, first))


def _texts_of(lines: bytes) -> list[str] | None:
    """Of all lines at once; None where one of them may be no text."""
    if undecoded(lines):
        return None
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        return None
    return list(map(str.strip, text.split("\n")))


def _each_text(lines: bytes, source: str, name: str, first: int) -> Iterator[Row | Failure]:
    for row, line in enumerate(lines.split(b"\n"), first):
        line = line.removesuffix(b"\r")
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            yield _failure(source, name, row, _undecoded(error))
            continue
        if odd := undecoded(line):
            yield _failure(source, name, row, odd)
        else:
            yield f"{name}:{row}", text, None, source, row, {}, None, ()


def read_pairs(open_: Open, source: str, name: str, skipped: int = 0) -> Iterator[Records]:
    """As `read_text`, but the last ` ||| ` of a line separates a pair of texts."""
    for records in read_text(open_, source, name, skipped):
        documents = records.documents
        texts, pairs = zip(*map(_pair_of, documents.texts)) if len(documents) else ((), ())
        yield replace(records, documents=replace(documents, texts=texts, pairs=pairs))


def _pair_of(text: str) -> tuple[str, str | None]:
    if not has_pair_separator(text):
        return text, None
    first, _, second = text.rpartition(_SEPARATOR)
    return first, second


def read_jsonl(
    open_: Open, source: str, name: str, fields: Fields = ALL_FIELDS, skipped: int = 0
) -> Iterator[Records]:
    """One document for each line: `text`, perhaps `id` and `pair`; all else is metadata. `fields`
    names others.
    """
    for first, lines in _lines(open_, source, skipped):
        rows = enumerate(lines.split(b"\n"), first)
        yield from gathered(_json_record(line, source, name, row, fields) for row, line in rows)


def _json_record(line: bytes, source: str, name: str, row: int, fields: Fields) -> Row | Failure:
    id_, pair = fields.id or "id", fields.pair or "pair"
    record_id = f"{name}:{row}"
    if not line.strip():
        return record_id, "", None, source, row, {}, None, ()
    try:
        record = _json_object(line.removesuffix(b"\r"))
        if (given := record.get(id_)) is not None:
            record_id = _record_id(id_, given)
        texts = _texts(record, fields.text, pair)
        metadata = _metadata(record, {fields.text, id_, pair}, fields.metadata)
        return record_id, *texts, source, row, metadata, None, ()
    except UnicodeDecodeError as error:
        return _failure(source, name, row, _undecoded(error))
    except RecursionError:
        return _failure(source, name, row, "the JSON is nested too deeply", record_id)
    except ValueError as error:
        return _failure(source, name, row, str(error), record_id)


def has_pair_separator(text: str) -> bool:
    """Whether `read_pairs` would make two texts of this line; in `read_text`, worth a hint."""
    return _SEPARATOR in text


def _lines(open_: Open, source: str, skipped: int) -> Iterator[tuple[int, bytes]]:
    r"""Whole lines of a file, some at a time, and the number of the first of them, from 1; a line
    ends at b"\n" only, and the last one has no end.

    Raises: BrokenInput for a file that is not UTF-8 from its start on.
    """
    row = skipped + 1
    with closing(open_()) as opened:
        stream = opened if skipped else from_start(opened, source)
        while data := stream.read(_TOGETHER) + stream.readline():
            lines = data.removesuffix(b"\n")
            yield row, lines.removeprefix(_BOM) if row == 1 else lines
            row += 1 + lines.count(b"\n")


def _json_object(line: bytes) -> dict[str, Any]:
    if line.startswith(_BOM):
        raise ValueError("the line begins with a byte-order mark, as a joined file does; remove it")
    try:
        record = _JSON.decode(line.decode())
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise ValueError(f"the line is not JSON: {what} at column {error.colno}") from error
    if not isinstance(record, dict):
        raise ValueError(f"the line is {_kind(record)}, not a JSON object")
    if _SURROGATE.search(line):
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("the line has half a surrogate pair (\\ud800 to \\udfff)") from error
    return record


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"the line is not JSON: it has {constant} for a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values. Raises: ValueError where a key is there twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        shown = twice[:_SHOWN].encode("utf-8", "replace").decode()
        raise ValueError(f"the line has the key `{shown}` twice; only one of them can be meant")
    return record


def _whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:  # Python's own limit, in words for programmers
        raise ValueError(f"the line has a number of {len(digits):,} digits") from error


_JSON = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_whole_number
)


_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _record_id(key: str, given: Any) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str):
        raise ValueError(f"`{key}` is {_kind(given)}; it must be a string or an integer")
    if not given:
        raise ValueError(f"`{key}` is an empty string; omit it or fill it in")
    return given


def _texts(record: dict[str, Any], text_key: str, pair_key: str) -> tuple[str, str | None]:
    if text_key not in record:
        raise ValueError(f"`{text_key}` is missing")
    text, pair = record[text_key], record.get(pair_key)
    if not isinstance(text, str):
        raise ValueError(f"`{text_key}` is {_kind(text)}; it must be a string")
    if not isinstance(pair, (str, type(None))):
        raise ValueError(f"`{pair_key}` is {_kind(pair)}; it must be a string or null")
    return text, pair


def _metadata(
    record: dict[str, Any], used: Collection[str], chosen: Collection[str] | None
) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else _compact(key, value)
        for key, value in record.items()
        if (key not in used if chosen is None else key in chosen)
    }


def _compact(key: str, value: Any) -> str:
    if type(value) is int:  # the usual case, and an encoder is made at each call
        return str(value)
    try:
        return _COMPACT.encode(value)
    except ValueError as error:  # `NaN` and infinities are refused before
        raise ValueError(f"`{key}` has a number that is too large") from error


def _kind(value: Any) -> str:
    """A JSON value's type, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return kinds.get(type(value), "null" if value is None else "a number")


def _undecoded(error: UnicodeDecodeError) -> str:
    said = f"the line is not UTF-8 (byte 0x{error.object[error.start]:02x} at {error.start + 1})"
    name = legacy_of(error.object)
    return f"{said}; it looks like {name}" if name else said


def _failure(source: str, name: str, row: int, error: str, record_id: str = "") -> Failure:
    return Failure("read", record_id or f"{name}:{row}", source, row, error)
