"""Texts of known lengths, made of a vocabulary's own words: each is one token, so that a text and
the window that it becomes are known beforehand, and everything that is measured encodes the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SHORTEST, _LONGEST = 4, 256  # tokens, [CLS] and [SEP] included
_DEVIATION = 0.6  # of the lengths' logarithms, as in notes and web pages


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts, and of each the ids of its window."""

    lines: Sequence[str]
    windows: Sequence[Sequence[int]]

    @property
    def tokens(self) -> int:
        """[CLS] and [SEP] included."""
        return sum(map(len, self.windows))

    def write_lines(self, path: Path) -> Path:
        """One text a line."""
        path.write_text("".join(f"{line}\n" for line in self.lines), "utf-8")
        return path

    def write_windows(self, path: Path) -> Path:
        """A JSON list of lists of ids."""
        path.write_text(json.dumps(self.windows), "utf-8")
        return path


def lengths(count: int, mean: float, seed: int = 1) -> np.ndarray:
    """[count] int64, lognormal, 4 to 256 each."""
    middle = np.log(mean) - _DEVIATION**2 / 2  # the mean is then `mean`
    drawn = np.random.default_rng(seed).lognormal(middle, _DEVIATION, count)
    return np.clip(drawn.round(), _SHORTEST, _LONGEST).astype(int)


def make(model: str, count: int, mean: float = 48, seed: int = 1) -> Corpus:
    """`count` texts for the model in a folder, `mean` tokens long on average; the same for the same
    arguments.
    """
    vocabulary = _vocabulary(Path(model))
    cls, sep = vocabulary["[CLS]"], vocabulary["[SEP]"]
    words = [word for word in vocabulary if word.isascii() and word.isalpha() and word.islower()]
    chance = np.random.default_rng(seed)
    lines, windows = [], []
    for length in lengths(count, mean, seed):
        chosen = [words[number] for number in chance.integers(len(words), size=length - 2)]
        lines.append(" ".join(chosen))
        windows.append([cls, *(vocabulary[word] for word in chosen), sep])
    return Corpus(lines, windows)


def _vocabulary(folder: Path) -> dict[str, int]:
    """Ids by token, of a WordPiece model. Raises `ValueError` where it is none."""
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")
        return {line: number for number, line in enumerate(lines)}
    file = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if file["model"].get("type", "WordPiece") != "WordPiece":
        raise ValueError(f"{folder}: texts are made of WordPiece's words, and it has no WordPiece")
    return file["model"]["vocab"]
