"""The stores that there are, by the scheme of their addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from corpusvec.pipeline.pushes import lance_tables, postgres_tables
from corpusvec.pipeline.pushes.stores import Store

KINDS: Mapping[str, Callable[[str, str], AbstractContextManager[Store]]] = {
    "lance": lance_tables.opened,
    "postgresql": postgres_tables.opened,
    "postgres": postgres_tables.opened,
}


def opened(address: str, table: str) -> AbstractContextManager[Store]:
    """The table of a store. Raises `ValueError` for an address that is none."""
    scheme = address.partition("://")[0]
    if "://" not in address or scheme not in KINDS:
        shown = f"{scheme}://" if "://" in address else f"{address!r}"
        raise ValueError(
            f"{shown}: is no store; write lance://FOLDER or postgresql://HOST/DATABASE"
        )
    return KINDS[scheme](address, table)
