"""What a run says at its end takes no memory that the run did not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.inspections import outputs
from corpusvec.pipeline.terminal import summaries
from corpusvec.transforms.snapshots import tables

_GROUPS, _ROWS, _WIDTH = 20, 100, 64


class Counted:
    """A stream that knows how many bytes were read."""

    def __init__(self, path):
        self._stream, self.bytes = path.open("rb"), 0

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def read(self, size=-1):
        data = self._stream.read(size)
        self.bytes += len(data)
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()


@pytest.mark.parametrize("module", [summaries, outputs], ids=["summary", "inspect"])
def test_the_first_rows_are_shown_without_reading_all_vectors(module, tmp_path, monkeypatch):
    (tmp_path / "sentences").mkdir()
    path = tmp_path / "sentences" / "a.parquet"
    chance = np.random.default_rng(0)
    for group in range(_GROUPS):
        values = pa.array(chance.standard_normal(_ROWS * _WIDTH, np.float32))
        rows = pa.table(
            {
                "id": [f"{group}-{row}" for row in range(_ROWS)],
                "text": ["a text"] * _ROWS,
                "vector": pa.FixedSizeListArray.from_arrays(values, _WIDTH),
            }
        )
        if not group:
            writer = pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    writer.close()
    opened = []
    monkeypatch.setattr(tables, "open_file", lambda _: opened.append(Counted(path)) or opened[0])
    file = {"path": "sentences/a.parquet", "table": "sentences", "rows": _GROUPS * _ROWS}
    if module is summaries:
        found = list(summaries._rows(SimpleNamespace(folder=str(tmp_path)), {"files": [file]}))
        assert found[0].startswith("  0-0  a text  vector: [")
    else:
        found = list(outputs._rows(str(tmp_path), [file]))
        assert found[0].id == "0-0"
    assert len(found) == module._ROWS
    assert opened[0].bytes < path.stat().st_size / 4
