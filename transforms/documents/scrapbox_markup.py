"""Scrapbox notation, stripped by choosing what stays: nothing is rewritten, so spans map back.

Follows what Scrapbox shows its reader: a link is its words, an external link its label, a map its
name, an icon or an image nothing. As in Scrapbox inline code comes before brackets, the lines of a
code block are verbatim, of a table's cells links and icons alone are notation, and brackets that do
not match are ordinary text. Time is linear in the length of a line, whatever is in it.

Source: github.com/progfay/scrapbox-parser, whose tests were compared with Scrapbox itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from corpusvec.transforms.ranges import Run, rest_of

_PLAIN = re.compile(r"[^\[`#]*\Z")  # nothing in such a line opens a notation
_HEADER = re.compile(r"(\s*)(code|table):(?=.)")
_QUOTE = re.compile(r"\s*>")
_COMMAND = re.compile(r"\s*[$%] ")  # Scrapbox shows a command line as it is
_INDENT = re.compile(r"\s*")
_MARK = re.compile(r"[\[\]`]|#(?=[^\s#])")
_TAG = re.compile(r"[^\s\[\]]+")
_CELL = re.compile(r"[^\t]+")
_PLAIN_CELL = re.compile(r"\s*(?:>|[$%?] .|[0-9]+\. )")  # a quote, a command, a number
_DECORATION = re.compile(r"""[*!"#%&'()+,\-./{|}<>_~]+ """)
_ICON = re.compile(r".\.icon(?:\*[1-9][0-9]*)?\Z", re.DOTALL)
_URL = re.compile(r"https?://\S+\Z")
_HOSTED = re.compile(r"https?://(?:(?:[\w-]+\.)*gyazo\.com/|scrapbox\.io/files/)", re.IGNORECASE)
# The place of a map: latitude, longitude, perhaps a zoom.
_PLACE = re.compile(r"[NS][0-9]+(?:\.[0-9]+)?,[EW][0-9]+(?:\.[0-9]+)?(?:,Z[0-9]+)?")
_ADDRESS = re.compile(r"https?://\S*\Z", re.IGNORECASE)
_LINE_OF_PAGE = re.compile(r"#[0-9a-f]{24}\Z")  # behind a page's name
_SUFFIX = re.compile(r"\.(?:png|jpe?g|gif|svg|webp)(?:[?#]|\Z)", re.IGNORECASE)


class Link(NamedTuple):
    """A link as it is written: the page that it names, and where in its line the name is."""

    page: str
    start: int
    stop: int


class Notation(NamedTuple):
    """What the notation of a line says: what stays of it as ascending, disjoint, maximal runs of
    code points, and its links in order.
    """

    kept: tuple[Run, ...]
    links: list[Link]


def notation_of(lines: Sequence[str]) -> list[Notation]:
    """Of each line of a page.

    Code blocks and tables go on for as long as the lines are indented deeper than their first one.
    Links are `[page]`, `#tag`, `[/project/page]`. As in Scrapbox code and formulas have no links,
    and icons are none.
    """
    found = []
    for block, line in _in_blocks(lines):
        links: list[Link] = []
        kept = rest_of(len(line), _cuts_of(block, line, links))
        found.append(Notation(kept, sorted(links, key=attrgetter("start"))))
    return found


def strip_lines(lines: Sequence[str]) -> list[tuple[Run, ...]]:
    """What stays of each line of a page."""
    return [line.kept for line in notation_of(lines)]


def links_of(lines: Sequence[str]) -> list[list[Link]]:
    """The links of each line of a page."""
    return [line.links for line in notation_of(lines)]


def title_key(title: str) -> str:
    """What titles of one page, and links to it, have in common: to Scrapbox `Two words` and
    `two_words` are one.
    """
    return title.replace(" ", "_").lower()


def link_targets(links: Iterable[Link]) -> tuple[str, ...]:
    """The keys of the pages that are linked to, each once, in the order of the text."""
    return tuple(dict.fromkeys(title_key(link.page) for link in links))


def _in_blocks(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each line, and what it is a line of: `code`, `table`, the `header` of one, or nothing."""
    block, depth = "", -1
    for line in lines:
        if block and _INDENT.match(line).end() <= depth:  # type: ignore[union-attr]
            block = ""
        if not block and (header := _HEADER.match(line)):
            block, depth = header[2], header.end(1)
            yield "header", line
        else:
            yield block, line


def _cuts_of(block: str, line: str, links: list[Link]) -> Iterable[Run]:
    """What goes of a line. Its links are added to `links` on the way."""
    if block == "code":
        return ()
    if block == "table":
        cells = _CELL.finditer(line, _INDENT.match(line).end())  # type: ignore[union-attr]
        return (cut for cell in cells for cut in _cell_cuts(line, *cell.span(), links))
    if block == "header":
        header = _HEADER.match(line)
        return [(header.end(1), header.end())]  # type: ignore[union-attr]
    return _line_cuts(line, links)


def _line_cuts(line: str, links: list[Link]) -> Iterable[Run]:
    """What goes of an ordinary line."""
    if _COMMAND.match(line):
        return ()
    if quote := _QUOTE.match(line):
        start = quote.end()
        return [(start - 1, start), *_cuts(line, start, len(line), links)]
    return _cuts(line, 0, len(line), links)


def _cell_cuts(line: str, start: int, stop: int, links: list[Link]) -> Iterable[Run]:
    """What goes of a table's cell: links lose their brackets and icons go, all else stays."""
    if _PLAIN.match(line, start, stop) or _PLAIN_CELL.match(line, start, stop):
        return
    _, closers, leaves, _ = _scan(line, start, stop)
    shown = start  # up to here it is shown as it is written
    for opener, closer in sorted(closers.items()):
        if opener < shown:
            continue
        if (
            line.startswith("[$ ", opener)
            or closers.get(opener + 1) == closer - 1
            or _DECORATION.match(line, opener + 1, closer)
        ):
            shown = closer
        elif opener in leaves and _is_link(content := line[opener + 1 : closer]):
            _note_link(content, opener + 1, links)
            yield from _link_cuts(content, opener + 1)


def _note_link(content: str, offset: int, links: list[Link]) -> None:
    """Add the page that is named at `offset`; a line of it, behind `#`, is of no account."""
    if not _ICON.search(content):
        page = _LINE_OF_PAGE.sub("", content.strip())
        links.append(Link(page, offset, offset + len(content)))


def _is_link(content: str) -> bool:
    """Whether the content of brackets is the name of a page, or of an icon."""
    words = content.split()
    if not words or any(map(_URL.match, (words[0], words[-1]))):
        return False
    return bool(_ICON.search(content)) or _map_name(content, words) is None


def _map_name(content: str, words: Sequence[str]) -> Run | None:
    """Where the name of a map is in the `content` of its brackets, which has these `words`; None
    where it is no map. The place stands beside a bracket.
    """
    first, last = words[0], words[-1]
    if len(words) > 1 and _PLACE.fullmatch(last) and content.endswith(last):
        return 0, len(content[: -len(last)].rstrip())
    if _PLACE.fullmatch(first) and content.startswith(first) and not content[-1].isspace():
        return len(content) - len(content[len(first) :].lstrip()), len(content)
    return None


def _cuts(line: str, start: int, stop: int, links: list[Link]) -> list[Run]:
    """What goes of `line[start:stop]`, in any order."""
    if _PLAIN.match(line, start, stop):
        return []
    cuts, closers, leaves, tags = _scan(line, start, stop)
    opaque = set()  # brackets whose content is words, not notation
    # The inner bracket of [[...]]; the end of a formula, and of what has notation inside.
    strong = formula = nested = -1
    for opener, closer in sorted(closers.items()):
        if opener < formula:
            opaque.add(opener)
        elif opener == strong:
            continue
        elif line.startswith("[$ ", opener):  # with balanced brackets of its own
            opaque.add(opener)
            formula = closer
            cuts += [(opener, opener + 3), (closer, closer + 1)]
        elif closers.get(opener + 1) == closer - 1:
            strong, nested = opener + 1, max(nested, closer)
            cuts += [(opener, opener + 2), (closer - 1, closer + 1)]
            content = line[opener + 2 : closer - 1] if strong in leaves else ""
            if _ICON.search(content) or _is_image(content):
                cuts.append((opener, closer + 1))
        elif decoration := _DECORATION.match(line, opener + 1, closer):
            nested = max(nested, closer)
            cuts += [(opener, decoration.end()), (closer, closer + 1)]
        elif opener in leaves and closer > opener + 1:
            opaque.add(opener)
            content = line[opener + 1 : closer]
            if _is_link(content):
                _note_link(content, opener + 1, links)
            cuts += _link_cuts(content, opener + 1, opener > nested)
    for tag, opener in tags:
        if opener not in opaque:
            cuts.append((tag, tag + 1))
            if name := _TAG.match(line, tag + 1):
                _note_link(name[0], tag + 1, links)
    return cuts


def _scan(
    line: str, start: int, stop: int
) -> tuple[list[Run], dict[int, int], set[int], list[Run]]:
    """Cuts for code and formulas; matched brackets; those with none inside; (hashtag, bracket)."""
    cuts, tags = [], []
    closers: dict[int, int] = {}
    leaves: set[int] = set()
    stack: list[int] = []
    newest = -1  # the bracket opened last, matched or not
    find, at = _Finder(line, stop), start
    for mark in _MARK.finditer(line, start, stop):
        here = mark.start()
        if here < at:  # inside code or a formula
            continue
        if line[here] == "`":
            end = find("`", here + 1)
            if end > here + 1:
                cuts += [(here, here + 1), (end, end + 1)]
                at = end + 1
        elif line[here] == "#":
            if here == start or line[here - 1].isspace():
                tags.append((here, stack[-1] if stack else -1))
        elif line[here] == "]":
            if stack:
                opener = stack.pop()
                closers[opener] = here
                if opener == newest:
                    leaves.add(opener)
        elif line.startswith("[$ ", here) and (end := _formula_end(line, here + 3, find)) > 0:
            cuts += [(here, here + 3), (end, end + 1)]
            newest, at = here, end + 1
        else:
            stack.append(here)
            newest = here
    return cuts, closers, leaves, tags


class _Finder:
    """`str.find` for positions that only grow: nothing is searched for twice in the same place."""

    def __init__(self, line: str, stop: int):
        self._line, self._stop = line, stop
        self._found: dict[str, int] = {}

    def __call__(self, what: str, start: int) -> int:
        """Where `what` is at or after `start`; -1 if nowhere."""
        found = self._found.get(what, 0)
        if 0 <= found < start:
            found = self._found[what] = self._line.find(what, start, self._stop)
        return found


def _formula_end(line: str, start: int, find: _Finder) -> int:
    """Where the formula starting at `start` has its closing bracket; -1 if it has none.

    As in Scrapbox ` ]` ends one that has brackets of its own, such as an interval that is open on
    one side.
    """
    end = find("]", start)
    if end <= start or line.find("[", start, end) < 0:
        return end if end > start else -1
    return find(" ]", start) + 1 or -1


def _is_image(word: str) -> bool:
    """Whether an address is one of an image: by its host, or by a suffix before `?`, `#` or the
    end, looked for once along the word; words behind it are allowed with a host alone.
    """
    return bool(_HOSTED.match(word) or (_ADDRESS.match(word) and _SUFFIX.search(word)))


def _link_cuts(content: str, offset: int, may_be_map: bool = False) -> Iterator[Run]:
    """What goes of the link whose `content`, without brackets, begins at `offset`; in a decoration
    Scrapbox knows no maps.
    """
    stop = offset + len(content)
    keep = (0, len(content))
    words = content.split()
    first, last = (words[0], words[-1]) if words else ("", "")
    if _ICON.search(content):
        keep = (0, 0)
    elif len(words) <= 2 and any(map(_is_image, words)) and all(map(_URL.match, words)):
        keep = (0, 0)  # an image, or an image that is a link
    elif len(words) > 1 and _URL.match(first):
        rest = content.lstrip()[len(first) :]
        keep = (len(content) - len(rest.lstrip()), len(content.rstrip()))
    elif len(words) > 1 and _URL.match(last):
        keep = (0, len(content.rstrip()[: -len(last)].rstrip()))
    elif may_be_map and words and (name := _map_name(content, words)):
        keep = name
    yield offset - 1, offset + keep[0]
    yield offset + keep[1], stop + 1
