"""Windows for tests that are about something else than cutting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import Documents, TokenStream, Windows
from corpusvec.transforms.elements import OWN, Document, Window
from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.tokens.tokenizers import Tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut


def window(ids, **fields: Any) -> Window:
    """The only window of a document, all of its tokens own ones, but for the `fields` given."""
    length = len(ids)
    values: dict[str, Any] = {
        "document": Document("d", ""),
        "index": 0,
        "count": 1,
        "tokens": ("x",) * length,
        "ids": np.asarray(ids, np.int32),
        "segments": np.zeros(length, np.int8),
        "roles": np.full(length, OWN, np.int8),
        "spans": None,
        "start": 0,
        "stop": length,
        "position": 0,
    }
    return Window(**(values | fields))


def together(some: Sequence[Window]) -> Windows:
    """By columns: windows of one document, which is one and the same value, are its parts."""
    documents = list({id(one.document): one.document for one in some}.values())
    rows = {id(document): row for row, document in enumerate(documents)}
    owners = np.array([rows[id(one.document)] for one in some], np.int64)
    edges = edges_of(np.array([len(one) for one in some], np.int64))

    def of_tokens(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in some])

    def of_documents(name: str) -> np.ndarray:
        found = np.zeros(len(documents), np.int64)
        for one, owner in zip(some, owners):
            found[owner] = max(found[owner], getattr(one, name) or 0)
        return found

    def of_windows(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in some], np.int64)

    names = [name for one in some for name in one.tokens]
    texts = {rows[id(one.document)]: one.text for one in some}
    return Windows(
        documents=Documents.of(documents),
        stream=TokenStream(
            ids=of_tokens("ids"),
            segments=of_tokens("segments"),
            roles=of_tokens("roles"),
            spans=None if some[0].spans is None else of_tokens("spans"),
            names=pa.array(names, pa.string()) if some[0].tokens else None,
            cls=None,
            sep=None,
        ),
        unknown=None if some[0].n_unknown is None else of_documents("n_unknown"),
        dropped=of_documents("n_dropped"),
        skipped=of_documents("n_skipped"),
        texts=[texts[row] for row in range(len(documents))] if some[0].text else None,
        owners=owners,
        indices=of_windows("index"),
        counts=of_windows("count"),
        starts=edges[:-1],
        stops=edges[1:],
        own_starts=edges[:-1] + of_windows("start"),
        own_stops=edges[:-1] + of_windows("stop"),
        positions=of_windows("position"),
        opened=np.zeros(len(some), np.int64),
        closed=np.zeros(len(some), np.int64),
    )


def cut_one(document: Document, tokenizer: Tokenizer | None, plan: WindowPlan) -> list[Window]:
    """The windows of a document that has some."""
    found = cut(Documents.of([document]), tokenizer, plan)
    assert not found.empty
    assert not found.refused
    return list(found.windows)
