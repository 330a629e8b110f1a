"""The files open where users open them: pandas, DuckDB, Polars; every type of vector in each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models import TEXTS


@pytest.fixture(params=["float32", "float16"])
def snapshot(request, embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("\n".join(TEXTS))
    flags = ["--vectors=vector=mean@-1,cls@-2", "--layers=-1", f"--vector_dtype={request.param}"]
    outcome = embed(tiny, source, *flags)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture
def expected(snapshot) -> dict[str, np.ndarray]:
    table = snapshot.table("sentences")
    return dict(zip(table["id"].to_pylist(), table["vector"].to_numpy(zero_copy_only=False)))


def test_pandas(snapshot, expected):
    import pandas

    frame = pandas.read_parquet(snapshot.latest / "sentences")
    assert len(frame) == len(TEXTS)
    matrix = np.stack(frame["vector"])
    assert matrix.shape == (len(TEXTS), 16)
    for name, vector in zip(frame["id"], matrix):
        np.testing.assert_array_equal(vector, expected[name])


def test_duckdb(snapshot, expected):
    import duckdb

    rows = duckdb.sql(
        f"select id, vector, \"cls@-2\", text from '{snapshot.latest}/sentences/*.parquet'"
    ).fetchall()
    assert len(rows) == len(TEXTS)
    for name, vector, _, text in rows:
        assert text in TEXTS
        np.testing.assert_allclose(np.array(vector, np.float32), expected[name], rtol=1e-6)
    files = f"'{snapshot.latest}/tokens/*.parquet'"
    asked = f'select count(*) from {files} where "layer@-1"[1] is not null'
    assert duckdb.sql(asked).fetchall() == [(len(snapshot.table("tokens")),)]


def test_polars(snapshot, expected):
    import polars

    frame = polars.read_parquet(f"{snapshot.latest}/sentences/*.parquet")
    for name, vector in zip(frame["id"], frame["vector"]):
        np.testing.assert_array_equal(np.array(vector), expected[name])
