"""The package as it travels: built from this tree, and installed with nothing but what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / ".venv-runtime"  # that of scripts/environment.sh


_MADE = {"build", "dist", "out", "models"}  # at the root, and not the source's
_left_anywhere = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


def _left(folder: str, names: list[str]) -> set[str]:
    return _left_anywhere(folder, names) | (_MADE if Path(folder) == ROOT else set())


def built(kind: str, folder: Path) -> Path:
    """An `sdist` or `wheel` in `folder`, made by the build backend in a copy: it leaves files
    behind.
    """
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=_left, symlinks=True)
    script = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=copy, capture_output=True)
    (made,) = folder.glob("corpusvec-*")
    return made


def pip(*arguments: str | Path, python: str | Path = sys.executable, **options) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *map(str, arguments)], check=True, **options)


@dataclass(frozen=True)
class Installed:
    """Programs of an environment, run where the source tree cannot be imported."""

    programs: Path

    @classmethod
    def from_wheel(cls, wheel: Path) -> Installed:
        programs = RUNTIME / "bin"
        pip("--no-index", "--no-deps", "--force-reinstall", wheel, python=programs / "python")
        return cls(programs)

    def run(
        self, *command: str | Path, cwd: Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """One of them, as a user who has nothing set types it."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.programs / command[0], *command[1:]],
            cwd=cwd,
            env=clean | {"PATH": path} | variables,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
