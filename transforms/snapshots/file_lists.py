"""The list of a snapshot's files: in its manifest, or where they are many in Parquet beside it, so
that a manifest stays small. Then the manifest has the size and the digest of the list.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.transforms.storage.files import exists, join, open_file, write

LIST = "files.parquet"
IN_MANIFEST, BESIDE_IT = 2, 3  # the format of a manifest, by where the list is
_MOST_IN_MANIFEST = 1000  # files
_SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("path", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("digest", pa.string()),
        ("counts", pa.string()),  # a JSON object
    ]
)


class BrokenList(ValueError):
    """A list that is gone, or is not what was written; `what` is a sentence without subject."""

    def __init__(self, what: str):
        super().__init__(f"{LIST} {what}")
        self.what = what


def format_for(n: int) -> int:
    """The format of a manifest of `n` files. Versions that know no lists refuse the later one."""
    return IN_MANIFEST if n <= _MOST_IN_MANIFEST else BESIDE_IT


def is_beside(manifest: Any) -> bool:
    """Whether a manifest, as it is stored, has its list beside it."""
    return isinstance(manifest, dict) and manifest.get("format_version") == BESIDE_IT


def put_beside(folder: str, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the list of a manifest, where it belongs beside it -> the manifest as it is stored."""
    if not is_beside(manifest):
        return manifest
    files = manifest["files"]
    columns = {name: [file[name] for file in files] for name in _SCHEMA.names}
    columns["counts"] = [json.dumps(counts) for counts in columns["counts"]]
    target = io.BytesIO()
    pq.write_table(pa.table(columns, _SCHEMA), target)
    content = target.getvalue()
    write(join(folder, LIST), content)
    about = {"path": LIST, "files": len(files), "bytes": len(content), "digest": _digest(content)}
    return {**manifest, "files": about}


def with_files(folder: str, manifest: Any) -> Any:
    """A manifest as it is stored -> the same with the list of its files. Raises `BrokenList`."""
    return {**manifest, "files": _read(folder, manifest)} if is_beside(manifest) else manifest


def _read(folder: str, manifest: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    about = manifest.get("files")
    if not isinstance(about, dict) or about.get("path") != LIST:
        raise BrokenList("is not named by the manifest")
    if not exists(join(folder, LIST)):
        raise BrokenList("is in the manifest but does not exist")
    with open_file(join(folder, LIST)) as stream:
        content = stream.read()
    if _digest(content) != about.get("digest"):
        raise BrokenList("is not what was written: its digest is not that of the manifest")
    files = pq.read_table(io.BytesIO(content)).to_pylist()
    return [{**file, "counts": json.loads(file["counts"])} for file in files]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
