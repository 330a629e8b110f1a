"""What an output folder holds, or one snapshot: the facts that `inspect` shows of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.inspections.output_facts import (
    ColumnType,
    OutputReport,
    Row,
    SnapshotLine,
    SnapshotReport,
    TableReport,
    VectorStart,
)
from corpusvec.pipeline.terminal.formats import shortened
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.file_lists import with_files
from corpusvec.transforms.snapshots.layouts import (
    LATEST,
    MANIFEST,
    is_attempt,
    is_id,
    was_published,
)
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.snapshots.tables import first_rows
from corpusvec.transforms.storage.files import exists, listed, open_file
from corpusvec.transforms.storage.stores import ask, served

_ROWS, _NUMBERS = 3, 4


def is_there(place: str) -> bool:
    """Whether an output folder or a snapshot's own is there, on any file system.

    Raises `ValueError` where it cannot be known, or is an attempt that is not finished.
    """
    place = _whole(place)
    if is_attempt(place.rpartition("/")[2]):
        raise ValueError(
            f"{place}: is an unfinished attempt, of a run that goes on or was killed; it is no"
            " snapshot"
        )
    with served(place):
        return ask(place, lambda: _is_output(place) or _manifest(place) is not None)


def read(place: str) -> OutputReport:
    """Of an output folder or a snapshot's own that is there.

    Raises `ValueError` where it cannot be read.
    """
    place = _whole(place)
    parent, _, name = place.rpartition("/")
    output, _, folder = parent.rpartition("/")
    with served(place):
        manifest = _manifest(place)
        if manifest is None:
            return _of_output(Output(place), None)
        if folder == "snapshots" and is_id(name):
            return _of_output(Output(output), name)
        manifest = with_files(place, manifest)
        notes = _missing(place, manifest)
        return OutputReport(path=None, snapshot=_snapshot(place, manifest), notes=notes)


def _whole(place: str) -> str:
    place = place.rstrip("/") or "/"
    return place if "://" in place else os.path.abspath(place)


def _is_output(place: str) -> bool:
    """Whether LATEST or snapshots/ is there; other programs have folders of that name too."""
    if "://" in place:
        return exists(f"{place}/{LATEST}") or bool(Output(place).snapshot_ids())
    if os.path.isfile(f"{place}/{LATEST}"):
        return True
    if not os.path.isdir(f"{place}/snapshots"):
        return False
    names = os.listdir(f"{place}/snapshots")
    return not names or any(is_id(n) or is_attempt(n) for n in names)


def _manifest(folder: str) -> dict[str, Any] | None:
    """The manifest of a snapshot; None where there is none, or another program's."""
    if not exists(f"{folder}/{MANIFEST}"):
        return None
    with open_file(f"{folder}/{MANIFEST}") as stream:
        content = stream.read()
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{folder}/{MANIFEST}: is not JSON ({error})") from error
    ours = isinstance(manifest, dict) and {"id", "counts", "files"} <= manifest.keys()
    return manifest if ours else None


def _of_output(output: Output, asked: str | None) -> OutputReport:
    """`asked`: the snapshot to show; else LATEST's, else the newest."""
    named = output.latest
    manifests = {
        one: manifest
        for one in output.snapshot_ids()
        if (manifest := _manifest(Snapshot(output, one).folder))
    }
    shown = asked or (named if named in manifests else max(manifests, default=None))
    folder = Snapshot(output, shown).folder if shown else ""
    if shown:
        manifests[shown] = with_files(folder, manifests[shown])
    fingerprints = {_run(manifest).get("fingerprint") for manifest in manifests.values()}
    notes = []
    if named is not None and named not in manifests:
        notes.append(f"LATEST names {named}, which is not there")
    if named is None and manifests:
        accept = command("publish", output.folder, max(manifests))
        notes.append(f"nothing is published: there is no LATEST; to accept a snapshot: {accept}")
    if shown:
        notes += _missing(folder, manifests[shown])
    if len(fingerprints) > 1:
        notes.append(
            f"the snapshots were made in {len(fingerprints)} ways: vectors of different"
            " fingerprints do not belong together"
        )
    return OutputReport(
        path=output.folder,
        latest=named,
        snapshots=tuple(
            _line(one, manifest, named, output.published) for one, manifest in manifests.items()
        ),
        unfinished=tuple(output.leftovers()),
        same_fingerprint=len(fingerprints) == 1 if manifests else None,
        snapshot=_snapshot(folder, manifests[shown]) if shown else None,
        notes=tuple(notes),
    )


def _line(
    one: str, manifest: Mapping[str, Any], named: str | None, published: frozenset[str]
) -> SnapshotLine:
    return SnapshotLine(
        id=one,
        finished=manifest["finished"],
        documents=manifest["counts"]["documents"],
        rejected=manifest["counts"]["rejected"],
        is_latest=one == named,
        published=was_published(manifest, published),
        fingerprint=_run(manifest).get("fingerprint"),
    )


def _run(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return manifest.get("run") or {}


def _missing(folder: str, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Files that are not as the manifest says."""
    sizes = _sizes(folder)
    return tuple(
        f"{file['path']}: has {sizes[file['path']]:,} bytes, the manifest says {file['bytes']:,}"
        if file["path"] in sizes
        else f"{file['path']}: is in the manifest but does not exist"
        for file in manifest["files"]
        if sizes.get(file["path"]) != file["bytes"]
    )


def _sizes(folder: str) -> dict[str, int]:
    """Sizes by path in the folder, of all files."""
    return {file.path[len(folder) + 1 :]: file.size for file in listed(f"{folder}/**")}


def _snapshot(folder: str, manifest: Mapping[str, Any]) -> SnapshotReport:
    sizes, run = _sizes(folder), _run(manifest)
    files = [file for file in manifest["files"] if sizes.get(file["path"]) == file["bytes"]]
    tables = {name: _table(folder, name, files) for name in sorted({f["table"] for f in files})}
    model = run.get("model") or {}
    return SnapshotReport(
        id=manifest["id"],
        folder=folder,
        started=manifest.get("started"),
        finished=manifest.get("finished"),
        counts=manifest["counts"],
        model_kind=model.get("kind"),
        model_digest=model.get("digest"),
        fingerprint=run.get("fingerprint"),
        run=run,
        configuration=manifest.get("configuration") or {},
        versions=manifest.get("versions") or {},
        files=len(sizes),
        bytes=sum(sizes.values()),
        tables=tables,
        rows=tuple(_rows(folder, files)),
    )


def _table(folder: str, name: str, files: Sequence[Mapping[str, Any]]) -> TableReport:
    own = [file for file in files if file["table"] == name]
    columns: tuple[ColumnType, ...] = ()
    if own[0]["path"].endswith(".parquet"):
        with open_file(f"{folder}/{own[0]['path']}") as stream:
            schema = pq.ParquetFile(stream).schema_arrow
        columns = tuple(_column(field) for field in schema)
    rows, bytes_ = (sum(file[key] for file in own) for key in ("rows", "bytes"))
    return TableReport(len(own), rows, bytes_, columns)


def _column(field: pa.Field) -> ColumnType:
    if pa.types.is_fixed_size_list(field.type):
        kind = field.type.value_type
        numbers = f"float{kind.bit_width}" if pa.types.is_floating(kind) else str(kind)
        return ColumnType(field.name, numbers, field.type.list_size)
    is_map = pa.types.is_map(field.type)
    return ColumnType(field.name, "map<string, string>" if is_map else str(field.type), None)


def _rows(folder: str, files: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    paths = [file["path"] for file in files if file["table"] == SENTENCES and file["rows"]]
    if not paths:
        return
    batch = first_rows(f"{folder}/{paths[0]}", _ROWS)
    widths = {field.name: _column(field).width for field in batch.schema}
    for row in batch.to_pylist():
        vectors = {
            name: VectorStart(tuple(_finite(value) for value in row[name][:_NUMBERS]), width)
            for name, width in widths.items()
            if width is not None
        }
        yield Row(row["id"], shortened(row["text"], 60), vectors)


def _finite(value: float) -> float | None:
    """JSON has no other numbers. Seven digits are all that a float32 has."""
    if isinstance(value, int):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None
