"""What an output folder holds: snapshots that are whole, attempts, and LATEST, which names the
newest snapshot published.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from corpusvec.transforms.snapshots.file_lists import with_files
from corpusvec.transforms.storage.files import exists, join, matching, open_file
from corpusvec.transforms.storage.stores import Refused, ask, is_remote, unserved

LATEST, MANIFEST = "LATEST", "manifest.json"
PUBLISHED = "published"  # has an empty file for each snapshot that LATEST named once
_KNOWN_SINCE = 2  # the format of manifests since which publications are written down
_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")
_ATTEMPT = re.compile(rf"\.{_ID.pattern}\.attempt.*")
_LEFT = re.compile(rf"\.{_ID.pattern}\..*")  # those, and snapshots that are being removed
BEGUN = ".begun"  # of an attempt on an object store
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


def latest(output: str) -> str | None:
    """The id of the newest snapshot published, None where there is none; no id, see `is_id`, where
    the file is damaged.
    """
    if not exists(join(output, LATEST)):
        return None
    with open_file(join(output, LATEST)) as stream:
        return stream.read().decode(errors="replace").strip()


def read_manifest(output: str, snapshot_id: str) -> dict[str, Any]:
    """The manifest of a snapshot that is whole, with the list of its files. Raises `ValueError`
    where there is none, or its list is damaged.
    """
    path = manifest_path(output, snapshot_id)
    with open_file(path) as stream:
        manifest = json.loads(stream.read())
    return with_files(path.removesuffix(f"/{MANIFEST}"), manifest)


def manifest_path(output: str, snapshot_id: str) -> str:
    """Where it is. Raises `ValueError` where there is none."""
    path = join(output, "snapshots", snapshot_id, MANIFEST)
    if not is_id(snapshot_id) or not exists(path):
        there = ", ".join(snapshot_ids(output)) or "none"
        raise ValueError(f"{output}: has no snapshot {snapshot_id!r}; there are: {there}")
    return path


def published_manifest(output: str) -> dict[str, Any] | None:
    """That of the snapshot that LATEST names; where it cannot be read, that of the newest one that
    was published and can. None where there is none.
    """
    if (named := latest(output)) is None:
        return None
    before = (one for one in published_ids(output) if one < named or not is_id(named))
    for one in (named, *sorted(before, reverse=True)):
        with contextlib.suppress(ValueError):
            manifest = read_manifest(output, one)
            if isinstance(manifest, dict) and {"id", "counts"} <= manifest.keys():
                return manifest
    return None


def snapshot_ids(output: str) -> list[str]:
    """The snapshots that are whole, oldest first."""
    found = _found(output, "snapshots", "*", MANIFEST)
    return sorted(path[-2] for path in found if is_id(path[-2]))


def leftovers(output: str, but: str = "none of them") -> list[str]:
    """What runs have begun here that is no snapshot, but that of the snapshot `but`: still running,
    killed, or half removed. On an object store an id, on a local disk the name of a folder.
    """
    if is_remote(output):
        begun = _found(output, "snapshots", "*", BEGUN)
        return sorted(path[-2] for path in begun if path[-2] != but)
    names = (path[-1] for path in _found(output, "snapshots", ".*"))
    return sorted(name for name in names if _LEFT.fullmatch(name) and but not in name)


def published_ids(output: str) -> set[str]:
    """The snapshots that LATEST names, or named once; those of earlier versions are not known."""
    named = latest(output)
    ids = {path[-1] for path in _found(output, PUBLISHED, "*")} | ({named} if named else set())
    return {one for one in ids if is_id(one)}


def was_published(manifest: Mapping[str, Any], published: Collection[str]) -> bool | None:
    """None where nobody knows: versions before format 2 did not write it down."""
    if manifest["id"] in published:
        return True
    return None if manifest.get("format_version", 1) < _KNOWN_SINCE else False


def _found(output: str, folder: str, *pattern: str) -> Iterator[list[str]]:
    """The files of a pattern in a folder, which need not be there, by the parts of their paths.

    What cannot be listed is an error: nobody shall take it for what is not there.
    """
    place = join(output, folder)
    if is_remote(output):
        try:
            paths = ask(output, lambda: matching(place, *pattern))
        except Refused as error:
            raise unserved(f"{place}: cannot be listed ({error})", error) from error
    else:
        names = os.listdir(place) if os.path.isdir(place) else []
        paths = [join(place, one, *pattern[1:]) for one in fnmatch.filter(names, pattern[0])]
        paths = [path for path in paths if os.path.exists(path)]
    return (path.split("/") for path in paths)
