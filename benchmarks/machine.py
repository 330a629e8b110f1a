"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
_LIBRARIES = ("apache-beam", "tensorflow", "tokenizers", "pyarrow")


def describe() -> str:
    """One line: cores, processor, what of vector arithmetic it has, versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    name = values.get("model name", platform.processor() or "unknown processor")
    features = [f for f in _FEATURES if f in values.get("flags", "").split()]
    versions = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {name} ({', '.join(features) or 'no vector features known'}),"
        f" Python {platform.python_version()}, {versions}"
    )
