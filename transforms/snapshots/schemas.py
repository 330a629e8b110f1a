"""Rows of the output as Arrow tables, straight from NumPy: no vector becomes Python numbers on the
way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.transforms.elements import Failure, SentenceVector, TokenVectors
from corpusvec.transforms.storage.digests import model_text_sha256, text_sha256

SENTENCES, TOKENS, REJECTED, CHANGES = "sentences", "tokens", "rejected", "changes"
METADATA_KEY = b"corpusvec"
PLAIN, BYTE_STREAM_SPLIT = "plain", "byte_stream_split"  # how vectors are stored


def sentence_table(rows: Sequence[SentenceVector]) -> pa.Table:
    """One row for each document: where it is from, what was counted, its vectors."""
    documents = [row.document for row in rows]
    columns: dict[str, pa.Array] = {
        "id": pa.array([document.id for document in documents], pa.string()),
        "source": pa.array([document.source for document in documents], pa.string()),
        "source_row": pa.array([document.source_row for document in documents], pa.int64()),
        "text": pa.array([document.text for document in documents], pa.string()),
        "pair": pa.array([document.pair for document in documents], pa.string()),
        "metadata": metadata_column([document.metadata for document in documents]),
        "links": links_column([document.links for document in documents]),
        "text_sha256": pa.array([text_sha256(d.text, d.pair) for d in documents], pa.string()),
        "model_text_sha256": pa.array([model_text_sha256(d) for d in documents], pa.string()),
        "n_tokens": pa.array([row.n_tokens for row in rows], pa.int32()),
        "n_windows": pa.array([row.n_windows for row in rows], pa.int32()),
        "n_dropped": pa.array([row.n_dropped for row in rows], pa.int32()),
        "n_unknown": pa.array([row.n_unknown for row in rows], pa.int32()),
    }
    for name in rows[0].vectors:
        columns[name] = _vectors(np.stack([row.vectors[name] for row in rows]))
    return pa.table(columns)


def metadata_column(metadata: Sequence[Mapping[str, str]]) -> pa.Array:
    """Each as a JSON object of strings, `{}` where there is nothing, keys in the source's order.

    Not a map: Hugging Face `datasets` refuses a table with one, and fastparquet reads nulls.
    """
    return pa.array([json.dumps(one, ensure_ascii=False) for one in metadata], pa.string())


def links_column(links: Sequence[Sequence[str]]) -> pa.Array:
    """Each as a list, empty where there is none."""
    return pa.array(links, pa.list_(pa.string()))


def token_table(rows: Sequence[TokenVectors]) -> pa.Table:
    """One row for each token, a document's rows together and in order."""
    lengths = [len(row.tokens) for row in rows]
    which = pa.array(np.repeat(np.arange(len(rows), dtype=np.int32), lengths))
    ids = pa.DictionaryArray.from_arrays(
        which, pa.array([r.document.id for r in rows], pa.string())
    )
    spans = np.concatenate([row.spans for row in rows])  # [T, 2]
    nowhere = spans[:, 0] < 0
    columns: dict[str, pa.Array] = {
        "id": ids.cast(pa.string()),
        "position": pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])),
        "token": pa.array([token for row in rows for token in row.tokens], pa.string()),
        "start": pa.array(np.ascontiguousarray(spans[:, 0]), pa.int32(), mask=nowhere),
        "end": pa.array(np.ascontiguousarray(spans[:, 1]), pa.int32(), mask=nowhere),
        "segment": pa.array(np.concatenate([row.segments for row in rows]), pa.int8()),
    }
    for name in rows[0].layers:
        columns[name] = _vectors(np.concatenate([row.layers[name] for row in rows]))
    return pa.table(columns)


def _vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    """[N, D] float32 or float16 -> a column of lists of D."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def with_metadata(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """The table with what made it in its file's metadata, under the key `corpusvec`, as JSON."""
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(about, sort_keys=True).encode()})


def parquet_options(schema: pa.Schema, encoding: str = PLAIN) -> dict[str, Any]:
    """How columns are stored. `encoding` is that of the vectors: split by significance their bytes
    take 9 % less, and fewer programs read them. Level 1 of zstd is the smallest and the fastest for
    vectors. Lists in pages of version 2 are beyond fastparquet. Dictionaries are for strings alone,
    and the smallest and largest value are not kept of vectors: for float16 they take as long as all
    the rest.
    """
    vectors = [
        f"{column.name}.list.element"
        for column in schema
        if pa.types.is_fixed_size_list(column.type)
    ]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "data_page_version": "1.0",
        "use_byte_stream_split": vectors if encoding == BYTE_STREAM_SPLIT else False,
        "use_dictionary": [name for name in schema.names if name in ("id", "source", "token")],
        "write_statistics": [field.name for field in schema if not pa.types.is_nested(field.type)],
    }


def rejected_line(failure: Failure) -> bytes:
    """A rejected record as a line of JSON: `stage`, `id`, `source`, `source_row`, `error`,
    `detail`.
    """
    values = asdict(failure)
    del values["key"]
    values = {"stage": values.pop("stage"), "id": values.pop("document_id"), **values}
    # What cannot be UTF-8 may be just what is wrong with the record.
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def size_of(row: SentenceVector | TokenVectors | Failure) -> int:
    """About how many bytes a row, or a document's rows, will take in memory."""
    if isinstance(row, Failure):
        texts = (row.document_id, row.source, row.error, row.detail)
        return 300 + sum(map(len, texts))
    if isinstance(row, TokenVectors):
        # The text is not written, but stays in memory as long as the row does.
        text = len(row.tokens) * len(row.document.id) + 2 * row.document.characters
        return text + 40 * len(row.tokens) + sum(layer.nbytes for layer in row.layers.values())
    vectors = sum(vector.nbytes for vector in row.vectors.values())
    return 300 + 2 * row.document.characters + vectors


def sentence_counts(table: pa.Table) -> dict[str, int]:
    """Sums over a table of sentences that the manifest has."""
    sums = {
        "tokens": "n_tokens",
        "windows": "n_windows",
        "dropped_tokens": "n_dropped",
        "unknown_tokens": "n_unknown",
    }
    return {name: pc.sum(table[column]).as_py() or 0 for name, column in sums.items()}


TABLES: Mapping[str, Callable[[Sequence[Any]], pa.Table]] = {
    SENTENCES: sentence_table,
    TOKENS: token_table,
}
