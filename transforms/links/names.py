"""Which of many names stand in a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpusvec.transforms.links.lexical import normalized

SHORTEST = 3  # characters of a name that counts


class Names:
    """Names by their first characters, so that a text is read once for all of them; width and case
    do not count. A name is found within words, too: Japanese has no spaces.
    """

    def __init__(self, names: Sequence[str]):
        self.names = [normalized(name) for name in names]
        self._numbers: dict[str, list[int]] = {}
        self._lengths: dict[str, list[int]] = {}  # of names that begin alike
        for number, name in enumerate(self.names):
            if len(name) >= SHORTEST:
                self._numbers.setdefault(name, []).append(number)
                lengths = self._lengths.setdefault(name[:SHORTEST], [])
                if len(name) not in lengths:
                    lengths.append(len(name))

    def within(self, text: str) -> np.ndarray:
        """The numbers of the names that stand in a text, ascending."""
        read, lengths, numbers = normalized(text), self._lengths, self._numbers
        found: set[int] = set()
        for at in range(len(read) - SHORTEST + 1):
            for length in lengths.get(read[at : at + SHORTEST], ()):
                found.update(numbers.get(read[at : at + length], ()))
        return np.array(sorted(found), np.int64)
