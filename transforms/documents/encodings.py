"""Which encoding a file that is not UTF-8 is in, as far as its first bytes tell.

A file is refused only for what most of its lines say: one odd byte in a corpus is one rejected
record. UTF-16 cannot be told from ASCII where a file has neither a byte-order mark nor a NUL.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

ENOUGH = 1 << 16  # bytes of a file that are looked at
# UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ESCAPES: Mapping[str, re.Pattern[bytes]] = MappingProxyType(
    {
        "ISO-2022-JP": re.compile(rb"\x1b(?:\$[@B]|\$\(D|\(I)"),
        "ISO-2022-KR": re.compile(rb"\x1b\$\)C"),
        "ISO-2022-CN": re.compile(rb"\x1b\$\)[AG]"),
    }
)
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_FEWEST_KANA = 2
_UNASSIGNED = "\U00040000"  # nothing from here on is a character of any language
_LEGACY = {"Shift_JIS": "cp932", "EUC-JP": "euc_jp"}  # Windows' Shift_JIS has more characters


def marked(start: bytes) -> str:
    """The encoding that a byte-order mark names; empty for UTF-8 and for none."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "")


def foreign(start: bytes) -> str:
    """The encoding that the first bytes of a file, up to `ENOUGH`, look like; empty for UTF-8, and
    where nothing tells.
    """
    if b"\0" in start:
        return _wide(start)
    if b"\x1b" in start:
        for name, escape in _ESCAPES.items():
            if _most_lines(start, escape.search):
                return name
    return "" if start.isascii() else _legacy(start)


def undecoded(line: bytes) -> str:
    """Why a line of bytes is no text though it is UTF-8, in words; empty where it is one.

    Escape sequences of terminals, as colours in a log, are text.
    """
    if b"\0" in line:
        at = line.index(b"\0") + 1
        return f"the line has a NUL (byte 0x00 at {at}), as UTF-16 and damaged files have"
    if b"\x1b" in line:
        for name, escape in _ESCAPES.items():
            if found := escape.search(line):
                return f"the line looks like {name} (an escape sequence at {found.start() + 1})"
    return ""


def legacy_of(line: bytes) -> str:
    """The Japanese encoding that a line which is not UTF-8 looks like; empty where none."""
    for name, codec in _LEGACY.items():
        try:
            text = line.decode(codec)
        except UnicodeDecodeError:
            continue
        kana = len(_KANA.findall(text))
        if kana >= _FEWEST_KANA and 5 * kana >= sum(not c.isascii() for c in text):
            return name
    return ""


def _wide(start: bytes) -> str:
    """UTF-16 or UTF-32 by the places of NULs: beside most ends of lines, or after most letters."""
    whole = len(start) < ENOUGH
    if not (whole and len(start) % 4):
        for codec in ("utf-32-le", "utf-32-be"):
            text = _decoded(start, codec)
            if text and max(text) < _UNASSIGNED:
                return "UTF-32"
    if whole and len(start) % 2:
        return ""
    for codec, high, end in (("utf-16-le", 1, b"\n\0"), ("utf-16-be", 0, b"\0\n")):
        if not _decoded(start, codec):
            continue
        ends = sum(found.start() % 2 == 0 for found in re.finditer(end, start))
        letters = start[high::2].count(0)
        if 2 * ends > start.count(b"\n") or (not ends and 8 * letters >= 3 * len(start)):
            return "UTF-16"
    return ""


def _decoded(start: bytes, codec: str) -> str:
    """As text, of which the last character may be cut off; empty where it is none."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(start, final=len(start) < ENOUGH)
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _legacy(start: bytes) -> str:
    """Shift_JIS or EUC-JP, where most lines are not UTF-8 and none has UTF-8 beyond ASCII."""
    if len(start) >= ENOUGH:  # the last line may be cut off inside of a character
        start = start[: start.rfind(b"\n") + 1] or start[: ENOUGH // 2]
    lines = [line for line in start.split(b"\n") if not line.isascii()]
    if any(_is_utf_8(line) for line in lines):
        return ""
    if not _most_lines(start, lambda line: not line.isascii()):
        return ""
    names = [legacy_of(line) for line in lines]
    name = max(_LEGACY, key=names.count)
    return name if 2 * names.count(name) >= len(names) else ""


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _most_lines(start: bytes, has: Callable[[bytes], object]) -> bool:
    """Whether at least half of the lines that are not blank have it."""
    lines = [line for line in start.split(b"\n") if line.strip()]
    return 2 * sum(bool(has(line)) for line in lines) >= len(lines) > 0
