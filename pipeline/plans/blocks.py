"""The input in small blocks from all over its files: what a sample is made of.

Lines are read from the middle of a file too. An export, and what is compressed, can only be read
from its start on: of such a file each block is the one behind the last.
"""

from __future__ import annotations

import io
import itertools
import random
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from corpusvec.transforms.columns import Records
from corpusvec.transforms.documents.formats import (
    FORMATS,
    Reading,
    format_of,
    reader_for,
    uncompressed,
)
from corpusvec.transforms.documents.inputs import InputFile, open_input
from corpusvec.transforms.elements import Record

BLOCK = 1 << 16  # bytes
_MOST_BLOCKS = 4096  # more say no more


class Part(NamedTuple):
    """What so many bytes of the input hold."""

    bytes: int
    records: list[Record]


@dataclass(frozen=True, slots=True)
class Source:
    """Input files, and how they are read."""

    files: Sequence[InputFile]
    reading: Reading

    def parts(self, in_order: bool = False) -> Generator[Part, None, None]:
        """Blocks by chance, the same each time, or in order; all of them where there are few, each
        once. Raises `BrokenInput` where a file cannot be read.
        """
        readers = [self._reader(file) for file in self.files]
        ends = list(itertools.accumulate(reader.blocks for reader in readers))
        numbers: Iterable[int] = range(ends[-1])
        if not in_order:
            numbers = random.Random(0).sample(range(ends[-1]), min(ends[-1], _MOST_BLOCKS))
        try:
            for number in numbers:
                which = bisect_right(ends, number)
                reader = readers[which]
                yield reader.part(number - (ends[which] - reader.blocks))
        finally:
            for reader in readers:
                reader.close()

    def _reader(self, file: InputFile) -> _Lines | _FromStart:
        read = reader_for(file.path, self.reading)

        def records(open_: Callable[[], BinaryIO], name: str) -> Iterator[Records]:
            return read(open_, file.path, name)

        kind = _FromStart if only_from_start(file, self.reading.input_format) else _Lines
        return kind(file, records)


def only_from_start(file: InputFile, input_format: str) -> bool:
    """Whether its middle cannot be read without what is before it."""
    path = file.path.lower()
    return uncompressed(path) != path or FORMATS[format_of(path, input_format)].splits != "lines"


_Records = Callable[[Callable[[], BinaryIO], str], Iterator[Records]]


def _blocks(file: InputFile) -> int:
    return max(1, -(-file.size // BLOCK))  # what is wrong with an empty file is found by reading it


class _Lines:
    """A file of lines: a block has those that begin in it."""

    def __init__(self, file: InputFile, records: _Records):
        self._file, self._records, self.blocks = file, records, _blocks(file)

    def part(self, number: int) -> Part:
        start, size = number * BLOCK, self._file.size
        # Ids of lines hold their numbers, which nobody knows in the middle.
        name = f"{self._file.name}:{start}" if start else self._file.name
        lines = self._lines(start)
        records = itertools.chain.from_iterable(self._records(lambda: io.BytesIO(lines), name))
        return Part(min(BLOCK, size - start), list(records))

    def close(self) -> None:
        """Nothing is open between blocks."""

    def _lines(self, start: int) -> bytes:
        before = min(start, 1)  # a line that ends just there is another block's
        with closing(open_input(self._file.opened, start=start - before, buffer=BLOCK)) as stream:
            at = start - before + (len(stream.readline()) if before else 0)
            lines = []
            while at < start + BLOCK and (line := stream.readline()):
                lines.append(line)
                at += len(line)
        return b"".join(lines)


class _FromStart:
    """A file that must be read from its start on. A block's records are those that come before more
    bytes than the block's are asked for.
    """

    def __init__(self, file: InputFile, records: _Records):
        self._file, self.blocks, self._visits = file, _blocks(file), 0
        self._records = records(self._open, file.name)
        self._carried: list[Record] = []  # came with bytes of the next block
        self._asked = self._told = 0  # bytes

    def part(self, number: int) -> Part:
        self._visits += 1
        records, self._carried, end = self._carried, [], self._asked
        for some in self._records:
            if end and self._asked > end and self._visits < self.blocks:
                self._carried = list(some)
                return self._up_to(end, records)
            records += some
            end = end or self._asked
        return self._up_to(self._file.size, records)

    def close(self) -> None:
        self._records.close()  # type: ignore[attr-defined]

    def _up_to(self, end: int, records: list[Record]) -> Part:
        told, self._told = self._told, end
        return Part(end - told, records)

    def _open(self) -> BinaryIO:
        self._asked = 0  # exports are opened for their heads first

        def on_bytes(n: int) -> None:
            self._asked += n

        return open_input(self._file.opened, on_bytes, buffer=BLOCK)
