"""Rows of tables -> documents: which column is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from corpusvec.transforms.columns import Row
from corpusvec.transforms.documents.formats import Fields
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.elements import Failure

_SHOWN = 20  # columns in a message
_LONG = 60  # characters of one: a file without a header has a text there


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table by what they are."""

    text: str
    id: str | None
    pair: str | None
    metadata: tuple[str, ...]

    @property
    def all(self) -> dict[str, None]:
        """Each column once."""
        named = (self.text, self.id, self.pair, *self.metadata)
        return dict.fromkeys(name for name in named if name is not None)


class Table(NamedTuple):
    """A table of a file: its path, the name of that in ids, its columns, and where in a row their
    values are.
    """

    source: str
    name: str
    columns: Columns
    places: Mapping[str, int]

    def record(self, number: int, values: Sequence[str | None]) -> Row | Failure:
        """The document of a row."""
        columns, places = self.columns, self.places
        text, document_id = values[places[columns.text]], f"{self.name}:{number}"
        if columns.id is not None and (given := values[places[columns.id]]) is not None:
            if not given:
                error = f"`{columns.id}` is an empty string; omit it or fill it in"
                return self.failure(number, error)
            document_id = given
        if text is None:
            return self.failure(
                number, f"`{columns.text}` is null; it must be a string", document_id
            )
        metadata = {
            key: value for key in columns.metadata if (value := values[places[key]]) is not None
        }
        pair = None if columns.pair is None else values[places[columns.pair]]
        return document_id, text, pair, self.source, number, metadata, None, ()

    def failure(self, number: int, error: str, document_id: str = "") -> Failure:
        """A row is no document, and why."""
        return Failure("read", document_id or f"{self.name}:{number}", self.source, number, error)


def columns_of(names: Sequence[str], fields: Fields, source: str) -> Columns:
    """What the columns of a table are.

    Raises: BrokenInput where one that is needed is missing, or is there twice.
    """
    id_, pair = _of(names, fields.id, "id"), _of(names, fields.pair, "pair")
    needed = {"text_column": fields.text, "id_column": id_, "pair_column": pair}
    for flag, name in needed.items():
        if name is not None and name not in names:
            raise _missing(source, name, names, f"name another with --{flag}")
        if name is not None and names.count(name) > 1:
            raise BrokenInput(f"{source}: has the column `{name}` twice; only one can be meant")
    for name in fields.metadata or ():
        if name not in names:
            raise _missing(source, name, names, "correct --metadata_columns")
    used = set(needed.values())
    chosen = fields.metadata
    if chosen is None:
        chosen = tuple(name for name in dict.fromkeys(names) if name not in used)
    return Columns(fields.text, id_, pair, chosen)


def _of(names: Sequence[str], asked: str | None, usual: str) -> str | None:
    return asked or (usual if usual in names else None)


def _missing(source: str, name: str, names: Sequence[str], what: str) -> BrokenInput:
    parts = [part if len(part) <= _LONG else f"{part[:_LONG]}…" for part in names[:_SHOWN]]
    shown = ", ".join(parts) + (", …" if len(names) > _SHOWN else "")
    return BrokenInput(f"{source}: has no column `{name}`, but {shown or 'none'}; {what}")
