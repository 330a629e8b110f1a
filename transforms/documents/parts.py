"""Large files in parts that different workers read: blocks of lines, row groups of Parquet.

Ids hold line numbers, so the lines of each block are counted first, by any worker, and blocks are
numbered from the counts. What is compressed, an export or a note is one part. So is a CSV file in
which a line has an odd number of quotes: a value of it may hold a line end.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from corpusvec.transforms.documents.encodings import marked
from corpusvec.transforms.documents.formats import FORMATS, Reading, format_of, uncompressed
from corpusvec.transforms.documents.inputs import InputFile, open_input
from corpusvec.transforms.documents.streams import prefixed

BLOCK = 64 << 20  # bytes
_CHUNK = 1 << 20
_NEWLINE, _QUOTE = b'\n"'


@dataclass(frozen=True, slots=True)
class Part:
    """Some records of a file: those of the lines that begin in the bytes `start` to `stop`, or of
    the row groups from `start` to `stop`; all where there is no `stop`. `skipped` lines or rows of
    the file come before them.
    """

    file: InputFile
    start: int = 0
    stop: int | None = None
    skipped: int = 0

    def open(self, reading: Reading, on_bytes: Callable[[int], None]) -> BinaryIO:
        """The bytes that its reader reads."""
        by = _splits(self.file, reading)
        if self.stop is None or by == "groups":
            return open_input(self.file.opened, on_bytes)
        block = _open_block(self.file.opened, self.start, self.stop, on_bytes)
        if by != "rows" or not self.start:
            return block
        with closing(open_input(self.file.opened)) as stream:
            return prefixed(stream.readline(), block)

    def told(self, reading: Reading) -> dict[str, object]:
        """What its reader must know."""
        by = _splits(self.file, reading)
        if self.stop is None or not by:
            return {}
        if by == "groups":
            return {"groups": range(self.start, self.stop), "skipped": self.skipped}
        # The header is read once more.
        return {"skipped": self.skipped - 1 if by == "rows" and self.start else self.skipped}


class Counted(NamedTuple):
    """What a block holds from the byte before its first one on: line ends; quotes, where they
    matter; and whether before some line end there is an even, an odd number of these.
    """

    part: Part
    lines: int = 0
    quotes: int = 0
    even: bool = False
    odd: bool = False


def blocks_of(file: InputFile, reading: Reading) -> list[Part]:
    """The blocks of a file whose lines must be counted; none where it is not cut."""
    if _splits(file, reading) not in ("lines", "rows") or file.size <= BLOCK:
        return []
    with closing(open_input(file.opened)) as stream:
        if marked(stream.read(4)):
            return []
    starts = range(0, file.size, BLOCK)
    return [Part(file, start, min(start + BLOCK, file.size)) for start in starts]


def groups_of(file: InputFile, reading: Reading) -> list[Part]:
    """The row groups of a Parquet file, as many together as make a block; none for what is none."""
    if _splits(file, reading) != "groups" or file.size <= BLOCK:
        return []
    from corpusvec.transforms.documents.parquet_files import group_sizes

    parts, size, rows, start, skipped = [], 0, 0, 0, 0
    with closing(open_input(file.opened)) as stream:
        sizes = group_sizes(stream, file.path)
    for group, (n, n_bytes) in enumerate(sizes, 1):
        size, rows = size + n_bytes, rows + n
        if size >= BLOCK or group == len(sizes):
            parts.append(Part(file, start, group, skipped))
            size, start, skipped = 0, group, rows
    return parts


def count_lines(part: Part, reading: Reading) -> Counted:
    """Reads a block for its line ends and quotes."""
    at, stop = max(part.start - 1, 0), (part.stop or 0) - 1
    counted, quoted = Counted(part), _splits(part.file, reading) == "rows"
    with closing(open_input(part.file.opened, start=at)) as stream:
        while at < stop and (data := stream.read(min(_CHUNK, stop - at))):
            at += len(data)
            counted = counted._replace(lines=counted.lines + data.count(b"\n"))
            if quoted:
                counted = _with_quotes(counted, np.frombuffer(data, np.uint8))
    return counted


def _with_quotes(counted: Counted, data: np.ndarray) -> Counted:
    quotes = counted.quotes + np.cumsum(data == _QUOTE)
    odd = quotes[data == _NEWLINE] % 2
    return counted._replace(
        quotes=int(quotes[-1]),
        even=counted.even or bool((odd == 0).any()),
        odd=counted.odd or bool(odd.any()),
    )


def numbered(counted: Iterable[Counted], reading: Reading) -> Iterator[Part]:
    """The blocks of one file, each with the lines before it; or the file as one part."""
    blocks = sorted(counted, key=lambda block: block.part.start)
    file = blocks[0].part.file
    quotes, parts, lines = 0, [], 0
    for block in blocks:
        if _splits(file, reading) == "rows" and (block.even if quotes % 2 else block.odd):
            return iter([Part(file)])
        # Its first line begins behind the first line end of its bytes.
        parts.append(replace(block.part, skipped=lines + 1 if block.part.start else 0))
        lines, quotes = lines + block.lines, quotes + block.quotes
    return iter(parts)


def _splits(file: InputFile, reading: Reading) -> str:
    path = file.path.lower()
    if uncompressed(path) != path:
        return ""
    return FORMATS[format_of(path, reading.input_format)].splits


def _open_block(path: str, start: int, stop: int, on_bytes: Callable[[int], None]) -> BinaryIO:
    stream = open_input(path, on_bytes, start=max(start - 1, 0))
    at = start and start - 1 + len(stream.readline())
    return io.BufferedReader(_Block(stream, stop - 1 - at))


class _Block(io.RawIOBase):
    """So many bytes of a stream, and what is left of the line in which they end; nothing where that
    began before them.
    """

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._left, self._ended = stream, size, size < 0
        self._line = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._left > 0:
            data = self._stream.read(min(len(buffer), self._left))
            self._left = self._left - len(data) if data else 0
            buffer[: len(data)] = data
            return len(data)
        if not self._ended:
            self._line, self._ended = memoryview(self._stream.readline()), True
        n = min(len(buffer), len(self._line))
        buffer[:n], self._line = self._line[:n], self._line[n:]
        return n

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
