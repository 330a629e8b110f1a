"""Rows of earlier snapshots: where the vectors of a text lie already.

A text is known again by its key, see `digests`. An `EarlierRows` keeps 36 bytes a row.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusvec.transforms.elements import DamagedFile, Place, WrittenFile
from corpusvec.transforms.snapshots.schemas import SENTENCES, TOKENS
from corpusvec.transforms.storage.digests import Rows, as_keys, joined
from corpusvec.transforms.storage.file_digests import sha256
from corpusvec.transforms.storage.files import open_file
from corpusvec.transforms.storage.stores import damage

_HEX = 64  # digits of a SHA-256
_AT_ONCE = 8_192  # rows that are read, whose digests are nine times as long as their keys


@dataclass(frozen=True, slots=True)
class Earlier:
    """Files with rows to reuse, all of one fingerprint: of a snapshot, or of an attempt. Those of
    this very run are `fresh`, and are not checked.
    """

    folder: str
    files: tuple[WrittenFile, ...]
    fresh: bool = False

    def of(self, table: str) -> list[EarlierFile]:
        """The files of a table."""
        return [
            EarlierFile(self.folder, file, self.fresh) for file in self.files if file.table == table
        ]


class EarlierFile(NamedTuple):
    """One of them."""

    folder: str
    file: WrittenFile
    fresh: bool

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.file.path}"


class Damaged(Exception):
    """A file that is not as its report says; the message is a sentence for the user."""

    def __init__(self, path: str, what: str):
        super().__init__(f"{path}: {what}")
        self.file = DamagedFile(path, what)


class Runs(NamedTuple):
    """Documents in a file of tokens: the id of each, its first row and how many there are."""

    ids: pa.Array
    starts: np.ndarray  # [N] int64
    lengths: np.ndarray  # [N] int64


def check_file(file: EarlierFile) -> None:
    """Raises `Damaged` where a file that is not of this run is gone, or its bytes are others than
    were written; `Outage` or `ValueError` where its disk or store does not serve.
    """
    if file.fresh:
        return
    path = file.path
    try:
        digest = sha256(path)
    except Exception as error:  # each file system has its own
        raise Damaged(path, f"cannot be read ({damage(path, error)})") from error
    if digest != file.file.digest:
        raise Damaged(path, "is not the file that was written (its digest is another)")


def sentence_rows(file: EarlierFile) -> Rows:
    """Which texts a file of sentences has. Raises `Damaged`."""
    check_file(file)
    names = ["id", "text_sha256", "model_text_sha256"]
    with open_file(file.path) as stream:
        batches = pq.ParquetFile(stream).iter_batches(_AT_ONCE, columns=names, use_threads=False)
        return joined(map(_known, batches))


def ids_of(file: EarlierFile) -> pa.ChunkedArray:
    """The documents of a file of sentences of this run."""
    with open_file(file.path) as stream:
        return pq.ParquetFile(stream).read(["id"], use_threads=False)["id"]


def _known(rows: pa.RecordBatch) -> Rows:
    keys = _halves(rows["text_sha256"])
    stripped = rows["model_text_sha256"]
    if stripped.null_count < len(rows):
        keys = keys ^ _halves(stripped.fill_null("0" * _HEX))
    return Rows(rows["id"], keys)


def _halves(digests: pa.Array) -> np.ndarray:
    """[N] hexadecimal digests -> the first 16 bytes of each, [N, 2] uint64."""
    fixed = digests.cast(pa.binary()).cast(pa.binary(_HEX))
    digits = np.frombuffer(fixed.buffers()[1], np.uint8, _HEX * len(fixed)).reshape(-1, _HEX)
    return as_keys(binascii.unhexlify(digits[:, : _HEX // 2].tobytes()))


def token_runs(file: EarlierFile) -> Runs:
    """Which documents a file of tokens has. Raises `Damaged`."""
    check_file(file)
    ids: list[pa.Array] = []
    ends: list[np.ndarray] = []
    row = 0
    with open_file(file.path) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(columns=["id"]):
            runs = pc.run_end_encode(batch["id"], run_end_type=pa.int64())
            ids.append(runs.values)
            ends.append(runs.run_ends.to_numpy() + row)
            row += len(batch)
    return _joined(pa.concat_arrays(ids), np.concatenate(ends))


def _joined(ids: pa.Array, ends: np.ndarray) -> Runs:
    """Runs of batches -> of documents: one may go on in the next batch."""
    last = np.append(pc.not_equal(ids[:-1], ids[1:]).to_numpy(zero_copy_only=False), True)
    ends = ends[last]
    starts = np.concatenate([[0], ends[:-1]])
    return Runs(ids.filter(pa.array(last)), starts, ends - starts)


def is_of(earlier: Earlier, file: DamagedFile) -> bool:
    """Whether a damaged file is one of these."""
    return file.path.startswith(f"{earlier.folder}/")


class EarlierRows:
    """Where the rows of texts lie, by their keys."""

    def __init__(self, earlier: Sequence[Earlier], tokens: bool, spare: Sequence[Earlier] = ()):
        """`tokens`: only those whose token vectors are there too. `damaged` is what was left out.

        If a damaged file belongs to the first of `earlier`, the snapshot before, texts that are in
        no other file are also looked up in `spare`, in its order. It is read only then.
        """
        self.damaged: list[DamagedFile] = []
        self._files: list[str] = []
        self._token_files: list[str] = [""]
        self._tokens = tokens
        self._keys, self._where = self._sorted(earlier)
        self._spare = list(spare) if any(is_of(earlier[0], one) for one in self.damaged) else []

    def _take(self, one: Earlier) -> None:
        """What is in one more snapshot and nowhere else."""
        keys, where = self._sorted([one])
        new = ~np.isin(keys[:, 0], self._keys[:, 0])
        keys = np.concatenate([self._keys, keys[new]])
        where = np.concatenate([self._where, where[new]])
        order = np.argsort(keys[:, 0], kind="stable")
        self._keys, self._where = keys[order], where[order]

    def _sorted(self, earlier: Sequence[Earlier]) -> tuple[np.ndarray, np.ndarray]:
        """Keys and places of all files, in the order of the keys' first halves."""
        most = sum(file.file.rows for one in earlier for file in one.of(SENTENCES))
        keys, where, n = np.empty((most, 2), np.uint64), np.empty((most, 5), np.int32), 0
        for one in earlier:
            for some_keys, places in self._parts(one):
                there = slice(n, n := n + len(places))
                keys[there], where[there] = some_keys, places
        order = np.argsort(keys[:n, 0], kind="stable")  # of equal texts the first
        return keys[order], where[order]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """[N, 2] uint64 -> which rows have the text, [N] int64 for `places`; -1 where none has.
        They are good until the next call.
        """
        places = self._find(keys)
        while self._spare and (places < 0).any():
            self._take(self._spare.pop(0))
            places = self._find(keys)
        return places

    def _find(self, keys: np.ndarray) -> np.ndarray:
        known = self._keys
        if not len(known):
            return np.full(len(keys), -1)
        at = np.searchsorted(known[:, 0], keys[:, 0])
        while True:
            there = np.minimum(at, len(known) - 1)
            alike = (known[there, 0] == keys[:, 0]) & (at < len(known))
            other = alike & (known[there, 1] != keys[:, 1])
            if not other.any():
                return np.where(alike, at, -1)
            at[other] += 1  # half of a key may be that of another

    def places(self, at: np.ndarray) -> pa.Table:
        """Where rows are, and their tokens: the `Place` of each."""
        file, row, tokens_file, *tokens = self._where[at].T
        files = pa.DictionaryArray.from_arrays(file, self._files)
        token_files = pa.array(self._token_files).take(pa.array(tokens_file))
        numbers = (pa.array(column.astype(np.int64)) for column in tokens)
        columns = (files, pa.array(row.astype(np.int64)), token_files, *numbers)
        return pa.table(list(columns), names=Place._fields)

    def _parts(self, earlier: Earlier) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Keys [N, 2] and places [N, 5] of each file of sentences."""
        runs = self._runs(earlier) if self._tokens else None
        for file in earlier.of(SENTENCES):
            try:
                rows = sentence_rows(file)
            except Damaged as error:
                self.damaged.append(error.file)
                continue
            where = np.zeros((len(rows.ids), 5), np.int32)  # files have fewer rows than 2**31
            where[:, 0], where[:, 1] = len(self._files), np.arange(len(rows.ids))
            self._files.append(file.path)
            if runs is None:
                yield rows.keys, where
                continue
            ids, places = runs
            found = pc.index_in(rows.ids, ids)
            there = pc.is_valid(found).to_numpy(zero_copy_only=False)
            where[there, 2:] = places[found.drop_null().to_numpy()]
            yield rows.keys[there], where[there]

    def _runs(self, earlier: Earlier) -> tuple[pa.Array, np.ndarray]:
        """The ids of documents that have tokens, and for each its file, first row and length."""
        ids, places = [pa.array([], pa.string())], [np.empty((0, 3), np.int64)]
        for file in earlier.of(TOKENS):
            try:
                runs = token_runs(file)
            except Damaged as error:
                self.damaged.append(error.file)
                continue
            files = np.full(len(runs.ids), len(self._token_files))
            self._token_files.append(file.path)
            ids.append(runs.ids)
            places.append(np.stack([files, runs.starts, runs.lengths], axis=1))
        return pa.concat_arrays(ids), np.concatenate(places)
