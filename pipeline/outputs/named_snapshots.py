"""Which snapshot of an output is meant, and its manifest: what is wrong is a sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from corpusvec.pipeline.flags.parsing import UsageError, command
from corpusvec.transforms.snapshots.layouts import LATEST, is_id
from corpusvec.transforms.snapshots.manifests import NEWEST_FORMAT
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.stores import ask, served


@contextlib.contextmanager
def output_at(typed: str) -> Iterator[Output]:
    """The output that a path names; what fails in the block is one sentence about it, and a store
    that does not answer is named at once.
    """
    output = Output(os.path.expanduser(typed).rstrip("/") or "/")
    with served(output.folder, "cannot be read or written"):
        ask(output.folder, output.latest_now)
        yield output


def snapshot_named(output: Output, asked: str | None) -> str:
    """The id of a snapshot that is there: the one asked for, by its name or folder, else the one
    that LATEST names. Raises `UsageError`.
    """
    name = asked.rstrip("/").rpartition("/")[2] if asked else output.latest
    there = output.snapshot_ids()
    if name is None or not is_id(name):
        if asked is None and name is not None:
            repair = command("snapshots", "rollback", output.folder)
            raise UsageError(f"{output}/{LATEST}: is damaged; to repair it, run: {repair}")
        if not there:
            raise UsageError(f"{output}: holds no snapshot; is it an --output of `embed`?")
        names = ", ".join(there)
        if name is None:
            raise UsageError(f"{output}: nothing is published; name one of: {names}")
    if name not in there and asked:
        names = ", ".join(there) or "none"
        raise UsageError(f"{output}: has no snapshot {name!r}; there are: {names}")
    return name


def manifest_of(output: Output, one: str) -> Mapping[str, Any]:
    """Raises `RuntimeError` where it cannot be read."""
    try:
        manifest = output.manifest(one)
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(
            f"{output}: the manifest of {one} cannot be read ({error}); to see what is damaged,"
            f" run: {command('verify', output.folder, one)}"
        ) from error
    if version > NEWEST_FORMAT:
        raise RuntimeError(
            f"{one}: was made by a later version of corpusvec (format {version}); use that one"
        )
    return manifest
