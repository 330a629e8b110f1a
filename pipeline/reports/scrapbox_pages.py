"""Suggestions in Scrapbox's own forms: pages to import or to paste, and the file of a UserScript.

What belongs to one project is one file. Of another project a file holds something only where that
project is public. An import overwrites pages, so its titles are none that the export has, neither
of a page nor of a link without a page.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from corpusvec.pipeline.reports import snapshots
from corpusvec.transforms.documents.scrapbox_markup import title_key
from corpusvec.transforms.documents.scrapbox_notation import link_to, plain

if TYPE_CHECKING:
    from corpusvec.pipeline.links.pages import Pages
    from corpusvec.transforms.links.suggestions import Suggestion

_LINES = 500  # of a page; a longer one is slow to open
_DIGITS = 4  # of a score


def by_project(
    pages: Pages, suggestions: Iterable[Suggestion], public: Collection[str] = ()
) -> dict[str, list[Suggestion]]:
    """Suggestions by the project whose file they are for; those that tell of a project that is not
    `public` to another are left out.
    """
    found: dict[str, list[Suggestion]] = {}
    for one in suggestions:
        project = project_of(pages, one.document)
        there = project if one.red else project_of(pages, one.target)
        if there == project or there in public:
            found.setdefault(project, []).append(one)
    return found


def project_of(pages: Pages, id: str) -> str:
    """That of a page."""
    return pages.projects[pages.rows[id]]


def titles_taken(pages: Pages) -> dict[str, set[str]]:
    """The keys of all titles of each project: of pages, of records that were rejected, and of links
    without a page.
    """
    taken: dict[str, set[str]] = {}
    for project, title, links in zip(pages.projects, pages.titles, pages.links):
        taken.setdefault(project, set()).update((title_key(title), *links))
    for corpus in pages.corpora:
        for id_, _ in snapshots.rejected(corpus.output, corpus.manifest):
            project, _, title = id_.partition("/")
            taken.setdefault(project, set()).update((title_key(title), title_key(_page(title))))
    return taken


def _page(title: str) -> str:
    """That of a line."""
    return re.sub(r"#\d+\Z", "", title)


def made_pages(
    pages: Pages, suggestions: Sequence[Suggestion], name: str, taken: Collection[str]
) -> Iterator[list[str]]:
    """The lines of each page, its title first, of suggestions that belong to one project."""
    free = _free_titles(name, taken)
    lines: list[str] = []
    for document, some in _grouped(suggestions).items():
        if len(lines) >= _LINES:
            yield [next(free), *lines]
            lines = []
        row = pages.rows[document]
        lines.append(link_to(pages.titles[row], pages.projects[row]))
        lines += (line for one in some for line in _lines_of(pages, one))
    if lines:
        yield [next(free), *lines]


def import_of(made: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Pages as Scrapbox's "Import Pages" takes them."""
    return {"pages": [{"title": lines[0], "lines": list(lines)} for lines in made]}


def text_of(made: Iterable[Sequence[str]]) -> str:
    """The pages one after the other, to be pasted."""
    return "\n".join("\n".join(lines) + "\n" for lines in made)


def related(suggestions: Sequence[Suggestion]) -> dict[str, list[dict[str, Any]]]:
    """For a UserScript: id -> what is suggested for it, best first, and why."""
    return {
        document: [
            {
                "id": one.target,
                "score": round(float(one.score), _DIGITS),
                "why": [
                    {"mine": why.mine, "theirs": why.theirs, "phrase": why.phrase}
                    for why in one.why
                ],
            }
            for one in some
        ]
        for document, some in _grouped(suggestions).items()
    }


def _grouped(suggestions: Iterable[Suggestion]) -> Mapping[str, list[Suggestion]]:
    groups: dict[str, list[Suggestion]] = {}
    for one in suggestions:
        groups.setdefault(one.document, []).append(one)
    return groups


def _free_titles(name: str, taken: Collection[str]) -> Iterator[str]:
    """`name`, `name 2`, …, without those that are taken."""
    for number in count(1):
        title = name if number == 1 else f"{name} {number}"
        if title_key(title) not in taken:
            yield title


def _lines_of(pages: Pages, one: Suggestion) -> Iterator[str]:
    project = project_of(pages, one.document)
    there = project if one.red else project_of(pages, one.target)
    title = one.target if one.red else pages.titles[pages.rows[one.target]]
    yield f" {link_to(title, there, elsewhere=there != project)} {one.score:.2f}"
    for why in one.why:
        yield f"  > {plain(why.mine)}"
        yield f"  > {plain(why.theirs)}"
