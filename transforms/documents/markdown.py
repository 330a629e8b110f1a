"""Markdown notes, as in a vault of Obsidian: a document for each note, or each section of one."""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import yaml

from corpusvec.transforms.columns import Records, Row, gathered
from corpusvec.transforms.documents.encodings import ENOUGH, foreign, marked, undecoded
from corpusvec.transforms.documents.formats import Open
from corpusvec.transforms.documents.markdown_markup import Parsed, headings, parsed
from corpusvec.transforms.documents.scrapbox_markup import title_key
from corpusvec.transforms.elements import Alignment, Failure

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.M)


def read_markdown(
    open_: Open, source: str, name: str, unit: str = "page", markup: str = "strip"
) -> Iterator[Records]:
    """One result for a note (`unit="page"`), whose id is the name of its file, or for each section
    of it (`"section"`): `name`, then `name#heading` (`name#heading-2` where it is there again).

    YAML in front of the note becomes metadata, beside `title`, the file's name without its suffix.
    With `markup="strip"` the alignment of a document leaves notation out. `links` are the keys of
    links and tags, the tags in front of the note among those of its first document.
    """
    with closing(open_()) as stream:
        data = stream.read()
    yield from gathered(_records(data, source, name, unit, markup))


def _records(
    data: bytes, source: str, name: str, unit: str, markup: str
) -> Iterator[Row | Failure]:
    try:
        note = _note(data, name)
    except ValueError as error:
        yield Failure("read", name, source, 1, str(error))
        return
    parts = _sections(note) if unit == "section" else [_Part("", note.text, 1)]
    taken: dict[str, int] = {}
    tags = [tag.lstrip("#") for tag in listed(note.metadata.get("tags", ""))]
    for part in parts:
        document_id = _unique(f"{name}#{part.heading}" if part.heading else name, taken)
        metadata = {**note.metadata} | ({"heading": part.heading} if part.heading else {})
        notation = parsed(part.text)
        alignment = _alignment(part.text, notation) if markup == "strip" else None
        found = [*(link.page for link in notation.links), *tags]
        links = tuple(dict.fromkeys(link_key(link, name) for link in found))
        yield document_id, part.text, None, source, part.line, metadata, alignment, links
        tags = []


def link_key(link: str, note: str) -> str:
    """What a link of the file `note` names, from the folder of the vault on: what paths and names
    of notes have in common with links to them.
    """
    if link.startswith(("./", "../")):
        link = posixpath.normpath(posixpath.join(posixpath.dirname(note), link))
    return title_key(unicodedata.normalize("NFC", link.lstrip("/")))


def without_suffix(path: str) -> str:
    """The path of a note as links name it."""
    for suffix in (".gz", ".bz2", ".zst", ".md", ".markdown"):
        path = path.removesuffix(suffix)
    return path


def listed(value: str) -> list[str]:
    """The parts of a value of front matter, a list or one text with commas."""
    try:
        parts = json.loads(value)
    except ValueError:
        parts = value
    parts = parts if isinstance(parts, list) else str(value).split(",")
    return [part for one in parts if (part := str(one).strip())]


def _alignment(text: str, notation: Parsed) -> Alignment | None:
    """None where nothing goes."""
    alignment = Alignment(notation.runs)
    return None if alignment.apply(text) == text else alignment


class _Note(NamedTuple):
    """A note without its front matter, which had so many lines."""

    text: str
    metadata: Mapping[str, str]
    lines_before: int


class _Part(NamedTuple):
    heading: str
    text: str
    line: int  # of the file, from 1


def _note(data: bytes, name: str) -> _Note:
    """Raises: ValueError for what is no text, and for front matter that is no YAML."""
    if encoding := marked(data) or foreign(data[:ENOUGH]):
        raise ValueError(f"the note is {encoding}; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = f"byte 0x{data[error.start]:02x} at {error.start + 1}"
        raise ValueError(f"the note is not UTF-8 ({bad}); save it as UTF-8") from error
    if odd := undecoded(data):
        raise ValueError(odd.replace("the line", "the note"))
    title = posixpath.basename(without_suffix(name))
    front = _FRONT.match(text)
    if front is None:
        return _Note(text.strip(), {"title": title}, _blank_lines(text))
    metadata = {"title": title} | _metadata(front[1])
    rest = text[front.end() :]
    return _Note(rest.strip(), metadata, front[0].count("\n") + _blank_lines(rest))


def _blank_lines(text: str) -> int:
    """That are in front of it."""
    return text[: len(text) - len(text.lstrip())].count("\n")


class _Loader(yaml.SafeLoader):
    """Aliases are refused: a few lines of them can make gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name)")
        return super().compose_node(parent, index)


def _metadata(front: str) -> dict[str, str]:
    try:
        values = yaml.load(front, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"what is between the --- of the note is not YAML: {what}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError("what is between the --- of the note is YAML, but no `key: value`")
    return {str(key): _plain(value) for key, value in values.items() if value is not None}


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str).strip('"')


def _sections(note: _Note) -> Iterator[_Part]:
    """What is before the first heading, and what is below each, with the heading."""
    found = headings(note.text)
    starts = [start for start, _ in found]
    names = [name for _, name in found]
    if not starts or note.text[: starts[0]].strip():
        starts, names = [0, *starts], ["", *names]
    for start, stop, name in zip(starts, [*starts[1:], len(note.text)], names, strict=True):
        line = note.lines_before + note.text.count("\n", 0, start) + 1
        yield _Part(name, note.text[start:stop].rstrip(), line)


def _unique(document_id: str, taken: dict[str, int]) -> str:
    """The same again has a number behind it."""
    taken[document_id] = n = taken.get(document_id, 0) + 1
    return document_id if n == 1 else _unique(f"{document_id}-{n}", taken)
