"""Markdown's notation (CommonMark, tables, what Obsidian adds): which parts of a note are words.

As with Scrapbox: links, tags and headings keep their words, code keeps its content, images, HTML
and comments go, and the layout of lists, quotes and tables goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from corpusvec.transforms.ranges import Run, rest_of

_FENCE = re.compile(r"(?P<before>[ \t]*(?:>[ \t]?)*[ \t]*)(?P<marks>`{3,}|~{3,})(?P<info>[^\n]*)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|%%.*?%%", re.DOTALL)
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_DEFINITION = re.compile(r" {0,3}\[(?!\^)[^\]\n]+\]:[ \t]*\S+.*$")
# What a line begins with: quotes (a callout's kind with them), bullets, numbers, boxes to tick.
_LEAD = re.compile(
    r"[ \t]*(?:>[ \t]?)*(?:\[![\w-]+\][+-]?[ \t]*)?[ \t]*"
    r"(?:(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$))?(?:\[[ xX]\][ \t]+)?(?:\[\^[^\]\s]+\]:[ \t]*)?"
)
_INLINE = re.compile(
    r"""(?P<escape>\\[!-/:-@\[-`{-~])
    |(?P<code>`+)
    |(?P<embed>!\[\[[^\[\]\n]*\]\])
    |\[\[(?P<wiki>[^\[\]\n|]*)(?:\|(?P<alias>[^\[\]\n]*))?\]\]
    |(?P<image>!)?\[(?P<words>(?:[^\[\]\\\n]|\\.|!?\[(?:[^\[\]\\\n]|\\.)*\](?:\([^()\n]*\))?)*)\]
        (?P<target>\((?:[^()\n\\]|\\.|\([^()\n]*\))*\)|\[[^\[\]\n]*\])
    |(?P<note>\[\^[^\]\s]+\])
    |<(?P<address>(?:https?://|mailto:)[^<>\s]+)>
    |(?P<html></?[A-Za-z][^<>\n]*>)
    |==(?P<bright>[^\s=](?:[^=\n]*[^\s=])?)==
    |(?P<marks>\*{1,3}(?=\S)|(?<=\S)\*{1,3}|~~|\$\$|(?<![^\W_])_{1,3}(?=\S)|(?<=\S)_{1,3}(?![^\W_]))
    |(?P<tag>(?<!\S)\#(?=[^\s\#\d]|\d+[^\s\d]))
    |(?P<block>[ \t]\^[A-Za-z0-9-]+[ \t]*$)
    |(?P<bar>\|)""",
    re.VERBOSE | re.MULTILINE,
)


def strip_notation(text: str) -> tuple[Run, ...]:
    """What stays of a note: ascending, disjoint, maximal runs of code points."""
    cuts: list[Run] = []
    code = _code_blocks(text)
    for start, line, in_code in _lines(text, code):
        if in_code is None:
            cuts.append((start, min(start + len(line) + 1, len(text))))
        elif not in_code:
            cuts += _line_cuts(text, start, line)
    for comment in _COMMENT.finditer(text):
        if not any(start <= comment.start() < stop for start, stop, _ in code):
            cuts.append(comment.span())
    return rest_of(len(text), cuts)


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
    return "".join(line[start:stop] for start, stop in strip_notation(line)).strip()


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


def _line_cuts(text: str, start: int, line: str) -> Iterator[Run]:
    """What goes of an ordinary line, which begins at `start`."""
    end = start + len(line)
    bare = line.removesuffix("\r")
    if _RULE.match(bare) or _DEFINITION.match(bare):
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
    yield from _inline_cuts(text, start + first, start + last)


def _inline_cuts(text: str, start: int, stop: int) -> Iterator[Run]:
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
            yield from _link_cuts(text, found)
        elif found["wiki"] is not None:
            words = "alias" if found["alias"] else "wiki"
            yield here, found.start(words)
            yield found.end(words), at
        elif found["bright"]:
            yield here, here + 2
            yield from _inline_cuts(text, *found.span("bright"))
            yield at - 2, at
        elif found["address"]:
            yield here, here + 1
            yield at - 1, at
        else:  # marks, tags, HTML, images, notes: all of it goes
            yield here, at


def _link_cuts(text: str, found: re.Match[str]) -> Iterator[Run]:
    """A link keeps its words; an image goes with them."""
    if found["image"]:
        yield found.span()
        return
    yield found.start(), found.start("words")
    yield from _inline_cuts(text, *found.span("words"))
    yield found.end("words"), found.end()
