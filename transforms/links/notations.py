"""What a reader sees of texts in Scrapbox's notation and in Markdown's, and the links in them."""

from __future__ import annotations

from collections.abc import Callable

from corpusvec.transforms.documents import markdown_markup, scrapbox_markup
from corpusvec.transforms.documents.scrapbox_markup import Link
from corpusvec.transforms.ranges import Run, rest_of

PLAIN, SCRAPBOX, MARKDOWN = "", "scrapbox", "markdown"


def shown(text: str, notation: str, hidden: Callable[[str], bool] = lambda page: False) -> str:
    """A text without its notation, and without the words of links to pages that are `hidden`."""
    if notation == PLAIN:
        return text
    if notation == MARKDOWN:
        runs, links = markdown_markup.parsed(text)
    else:
        runs, links = _of_scrapbox(text)
    cuts = [(link.start, link.stop) for link in links if hidden(link.page)]
    kept = rest_of(len(text), [*rest_of(len(text), runs), *cuts])
    return "".join(text[start:stop] for start, stop in kept)


def _of_scrapbox(text: str) -> tuple[tuple[Run, ...], list[Link]]:
    """What stays of a page, line ends with it, and its links."""
    lines = text.split("\n")
    runs: list[Run] = []
    links: list[Link] = []
    at = 0
    for line, (kept, found) in zip(lines, scrapbox_markup.notation_of(lines), strict=True):
        runs += [(at + start, at + stop) for start, stop in kept]
        links += [Link(link.page, at + link.start, at + link.stop) for link in found]
        at += len(line) + 1
        runs.append((at - 1, at))
    return tuple(runs[:-1]), links
