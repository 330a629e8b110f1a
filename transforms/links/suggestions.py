"""What is suggested: a document to link to, how near it is, and which passages say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Reason(NamedTuple):
    """Two passages that are near each other: one of the document, one of its target, the longest
    phrase that both have (empty where there is none), and their cosine.
    """

    mine: str
    theirs: str
    phrase: str
    score: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Both are named by their ids. A red link has no page: its target is the key of its name, and
    `red` is true. `linked`: they are linked already, or a link away from a common page.
    `links_away`: the length of the shortest path of links between them; None if there is no short
    one, or if it was not measured.
    """

    document: str
    target: str
    score: float
    why: tuple[Reason, ...] = ()
    red: bool = False
    linked: bool = False
    links_away: int | None = None


class Hit(NamedTuple):
    """What a search has found: a document, its score, the passage of it that is nearest, and which
    passage of the query found it.
    """

    document: str
    score: float
    passage: str
    query: str
