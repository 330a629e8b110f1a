"""The files open where users open them: every column of every table, in each type and encoding of
vectors that a program is said to read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.cli import main
from corpusvec.transforms.snapshots.schemas import parquet_options, vectors_column
from tests.models import TEXTS
from tests.repository.test_end_to_end import write_lines

TABLES = ("sentences", "tokens", "changes")
KINDS = {
    "float32": (),
    "float16": ("--vector_dtype=float16",),
    "float32 split": ("--vector_encoding=byte_stream_split",),
    "float16 split": ("--vector_dtype=float16", "--vector_encoding=byte_stream_split"),
}
TITLE = '猫 "and" \\ \n\t|||'
PYSPARK = "4.0.1"
Columns = dict[str, list[Any]]


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Callable[[str], list[Path]]:
    """`made(kind)`: three snapshots. The second has rows of two files, the third no change."""
    done: dict[str, list[Path]] = {}

    def make(kind: str) -> list[Path]:
        if kind not in done:
            folder = tmp_path_factory.mktemp("readers")
            source, output = folder / "in.jsonl", folder / "out"
            records = [{"id": f"d{i}", "text": text} for i, text in enumerate(TEXTS)]
            records[0] |= {"title": TITLE, "tags": ["x", {"y": None}], "views": 3}
            records[1] |= {"pair": "a pair", "": ""}
            flags = ["--vectors=vector=mean@-1,cls@-2", "--layers=-1", *KINDS[kind]]
            for _ in range(3):
                write_lines(source, map(json.dumps, records))
                place = [f"--model={tiny}", f"--input={source}", f"--output={output}"]
                assert main(["embed", *place, *flags]) == 0
                records[2] = {"id": "new", "text": "the new cat sat"}
            done[kind] = sorted((output / "snapshots").iterdir())
        return [*done[kind]]

    return make


def by_arrow(folder: Path) -> Columns:
    return pq.read_table(folder).to_pydict()


def by_pandas(folder: Path) -> Columns:
    import pandas

    return pandas.read_parquet(folder).to_dict("list")


def by_fastparquet(folder: Path) -> Columns:
    import fastparquet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files open
        return fastparquet.ParquetFile(str(folder)).to_pandas().to_dict("list")


def by_polars(folder: Path) -> Columns:
    import polars

    return polars.read_parquet(f"{folder}/*.parquet").to_dict(as_series=False)


def by_duckdb(folder: Path) -> Columns:
    import duckdb

    found = duckdb.sql(f"select * from '{folder}/*.parquet'")
    rows = found.fetchall()
    return {name: [row[at] for row in rows] for at, name in enumerate(found.columns)}


def by_datasets(folder: Path) -> Columns:
    import datasets

    files, cache = f"{folder}/*.parquet", str(folder.parents[3] / "datasets")
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    return {name: list(found[name]) for name in found.column_names}


READERS: dict[str, tuple[Callable[[Path], Columns], tuple[str, ...]]] = {
    "pandas": (by_pandas, tuple(KINDS)),
    "polars": (by_polars, tuple(KINDS)),
    "datasets": (by_datasets, tuple(KINDS)),
    "duckdb": (by_duckdb, ("float32", "float16", "float32 split")),
    "fastparquet": (by_fastparquet, ("float32",)),
}


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def in_order(columns: Columns) -> list[dict[str, Any]]:
    """Rows by id and position, what is missing as None."""
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    for row in rows:
        row.update({name: None for name, value in row.items() if is_missing(value)})
    return sorted(rows, key=lambda row: (row["id"], row.get("position", 0)))


def assert_read(found: Columns, folder: Path) -> None:
    """All that Arrow reads of the folder, and vectors to the last bit."""
    expected = by_arrow(folder)
    assert list(found) == list(expected)
    assert len(found["id"]) == len(expected["id"])
    for row, right in zip(in_order(found), in_order(expected)):
        for name, value in right.items():
            if name == "links":
                assert list(row[name]) == value
            elif isinstance(value, list):
                assert len(row[name]) == 16
                np.testing.assert_array_equal(np.array(row[name], np.float32), value)
            else:
                assert row[name] == value, (name, row["id"])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("reader", "kind"), [(name, kind) for name, (_, kinds) in READERS.items() for kind in kinds]
)
def test_it_reads_every_column(reader, kind, table, made):
    snapshots = made(kind)
    if reader == "datasets" and table == "changes":
        snapshots.remove(snapshots[2])  # it refuses whatever has no row
    for snapshot in snapshots:
        assert_read(READERS[reader][0](snapshot / table), snapshot / table)


BYTES = {"int8": np.int8, "ubinary": np.uint8}


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory) -> Path:
    """A folder of sentences with vectors of bytes, all of their values among them."""
    folder = tmp_path_factory.mktemp("bytes") / "out" / "snapshots" / "one" / "sentences"
    folder.mkdir(parents=True)
    every = np.arange(512, dtype=np.uint8).reshape(-1, 16)
    columns = {name: vectors_column(every.view(kind)) for name, kind in BYTES.items()}
    table = pa.table({"id": pa.array([f"d{n:02}" for n in range(len(every))]), **columns})
    pq.write_table(table, folder / "a.parquet", **parquet_options(table.schema))
    return folder


@pytest.mark.parametrize("reader", READERS)
def test_it_reads_bytes(reader, of_bytes):
    assert_read(READERS[reader][0](of_bytes), of_bytes)


def test_bytes_are_in_a_dictionary_and_of_types_that_bigquery_knows(of_bytes):
    group = pq.ParquetFile(of_bytes / "a.parquet").metadata.row_group(0)
    for number in (1, 2):
        assert "RLE_DICTIONARY" in group.column(number).encodings
    assert not foreign_to_bigquery(of_bytes)


def test_datasets_reads_the_changes_of_several_nights(made):
    """Also where nothing changed in one of them."""
    import datasets

    first, second, third = made("float32")
    assert not by_arrow(third / "changes")["id"]
    files, cache = f"{first.parent}/*/changes/*.parquet", str(first.parents[2] / "datasets")
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    rows = [len(by_arrow(night / "changes")["id"]) for night in (first, second)]
    assert len(found) == sum(rows)


UNREAD = {
    "duckdb": ("float16 split", "BYTE_STREAM_SPLIT"),
    "fastparquet": ("float32 split", "Encoding 9"),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open
@pytest.mark.parametrize("reader", UNREAD)
def test_what_the_help_says_it_does_not_read(reader, made):
    kind, said = UNREAD[reader]
    with pytest.raises(Exception, match=said):
        READERS[reader][0](made(kind)[0] / "sentences")


def test_fastparquet_takes_float16_for_bytes(made):
    vectors = by_fastparquet(made("float16")[0] / "sentences")["vector"]
    assert isinstance(vectors[0][0], bytes)


def test_metadata_is_what_the_record_had_beside_its_texts(made):
    table = by_arrow(made("float32")[0] / "sentences")
    found = dict(zip(table["id"], table["metadata"]))
    assert json.loads(found["d0"]) == {"title": TITLE, "tags": '["x",{"y":null}]', "views": "3"}
    assert json.loads(found["d1"]) == {"": ""}
    assert found["d2"] == "{}"
    assert "猫" in found["d0"]


def test_metadata_in_duckdb_and_polars(made):
    import duckdb
    import polars

    files = f"{made('float32')[0]}/sentences/*.parquet"
    asked = f"select metadata->>'$.title' from '{files}' where id = 'd0'"
    assert duckdb.sql(asked).fetchall() == [(TITLE,)]
    title = polars.col("metadata").str.json_path_match("$.title")
    assert TITLE in polars.read_parquet(files).select(title).to_series().to_list()


# Source: cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet, "Parquet compression"
# and "Parquet conversions".
BIGQUERY_CODECS = {"UNCOMPRESSED", "GZIP", "SNAPPY", "ZSTD"}
BIGQUERY_TYPES = {
    "BOOLEAN": {"NONE"},
    "INT32": {"NONE", "UINT_8", "UINT_16", "UINT_32", "INT_8", "INT_16", "INT_32", "DATE"},
    "INT64": {"NONE", "UINT_64", "INT_64", "TIMESTAMP_MILLIS", "TIMESTAMP_MICROS"},
    "FLOAT": {"NONE"},
    "DOUBLE": {"NONE"},
    "BYTE_ARRAY": {"NONE", "UTF8"},
}


def foreign_to_bigquery(folder: Path) -> set[str]:
    """Columns of types that BigQuery's table of conversions does not have."""
    found = set()
    for file in folder.glob("*.parquet"):
        parquet = pq.ParquetFile(file)
        for number in range(len(parquet.schema)):
            column = parquet.schema.column(number)
            known = BIGQUERY_TYPES.get(column.physical_type, set())
            if column.converted_type not in known or column.logical_type.type == "FLOAT16":
                found.add(column.path.partition(".")[0])
            for group in range(parquet.num_row_groups):
                codec = parquet.metadata.row_group(group).column(number).compression
                assert codec in BIGQUERY_CODECS
    return found


@pytest.mark.parametrize("table", TABLES)
def test_bigquery_knows_the_types(table, made):
    for snapshot in made("float32"):
        assert not foreign_to_bigquery(snapshot / table)


def test_bigquery_does_not_know_float16(made):
    assert foreign_to_bigquery(made("float16")[0] / "sentences") == {"vector", "cls@-2"}


def test_columns_that_bigquery_names_otherwise(made):
    """docs/output.md says what to do about names with other characters than these."""
    for table in TABLES:
        names = by_arrow(made("float32")[0] / table)
        others = {name for name in names if not re.fullmatch(r"[A-Za-z_]\w*", name)}
        assert others == {"sentences": {"cls@-2"}, "tokens": {"layer@-1"}}.get(table, set())


def encodings(file: Path) -> dict[str, set[str]]:
    group = pq.ParquetFile(file).metadata.row_group(0)
    columns = (group.column(at) for at in range(group.num_columns))
    return {column.path_in_schema.partition(".")[0]: {*column.encodings} for column in columns}


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_alone_have_another_encoding(kind, made):
    for snapshot in made(kind):
        for table, vectors in (("sentences", {"vector", "cls@-2"}), ("tokens", {"layer@-1"})):
            for file in (snapshot / table).glob("*.parquet"):
                for name, used in encodings(file).items():
                    split = name in vectors and kind.endswith("split")
                    assert ("BYTE_STREAM_SPLIT" in used) == split, name
                    assert name not in vectors or len(used & {"PLAIN", "BYTE_STREAM_SPLIT"}) == 1


@pytest.fixture(scope="module")
def spark(request) -> Callable[..., list[Columns]]:
    """Tables as Spark reads them, by an environment of its own, which is kept."""
    if not shutil.which("java"):
        pytest.skip("java is not here")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    if int(re.search(r'"(\d+)', told)[1]) < 17:
        pytest.skip("Spark 4 needs Java 17")
    folder = request.config.cache.mkdir(f"pyspark-{PYSPARK}")
    python, ready = folder / "venv" / "bin" / "python", folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", f"pyspark=={PYSPARK}"]
        installed = subprocess.run(install, capture_output=True, text=True)
        if installed.returncode:
            pytest.skip(f"pyspark cannot be installed: {installed.stderr.strip()[-200:]}")
        ready.touch()

    def read(*folders: Path) -> list[Columns]:
        command = [python, (Path(__file__).parents[2] / "spark_reader.py"), *folders]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    return read


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_spark(made, spark):
    """All of float32, and why none of what the help says it does not read."""
    folders = [snapshot / table for snapshot in made("float32") for table in TABLES]
    unread = [made(kind)[0] / "sentences" for kind in ("float16", "float32 split")]
    *found, half, split = spark(*folders, *unread)
    assert len(found) == len(folders)
    for columns, folder in zip(found, folders):
        titles = columns.pop("title", [TITLE])
        assert_read(columns, folder)
        assert TITLE in titles
    assert "FLOAT16" in half["error"]
    assert "BYTE_STREAM_SPLIT" in split["error"]
