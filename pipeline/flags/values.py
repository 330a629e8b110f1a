"""Values of flags that are more than a text, checked as they are read."""

from __future__ import annotations

import argparse
import re


def count(text: str) -> int:
    """0 or more."""
    return int(_checked(text, r"\d+", "a whole number, 0 or more"))


def above_zero(text: str) -> int:
    """1 or more."""
    return int(_checked(text, r"0*[1-9]\d*", "a whole number, 1 or more"))


def numbers(text: str) -> list[int]:
    """Some of them, with commas."""
    return [above_zero(part) for part in text.split(",")]


def price(text: str) -> float:
    """Of whatever currency."""
    return float(_checked(text, r"\d+(\.\d+)?|\.\d+", "a price, as 0.05"))


def share(text: str) -> float:
    """From 0 to 1."""
    return float(_checked(text, r"0(\.\d+)?|\.\d+|1(\.0+)?", "a share, from 0 to 1"))


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def age(text: str) -> int:
    """Seconds of an age with its unit."""
    what = "an age above zero with its unit (s, m, h, d or w), as 36h or 3d"
    checked = _checked(text, r"0*[1-9]\d{0,5}[smhdw]", what)
    return int(checked[:-1]) * _UNITS[checked[-1]]


def _checked(text: str, pattern: str, what: str) -> str:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return text
