"""A snapshot served to assistants over the Model Context Protocol, on stdin and stdout."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.links.related import KEEP, REASONS, Asked, Finder, with_distances
from corpusvec.pipeline.links.searches import Searcher

_MOST = 50  # documents of an answer
_WHAT = (
    "Notes by meaning. `search` finds documents by a text, `related` those near to a document,"
    " `get` gives the whole text of one by its id."
)


class Tools:
    """What an assistant may call. Documents are named by id, or by a title that one alone has."""

    def __init__(self, searcher: Searcher, pages: Pages, model: str | None):
        self._searcher, self._pages, self._model = searcher, pages, model

    def search(self, text: str, top: int = 10) -> list[dict[str, Any]]:
        """Find the documents nearest in meaning and words to a text: a word or a paragraph."""
        corpus = self._searcher.corpus
        hits = self._searcher.search(text, _bounded(top))
        titles = [corpus.titles[corpus.rows[hit.document]] for hit in hits]
        return [
            {"id": hit.document, "title": title, "score": hit.score, "passage": hit.passage}
            for hit, title in zip(hits, titles)
        ]

    def related(self, id: str, top: int = 10) -> list[dict[str, Any]]:
        """Find the documents nearest to one, with the pairs of passages that are near."""
        asked = Asked(top=_bounded(top), of=id, links=KEEP, passages=REASONS)
        finder = Finder(self._pages, asked, self._model)
        return [
            {
                "id": one.target,
                "title": self._pages.titles[self._pages.rows[one.target]],
                "score": one.score,
                "linked": one.linked,
                "links_away": one.links_away,
                "why": [reason._asdict() for reason in one.why],
            }
            for one in with_distances(self._pages, list(finder.suggestions()))
        ]

    def get(self, id: str) -> dict[str, Any]:
        """The whole text of a document, its title and what it links to."""
        row = self._pages.row(id)
        (text,) = self._pages.some_texts([row])
        links = list(self._pages.links[row])
        return {
            "id": self._pages.ids[row],
            "title": self._pages.titles[row],
            "text": text,
            "links": links,
        }


def _bounded(top: int) -> int:
    return max(1, min(top, _MOST))


def check_installed() -> None:
    """Raises `UsageError` where the protocol's library is not there."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("mcp: needs a package that is not installed: pip install 'corpusvec[mcp]'")


def serve(tools: Tools) -> None:
    """Answer until stdin ends."""
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    def told(tool: Callable[..., Any]) -> Callable[..., Any]:
        """What an assistant cannot have is a sentence to it."""

        @functools.wraps(tool)
        def answer(*args: Any, **given: Any) -> Any:
            try:
                return tool(*args, **given)
            except (ValueError, RuntimeError, OSError) as error:
                raise ToolError(str(error)) from error

        return answer

    server = MCPServer("corpusvec", instructions=_WHAT, log_level="ERROR")
    for tool in (tools.search, tools.related, tools.get):
        server.tool()(told(tool))
    server.run("stdio")
