"""Numbers and texts as people read them."""

from __future__ import annotations


def bytes_text(n: float) -> str:
    """`1.5 GB`, in powers of a thousand."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:,.0f} bytes" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} TB"


def counted(number: int, what: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Of a vector: whole, or with four digits."""
    return str(value) if isinstance(value, int) else f"{float(value):.4f}"


def clock(seconds: float) -> str:
    """`1:05`, `2:01:05`"""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def shortened(text: str, length: int = 40) -> str:
    """One line of at most `length` characters, also of a text without spaces."""
    line = " ".join(text[: 20 * length].split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
