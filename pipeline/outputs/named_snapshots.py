"""Which snapshot of an output is meant, and its manifest: what is wrong is a sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from corpusvec.pipeline.flags.parsing import UsageError, command
from corpusvec.transforms.snapshots.layouts import (
    LATEST,
    is_id,
    latest,
    read_manifest,
    snapshot_ids,
)
from corpusvec.transforms.snapshots.manifests import NEWEST_FORMAT
from corpusvec.transforms.storage.stores import ask, served


def output_typed(text: str) -> str:
    """The path of an output, as all that is in it is named."""
    return os.path.expanduser(text).rstrip("/") or "/"


@contextlib.contextmanager
def one_sentence(output: str) -> Iterator[None]:
    """Around code that reads or writes an output: a store that does not answer is named at once."""
    with served(output, "cannot be read or written"):
        ask(output, lambda: latest(output))
        yield


def snapshot_named(output: str, asked: str | None) -> str:
    """The id of a snapshot that is there: the one asked for, by its name or folder, else the one
    that LATEST names. Raises `UsageError`.
    """
    name = asked.rstrip("/").rpartition("/")[2] if asked else latest(output)
    there = snapshot_ids(output)
    if name is None or not is_id(name):
        if asked is None and name is not None:
            repair = command("snapshots", "rollback", output)
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


def manifest_of(output: str, one: str) -> Mapping[str, Any]:
    """Raises `RuntimeError` where it cannot be read."""
    try:
        manifest = read_manifest(output, one)
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(
            f"{output}: the manifest of {one} cannot be read ({error}); to see what is damaged,"
            f" run: {command('verify', output, one)}"
        ) from error
    if version > NEWEST_FORMAT:
        raise RuntimeError(
            f"{one}: was made by a later version of corpusvec (format {version}); use that one"
        )
    return manifest
