"""Markdown's notation (CommonMark, tables, what Obsidian adds): which parts of a note are words.

As with Scrapbox: links, tags and headings keep their words, code keeps its content, images, HTML
and comments go, and the layout of lists, quotes and tables goes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote

from corpusvec.transforms.documents.scrapbox_markup import Link
from corpusvec.transforms.ranges import Run, rest_of

_FENCE = re.compile(
    r"(?P<before>[ \t]*(?:(?:>[ \t]?)+[ \t]*)?)(?P<marks>`{3,}|~{3,})(?P<info>[^\n]*)"
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|%%.*?%%", re.DOTALL)
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_DEFINITION = re.compile(r" {0,3}\[(?!\^)[^\]\n]+\]:[ \t]*(\S+.*)$")
# What a line begins with: quotes (a callout's kind with them), bullets, numbers, boxes to tick.
_LEAD = re.compile(
    r"[ \t]*(?:>[ \t]?)*(?:\[![\w-]+\][+-]?[ \t]*)?[ \t]*"
    r"(?:(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$))?(?:\[[ xX]\][ \t]+)?(?:\[\^[^\]\s]+\]:[ \t]*)?"
)
_INLINE = re.compile(
    r"""(?P<escape>\\[!-/:-@\[-`{-~])
    |(?P<code>`+)
    |!\[\[(?P<embed>[^\[\]\n]*)\]\]
    |\[\[(?P<wiki>[^\[\]\n|]*)(?:\|(?P<alias>[^\[\]\n]*))?\]\]
    |(?P<image>!)?\[(?P<words>(?:[^\[\]\\\n]|\\.|!?\[(?:[^\[\]\\\n]|\\.)*\](?:\([^()\n]*\))?)*)\]
        (?P<target>\((?:[^()\n\\]|\\.|\([^()\n]*\))*\)|\[[^\[\]\n]*\])
    |(?P<note>\[\^[^\]\s]{1,999}\])
    |<(?P<address>(?:https?://|mailto:)[^<>\s]+)>
    |(?P<html></?[A-Za-z][^<>\n]*>)
    |==(?P<bright>[^\s=](?:[^=\n]*[^\s=])?)==
    |(?P<marks>\*{1,3}(?=\S)|(?<=\S)\*{1,3}|~~|\$\$|(?<![^\W_])_{1,3}(?=\S)|(?<=\S)_{1,3}(?![^\W_]))
    |(?P<tag>(?<!\S)\#(?=[^\s\#\d]|\d+[^\s\d]))
    |(?P<block>[ \t]\^[A-Za-z0-9-]+[ \t]*$)
    |(?P<bar>\|)""",
    re.VERBOSE | re.MULTILINE,
)


# What a link names: a note, without its heading or block and without `.md`; no address, no picture.
_TARGET = re.compile(r"\(?[ \t]*(?:<([^<>\n]*)>|((?:[^\s()]|\([^\s()]*\))*))")
_NOTE = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:|//)([^#?]+)\.(?:md|markdown)(?:[#?].*)?", re.I)
_FILE = re.compile(
    r".*\.(?:png|jpe?g|gif|svg|webp|bmp|avif|pdf|mp[34]|m4a|wav|ogg|flac|3gp|web[mp]|mov|mkv|ogv"
    r"|canvas|base)",
    re.I,
)
_TAG = re.compile(r"[\w/-]+")


class Parsed(NamedTuple):
    """What stays of a note: ascending, disjoint, maximal `runs` of code points. Its `links` to
    notes and its tags, in order, each with the place of its words, which is empty for what has
    none; `./` or `../` begins what is relative to the note's folder. Code and comments have no
    links.
    """

    runs: tuple[Run, ...]
    links: list[Link]


def parsed(text: str) -> Parsed:
    """A note, its notation told from its words."""
    cuts: list[Run] = []
    links: list[Link] = []
    code = _code_blocks(text)
    for start, line, in_code in _lines(text, code):
        if in_code is None:
            cuts.append((start, min(start + len(line) + 1, len(text))))
        elif not in_code:
            cuts += _line_cuts(text, start, line, links)
    comments = [
        comment.span() for comment in _COMMENT.finditer(text) if not _is_in(comment.start(), code)
    ]
    seen = (link for link in links if not _is_in(link.start, comments))
    runs = rest_of(len(text), [*cuts, *comments])
    return Parsed(runs, sorted(seen, key=lambda link: link.start))


def _is_in(place: int, blocks: Sequence[tuple[int, ...]]) -> bool:
    """Whether a place is in one of the blocks, which are ascending and disjoint."""
    before = bisect_right(blocks, place, key=itemgetter(0))
    return before > 0 and place < blocks[before - 1][1]


def headings(text: str) -> list[tuple[int, str]]:
    """Where each heading begins, and its words without notation."""
    found = []
    before: tuple[int, str] = (0, "")
    for start, line, in_code in _lines(text, _code_blocks(text)):
        if in_code is not False:
            before = (start, "")
            continue
        if heading := _HEADING.match(line):
            found.append((start, _words(heading[2])))
            line = ""
        elif _UNDERLINE.match(line) and _is_paragraph(before[1]):
            found.append((before[0], _words(before[1])))
            line = ""
        before = (start, line)
    return found


def _words(line: str) -> str:
    return "".join(line[start:stop] for start, stop in parsed(line).runs).strip()


def _is_paragraph(line: str) -> bool:
    """Whether dashes below it make it a heading, and not the end of a list or a table."""
    lead = _LEAD.match(line)
    return bool(line.strip()) and not lead[0].strip() and "|" not in line  # type: ignore[index]


def _code_blocks(text: str) -> list[tuple[int, int, int]]:
    """Fenced blocks: where each begins and ends, and how far its first line goes."""
    blocks = []
    at, opened = 0, None
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if opened is None:
            if fence and not (fence["marks"][0] == "`" and "`" in fence["info"]):
                opened = (at, fence["marks"], at + len(line))
        elif (
            fence
            and fence["marks"][0] == opened[1][0]
            and len(fence["marks"]) >= len(opened[1])
            and not fence["info"].strip()
        ):
            blocks.append((opened[0], at + len(line), opened[2]))
            opened = None
        at += len(line) + 1
    if opened is not None:
        blocks.append((opened[0], len(text), opened[2]))
    return blocks


def _lines(text: str, code: list[tuple[int, int, int]]) -> Iterator[tuple[int, str, bool | None]]:
    """Each line with its start; whether it is code, or None for a line that fences it."""
    blocks = iter(code)
    block = next(blocks, None)
    at = 0
    for line in text.split("\n"):
        end = at + len(line)
        while block and at > block[1]:
            block = next(blocks, None)
        if block and block[0] <= at <= block[1]:
            closes = end == block[1] and bool(_FENCE.match(line))
            yield at, line, None if at == block[0] or closes else True
        else:
            yield at, line, False
        at = end + 1


def _line_cuts(text: str, start: int, line: str, links: list[Link]) -> Iterator[Run]:
    """What goes of an ordinary line, which begins at `start`."""
    end = start + len(line)
    bare = line.removesuffix("\r")
    definition = _DEFINITION.match(bare)
    if definition:
        _note_target(definition[1], (start, start), links)
    if definition or _RULE.match(bare):
        yield start, end
        return
    if _UNDERLINE.match(bare) or ("|" in bare and _TABLE_RULE.match(bare)):
        yield start, end
        return
    if heading := _HEADING.match(bare):
        yield start, start + heading.start(2)
        yield start + heading.end(2), start + len(bare)
        first = heading.start(2)
        last = heading.end(2)
    else:
        first, last = _LEAD.match(bare).end(), len(bare)  # type: ignore[union-attr]
        yield start, start + first
    yield from _inline_cuts(text, start + first, start + last, links)


def _inline_cuts(text: str, start: int, stop: int, links: list[Link]) -> Iterator[Run]:
    at = start
    while found := _INLINE.search(text, at, stop):
        here, at = found.span()
        if found["code"]:
            close = re.compile(rf"(?<!`){found['code']}(?!`)").search(text, at, stop)
            if close:
                yield here, at
                yield close.span()
                at = close.end()
        elif found["escape"]:
            yield here, here + 1
        elif found["words"] is not None:
            yield from _link_cuts(text, found, links)
        elif found["wiki"] is not None:
            words = "alias" if found["alias"] else "wiki"
            _note_page(found["wiki"], found.span(words), links)
            yield here, found.start(words)
            yield found.end(words), at
        elif found["bright"]:
            yield here, here + 2
            yield from _inline_cuts(text, *found.span("bright"), links)
            yield at - 2, at
        elif found["address"]:
            yield here, here + 1
            yield at - 1, at
        else:  # marks, tags, HTML, images, notes: all of it goes
            yield here, at
            if found["embed"]:
                _note_page(found["embed"].partition("|")[0], (here, here), links)
            elif found["tag"] and (tag := _TAG.match(text, at, stop)):
                links.append(Link(tag[0].rstrip("/"), *tag.span()))


def _link_cuts(text: str, found: re.Match[str], links: list[Link]) -> Iterator[Run]:
    """A link keeps its words; an image goes with them."""
    if found["image"]:
        yield found.span()
        return
    yield found.start(), found.start("words")
    if found["target"].startswith("("):
        _note_target(found["target"], found.span("words"), links)
    yield from _inline_cuts(text, *found.span("words"), links)
    yield found.end("words"), found.end()


def _note_page(page: str, words: Run, links: list[Link]) -> None:
    """Add what stands in double brackets."""
    name = re.split(r"[#^]", page.rstrip("\\"), maxsplit=1)[0].strip()
    name = re.sub(r"\.md\Z", "", name, flags=re.I)
    if name and not _FILE.fullmatch(name):
        links.append(Link(name, *words))


def _note_target(target: str, words: Run, links: list[Link]) -> None:
    """Add the file of a note that a target names."""
    written = _TARGET.match(target)
    path = unquote((written[1] or written[2] or "") if written else "")
    if note := _NOTE.fullmatch(path):
        name = note[1]
        links.append(Link(name if name.startswith(("/", "./", "../")) else f"./{name}", *words))
