"""Documents of a snapshot with their vectors, from all over its files, few row groups read."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusvec.transforms.documents.scrapbox import alignment_again
from corpusvec.transforms.elements import Document, WrittenFile
from corpusvec.transforms.specs import Quantization
from corpusvec.transforms.storage.files import open_file
from corpusvec.transforms.vectors.quantizations import restored

_PLACES = 32  # that rows are taken from, if these have enough
_LINKS = "links"  # which old snapshots lack
_TEXTS = ("id", "text", "pair", "model_text_sha256", "n_tokens", "n_unknown")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows of a snapshot that has `rows`, read from `groups` row groups. `vectors` are by column,
    each [N, D] float32; tokens and unknown ones are those of all documents together, None where
    nobody knows them. `unreadable` are ids of documents left out: what the model read of their
    texts cannot be restored.
    """

    rows: int
    groups: int
    documents: Sequence[Document]
    vectors: Mapping[str, np.ndarray]
    n_tokens: int | None
    n_unknown: int | None
    unreadable: Sequence[str]


def read_sample(
    folder: str,
    files: Sequence[WrittenFile],
    size: int,
    columns: Mapping[str, Quantization | None],
) -> Sample:
    """`size` rows of a snapshot's files of sentences, the same each time, evenly from even places.
    Vectors of bytes and bits are restored, as `columns` says how.

    Raises `ValueError` for a file that is not as the manifest says.
    """
    ends: dict[str, list[int]] = {}  # of the row groups of a file

    def groups_of(file: WrittenFile) -> list[int]:
        if file.path not in ends:
            ends[file.path] = _group_ends(folder, file)
        return ends[file.path]

    quotas = _quotas(files, size, groups_of)
    tables = []
    for path, chosen in itertools.groupby(sorted(quotas.items()), key=lambda one: one[0][0]):
        with open_file(f"{folder}/{path}") as stream:
            parquet = pq.ParquetFile(stream)
            for (_, group), count in chosen:
                wanted = [*_TEXTS, *columns]
                if _LINKS in parquet.schema_arrow.names:
                    wanted.append(_LINKS)
                table = parquet.read_row_group(group, columns=wanted)
                tables.append(table.take(pa.array(_evenly(len(table), count))))
    rows = sum(file.rows for file in files)
    every = pa.concat_tables(tables, promote_options="default").combine_chunks()
    return _sample(every, columns, rows, len(quotas))


def _group_ends(folder: str, file: WrittenFile) -> list[int]:
    with open_file(f"{folder}/{file.path}") as stream:
        metadata = pq.ParquetFile(stream).metadata
    if metadata.num_rows != file.rows:
        raise ValueError(
            f"{folder}/{file.path}: has {metadata.num_rows:,} rows, the manifest says"
            f" {file.rows:,}; the snapshot is damaged: embed again, or take another one"
        )
    sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(itertools.accumulate(sizes))


def _quotas(
    files: Sequence[WrittenFile], size: int, groups_of: Callable[[WrittenFile], list[int]]
) -> dict[tuple[str, int], int]:
    """How many rows of which row group of which file. Where the groups at the even places have too
    few, there are more places.
    """
    ends = list(itertools.accumulate(file.rows for file in files))
    size = min(size, ends[-1])
    places = min(_PLACES, size)
    while True:
        quotas, most = Counter[tuple[str, int]](), {}
        for number, row in enumerate(_evenly(ends[-1], places)):
            which = bisect_right(ends, row)
            file = files[which]
            groups = groups_of(file)
            group = bisect_right(groups, row - (ends[which] - file.rows))
            share = (number + 1) * size // places - number * size // places
            quotas[file.path, group] += share
            most[file.path, group] = groups[group] - (groups[group - 1] if group else 0)
        found = {key: min(count, most[key]) for key, count in quotas.items()}
        if sum(found.values()) == size or places == size:
            return found
        places = min(2 * places, size)


def _evenly(length: int, count: int) -> list[int]:
    """`count` places of `range(length)`, each in the middle of its part."""
    return [(2 * place + 1) * length // (2 * count) for place in range(count)]


def _sample(
    table: pa.Table, columns: Mapping[str, Quantization | None], rows: int, groups: int
) -> Sample:
    texts = [name for name in (*_TEXTS[:4], _LINKS) if name in table.column_names]
    found = [_document(row) for row in table.select(texts).to_pylist()]
    there = [place for place, document in enumerate(found) if document is not None]
    ids = table["id"].to_pylist()
    gone = [ids[place] for place, document in enumerate(found) if document is None]
    table = table.take(pa.array(there, pa.int64()))
    return Sample(
        rows=rows,
        groups=groups,
        documents=[document for document in found if document is not None],
        vectors={name: _matrix(table[name], how) for name, how in columns.items()},
        n_tokens=_total(table["n_tokens"]),
        n_unknown=_total(table["n_unknown"]),
        unreadable=gone,
    )


def _document(row: Mapping[str, Any]) -> Document | None:
    """A row as it was read; None where the text is known to have been stripped, and not how."""
    alignment = None
    if row["model_text_sha256"] is not None:
        alignment = alignment_again(row["text"], row["model_text_sha256"])
        if alignment is None:
            return None
    links = tuple(row.get(_LINKS) or ())
    return Document(row["id"], row["text"], row["pair"], alignment=alignment, links=links)


def _matrix(column: pa.ChunkedArray, how: Quantization | None) -> np.ndarray:
    """A column of lists of one length -> [N, D] float32."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    stored = flat.reshape(-1, column.type.list_size)
    return stored.astype(np.float32) if how is None else restored(stored, how)


def _total(column: pa.ChunkedArray) -> int | None:
    numbers = column.to_pylist()
    return None if None in numbers else sum(numbers)
