"""The names of what an output folder holds: snapshots that are whole, attempts, and LATEST, which
names the newest snapshot published.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

LATEST, MANIFEST = "LATEST", "manifest.json"
PUBLISHED = "published"  # has an empty file for each snapshot that LATEST named once
_KNOWN_SINCE = 2  # the format of manifests since which publications are written down
_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")
_ATTEMPT = re.compile(rf"\.{_ID.pattern}\.attempt.*")
LEFT = re.compile(rf"\.{_ID.pattern}\..*")  # those, and snapshots that are being removed
BEGUN = ".begun"  # of an attempt on an object store
HANDED_OVER = ".handed_over"  # of an attempt, a note
ENDED = ".ended"  # the end of the name of an attempt that was given up


def is_id(name: str) -> bool:
    """Whether it is one."""
    return bool(_ID.fullmatch(name))


def is_attempt(name: str) -> bool:
    """Whether a local folder of this name is an attempt."""
    return bool(_ATTEMPT.fullmatch(name))


def attempt_id(name: str) -> str:
    """The id of the snapshot that an attempt, by its folder's name, was to become; empty where it
    is none.
    """
    found = _ID.search(name)
    return found[0] if found else ""


def was_published(manifest: Mapping[str, Any], published: Collection[str]) -> bool | None:
    """None where nobody knows: versions before format 2 did not write it down."""
    if manifest["id"] in published:
        return True
    return None if manifest.get("format_version", 1) < _KNOWN_SINCE else False
