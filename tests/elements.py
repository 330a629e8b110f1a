"""Windows for tests that are about something else than cutting them."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpusvec.transforms.elements import OWN, Document, Window


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
