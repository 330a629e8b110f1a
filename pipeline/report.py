"""What a run says at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from transforms.schemas import REJECTED, SENTENCES
from transforms.snapshots import Snapshot, latest

_UNKNOWN_SHARE = 0.05
_ROWS = 3


def summary(snapshot: Snapshot, manifest: Mapping[str, Any], seconds: float) -> Iterator[str]:
    """Lines: where the vectors are, how many documents and tokens, how long it took, what to look
    at, a few rows.
    """
    counts = manifest["counts"]
    yield f"{snapshot.folder}"
    yield (
        f"{counts['documents']:,} documents, {counts['rejected']:,} rejected,"
        f" {counts['empty']:,} empty, of {counts['records']:,} records;"
        f" {counts['tokens']:,} tokens;"
        f" {seconds:.1f} s ({counts['tokens'] / seconds:,.0f} tokens/s)"
    )
    yield from _advice(counts)
    yield from _rows(snapshot, manifest)


def _advice(counts: Mapping[str, int]) -> Iterator[str]:
    unknown, tokens = counts.get("unknown_tokens", 0), counts["tokens"]
    if tokens and unknown / tokens > _UNKNOWN_SHARE:
        yield (
            f"warning: {unknown / tokens:.1%} of the tokens are unknown to the model's vocabulary;"
            " is it a model for this language?"
        )
    if counts.get("dropped_tokens"):
        yield f"note: {counts['dropped_tokens']:,} tokens were cut off (--long_text=truncate)"
    if counts.get("pair_separators"):
        yield (
            f"note: {counts['pair_separators']:,} lines have ' ||| ' in them and were read as"
            " single texts; --input_format=pairs reads them as pairs"
        )


def _rows(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Iterator[str]:
    files = [file["path"] for file in manifest["files"] if file["table"] == SENTENCES]
    if not files:
        return
    with FileSystems.open(f"{snapshot.folder}/{files[0]}") as stream:
        rows = next(pq.ParquetFile(stream).iter_batches(batch_size=_ROWS)).to_pylist()
    for row in rows:
        text = textwrap.shorten(" ".join(row["text"].split()), 40, placeholder="…") or row["id"]
        name = list(row)[-1] if "vector" not in row else "vector"
        start = ", ".join(f"{value:.4f}" for value in np.array(row[name][:3], np.float32))
        yield f"  {row['id']}  {text}  {name}: [{start}, … {len(row[name])}]"


def not_published(snapshot: Snapshot, manifest: Mapping[str, Any], max_rejected: int) -> str:
    """Why a finished snapshot is not published, and what to do."""
    current = latest(snapshot.output)
    stays = f"LATEST still names {current}" if current else "there is no LATEST"
    counts = manifest["counts"]
    if not counts["documents"]:
        return f"not published: no record became a document; {stays}"
    if counts["rejected"] > max_rejected:
        return (
            f"not published: {counts['rejected']:,} records were rejected, {max_rejected} are"
            f" allowed (--max_rejected); {stays}. See {snapshot.folder}/{REJECTED}/, then mend the"
            f" input, or accept it with: corpusvec publish {snapshot.output} {snapshot.id}"
        )
    return f"not published: a newer snapshot was published meanwhile; {stays}"
