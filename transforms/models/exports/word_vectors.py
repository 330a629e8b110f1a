"""Text files of word vectors, in word2vec's form (a first line `COUNT DIMENSIONS`) or GloVe's
(none).

A line is a word and its numbers, with single spaces between. A word may hold spaces, as some of
GloVe's 840B do: the numbers are counted from the right.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from corpusvec.transforms.models.exports import repeatable
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.storage.lfs_pointers import POINTER, is_pointer

_HEADER = re.compile(rb"\d+ \d+ ?")
_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 1 << 20  # bytes


VOCABULARY = "tokens.txt"


@dataclass(slots=True)
class WordVectors:
    """What `spool` found: `words` in order, each once, and how many lines repeated one."""

    words: int
    dimensions: int
    repeated: int


def spool(source: Path, vocabulary: Path, table: Path) -> WordVectors:
    """Write the words of `source`, a line each, to `vocabulary`, and their vectors [N, D] float32
    to `table`, as a bare array. Of words that stand twice, the first counts.

    Raises `ValueError` naming the line that is wrong and the reason.
    """
    known: set[bytes] = set()
    repeated = 0
    with vocabulary.open("wb") as words, table.open("wb") as vectors:
        lines = _Lines(source)
        for word, numbers in lines:
            if word in known:
                repeated += 1
                continue
            known.add(word)
            words.write(word + b"\n")
            vectors.write(numbers.tobytes())
    return WordVectors(len(known), lines.dimensions, repeated)


class _Lines:
    """Words and vectors [D] float32 of a file."""

    def __init__(self, source: Path):
        self._source = source
        self.dimensions = 0

    def __iter__(self) -> Iterator[tuple[bytes, np.ndarray]]:
        with self._source.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
            try:
                yield from self._of(stream)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"{self._source}: is no whole gzip file ({error})") from error

    def _of(self, stream: IO[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        first = stream.readline(_LONGEST_LINE).removeprefix(_MARK)
        if is_pointer(first):
            raise ValueError(f"{self._source}: {POINTER}")
        expected, number = None, 0
        if _HEADER.fullmatch(first.rstrip(b"\r\n")):
            expected, self.dimensions = map(int, first.split())
            self._check(self.dimensions > 0, 1, "says that vectors have no dimension")
            first, number = stream.readline(_LONGEST_LINE), 1
        found, line = 0, first
        while line:
            number += 1
            following = stream.readline(_LONGEST_LINE)
            if found and not following and not line.strip():
                break  # an editor's last line
            yield self._parsed(line, number)
            found += 1
            line = following
        if found == 0:
            raise ValueError(f"{self._source}: holds no word vector")
        if expected not in (None, found):
            raise ValueError(
                f"{self._source}: holds {found} lines of vectors, its first line says {expected};"
                " is it cut off?"
            )

    def _parsed(self, line: bytes, number: int) -> tuple[bytes, np.ndarray]:
        text = line.rstrip(b"\r\n").removesuffix(b" ")
        self.dimensions = self.dimensions or text.count(b" ")
        word, *numbers = text.rsplit(b" ", self.dimensions)
        self._check(
            0 < self.dimensions == len(numbers),
            number,
            f"is {_shown(text)}; expected a word and {self.dimensions or 'its'} numbers",
        )
        self._check(word != b"", number, "has no word before its numbers")
        self._check(b"\r" not in word, number, "has a carriage return in its word")
        try:
            word.decode()
        except UnicodeDecodeError as error:
            raise self._wrong(number, f"is not UTF-8 ({error})") from error
        try:
            vector = np.array(numbers).astype(np.float32)
        except ValueError:
            wrong = next(value for value in numbers if not _is_number(value))
            reason = f"has {_shown(wrong)}; expected a number"
            raise self._wrong(number, reason) from None
        self._check(bool(np.isfinite(vector).all()), number, "has a value that is not finite")
        return word, vector

    def _check(self, right: bool, number: int, reason: str) -> None:
        if not right:
            raise self._wrong(number, reason)

    def _wrong(self, number: int, reason: str) -> ValueError:
        doubt = "; is it a text file of word vectors?" if number <= 2 else ""
        return ValueError(f"{self._source}: line {number} {reason}{doubt}")


def _is_number(value: bytes) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _shown(value: bytes) -> str:
    text = value.decode(errors="replace")
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def save_lookup(source: Path, oov_buckets: int, folder: Path) -> WordVectors:
    """Write a SavedModel: `__call__(tokens [N])` -> [N, D], and a signature `default`.

    A token that is not in the file has the row of one of `oov_buckets` behind the table's own, by
    its hash. Those rows are zero, as the original's, and trained as all others. Raises `ValueError`
    where the file is wrong.
    """
    # Beside the target: a table may be larger than the system's folder for temporary files.
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        vocabulary, rows = Path(place, VOCABULARY), Path(place, "rows")
        found = spool(source, vocabulary, rows)
        with rows.open("ab") as stream:
            stream.write(bytes(4 * found.dimensions * oov_buckets))
        shape = (found.words + oov_buckets, found.dimensions)
        table = tf.Variable(np.memmap(rows, np.float32, "r", shape=shape), name="embeddings")
        model = _lookup(table, vocabulary, oov_buckets)
        repeatable.save(model, folder, {"default": model.serve})
    return found


def _lookup(table: tf.Variable, vocabulary: Path, oov_buckets: int) -> tf.train.Checkpoint:
    numbers = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        oov_buckets,
    )
    signature = [tf.TensorSpec([None], tf.string, "tokens")]

    def call(tokens):
        return tf.gather(table, numbers.lookup(tokens))

    model = tf.train.Checkpoint()
    model.numbers = numbers
    model.variables = model.trainable_variables = [table]
    model.regularization_losses = []
    model.__call__ = tf.function(call, input_signature=signature, autograph=False)
    model.serve = tf.function(
        lambda tokens: {"default": call(tokens)}, input_signature=signature, autograph=False
    )
    return model
