"""The rows of a snapshot as stores get them, each known by a digest of all that it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.pipeline.pushes.stores import BITS, WIDTH
from corpusvec.transforms.documents.formats import CHUNKS
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import (
    Damaged,
    Earlier,
    EarlierFile,
    check_file,
)
from corpusvec.transforms.snapshots.manifests import files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import SENTENCES, metadata_texts
from corpusvec.transforms.specs import Quantization
from corpusvec.transforms.storage.digests import as_keys
from corpusvec.transforms.storage.files import open_file
from corpusvec.transforms.storage.stores import reason
from corpusvec.transforms.vectors.quantizations import as_bits, quantization_in, restored

DIGEST = "row_digest"  # a column of the table: by it the next push knows a row again
_TEXTS = ("id", "text", "pair", "metadata")
_DIGESTED = ("id", "text_sha256", "model_text_sha256", "metadata")
_PLACE = ("start", "end")  # of a chunk in its record
_CHUNK_BYTES = 32 << 20  # of rows that are given out at once
_ROWS = 20_000  # that are read at once to be digested


@dataclass(frozen=True, slots=True)
class SnapshotRows:
    """Documents of a snapshot with some of its columns of vectors. `recipe` is the fingerprint: the
    same text by another recipe is another row. Chunks have their `place`.
    """

    files: tuple[EarlierFile, ...]
    vectors: tuple[pa.Field, ...]
    quantizations: tuple[Quantization | None, ...]
    recipe: str
    place: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, output: Output, manifest: Mapping[str, Any], columns: Sequence[str] = ()
    ) -> SnapshotRows:
        """Raises `ValueError` for columns that are not there; none named are all."""
        folder = Snapshot(output, manifest["id"]).folder
        files = tuple(Earlier(folder, files_of(manifest)).of(SENTENCES))
        with _parquet(files[0]) as parquet:
            schema = parquet.schema_arrow
        there = {field.name: field.type for field in schema if _is_list(field.type)}
        run = manifest.get("run") or {}
        how = {name: quantization_in(run, name) for name in columns or there}
        chosen = tuple(_vector(name, there, one) for name, one in how.items())
        cut = manifest.get("configuration", {}).get("unit") == CHUNKS
        recipe, place = run.get("fingerprint", ""), _PLACE if cut else ()
        return cls(files, chosen, tuple(how.values()), recipe, place)

    @property
    def schema(self) -> pa.Schema:
        """Of the rows that are given out."""
        texts = [pa.field(name, pa.string()) for name in _TEXTS]
        place = [pa.field(name, pa.int64()) for name in self.place]
        return pa.schema([*texts, *place, pa.field(DIGEST, pa.binary(WIDTH)), *self.vectors])

    def digests(self) -> np.ndarray:
        """Of all rows, in their order: [N, 2] uint64. Reads neither texts nor vectors."""
        found = []
        for file in self.files:
            with _parquet(file) as parquet:
                batches = parquet.iter_batches(_ROWS, columns=[*_DIGESTED, *self.place])
                found += [self._digests(pa.Table.from_batches([batch])) for batch in batches]
        return as_keys(b"".join(found))

    def _digests(self, table: pa.Table) -> bytes:
        columns = [_texts(table, name).to_pylist() for name in _DIGESTED]
        places = (
            zip(*(table[name].to_pylist() for name in self.place)) if self.place else repeat("")
        )
        return b"".join(
            blake2b(
                f"{self.recipe} {text} {stripped} {len(id_)} {id_}{metadata}{place}".encode(),
                digest_size=WIDTH,
            ).digest()
            for id_, text, stripped, metadata, place in zip(*columns, places)
        )

    def tables(self, wanted: np.ndarray) -> Iterator[pa.Table]:
        """The rows of a mask [N], some megabytes at once. Raises `Damaged`."""
        held: list[pa.Table] = []
        start = 0
        for file in self.files:
            own = wanted[start : start + file.file.rows]
            start += len(own)
            for table in self._wanted(file, own) if own.any() else ():
                held.append(table)
                if sum(one.nbytes for one in held) > _CHUNK_BYTES:
                    yield pa.concat_tables(held)
                    held = []
        if held:
            yield pa.concat_tables(held)

    def _wanted(self, file: EarlierFile, wanted: np.ndarray) -> Iterator[pa.Table]:
        """Of one file, a group after the other; groups without any are not read."""
        check_file(file)
        texts = dict.fromkeys([*_TEXTS, *_DIGESTED, *self.place])
        names = [*texts, *(field.name for field in self.vectors)]
        start = 0
        with _parquet(file) as parquet:
            for group in range(parquet.num_row_groups):
                own = wanted[start : start + parquet.metadata.row_group(group).num_rows]
                start += len(own)
                if own.any():
                    rows = parquet.read_row_group(group, names, use_threads=False)
                    yield self._row_table(rows.filter(pa.array(own)))

    def _row_table(self, rows: pa.Table) -> pa.Table:
        digests = pa.py_buffer(self._digests(rows))
        columns = {name: _texts(rows, name) for name in _TEXTS}
        columns |= {name: rows[name] for name in self.place}
        columns[DIGEST] = pa.Array.from_buffers(pa.binary(WIDTH), len(rows), [None, digests])
        made = zip(self.vectors, self.quantizations)
        columns |= {field.name: _vectors(rows[field.name], field, how) for field, how in made}
        return pa.table(columns, self.schema)


@contextlib.contextmanager
def _parquet(file: EarlierFile) -> Iterator[pq.ParquetFile]:
    """A file to read, named where it is damaged."""
    try:
        with open_file(file.path) as stream:
            yield pq.ParquetFile(stream)
    except Exception as error:  # Arrow's, or each file system's own
        if isinstance(error, pa.ArrowException):
            why: str | None = str(error)
        else:
            why = reason(file.path, error)
        if why is None or isinstance(error, Damaged):
            raise
        raise Damaged(file.path, f"cannot be read ({' '.join(why.split())})") from error


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _vector(name: str, there: Mapping[str, pa.DataType], how: Quantization | None) -> pa.Field:
    """A column as stores search it. They search no signed bytes: those of int8 are restored, as
    halves where these hold them; bits are in unsigned bytes.
    """
    if name not in there:
        raise ValueError(f"--column={name}: no column of vectors; there are: {', '.join(there)}")
    value, size = there[name].value_type, there[name].list_size
    if name in (*_TEXTS, *_PLACE, DIGEST):
        raise ValueError(f"--column={name}: a table has another column of that name; omit it")
    if how is None:
        return pa.field(name, pa.list_(value, size))
    if how.ranges is None:
        return pa.field(name, pa.list_(pa.uint8(), size), metadata={BITS: str(how.dimensions)})
    most = np.abs(np.array(how.ranges)).max()
    value = pa.float16() if most <= np.finfo(np.float16).max else pa.float32()
    return pa.field(name, pa.list_(value, size))


def _vectors(column: pa.ChunkedArray, field: pa.Field, how: Quantization | None) -> pa.Array:
    if how is None:
        return column.cast(field.type)
    stored = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if how.ranges is None:
        values = as_bits(stored, how)
    else:
        kind = field.type.value_type.to_pandas_dtype()
        values = restored(stored.reshape(len(column), -1), how).astype(kind).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(values), type=field.type)


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    """A column; metadata, which was a map once, as JSON."""
    column = table[name]
    if name == "metadata" and pa.types.is_map(column.type):
        return pa.array(metadata_texts([dict(one) for one in column.to_pylist()]), pa.string())
    return column


class Wanted:
    """Rows that a store should have, by their digests, and which of them it has."""

    def __init__(self, digests: np.ndarray):
        self._order = np.argsort(digests[:, 0], kind="stable")
        self._sorted = digests[self._order]
        self.found = np.zeros(len(digests), bool)  # in the order in which they were given

    def find(self, digests: np.ndarray) -> np.ndarray:
        """[M, 2] -> [M] bool: whether each is wanted and was not found before."""
        places = self._places(digests)
        _, firsts = np.unique(places, return_index=True)
        new = np.zeros(len(places), bool)
        new[firsts] = True
        new &= places >= 0
        new[new] = ~self.found[places[new]]
        self.found[places[new]] = True
        return new

    def _places(self, digests: np.ndarray) -> np.ndarray:
        """[M, 2] -> [M]: which of those wanted each is, -1 for none."""
        places = np.full(len(digests), -1)
        at = np.searchsorted(self._sorted[:, 0], digests[:, 0])
        left = np.arange(len(digests))
        while len(left):  # more than once only where first halves are the same
            left = left[at[left] < len(self._sorted)]
            left = left[self._sorted[at[left], 0] == digests[left, 0]]
            equal = self._sorted[at[left], 1] == digests[left, 1]
            places[left[equal]] = self._order[at[left[equal]]]
            left = left[~equal]
            at[left] += 1
        return places
