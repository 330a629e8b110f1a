"""A set of strings that keeps 16 bytes of each, to tell duplicates among more ids than fit."""

from __future__ import annotations

from hashlib import blake2b

_WIDTH = 16  # bytes; two of a billion strings share a digest with a probability below 10**-20
_BUCKETS = 4096  # few enough that a small set is small, many enough that a search of one is short


class DigestSet:
    """Which strings were added, as digests in buckets of bytes: no Python object for an entry."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, text: str) -> bool:
        """Whether `text` is new; from now on it is not. Lone surrogates are allowed."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
        bucket = self._buckets[int.from_bytes(digest[:2], "little") % _BUCKETS]
        at = bucket.find(digest)
        while at % _WIDTH and at > 0:  # the end of one digest and the start of the next
            at = bucket.find(digest, at + 1)
        if at >= 0:
            return False
        bucket += digest
        self._size += 1
        return True
