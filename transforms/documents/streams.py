"""Byte streams that never hide damage: compressed files are whole, bad texts in JSON are marked.

Python's own readers are not enough: zstandard's ends a file that is cut off as if it were whole,
bz2's drops a damaged second part, and an incremental JSON parser stops at one bad byte or turns a
lone surrogate into `?`.
"""

from __future__ import annotations

import bz2
import codecs
import io
import re
import secrets
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import zstandard

from corpusvec.transforms.documents.encodings import ENOUGH, foreign, marked

_CHUNK = 1 << 16
_ZSTD_WINDOW = 1 << 31  # `zstd --long=31`, the most that the format's own program writes

# Each decompressor is for one member of a file: it has `decompress`, `eof`, `unused_data`.
_DECOMPRESSORS: Mapping[str, Callable[[], Any]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".bz2": bz2.BZ2Decompressor,
    ".zst": lambda: zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj(),
}
COMPRESSIONS = tuple(_DECOMPRESSORS)


class BrokenInput(ValueError):
    """A file that cannot be read to its end, now or later; the message names it and says what to
    do.
    """


def from_start(stream: BinaryIO, path: str) -> BinaryIO:
    """The same stream, after a look at its first bytes.

    Raises: BrokenInput for a file in another encoding than UTF-8, whose records would be rubbish.
    """
    start = stream.read(ENOUGH)
    if name := marked(start):
        raise BrokenInput(f"{path}: the file is {name}; save it as UTF-8")
    if name := foreign(start):
        raise BrokenInput(f"{path}: the file looks like {name}; save it as UTF-8")
    return prefixed(start, stream)


def prefixed(start: bytes, stream: BinaryIO) -> BinaryIO:
    """These bytes, and then those of a stream."""
    return io.BufferedReader(_Prefixed(start, stream), _CHUNK)


class _Prefixed(io.RawIOBase):
    """Some bytes, and then those of a stream."""

    def __init__(self, start: bytes, stream: BinaryIO):
        self._start, self._stream = memoryview(start), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._start:
            return self._stream.readinto(buffer)  # type: ignore[attr-defined]
        n = min(len(buffer), len(self._start))
        buffer[:n], self._start = self._start[:n], self._start[n:]
        return n

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def decompress(raw: BinaryIO, path: str) -> BinaryIO:
    """The content of `raw`, decompressed by the suffix of `path`; members may follow each other.

    Raises: BrokenInput, while reading, for a file that is cut off, empty or damaged.
    """
    for suffix, make in _DECOMPRESSORS.items():
        if path.lower().endswith(suffix):
            return io.BufferedReader(_Decompressed(raw, path, make), _CHUNK)
    return raw


class _Decompressed(io.RawIOBase):
    def __init__(self, raw: BinaryIO, path: str, make: Callable[[], Any]):
        self._raw, self._path, self._make = raw, path, make
        self._member = make()
        self._rest = b""  # read, not yet decompressed
        self._ready = memoryview(b"")  # decompressed, not yet handed out

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not (data := self._rest or self._raw.read(_CHUNK)):
                if self._member.eof:
                    return 0
                raise self._broken("the compressed file is cut off")
            self._ready = memoryview(self._decompress(data))
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _decompress(self, data: bytes) -> bytes:
        """What `data` holds of the current member; what follows it is kept for the next call."""
        self._rest = b""
        if self._member.eof:
            data = data.lstrip(b"\0")  # padding, as tape archives have it
            if not data:
                return b""
            self._member = self._make()
        try:
            content = self._member.decompress(data)
        except (zlib.error, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
            raise self._broken(f"the compressed file is damaged ({error})") from error
        self._rest = self._member.unused_data if self._member.eof else b""
        return content

    def _broken(self, what: str) -> BrokenInput:
        return BrokenInput(f"{self._path}: {what}; fetch it again or leave it out of --input")

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


_ESCAPE = re.compile(
    r"\\(?:\\"
    r"|(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<cut>(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?"
    r"|u[0-9a-fA-F]{0,3})?\Z)"  # too short to be judged
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    "|(?P<torn>(?:u[0-9a-fA-F]{0,3})?)(?=[\udc80-\udcff]))"  # goes on with bytes that are not UTF-8
)
_UNDECODED = re.compile("[\udc80-\udcff]+")
_MOST_DIGITS = 4300  # that Python makes a number of; ijson 3.6 ends the process at one more
_LONG = re.compile(rf"[0-9]{{{_MOST_DIGITS + 1},}}")
_STEP = _MOST_DIGITS // 2
_PART_OF_LONG = re.compile(rf"[0-9]{{{_STEP}}}")


def _opens(text: str) -> bool:
    """Whether JSON that begins outside of a string ends inside of one."""
    return text.replace(r"\\", "").replace(r"\"", "").count('"') % 2 == 1


def _long_numbers(text: str) -> list[int]:
    """Where runs of too many digits begin. Each has one of the places that are looked at in its
    first half: to look at every character takes longer than to parse them.
    """
    if not any(_PART_OF_LONG.match(text, at) for at in range(0, len(text), _STEP)):
        return []
    return [match.start() for match in _LONG.finditer(text)]


class MendedJson:
    """A JSON byte stream that a parser reads to its end: what is no text is replaced by marks.

    `bad_bytes` stands where bytes are not UTF-8, `bad_escape` where an escaped surrogate has no
    partner. Both are drawn for each stream, so no text holds them by chance. A byte-order mark
    is dropped.
    """

    def __init__(self, stream: BinaryIO):
        self.mark = f"\ufdd0{secrets.token_hex(8)}"
        self.bad_bytes, self.bad_escape = f"{self.mark}b", f"{self.mark}e"
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._carry = ""  # the start of an escape whose end is in the next chunk
        self._digits, self._in_text = 0, False  # at the end of what was read
        self._started = self._ended = False

    def readable(self, text: str) -> str:
        """A parsed text for ids and messages: U+FFFD where it has marks."""
        return text.replace(self.bad_bytes, "\ufffd").replace(self.bad_escape, "\ufffd")

    def read(self, size: int = _CHUNK) -> bytes:
        """About `size` bytes, none only at the end. Raises: ValueError for a number that is too
        long.
        """
        if size == 0:
            return b""
        while not self._ended:
            data = self._stream.read(size if size > 0 else _CHUNK)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
            if text and not self._started:
                self._started, text = True, text.removeprefix("\ufeff")
            if mended := self._mend(self._carry + text):
                self._check_numbers(mended)
                return mended.encode()
        return b""

    def _mend(self, text: str) -> str:
        self._carry = ""
        text = _ESCAPE.sub(self._escape, text)
        return text if text.isascii() else _UNDECODED.sub(self.bad_bytes, text)

    def _check_numbers(self, text: str) -> None:
        """Of digits in texts there may be any number."""
        first = len(text) - len(text.lstrip("0123456789"))
        starts = _long_numbers(text)
        if self._digits + first > _MOST_DIGITS:
            starts = [0, *starts]
        if any(self._in_text == _opens(text[:start]) for start in starts):
            raise ValueError(f"a number has more than {_MOST_DIGITS:,} digits")
        last = len(text) - len(text.rstrip("0123456789"))
        self._digits = last + (self._digits if last == len(text) else 0)
        self._in_text ^= _opens(text)

    def _escape(self, match: re.Match[str]) -> str:
        if match["lone"]:
            return self.bad_escape
        if match["torn"] is not None:
            return ""
        if match["cut"] is None:
            return match[0]
        if (
            self._ended
        ):  # nothing follows: only a whole surrogate is alone, the rest is the parser's to judge
            return self.bad_escape + match[0][6:] if len(match[0]) >= 6 else match[0]
        self._carry = match[0]
        return ""
