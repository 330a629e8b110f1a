"""The same texts in each format that is told by a suffix."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = ["a cat in the garden", "notes on tomatoes", "庭のトマト"]


def write_each(folder: Path) -> Path:
    """Seven formats, of which one is a file a note and one a file a page."""
    pages = folder / "backup"
    pages.mkdir(parents=True)
    rows = [{"text": text, "n": n} for n, text in enumerate(TEXTS)]
    (folder / "a.txt").write_text("\n".join(TEXTS))
    (folder / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), folder / "c.parquet", row_group_size=1)
    (folder / "d.csv").write_text("\n".join(["text,n", *(f"{t},{n}" for n, t in enumerate(TEXTS))]))
    (folder / "e.tsv").write_text(
        "\n".join(["n\ttext", *(f"{n}\t{t}" for n, t in enumerate(TEXTS))])
    )
    for n, text in enumerate(TEXTS):
        (folder / f"{n}.md").write_text(f"---\nn: {n}\n---\n{text}\n")
        lines = [{"text": text, "userId": "u"}]
        page = {"id": "x", "title": f"T{n}", "created": 5, "lines": lines, "user": {"name": "me"}}
        (pages / f"{n}.json").write_text(json.dumps(page))
    return folder
