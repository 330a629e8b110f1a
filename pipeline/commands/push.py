"""`push`: a snapshot's documents and vectors into a table of a store."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from corpusvec.pipeline.flags.parsing import UsageError, command
from corpusvec.pipeline.outputs.named_snapshots import manifest_of, output_at, snapshot_named
from corpusvec.pipeline.pushes.kinds import opened
from corpusvec.pipeline.pushes.rows import SnapshotRows
from corpusvec.pipeline.pushes.stores import Pushed, Store
from corpusvec.pipeline.pushes.transfers import Sent, pushed_of, send, why_not
from corpusvec.pipeline.terminal import logs
from corpusvec.transforms.snapshots.earlier_rows import Damaged
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.stores import is_remote


def push(flags: argparse.Namespace) -> list[str]:
    """Bring a table to a snapshot -> what to tell the user.

    Raises `ValueError` where the user must correct something, `RuntimeError` where it may pass.
    """
    with output_at(flags.output) as output, output.reading(), _whole(flags, output):
        manifest = manifest_of(output, snapshot_named(output, flags.snapshot))
        _check(manifest)
        columns = list(filter(None, (flags.column or "").split(",")))
        rows = SnapshotRows.of(output, manifest, columns)
        pushed = pushed_of(_address(output.folder), manifest)
        with opened(flags.target, flags.table) as store:
            sent = _sent(flags, output, store, rows, pushed)
            advice = [] if sent.there else list(store.advice(rows.schema))
    if flags.json:
        about = {"snapshot": pushed.snapshot, "table": flags.table}
        return [json.dumps(about | asdict(sent) | {"advice": advice}, ensure_ascii=False)]
    return [*_lines(flags.table, pushed, sent), *advice]


def _check(manifest: Mapping[str, Any]) -> None:
    if why := manifest.get("incomplete"):
        raise UsageError(f"{manifest['id']}: is not complete ({why}); run `embed` again")
    if manifest["format_version"] < 2:
        raise UsageError(
            f"{manifest['id']}: was made by an earlier version of corpusvec; run `embed` again"
        )
    if not manifest["counts"]["documents"]:
        raise UsageError(f"{manifest['id']}: has no document; there is nothing to push")


def _address(output: str) -> str:
    """By which an output is known again, from wherever it is typed."""
    return output if is_remote(output) else os.path.realpath(output)


@contextlib.contextmanager
def _whole(flags: argparse.Namespace, output: Output) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        verify = command("verify", output.folder, *filter(None, [flags.snapshot]))
        raise RuntimeError(f"{error}; to see what else is damaged, run: {verify}") from error


def _sent(
    flags: argparse.Namespace, output: Output, store: Store, rows: SnapshotRows, pushed: Pushed
) -> Sent:
    """Raises `UsageError` where what is in the table is not to be replaced unasked."""
    held = store.held()
    lack = store.lack(rows.schema) if held else ""
    known = {*output.snapshot_ids(), *output.published}
    if not flags.replace:
        if why := why_not(held, pushed, lack, known):
            raise UsageError(
                f"--table={flags.table}: {why}; to replace all its rows, add --replace, or choose"
                " another --table"
            )
        if held and held.snapshot == pushed.snapshot:
            store.forget_waiting()
            return Sent(there=True)
    return send(store, rows, pushed, recreate=held is None or bool(lack), say=logs.say)


def _lines(table: str, pushed: Pushed, sent: Sent) -> Iterator[str]:
    if sent.there:
        yield f"{table} has {pushed.snapshot} already"
        return
    if sent.waited:
        yield f"{sent.waited:,} rows had been sent by a push that was interrupted"
    yield (
        f"{table} has {pushed.snapshot}: {sent.written:,} rows written, {sent.removed:,} removed or"
        f" replaced, {sent.unchanged:,} left as they were"
    )
