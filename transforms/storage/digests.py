"""Digests: by which a text is known again, and a set of strings that keeps 16 bytes of each, to
tell duplicates among more than fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Alignment, Document, Failure

quoted = json.encoder.encode_basestring  # as JSON, without escapes beyond those that it needs
_WIDTH = 16  # bytes; two of a billion strings share a digest with a probability below 10**-20
_PACKED = 16_384  # rows
_KEY = pa.binary(_WIDTH)
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
_ENTRIES = 64  # in a bucket, on average: few to search, enough that a bucket's own size is little


def text_sha256(text: str, pair: str | None) -> str:
    """The digest of a text as it stands in its source: SHA-256 of the compact JSON `[text, pair]`,
    as hexadecimal.
    """
    return _of_text(text, pair).hexdigest()


def _of_text(text: str, pair: str | None):
    second = "null" if pair is None else quoted(pair)
    return sha256(f"[{quoted(text)},{second}]".encode("utf-8", "surrogatepass"))


def text_digests(documents: Documents) -> Sequence[bytes]:
    """`text_sha256` of each, as 32 bytes."""
    if documents.digests is not None:
        return documents.digests
    pairs = zip(documents.texts, documents.pairs)
    return [_of_text(text, pair).digest() for text, pair in pairs]


def model_text_sha256(document: Document) -> str | None:
    """The SHA-256 of what a model reads of the text; None where that is all of it."""
    return _of_model_text(document.text, document.alignment)


def _of_model_text(text: str, alignment: Alignment | None) -> str | None:
    if alignment is None or (read := alignment.apply(text)) == text:
        return None
    return sha256(read.encode("utf-8", "surrogatepass")).hexdigest()


def model_text_digests(documents: Documents) -> list[str | None]:
    """`model_text_sha256` of each."""
    return list(map(_of_model_text, documents.texts, documents.alignments))


def key_of(document: Document) -> bytes:
    """16 bytes by which a document is known that gets the same vectors: of both digests."""
    digest = _of_text(document.text, document.pair).digest()
    return _key(digest, document.text, document.alignment)


def keys_of(documents: Documents) -> list[bytes]:
    """`key_of` each."""
    return list(map(_key, text_digests(documents), documents.texts, documents.alignments))


def _key(digest: bytes, text: str, alignment: Alignment | None) -> bytes:
    key = digest[:_WIDTH]
    if alignment is None or (stripped := _of_model_text(text, alignment)) is None:
        return key
    return bytes(a ^ b for a, b in zip(key, bytes.fromhex(stripped[: 2 * _WIDTH])))


def failure_of(stage: str, document: Document, error: str, detail: str = "") -> Failure:
    """Why a document did not become a row; another of the same text will not either."""
    place = (document.id, document.source, document.source_row)
    return Failure(stage, *place, error, detail, key_of(document))


class Rows(NamedTuple):
    """Documents: the id of each, and the key of its text."""

    ids: pa.Array
    keys: np.ndarray  # [N, 2] uint64

    def where(self, mask: np.ndarray) -> Rows:
        """Those of a mask, [N] bool."""
        if mask.all():
            return self
        return Rows(self.ids.filter(pa.array(mask)), self.keys[mask])

    def packed(self) -> Iterator[bytes]:
        """As they travel, in parts of a size that is bounded."""
        for start in range(0, len(self.ids), _PACKED):
            ids = self.ids.slice(start, _PACKED)
            own = np.ascontiguousarray(self.keys[start : start + _PACKED])
            keys = pa.Array.from_buffers(_KEY, len(ids), [None, pa.py_buffer(own)])
            batch = pa.record_batch({"id": ids, "key": keys})
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema, options=_COMPRESSED) as stream:
                stream.write_batch(batch)
            yield sink.getvalue().to_pybytes()


def unpacked(parts: Iterable[bytes]) -> Rows:
    """What was packed."""
    return joined(_unpacked(part) for part in parts)


def _unpacked(part: bytes) -> Rows:
    table = pa.ipc.open_stream(part).read_all().combine_chunks()
    ids, keys = (column.combine_chunks() for column in table.columns)
    values = np.frombuffer(keys.buffers()[1], "<u8", count=2 * len(keys))
    return Rows(ids, values.reshape(-1, 2))


def joined(parts: Iterable[Rows]) -> Rows:
    """All rows of several."""
    found = list(parts)
    ids = [pa.array([], pa.string()), *(part.ids for part in found)]
    keys = [np.empty((0, 2), np.uint64), *(part.keys for part in found)]
    return Rows(pa.concat_arrays(ids), np.concatenate(keys))


def as_keys(digests: bytes) -> np.ndarray:
    """Keys of 16 bytes each, one after the other -> [N, 2] uint64."""
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


class DigestSet:
    """Which strings were added, as digests in buckets of bytes: no Python object for an entry.

    Buckets are split one at a time, in turn, as the set grows (linear hashing): so adding takes as
    long in a large set as in a small one, and no single call takes long.
    """

    def __init__(self) -> None:
        self._buckets = [bytearray()]
        self._half = 1  # the largest power of two of buckets that there are
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, text: str) -> bool:
        """Whether `text` is new; from now on it is not. Lone surrogates are allowed."""
        return self.add_digest(_short_digest(text))

    def add_each(self, texts: Sequence[str]) -> list[bool]:
        """As `add`, for many texts in their order."""
        return self.add_digests(list(map(_short_digest, texts)))

    def __contains__(self, text: str) -> bool:
        digest = _short_digest(text)
        (at,) = self._places([digest])
        return _found(self._buckets[at], digest)

    def add_digest(self, digest: bytes) -> bool:
        """As `add`, for 16 bytes that are a digest already."""
        return self.add_digests([digest])[0]

    def add_digests(self, digests: Sequence[bytes]) -> list[bool]:
        """As `add_digest`, for many digests in their order."""
        buckets, new = self._buckets, []
        for digest, place in zip(digests, self._places(digests)):
            bucket = buckets[place]
            at = bucket.find(digest)
            if at < 0 or (at % _WIDTH and not _found(bucket, digest)):
                bucket += digest
                new.append(True)
            else:
                new.append(False)
        self._size += sum(new)
        while self._size > _ENTRIES * len(self._buckets):
            self._split()
        return new

    def _places(self, digests: Sequence[bytes]) -> list[int]:
        """The bucket of each, by its last bits; one bit less where that one is not split yet."""
        at = as_keys(b"".join(digests))[:, 0] & np.uint64(2 * self._half - 1)
        whole = at >= len(self._buckets)
        at[whole] -= np.uint64(self._half)
        return at.tolist()

    def _split(self) -> None:
        """One more bucket, for half of what is in the next one that has its turn."""
        turn = len(self._buckets) - self._half
        entries = as_keys(bytes(self._buckets[turn]))
        moves = (entries[:, 0] & np.uint64(self._half)) > 0
        self._buckets[turn] = bytearray(entries[~moves].tobytes())
        self._buckets.append(bytearray(entries[moves].tobytes()))
        if len(self._buckets) == 2 * self._half:
            self._half *= 2


def _short_digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()


def _found(bucket: bytearray, digest: bytes) -> bool:
    at = bucket.find(digest)
    while at % _WIDTH and at > 0:  # the end of one digest and the start of the next
        at = bucket.find(digest, at + 1)
    return at >= 0
