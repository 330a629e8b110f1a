"""A set of strings that keeps 16 bytes of each, to tell duplicates among more ids than fit."""

from __future__ import annotations

from hashlib import blake2b

_WIDTH = 16  # bytes; two of a billion strings share a digest with a probability below 10**-20
_ENTRIES = 64  # in a bucket, on average: few to search, enough that a bucket's own size is little


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
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
        bucket = self._bucket(digest)
        at = bucket.find(digest)
        while at % _WIDTH and at > 0:  # the end of one digest and the start of the next
            at = bucket.find(digest, at + 1)
        if at >= 0:
            return False
        bucket += digest
        self._size += 1
        if self._size > _ENTRIES * len(self._buckets):
            self._split()
        return True

    def _bucket(self, digest: bytes) -> bytearray:
        """Where a digest is, by its last bits; one bit less where that bucket is not split yet."""
        at = int.from_bytes(digest[:8], "little") & (2 * self._half - 1)
        return self._buckets[at if at < len(self._buckets) else at - self._half]

    def _split(self) -> None:
        """One more bucket, for half of what is in the next one that has its turn."""
        turn = len(self._buckets) - self._half
        entries, self._buckets[turn] = self._buckets[turn], bytearray()
        self._buckets.append(bytearray())
        for at in range(0, len(entries), _WIDTH):
            digest = bytes(entries[at : at + _WIDTH])
            self._bucket(digest).extend(digest)
        if len(self._buckets) == 2 * self._half:
            self._half *= 2
