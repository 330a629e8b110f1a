"""Whose memory Arrow takes."""

from __future__ import annotations

import os

_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"


def share_heap() -> None:
    """Let Arrow take its memory from the C library, unless the user has chosen. Its own allocator
    keeps a heap for each thread, which nobody else can use: 100,000 documents took up to 90 MiB
    more. Arrow reads this when it is imported.
    """
    os.environ.setdefault(_VARIABLE, "system")
