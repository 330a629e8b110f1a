"""What a snapshot says of itself beside its vectors: rejected records, and what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from corpusvec.transforms.snapshots.changes import ADDED, CHANGED, MOVED, REMOVED
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.manifests import files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import CHANGES, REJECTED
from corpusvec.transforms.storage.files import join, open_file

KINDS = (ADDED, CHANGED, MOVED, REMOVED)
Change = tuple[str, str, str | None]  # id, kind, old id


def changes(output: str, manifest: Mapping[str, Any]) -> list[Change] | None:
    """What differs from the snapshot before; None where there is none to compare with."""
    if not manifest.get("previous"):
        return None
    found: list[Change] = []
    for path in _paths(output, manifest, CHANGES):
        with open_file(path) as stream:
            rows = pq.ParquetFile(stream).read(["id", "change", "old_id"]).to_pylist()
        found += [(row["id"], row["change"], row["old_id"]) for row in rows]
    return found


def rejected(output: str, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The id of each rejected record, and why it was."""
    for path in _paths(output, manifest, REJECTED):
        with open_file(path) as stream:
            for line in stream.read().decode("utf-8", "replace").splitlines():
                told = json.loads(line)
                yield told["id"], told["error"]


def _paths(output: str, manifest: Mapping[str, Any], table: str) -> Iterator[str]:
    folder = Snapshot(Output(output), manifest["id"]).folder
    return (join(folder, file.path) for file in files_of(manifest) if file.table == table)
