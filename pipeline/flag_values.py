"""Values of flags that are more than a text, checked as they are read."""

from __future__ import annotations

import argparse
import re


def count(text: str) -> int:
    """0 or more."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def above_zero(text: str) -> int:
    """1 or more."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def numbers(text: str) -> list[int]:
    """Some of them, with commas."""
    return [above_zero(part) for part in text.split(",")]


def price(text: str) -> float:
    """Of whatever currency."""
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a price, as 0.05")
    return float(text)


def share(text: str) -> float:
    """From 0 to 1."""
    if not re.fullmatch(r"0(\.\d+)?|\.\d+|1(\.0+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, from 0 to 1")
    return float(text)
