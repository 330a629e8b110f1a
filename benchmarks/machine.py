"""The machine and the versions that figures belong to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
_LIBRARIES = ("apache-beam", "tensorflow", "tokenizers", "sentencepiece", "pyarrow")
_PEERS = ("torch", "transformers", "onnxruntime", "sentence-transformers", "apache-beam")
_VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""
NO_BFLOAT16 = "the processor has no bfloat16"


def describe(peers: Path | None = None) -> str:
    """One line: cores, processor, what of vector arithmetic it has, versions; those of the virtual
    environment `peers` too.
    """
    name = _processor().get("model name", platform.processor() or "unknown processor")
    about = (
        f"{os.cpu_count()} cores of {name} ({', '.join(_features()) or 'no features known'}),"
        f" Python {platform.python_version()}, {_listed({n: version(n) for n in _LIBRARIES})}"
    )
    if peers is None:
        return about
    command = [f"{peers}/bin/python", "-c", _VERSIONS, *_PEERS]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except OSError as error:
        said = str(error)
    if said:
        raise ValueError(
            f"--peers={peers}: no virtual environment with benchmarks/peers/requirements.txt"
            f" ({said})"
        )
    return f"{about}; peers: {_listed(json.loads(done.stdout))}"


def held(field: str) -> float:
    """MiB of this process by a line of Linux's own account: `VmRSS` now, `VmHWM` at the most. What
    `getrusage` says has that of the starting process in it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status does not say how much memory this process has")


def has_bfloat16() -> bool:
    """Whether the processor computes in it."""
    return has_amx() or "avx512_bf16" in _features()


def has_amx() -> bool:
    """Whether it does so in tiles, several times as fast."""
    return "amx_bf16" in _features()


def _features() -> list[str]:
    flags = _processor().get("flags", "").split()
    return [feature for feature in _FEATURES if feature in flags]


def _processor() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in values.items()}


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
