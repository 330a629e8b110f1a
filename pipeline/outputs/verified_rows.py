"""Rows of a snapshot's Parquet files, checked a row group at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusvec.transforms.elements import WrittenFile
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.schemas import METADATA_KEY, sentence_counts
from corpusvec.transforms.storage.digests import DigestSet, text_sha256
from corpusvec.transforms.storage.files import open_file


class Findings:
    """What is wrong in a file: each kind once, with how often and where first."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def note(self, what: str, id_: str, times: int = 1) -> None:
        self._times[what] += times
        self._first.setdefault(what, id_)

    def __iter__(self) -> Iterator[str]:
        for what, times in self._times.items():
            rows = f"{times:,} document{'' if times == 1 else 's'}"
            yield f"{rows} with {what} (the first: {self._first[what]!r})"


class Check(Protocol):
    """Of the rows of a table; `group` is called for one row group after the other."""

    def group(self, table: pa.Table, findings: Findings) -> None:
        """Check rows."""

    def end(self, findings: Findings) -> None:
        """The file is at its end."""


def check_parquet(
    path: str, file: WrittenFile, fingerprint: str | None, check: Check | None
) -> Iterator[str]:
    """What is wrong in a file, in sentences without their subject."""
    findings = Findings()
    try:
        with open_file(path) as stream:
            parquet = pq.ParquetFile(stream)
            if _fingerprint(parquet) != fingerprint:
                yield "its fingerprint is not the manifest's: it is of another run's settings"
            if parquet.metadata.num_rows != file.rows:
                rows = parquet.metadata.num_rows
                yield f"has {rows:,} rows, the manifest says {file.rows:,}"
            for number in range(parquet.num_row_groups):
                group = parquet.read_row_group(number, use_threads=False)
                _check_vectors(group, findings)
                if check:
                    check.group(group, findings)
        if check:
            check.end(findings)
    except (pa.ArrowException, KeyError, OSError) as error:
        yield f"cannot be read as it should ({' '.join(str(error).split())})"
    yield from findings


def _fingerprint(file: pq.ParquetFile) -> str | None:
    try:
        return json.loads((file.schema_arrow.metadata or {})[METADATA_KEY]).get("fingerprint")
    except (KeyError, ValueError, AttributeError):
        return None


def _check_vectors(table: pa.Table, findings: Findings) -> None:
    """Of all columns of vectors, [N, D] each."""
    for field in table.schema:
        if not pa.types.is_fixed_size_list(field.type) or not len(table):
            continue
        column = table[field.name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        bad = np.asarray(column.is_null())
        if not bad.any():
            values = column.flatten().to_numpy(zero_copy_only=False)  # [N * D], NaN where null
            bad = ~np.isfinite(values).reshape(len(table), -1).all(axis=1)
        if bad.any():
            ids = table["id"].filter(pa.array(bad))
            documents = pc.unique(ids)
            what = f"values in {field.name} that are no finite numbers"
            findings.note(what, documents[0].as_py(), len(documents))


class Documents:
    """The rows of all files of sentences. `counts` are sums over them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.ids, self.with_tokens = DigestSet(), 0
        self._lengths = DigestSet()

    def group(self, table: pa.Table, findings: Findings) -> None:
        self.counts.update({names.DOCUMENTS: len(table), **sentence_counts(table)})
        ids = table["id"].to_pylist()
        texts = (table[name].to_pylist() for name in ("text", "pair", "text_sha256"))
        for id_, text, pair, digest in zip(ids, *texts):
            if not self.ids.add(id_):
                findings.note("an id that another one has", id_)
            if text_sha256(text, pair) != digest:
                findings.note("a text_sha256 that is not that of the text", id_)
        for id_, n_tokens in zip(ids, table["n_tokens"].to_pylist()):
            if n_tokens:
                self.with_tokens += self._lengths.add(_length(id_, n_tokens))

    def end(self, findings: Findings) -> None:
        pass

    def has(self, id_: str, n_tokens: int) -> bool:
        """Whether a document of so many tokens is there."""
        return _length(id_, n_tokens) in self._lengths


def _length(id_: str, n_tokens: int) -> str:
    return f"{n_tokens} {id_}"


class Tokens:
    """The rows of all files of tokens: those of a document are together, in one file, and its
    positions are 0, 1, 2, …
    """

    def __init__(self, documents: Documents):
        self._documents, self._ids = documents, DigestSet()
        self.compare = True  # with the documents, which are all known
        self._open: tuple[str, int] | None = None  # whose rows may go on in the next group

    def group(self, table: pa.Table, findings: Findings) -> None:
        if not len(table):
            return
        column = pa.concat_arrays([pa.array([], pa.string()), *table["id"].chunks])
        runs = pc.run_end_encode(column, run_end_type=pa.int64())
        ids, ends = runs.values.to_pylist(), runs.run_ends.to_numpy()
        starts = np.concatenate([[0], ends[:-1]])
        goes_on = self._open[1] if self._open and self._open[0] == ids[0] else 0
        expected = np.arange(len(table)) - np.repeat(starts, ends - starts)
        expected[: ends[0]] += goes_on
        wrong = table["position"].to_numpy() != expected
        for id_ in pc.unique(column.filter(pa.array(wrong))).to_pylist():
            findings.note("token rows whose positions are not 0, 1, 2, …", id_)
        if not goes_on:
            self.end(findings)
        lengths = (ends - starts).tolist()
        lengths[0] += goes_on
        for id_, length in zip(ids[:-1], lengths[:-1]):
            self._done(id_, length, findings)
        self._open = (ids[-1], lengths[-1])

    def end(self, findings: Findings) -> None:
        if self._open:
            self._done(*self._open, findings)
            self._open = None

    def _done(self, id_: str, length: int, findings: Findings) -> None:
        if not self._ids.add(id_):
            findings.note("token rows in several places", id_)
        elif not self.compare:
            return
        elif id_ not in self._documents.ids:
            findings.note("token rows, and no row in sentences", id_)
        elif not self._documents.has(id_, length):
            findings.note("another number of token rows than n_tokens says", id_)

    def missing(self, sentences: str) -> str | None:
        """Which documents of a file of sentences have no token rows."""
        if len(self._ids) == self._documents.with_tokens:
            return None
        findings = Findings()
        with open_file(sentences) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(columns=["id", "n_tokens"]):
                for id_, n_tokens in zip(batch["id"].to_pylist(), batch["n_tokens"].to_pylist()):
                    if n_tokens and id_ not in self._ids:
                        findings.note("no token rows", id_)
        return next(iter(findings), None)
