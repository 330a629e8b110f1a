"""Text in Scrapbox notation: links that lead where they shall, and text that is no notation.

A link is tried on the reader of exports: what that would not take for a link to the page is written
as a link to its address.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from corpusvec.transforms.documents.scrapbox_markup import links_of

_HOST = "https://scrapbox.io"
_NOTATION = str.maketrans({"[": "［", "]": "］", "`": "｀"})
_TAG = re.compile(r"#(?=\S)")


def link_to(title: str, project: str, elsewhere: bool = False) -> str:
    """A link to a page of a project; from another project if the text stands `elsewhere`."""
    name = f"/{project}/{title}" if elsewhere else title
    link = f"[{name}]"
    # A title that begins with a slash would be a project's name. Code comes before links.
    if (elsewhere or title[:1] != "/") and "`" not in title and _named(link) == [name]:
        return link
    return f"[{address(title, project)} {plain(title).strip()}]"


def address(title: str, project: str) -> str:
    """Where a browser finds the page."""
    return f"{_HOST}/{quote(project, safe='')}/{quote(title, safe='')}"


def plain(text: str) -> str:
    """A line in which nothing is notation: brackets and other marks are those of full width."""
    return _TAG.sub("＃", " ".join(text.split()).translate(_NOTATION))


def _named(line: str) -> list[str]:
    return [link.page for link in links_of([line])[0]]
