"""Parquet, CSV and TSV: each row is one document or one failure, and values stay as they are."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import re
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.transforms.documents.delimited import read_csv, read_tsv
from corpusvec.transforms.documents.formats import ALL_FIELDS, Fields
from corpusvec.transforms.documents.inputs import open_input
from corpusvec.transforms.documents.lines import read_jsonl
from corpusvec.transforms.documents.parquet_files import read_parquet
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.elements import Document, Failure


def read(reader, data: bytes | str, fields: Fields = ALL_FIELDS):
    data = data.encode() if isinstance(data, str) else data
    found = reader(lambda: io.BytesIO(data), "folder/f.x", "f.x", fields)
    return list(itertools.chain.from_iterable(found))


def parquet(columns, **options) -> bytes:
    stream = io.BytesIO()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def row(number: int, text: str, record_id: str = "", pair=None, **metadata: str) -> Document:
    return Document(record_id or f"f.x:{number}", text, pair, "folder/f.x", number, metadata)


CSV = {
    "plain": ("text,n\na,007\n", [row(2, "a", n="007")]),
    "quotes": ('text,n\n"a, ""b""",\n', [row(2, 'a, "b"', n="")]),
    "several lines": ('text\n"a\nb"\nc\n', [row(2, "a\nb"), row(4, "c")]),
    "line ends of Windows": (
        "text,n\r\na,1\r\n\r\nb,2\r\n",
        [row(2, "a", n="1"), row(4, "b", n="2")],
    ),
    "line ends of old": ("text\ra\rb", [row(2, "a"), row(3, "b")]),
    "a mark": ("\ufefftext\na\n", [row(2, "a")]),
    "semicolons": ("id;text\nx;a, b\n", [row(2, "a, b", "x")]),
    "tabs": ("id\ttext\nx\ta, b\n", [row(2, "a, b", "x")]),
    "a comma in the column of another": ('"a;b",text\n1,c\n', [row(2, "c", **{"a;b": "1"})]),
    "a pair": ("text,pair\na,b\n", [row(2, "a", pair="b")]),
    "an inch": ('text\n5" wide\n', [row(2, '5" wide')]),
    "a header alone": ("text\n", []),
    "other line separators": ("text\na\u2028b\x85c\n", [row(2, "a\u2028b\x85c")]),
}


@pytest.mark.parametrize(("data", "expected"), CSV.values(), ids=CSV)
def test_rows_of_csv(data, expected):
    assert read(read_csv, data) == expected


def test_tsv_is_cut_at_tabs_alone():
    assert read(read_tsv, "id\ttext\nx\ta, b; c\n") == [row(2, "a, b; c", "x")]
    with pytest.raises(BrokenInput, match="has no column `text`, but id,text"):
        read(read_tsv, "id,text\nx,a\n")


def test_utf_16_with_a_mark_is_what_excel_saves():
    assert read(read_tsv, "id\ttext\nx\t庭\n".encode("utf-16")) == [row(2, "庭", "x")]


BAD_ROWS = {
    "too few": ("text,n\na\nb,1\n", "the row has 1 value, and the header 2"),
    "too many": ("text,n\na,1,2\nb,1\n", "the row has 3 values, and the header 2"),
    "a quote inside": ('text,n\n"a"x,1\nb,1\n', "the row is no CSV: .*double a quote"),
    "bytes": (b"text,n\na\xff,1\nb,1\n", "`text` is not UTF-8"),
    "bytes of another column": (b"text,n\na,\xff\nb,1\n", "`n` is not UTF-8"),
    "a NUL": ("text,n\na\0,1\nb,1\n", "`text` has a NUL"),
}


@pytest.mark.parametrize(("data", "error"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_fails_alone(data, error):
    bad, good = read(read_csv, data)
    assert (bad.document_id, bad.source_row) == ("f.x:2", 2)
    assert re.match(error, bad.error)
    assert good == row(3, "b", n="1")


def test_a_quote_that_is_never_closed_says_how_far_it_goes():
    good, bad = read(read_csv, 'text\na\n"b\nc\nd\n')
    assert good == row(2, "a")
    assert bad.error == "the row has a quote that is not closed up to line 5; close it"
    assert bad.source_row == 3


def damaged(table):
    """With other bytes where the values are."""
    whole = parquet(table)
    return whole[:8] + bytes(byte ^ 0x5A for byte in whole[8:40]) + whole[40:]


def encrypted():
    """Arrow knows it by its first and last bytes."""
    return b"PARE" + bytes(99) + b"\x10\0\0\0PARE"


BROKEN = {
    "no column": (read_csv, "a,b\n1,2\n", "has no column `text`, but a, b; .*--text_column"),
    "a column twice": (read_csv, "text,text\n1,2\n", "has the column `text` twice"),
    "empty": (read_csv, "", "has no header"),
    "Shift_JIS": (read_csv, "id,text\n1,ひらがなです\n".encode("cp932"), "looks like Shift_JIS"),
    "no Parquet": (read_parquet, "text,n\na,1\n", "is damaged or no Parquet"),
    "an empty Parquet": (read_parquet, "", "is damaged or no Parquet"),
    "cut off": (read_parquet, parquet({"text": ["a"] * 99})[:-9], "is damaged or no Parquet"),
    "damaged": (read_parquet, damaged({"text": ["a"] * 99}), "is damaged or no Parquet"),
    "encrypted": (read_parquet, encrypted(), "is damaged or no Parquet"),
    "no header, but a text": (read_csv, "x" * 200_000, "has no column `text`, but x{60}…; "),
    "cut off in UTF-16": (read_csv, "text\n".encode("utf-16")[:-1], "is cut off or no UTF-16"),
    "cut off below": (read_csv, "text\na\n".encode("utf-16")[:-1], "is cut off or no UTF-16"),
    "numbers": (read_parquet, parquet({"text": [1]}), "column `text` has the type int64"),
    "lists": (read_parquet, parquet({"text": [["a"]]}), "`text` has the type list"),
}


@pytest.mark.parametrize(("reader", "data", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_read_is_named(reader, data, said):
    with pytest.raises(BrokenInput, match=rf"^folder/f\.x: .*{said}"):
        read(reader, data)


@pytest.mark.parametrize("error", [TimeoutError("slow"), OSError(5, "slow"), OSError("slow")])
def test_storage_that_fails_is_not_called_damage(error):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise error from ConnectionError()

    with pytest.raises(OSError, match="slow"):
        list(read_parquet(lambda: Failing(parquet({"text": ["a"]})), "folder/f.x", "f.x"))


FIELDS = Fields("body", "key", "other", ("n",))
SAME = {
    "csv": (read_csv, "key,body,other,n,m\nx,a,b,1,2\n", 2),
    "tsv": (read_tsv, "key\tbody\tother\tn\tm\nx\ta\tb\t1\t2\n", 2),
    "jsonl": (read_jsonl, '{"key": "x", "body": "a", "other": "b", "n": 1, "m": 2}', 1),
    "parquet": (
        read_parquet,
        parquet({"key": ["x"], "body": ["a"], "other": ["b"], "n": [1], "m": [2]}),
        1,
    ),
}


@pytest.mark.parametrize(("reader", "data", "number"), SAME.values(), ids=SAME)
def test_columns_are_chosen_alike(reader, data, number):
    assert read(reader, data, FIELDS) == [row(number, "a", "x", pair="b", n="1")]


@pytest.mark.parametrize("name", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("flag", ["text", "id", "pair", "metadata"])
def test_a_column_that_is_missing_names_its_flag(name, flag):
    reader, data, _ = SAME[name]
    asked = {"text": "body", flag: ("zz",) if flag == "metadata" else "zz"}
    with pytest.raises(BrokenInput, match=rf"has no column `zz`, but key, .*--{flag}_column"):
        read(reader, data, Fields(**asked))


def test_types_of_parquet_become_text():
    data = parquet(
        {
            "text": pa.array(["a", None, "c"]).dictionary_encode(),
            "id": [7, None, 9],
            "float": [1.5, None, float("nan")],
            "bool": [True, False, None],
            "decimal": [Decimal("1.10"), None, None],
            "time": [datetime(2024, 1, 2, 3, 4, 5), None, None],
            "nested": [[1], None, [2, 3]],
        },
        row_group_size=2,
    )
    first, second, third = read(read_parquet, data)
    assert (first.id, first.text) == ("7", "a")
    assert first.metadata == {
        "float": "1.5",
        "bool": "true",
        "decimal": "1.10",
        "time": "2024-01-02 03:04:05.000000",
    }
    assert second == Failure(
        "read", "f.x:2", "folder/f.x", 2, "`text` is null; it must be a string"
    )
    assert third == row(3, "c", "9", float="nan")
    chosen = read(read_parquet, data, Fields(metadata=("nested",)))
    assert [record.metadata for record in chosen[::2]] == [{"nested": "[1]"}, {"nested": "[2,3]"}]


def test_bytes_are_text_where_they_are_utf_8():
    first, bad, third = read(read_parquet, parquet({"text": [b"a", b"\xff", "庭".encode()]}))
    assert (first.text, third.text) == ("a", "庭")
    assert bad.error == "`text` is not UTF-8"


def test_a_parquet_file_is_read_from_its_end_without_reading_all(tmp_path):
    file = tmp_path / "a.parquet"
    table = {"text": ["a"] * 9, "large": [str(i) * 100_000 for i in range(9)]}
    file.write_bytes(parquet(table, compression="none", use_dictionary=False))
    seen: list[int] = []
    records = read_parquet(
        lambda: open_input(str(file), seen.append), "a", "a", Fields(metadata=())
    )
    assert [record.text for part in records for record in part] == ["a"] * 9
    assert sum(seen) < file.stat().st_size / 2


def test_a_compressed_parquet_file_says_so(tmp_path):
    file = tmp_path / "a.parquet.gz"
    file.write_bytes(gzip.compress(parquet({"text": ["a"]})))
    with pytest.raises(BrokenInput, match="unpack it first"):
        list(read_parquet(lambda: open_input(str(file)), str(file), "a"))


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=9))
def test_all_formats_give_the_texts_that_were_written(rows):
    table = pa.table({"text": [a for a, _ in rows], "more": [b for _, b in rows]})
    table = table.cast(pa.schema([("text", pa.string()), ("more", pa.string())]))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerows([("text", "more"), *rows])
    for reader, data in ((read_parquet, parquet(table)), (read_csv, stream.getvalue())):
        found = read(reader, data)
        assert [(record.text, record.metadata["more"]) for record in found] == rows


@given(st.binary(max_size=200))
def test_any_bytes_become_records_or_one_sentence(data):
    for reader in (read_csv, read_tsv, read_parquet):
        with contextlib.suppress(BrokenInput):
            assert all(isinstance(record, (Document, Failure)) for record in read(reader, data))
