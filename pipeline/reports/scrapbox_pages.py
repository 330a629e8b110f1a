"""Suggestions in Scrapbox's own forms: pages to import or to paste, and the file of a UserScript.

What belongs to one project is one file. Of another project a file holds something only where that
project is public. An import overwrites pages, so its titles are none that the export has, neither
of a page nor of a link without a page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from corpusvec.pipeline.reports import snapshots
from corpusvec.transforms.documents.scrapbox_markup import title_key
from corpusvec.transforms.documents.scrapbox_notation import link_to, plain

if TYPE_CHECKING:
    from corpusvec.pipeline.links.corpora import Corpus
    from corpusvec.transforms.links.suggestions import Suggestion

_LINES = 500  # of a page; a longer one is slow to open
_DIGITS = 4  # of a score


def by_project(
    suggestions: Iterable[Suggestion], public: Collection[str] = ()
) -> dict[str, list[Suggestion]]:
    """Suggestions by the project whose file they are for; those that tell of a project that is not
    `public` to another are left out.
    """
    found: dict[str, list[Suggestion]] = {}
    for one in suggestions:
        project, _ = place_of(one.document)
        there, _ = target_of(one)
        if there == project or there in public:
            found.setdefault(project, []).append(one)
    return found


def place_of(id: str) -> tuple[str, str]:
    """The project and the title of a page; those of a line's page for a line."""
    project, _, title = id.partition("/")
    return project, title


def target_of(one: Suggestion) -> tuple[str, str]:
    """The project and the title, or the key of it, that a suggestion leads to."""
    if not one.red:
        return place_of(one.target)
    if one.target.startswith("/"):
        return place_of(one.target[1:])
    return place_of(one.document)[0], one.target


def titles_taken(corpus: Corpus) -> dict[str, set[str]]:
    """The keys of all titles of each project: of pages, of records that were rejected, and of links
    without a page.
    """
    taken: dict[str, set[str]] = {}
    rejected = (id_ for id_, _ in snapshots.rejected(corpus.output, corpus.manifest))
    for id_ in (*corpus.ids, *rejected):
        project, title = place_of(id_)
        taken.setdefault(project, set()).add(title_key(title))
    for id_, title, links in zip(corpus.ids, corpus.titles, corpus.links):
        taken[place_of(id_)[0]] |= {title_key(title), *links}
    return taken


def pages(
    suggestions: Sequence[Suggestion], name: str, taken: Collection[str]
) -> Iterator[list[str]]:
    """The lines of each page, its title first, of suggestions that belong to one project."""
    free = _free_titles(name, taken)
    lines: list[str] = []
    for document, some in _grouped(suggestions).items():
        if len(lines) >= _LINES:
            yield [next(free), *lines]
            lines = []
        project, title = place_of(document)
        lines.append(link_to(title, project))
        lines += (line for one in some for line in _lines_of(one, project))
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


def _lines_of(one: Suggestion, project: str) -> Iterator[str]:
    there, title = target_of(one)
    yield f" {link_to(title, there, elsewhere=there != project)} {one.score:.2f}"
    for why in one.why:
        yield f"  > {plain(why.mine)}"
        yield f"  > {plain(why.theirs)}"
