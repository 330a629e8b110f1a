"""Rows of the output as Arrow tables, straight from NumPy: no vector becomes Python numbers on the
way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusvec.transforms.columns import Documents, Sentences, TokenRows
from corpusvec.transforms.elements import Failure
from corpusvec.transforms.measures import names
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.storage.digests import model_text_digests, quoted, text_digests

SENTENCES, TOKENS, REJECTED, CHANGES = "sentences", "tokens", "rejected", "changes"
METADATA_KEY = b"corpusvec"
COUNTED: Mapping[str, str] = {  # what the manifest has sums of, and the columns of it
    names.TOKENS: "n_tokens",
    names.WINDOWS: "n_windows",
    names.DROPPED_TOKENS: "n_dropped",
    names.UNKNOWN_TOKENS: "n_unknown",
}
PLAIN, BYTE_STREAM_SPLIT = "plain", "byte_stream_split"  # how vectors are stored


class SentenceColumn(NamedTuple):
    """A column beside the vectors. `values` are those of `Sentences`, None where nobody can know
    them; or of `Documents`, without their texts, where they are `fresh` if the vectors are copied.
    """

    type: pa.DataType
    values: Callable[[Any], Sequence[Any] | np.ndarray | None]
    fresh: bool = False

    def of(self, rows: Sentences | Documents) -> pa.Array:
        values = self.values(rows)
        return pa.nulls(len(rows), self.type) if values is None else pa.array(values, self.type)


def metadata_texts(metadata: Sequence[Mapping[str, str]]) -> list[str]:
    """Each as a JSON object of strings, `{}` where there is nothing, keys in the source's order.

    Not a map: Hugging Face `datasets` refuses a table with one, and fastparquet reads nulls.
    """
    return [_object(one) if one else "{}" for one in metadata]


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join([f"{quoted(key)}: {quoted(text)}" for key, text in values.items()]) + "}"


def _of_span(place: int) -> Callable[[Documents], list[int | None]]:
    return lambda documents: [span and span[place] for span in documents.spans]


# No column of `--vectors` may have one of these names.
SENTENCE_COLUMNS: Mapping[str, SentenceColumn] = {
    "id": SentenceColumn(pa.string(), attrgetter("ids"), fresh=True),
    "source": SentenceColumn(pa.string(), attrgetter("sources"), fresh=True),
    "source_row": SentenceColumn(pa.int64(), attrgetter("source_rows"), fresh=True),
    "text": SentenceColumn(pa.string(), attrgetter("documents.texts")),
    "pair": SentenceColumn(pa.string(), attrgetter("documents.pairs")),
    "metadata": SentenceColumn(
        pa.string(), lambda documents: metadata_texts(documents.metadata), fresh=True
    ),
    "links": SentenceColumn(pa.list_(pa.string()), attrgetter("links"), fresh=True),
    "start": SentenceColumn(pa.int64(), _of_span(0), fresh=True),
    "end": SentenceColumn(pa.int64(), _of_span(1), fresh=True),
    "text_sha256": SentenceColumn(
        pa.string(), lambda rows: [one.hex() for one in text_digests(rows.documents)]
    ),
    "model_text_sha256": SentenceColumn(
        pa.string(), lambda rows: model_text_digests(rows.documents)
    ),
    "n_tokens": SentenceColumn(pa.int32(), attrgetter("n_tokens")),
    "n_windows": SentenceColumn(pa.int32(), attrgetter("n_windows")),
    "n_dropped": SentenceColumn(pa.int32(), attrgetter("n_dropped")),
    "n_unknown": SentenceColumn(pa.int32(), attrgetter("n_unknown")),
}


def sentence_table(rows: Sentences) -> pa.Table:
    """One row for each document: where it is from, what was counted, its vectors."""
    about = {
        name: column.of(rows.documents if column.fresh else rows)
        for name, column in SENTENCE_COLUMNS.items()
    }
    return pa.table(about | {name: vectors_column(rows.vectors[name]) for name in rows.vectors})


def about_documents(documents: Documents) -> pa.Table:
    """What may be new of a document whose vectors are there already."""
    columns = SENTENCE_COLUMNS.items()
    return pa.table({name: column.of(documents) for name, column in columns if column.fresh})


def token_table(rows: TokenRows) -> pa.Table:
    """One row for each token, a document's rows together and in order."""
    which = pa.array(np.repeat(np.arange(len(rows), dtype=np.int32), rows.lengths))
    ids = pa.DictionaryArray.from_arrays(which, pa.array(rows.documents.ids, pa.string()))
    spans, nowhere = rows.spans, rows.spans[:, 0] < 0  # [T, 2]
    positions = places_of(np.zeros(len(rows), np.int64), rows.lengths)
    columns: dict[str, pa.Array] = {
        "id": ids.cast(pa.string()),
        "position": pa.array(positions.astype(np.int32)),
        "token": rows.names.cast(pa.string()),
        "start": pa.array(np.ascontiguousarray(spans[:, 0]), pa.int32(), mask=nowhere),
        "end": pa.array(np.ascontiguousarray(spans[:, 1]), pa.int32(), mask=nowhere),
        "segment": pa.array(rows.segments),
    }
    for name, vectors in rows.layers.items():
        columns[name] = vectors_column(vectors)
    return pa.table(columns)


def vectors_column(values: np.ndarray) -> pa.FixedSizeListArray:
    """[N, D], as the files have them -> a column of lists of D."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def file_metadata(about: Mapping[str, Any]) -> dict[bytes, bytes]:
    """What made a table, as its file's metadata: under the key `corpusvec`, as JSON."""
    return {METADATA_KEY: json.dumps(about, sort_keys=True).encode()}


def parquet_options(schema: pa.Schema, encoding: str = PLAIN) -> dict[str, Any]:
    """How columns are stored. `encoding` is that of the vectors: split by significance their bytes
    take 9 % less, and fewer programs read them. Level 1 of zstd is the smallest and the fastest for
    vectors. Lists in pages of version 2 are beyond fastparquet. Dictionaries are for strings, and
    for vectors of bytes: there each number takes a byte in place of the four that Parquet has for
    it. The smallest and largest value are not kept of vectors: for float16 they take as long as all
    the rest.
    """
    lists = {f.name: f.type for f in schema if pa.types.is_fixed_size_list(f.type)}
    vectors = [f"{name}.list.element" for name in lists]
    of_bytes = [
        f"{name}.list.element" for name in lists if pa.types.is_integer(lists[name].value_type)
    ]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "data_page_version": "1.0",
        "use_byte_stream_split": vectors if encoding == BYTE_STREAM_SPLIT else False,
        "use_dictionary": of_bytes
        + [name for name in schema.names if name in ("id", "source", "token")],
        "write_statistics": [field.name for field in schema if not pa.types.is_nested(field.type)],
    }


def is_as_written(file: pq.FileMetaData, about: Mapping[str, Any], encoding: str) -> bool:
    """Whether a file has what `file_metadata` makes of `about`, and its vectors in `encoding`."""
    made = file_metadata(about).items() <= (file.metadata or {}).items()
    if not file.num_row_groups:
        return False
    columns = map(file.row_group(0).column, range(file.num_columns))
    is_split = any("BYTE_STREAM_SPLIT" in column.encodings for column in columns)
    return made and is_split == (encoding == BYTE_STREAM_SPLIT)


def rejected_line(failure: Failure) -> bytes:
    """A rejected record as a line of JSON: `stage`, `id`, `source`, `source_row`, `error`,
    `detail`.
    """
    values = asdict(failure)
    del values["key"]
    values = {"stage": values.pop("stage"), "id": values.pop("document_id"), **values}
    # What cannot be UTF-8 may be just what is wrong with the record.
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def size_of(rows: Sentences | TokenRows | Failure) -> int:
    """About how many bytes rows will take in memory."""
    if isinstance(rows, Failure):
        texts = (rows.document_id, rows.source, rows.error, rows.detail)
        return 300 + sum(map(len, texts))
    # Of tokens the text is not written, but stays in memory as long as the rows do.
    text = 2 * rows.documents.characters
    if isinstance(rows, TokenRows):
        lengths = map(int.__mul__, map(len, rows.documents.ids), rows.lengths.tolist())
        vectors = sum(layer.nbytes for layer in rows.layers.values())
        return text + sum(lengths) + 40 * len(rows.segments) + vectors
    return 300 * len(rows) + text + sum(vectors.nbytes for vectors in rows.vectors.values())


def sentence_counts(table: pa.Table) -> dict[str, int]:
    """Sums over a table of sentences that the manifest has, of the columns that are `COUNTED`."""
    return {name: pc.sum(table[column]).as_py() or 0 for name, column in COUNTED.items()}


TABLES: Mapping[str, Callable[[Any], pa.Table]] = {
    SENTENCES: sentence_table,
    TOKENS: token_table,
}
