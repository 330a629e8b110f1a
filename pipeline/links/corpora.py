"""A snapshot, opened for reading: texts, links and vectors of its documents, each once it is asked
for.
"""

from __future__ import annotations

import builtins
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from corpusvec.pipeline.flags.parsing import UsageError, command
from corpusvec.pipeline.outputs.named_snapshots import manifest_of, output_at, snapshot_named
from corpusvec.transforms.documents.formats import format_of
from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.links.neighbours import Vectors
from corpusvec.transforms.links.notations import MARKDOWN
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.manifests import files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.specs import Quantization
from corpusvec.transforms.storage.files import join, open_file
from corpusvec.transforms.storage.stores import is_remote
from corpusvec.transforms.vectors.quantizations import Restored, quantization_in, restored

if TYPE_CHECKING:
    from corpusvec.pipeline.links.searches import Searcher
    from corpusvec.transforms.links.suggestions import Hit, Suggestion

_IN_MEMORY = 256 << 20  # bytes of a matrix; a larger one is mapped from a disk
_BATCH = 1 << 15  # rows that are read at once
VECTOR = "vector"


def open(output: str, snapshot: str | None = None) -> Corpus:
    """A snapshot of an output folder of `embed`, the published one where no other is named.

    Raises `ValueError` or `RuntimeError`, in one sentence, where there is none or it is damaged.
    """
    with output_at(output) as place:
        return Corpus(place, manifest_of(place, snapshot_named(place, snapshot)))


class Corpus:
    """The documents of a snapshot. Rows are counted from 0 in the order of the files: those of
    `ids`, `titles`, `matrix()`, `dataset` and all else here are the same.
    """

    def __init__(self, output: Output, manifest: Any):
        self.output, self.manifest = output.folder, manifest
        self.snapshot: str = manifest["id"]
        self._folder = Snapshot(output, self.snapshot).folder
        self._files = [one for one in files_of(manifest) if one.table == SENTENCES and one.rows]
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._stored: dict[str, np.ndarray] = {}
        self._matrices: dict[str, np.ndarray] = {}
        self._vectors: dict[str, Vectors] = {}
        self.searchers: dict[str, Searcher] = {}  # by column, once they are asked for
        if not self._files:
            raise UsageError(f"{self._folder}: has no document")

    def __len__(self) -> int:
        return sum(file.rows for file in self._files)

    @cached_property
    def _paths(self) -> list[str]:
        """Local files; those of a store are fetched first."""
        if is_remote(self._folder):
            self._copy = tempfile.TemporaryDirectory(prefix="corpusvec-")
        return [self._path(file) for file in self._files]

    def _path(self, file: WrittenFile) -> str:
        path = join(self._folder, file.path)
        try:
            if self._copy is not None:
                local = os.path.join(self._copy.name, os.path.basename(file.path))
                with open_file(path) as stream, builtins.open(local, "wb") as target:
                    shutil.copyfileobj(stream, target, 1 << 20)
                path = local
            rows = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            raise self._damaged(file, f"cannot be read ({why})") from error
        if rows != file.rows:
            raise self._damaged(file, f"has {rows:,} rows, the manifest says {file.rows:,}")
        return path

    def _damaged(self, file: WrittenFile, what: str) -> RuntimeError:
        check = command("verify", self.output, self.snapshot)
        return RuntimeError(
            f"{join(self._folder, file.path)}: {what}; to see what is damaged, run: {check}"
        )

    @cached_property
    def dataset(self) -> ds.Dataset:
        """All columns, as an Arrow dataset. Old snapshots may lack `links`."""
        return ds.dataset(self._paths, format="parquet")

    @property
    def columns(self) -> list[str]:
        """The names of the columns of vectors."""
        schema = pq.read_schema(self._paths[0])
        return [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]

    def _read(self, *names: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of some columns, each with its first row; of the columns those that are there."""
        row = 0
        for file, path in zip(self._files, self._paths):
            try:
                parquet = pq.ParquetFile(path, pre_buffer=False)  # or a whole column is held
                there = [name for name in names if name in parquet.schema_arrow.names]
                for batch in parquet.iter_batches(_BATCH, columns=there):
                    yield row, batch
                    row += len(batch)
            except (OSError, pa.ArrowException) as error:
                why = " ".join(str(error).split())
                raise self._damaged(file, f"cannot be read ({why})") from error

    def _column(self, name: str) -> list[Any]:
        return [
            value
            for _, batch in self._read(name)
            for value in (
                batch[name].to_pylist() if name in batch.schema.names else [None] * len(batch)
            )
        ]

    @cached_property
    def ids(self) -> list[str]:
        return self._column("id")

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each id."""
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def sources(self) -> list[str]:
        """The file that each document is from."""
        return self._column("source")

    @cached_property
    def markdown_files(self) -> set[str]:
        """The sources that contain Markdown notes."""
        asked = self.manifest.get("configuration", {}).get("input_format", "auto")
        if MARKDOWN not in self.manifest.get("input", {}).get("formats", ()):
            return set()
        return {one for one in set(self.sources) if format_of(one, asked) == MARKDOWN}

    @cached_property
    def source_rows(self) -> list[int]:
        """The number of each record in its file."""
        return self._column("source_row")

    @cached_property
    def metadata(self) -> list[dict[str, str]]:
        """What else is known of each document."""
        return [_parsed(one) for one in self._column("metadata")]

    @cached_property
    def titles(self) -> list[str]:
        """Of Scrapbox pages, and of records that have one, the title; else the id."""
        found = []
        for id_, told in zip(self.ids, self._column("metadata")):
            has = '"title"' in told if isinstance(told, str) else bool(told)
            found.append((_parsed(told).get("title") or id_) if has else id_)
        return found

    @cached_property
    def links(self) -> list[tuple[str, ...]]:
        """The pages that each document links to, by their keys."""
        return [tuple(one or ()) for one in self._column("links")]

    @cached_property
    def spans(self) -> list[tuple[int, int] | None]:
        """Where each chunk stands in the text that it was cut from; None for what is whole."""
        bounds = zip(self._column("start"), self._column("end"))
        return [None if start is None else (start, end) for start, end in bounds]

    def texts(self, rows: Sequence[int] | None = None) -> list[str]:
        """The texts of some rows, or of all."""
        if rows is None:
            return self._column("text")
        table = self.dataset.take(pa.array(rows, pa.int64()), columns=["text"])
        return table["text"].to_pylist()

    def column_named(self, column: str | None = None) -> str:
        """A column of vectors that is there. Raises `UsageError`."""
        there = self.columns
        if not there:
            raise self._damaged(self._files[0], "has no column of vectors")
        if column is None:
            return VECTOR if VECTOR in there else there[0]
        if column not in there:
            raise UsageError(
                f"--column={column}: {self.snapshot} has no such column of vectors; there are:"
                f" {', '.join(there)}"
            )
        return column

    def matrix(self, column: str | None = None) -> np.ndarray:
        """The vectors of all documents, [N, D] float32, mapped from a disk where they are many.
        Those of bytes or bits are restored.
        """
        name = self.column_named(column)
        how, stored = self.quantization(name), self.stored(name)
        if how is None:
            return stored
        if name not in self._matrices:
            found = self._empty((len(stored), how.dimensions), np.float32)
            for row in range(0, len(stored), _BATCH):
                found[row : row + _BATCH] = restored(stored[row : row + _BATCH], how)
            self._matrices[name] = found
        return self._matrices[name]

    def stored(self, column: str | None = None) -> np.ndarray:
        """As `matrix`, but bytes or bits as they are in the files: [N, D] int8, or [N, D / 8]."""
        name = self.column_named(column)
        if name not in self._stored:
            found: np.ndarray | None = None
            dtype = None if self.quantization(name) else np.float32
            for row, batch in self._read(name):
                values = batch[name].flatten().to_numpy(zero_copy_only=False)
                values = values.reshape(len(batch), -1)
                if found is None:
                    found = self._empty((len(self), values.shape[1]), dtype or values.dtype)
                found[row : row + len(values)] = values
            assert found is not None, "there is a row at least"
            self._stored[name] = found
        return self._stored[name]

    def quantization(self, column: str | None = None) -> Quantization | None:
        """How a column of bytes or bits was made; None for floats."""
        return quantization_in(self.manifest.get("run") or {}, self.column_named(column))

    def vectors(self, column: str | None = None) -> Vectors:
        """The vectors of all documents, ready to be searched."""
        name = self.column_named(column)
        if name not in self._vectors:
            how, stored = self.quantization(name), self.stored(name)
            matrix = stored if how is None else Restored(stored, how)
            self._vectors[name] = Vectors(matrix, self.order, self._empty)
        return self._vectors[name]

    @cached_property
    def order(self) -> np.ndarray:
        """The place of each row among all when they are sorted by id, [N]."""
        return order_of(self.ids)

    def _empty(self, shape: tuple[int, int], dtype: Any) -> np.ndarray:
        """Room for a matrix: in memory, or where it is large in a file that ends with this
        program, beside the output where that can be written.
        """
        if np.prod(shape) * np.dtype(dtype).itemsize <= _IN_MEMORY:
            return np.empty(shape, dtype)
        local = not is_remote(self.output) and os.access(self.output, os.W_OK)
        with tempfile.TemporaryFile(dir=self.output if local else None) as file:
            return np.memmap(file, dtype, "w+", shape=shape)

    def related(self, id: str, top: int = 10, column: str | None = None) -> list[Suggestion]:
        """The documents nearest to one, best first. Raises `UsageError` for an id that is not
        there.
        """
        from corpusvec.pipeline.links.related import related_to

        return related_to(self, id, top, column)

    def search(self, text: str, top: int = 10, column: str | None = None) -> list[Hit]:
        """The documents nearest to a text, which is embedded as a question to the model of the
        snapshot; that is loaded once.
        """
        from corpusvec.pipeline.links.searches import searcher

        return searcher(self, column).search(text, top)


def order_of(ids: Sequence[str]) -> np.ndarray:
    """The place of each id among all when they are sorted, [N]."""
    order = np.empty(len(ids), np.int64)
    order[pc.sort_indices(pa.array(ids, pa.string())).to_numpy()] = np.arange(len(ids))
    return order


def _parsed(told: Any) -> dict[str, str]:
    """Metadata, which the first versions wrote as pairs."""
    return json.loads(told) if isinstance(told, str) else dict(told or ())
