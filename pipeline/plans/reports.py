"""What a plan says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """A run on so many workers with so many cores each; `cost` is None where nobody said a
    price.
    """

    workers: int
    cores: int
    seconds: float
    core_hours: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A plan. `counts` and `bytes` (by table) are of the whole; `margins` how far counts may be
    off, relatively, in 95 % of all samples (0: all was read; None: unknown). `unit` is what `speed`
    counts by the second, as does `by_precision` for each number type where the processor leaves a
    choice; `advice` what to type where the texts are in a language that the model
    does not know.
    """

    files: int
    input_bytes: int
    counts: Mapping[str, int]
    margins: Mapping[str, float | None]
    bytes: Mapping[str, int]
    output_files: Mapping[str, int]
    memory_bytes: int
    unit: str
    speed: float
    by_precision: Mapping[str, float]
    start_seconds: float
    runs: Sequence[Run]
    price: float | None
    sample: Mapping[str, Any]
    advice: str | None = None
