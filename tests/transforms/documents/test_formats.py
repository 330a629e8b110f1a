"""Lines of text, pairs and JSON: each record is one document or one failure."""

from __future__ import annotations

import io
import json
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.documents.encodings import foreign, marked
from corpusvec.transforms.documents.formats import FORMATS, Reading, format_of, ids_differ
from corpusvec.transforms.documents.lines import (
    has_pair_separator,
    read_jsonl,
    read_pairs,
    read_text,
)
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.elements import Document, Failure


def read(reader, data):
    if isinstance(data, str):
        data = data.encode()
    return list(chain.from_iterable(reader(lambda: io.BytesIO(data), "folder/f.txt", "f.txt")))


def texts(reader, data):
    return [(record.text, record.pair) for record in read(reader, data)]


LINE_ENDS = {
    "newline": (b"a\nb\n", ["a", "b"]),
    "no newline at the end": (b"a\nb", ["a", "b"]),
    "carriage return and newline": (b"a\r\nb\r\n", ["a", "b"]),
    "carriage return alone": (b"a\rb\n", ["a\rb"]),
    "other line ends": (
        "a\u2028b\x85c\x0cd\x0be\x1df\n".encode(),
        ["a\u2028b\x85c\x0cd\x0be\x1df"],
    ),
    "blank lines": (b"a\n\n \t\nb\n", ["a", "", "", "b"]),
    "white space around": ("\u3000\x85a b\u2029 \n".encode(), ["a b"]),
    "byte-order mark": (b"\xef\xbb\xbfa\n", ["a"]),
    "byte-order mark later": (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("data", "expected"), LINE_ENDS.values(), ids=LINE_ENDS)
def test_a_line_is_a_document(data, expected):
    assert [record.text for record in read(read_text, data)] == expected


def test_an_id_is_the_name_and_the_line_number():
    assert read(read_text, "a\n\nb") == [
        Document("f.txt:1", "a", None, "folder/f.txt", 1),
        Document("f.txt:2", "", None, "folder/f.txt", 2),
        Document("f.txt:3", "b", None, "folder/f.txt", 3),
    ]


@pytest.mark.parametrize("reader", [read_text, read_pairs, read_jsonl])
def test_bytes_that_are_not_utf_8_fail_their_line_only(reader):
    good, bad, also_good = read(reader, b'{"text": "a"}\n{"text": "\xff"}\n{"text": "c"}\n')
    assert isinstance(good, Document)
    assert isinstance(also_good, Document)
    assert (bad.stage, bad.document_id, bad.source) == ("read", "f.txt:2", "folder/f.txt")
    assert bad.source_row == 2
    assert bad.error == "the line is not UTF-8 (byte 0xff at 11)"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["scrapbox", "text", "pairs", "jsonl"])
def test_utf_16_is_refused_by_its_name(name, encoding):
    data = '\ufeff{"text": "a"}\n'.encode(encoding)
    with pytest.raises(BrokenInput, match=r"^folder/f\.txt: the file is UTF-16; save it as UTF-8$"):
        read(FORMATS[name].read(Reading()), data)


CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
WORDS = "garden notes\nsecond line\n"
HIRAGANA = "あいうえお\nかきくけこ\n"  # as UTF-16 it has NULs at the ends of lines alone
MIXED = "庭のトマトは\u3000熟した。\n《一つ》の😀\n2024\n"
LOOKS = {
    "letters": (WORDS, "utf-16-le", "UTF-16"),
    "letters, big-endian": (WORDS, "utf-16-be", "UTF-16"),
    "a word without a line end": ("garden", "utf-16-be", "UTF-16"),
    "hiragana": (HIRAGANA, "utf-16-le", "UTF-16"),
    "hiragana, big-endian": (HIRAGANA, "utf-16-be", "UTF-16"),
    "hiragana, and carriage returns": (HIRAGANA.replace("\n", "\r\n"), "utf-16-le", "UTF-16"),
    "much hiragana": ("あ\n" * 50_000, "utf-16-le", "UTF-16"),
    "a long line": ("a" * 100_000, "utf-16-le", "UTF-16"),
    "all sorts": (MIXED, "utf-16-le", "UTF-16"),
    "all sorts, big-endian": (MIXED, "utf-16-be", "UTF-16"),
    "UTF-32": (MIXED, "utf-32-le", "UTF-32"),
    "UTF-32, big-endian": ("a", "utf-32-be", "UTF-32"),
    "ISO-2022-JP": (HIRAGANA, "iso2022_jp", "ISO-2022-JP"),
    "ISO-2022-JP, one line": ("庭のトマト", "iso2022_jp", "ISO-2022-JP"),
    "ISO-2022-KR": ("안녕하세요\n", "iso2022_kr", "ISO-2022-KR"),
    "Shift_JIS": (HIRAGANA, "shift_jis", "Shift_JIS"),
    "Shift_JIS, much of it": ("①庭のトマト\n" * 9_999, "cp932", "Shift_JIS"),
    "EUC-JP": (HIRAGANA, "euc_jp", "EUC-JP"),
}


@pytest.mark.parametrize(("text", "encoding", "looks"), LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", ["text", "pairs"])
def test_a_file_in_another_encoding_is_refused(name, text, encoding, looks):
    said = rf"^folder/f\.txt: the file looks like {looks}; save it as UTF-8$"
    with pytest.raises(BrokenInput, match=said):
        read(FORMATS[name].read(Reading()), text.encode(encoding))


STRUCTURED = {
    "jsonl": '{"text": "庭のトマト"}\n{"text": "ねこがねる"}\n',
    "scrapbox": '{"name": "p", "pages": [{"title": "庭のトマト", "lines": ["ねこがねる"]}]}',
}
ENCODINGS = ["utf-16-le", "utf-16-be", "utf-32-le", "iso2022_jp", "shift_jis", "euc_jp"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", STRUCTURED)
def test_json_in_another_encoding_is_refused(name, encoding):
    with pytest.raises(BrokenInput, match=r"the file looks like .*; save it as UTF-8$"):
        read(FORMATS[name].read(Reading()), STRUCTURED[name].encode(encoding))


@pytest.mark.skipif(not CASES.exists(), reason="the reference data is not beside this checkout")
@pytest.mark.parametrize("file", ["u16le.txt", "u16ja.txt", "iso2022jp.txt"])
def test_files_of_users_in_other_encodings_are_refused(file):
    with pytest.raises(BrokenInput, match="save it as UTF-8"):
        read(read_text, (CASES / "utf16_without_bom" / file).read_bytes())


FINE = b"a fine line\n" * 9
ODD_LINES = {
    "a NUL": (b"a\0b", "the line has a NUL (byte 0x00 at 2), as UTF-16 and damaged files have"),
    "NULs of a disk": (b"\0" * 512, "the line has a NUL"),
    "a line of UTF-16": ("other".encode("utf-16-le"), "the line has a NUL"),
    "a line of ISO-2022-JP": ("庭の木".encode("iso2022_jp"), "the line looks like ISO-2022-JP"),
    "a line of Shift_JIS": ("トマト".encode("shift_jis"), "it looks like Shift_JIS"),
    "a line of EUC-JP": ("トマト".encode("euc_jp"), "it looks like EUC-JP"),
    "Latin-1": ("élève café".encode("latin-1"), "not UTF-8 (byte 0xe9 at 1)"),
}


@pytest.mark.parametrize(("line", "error"), ODD_LINES.values(), ids=ODD_LINES)
@pytest.mark.parametrize("where", ["first", "last"])
def test_one_odd_line_of_a_fine_file_fails_alone(line, error, where):
    data = line + b"\n" + FINE if where == "first" else FINE + line + b"\n"
    records = read(read_text, data)
    (failure,) = (record for record in records if isinstance(record, Failure))
    assert error in failure.error
    assert failure.source_row == (1 if where == "first" else 10)
    assert len(records) == 10


def test_colours_of_a_terminal_are_text():
    assert texts(read_text, "\x1b[31mred\x1b(B\x1b[m\n") == [("\x1b[31mred\x1b(B\x1b[m", None)]


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0\x1b", codec="utf-8")))
def test_no_text_in_utf_8_is_taken_for_something_else(text):
    assert not foreign(text.encode())


PAIRS = {
    "pair": ("a ||| b", ("a", "b")),
    "last separator splits": ("a ||| b ||| c", ("a ||| b", "c")),
    "separators that share a space": ("a ||| ||| b", ("a |||", "b")),
    "spaces are kept inside": ("a  |||  b", ("a ", " b")),
    "unspaced": ("a|||b", ("a|||b", None)),
    "nothing before it": (" ||| b", ("||| b", None)),
    "nothing behind it": ("a ||| ", ("a |||", None)),
    "single": ("a", ("a", None)),
    "odd characters": ("a\u2028 ||| \rb", ("a\u2028", "\rb")),
}


@pytest.mark.parametrize(("line", "expected"), PAIRS.values(), ids=PAIRS)
def test_pair_rule_of_the_original(line, expected):
    assert texts(read_pairs, line + "\n") == [expected]


def test_in_text_a_separator_is_text_and_is_told():
    assert texts(read_text, "a ||| b\n") == [("a ||| b", None)]
    assert has_pair_separator("a ||| b")
    assert not has_pair_separator("a|||b")


def test_json_lines():
    first, second, third = read(
        read_jsonl,
        '{"id": "x", "text": " a ", "pair": "b", "tag": "t", "n": [1, {"é": null}]}\n'
        '{"id": 7, "text": "c", "pair": null, "score": 0.5}\n'
        '\ufeff{"text": "d"}\n'.replace("\ufeff", ""),
    )
    assert first.metadata == {"tag": "t", "n": '[1,{"é":null}]'}
    assert (first.id, first.text, first.pair, first.source_row) == ("x", " a ", "b", 1)
    assert (second.id, second.pair, second.metadata) == ("7", None, {"score": "0.5"})
    assert (third.id, third.metadata) == ("f.txt:3", {})


def test_a_blank_line_among_json_lines_is_an_empty_document():
    assert texts(read_jsonl, b'\xef\xbb\xbf{"text": "a"}\r\n\r\n') == [("a", None), ("", None)]


BAD_JSON = {
    "not JSON": ("{'text': 'a'}", "f.txt:2", "not JSON"),
    "cut off": ('{"text": "a', "f.txt:2", "not JSON: Unterminated string starting at column 10"),
    "byte-order mark": ('\ufeff{"text": "a"}', "f.txt:2", "begins with a byte-order mark, as a"),
    "a list": ("[1]", "f.txt:2", "the line is a list, not a JSON object"),
    "a number": ("7", "f.txt:2", "the line is a number, not a JSON object"),
    "no text": ('{"id": "x", "txt": "a"}', "x", "`text` is missing"),
    "text is null": ('{"id": "x", "text": null}', "x", "`text` is null"),
    "text is a number": ('{"text": 1}', "f.txt:2", "`text` is a number"),
    "pair is a list": ('{"text": "a", "pair": ["b"]}', "f.txt:2", "`pair` is a list"),
    "id is empty": ('{"id": "", "text": "a"}', "f.txt:2", "`id` is an empty string"),
    "id is a fraction": ('{"id": 1.5, "text": "a"}', "f.txt:2", "`id` is a number"),
    "id is true": ('{"id": true, "text": "a"}', "f.txt:2", "`id` is a truth value"),
    "half a pair in the text": (r'{"id": "x", "text": "\ud800"}', "f.txt:2", "half a surrogate"),
    "half a pair in the id": (r'{"id": "\uDC00", "text": "a"}', "f.txt:2", "half a surrogate"),
    "half a pair in a key": (r'{"text": "a", "\udbff": 1}', "f.txt:2", "half a surrogate"),
    "half a pair deep down": (r'{"text": "a", "m": [{"n": "\ud83d"}]}', "f.txt:2", "half a surr"),
    "NaN": ('{"text": "a", "m": NaN}', "f.txt:2", "NaN"),
    "too large a number": (
        '{"text": "a", "m": 1e999}',
        "f.txt:2",
        "`m` has a number that is too large",
    ),
    "too long a number": (
        f'{{"text": "a", "m": {"9" * 4301}}}',
        "f.txt:2",
        "the line has a number of 4,301 digits",
    ),
    "too large a number deep down": ('{"text": "a", "m": [-1e999]}', "f.txt:2", "`m` has a num"),
    "a key twice": ('{"id": "x", "text": "a", "text": "b"}', "f.txt:2", "the key `text` twice"),
    "a key twice, once escaped": (
        r'{"text": "a", "\u0074ext": "b"}',
        "f.txt:2",
        "key `text` twice",
    ),
    "a key twice deep down": ('{"text": "a", "m": [{"n": 1, "n": 1}]}', "f.txt:2", "key `n` twice"),
    "half a pair twice": (r'{"text": "a", "\ud800": 1, "\ud800": 2}', "f.txt:2", "key `?` twice"),
    "nested too deeply": ('{"text": "a", "m": ' + "[" * 100_000 + "}", "f.txt:2", "too deep"),
}


@pytest.mark.parametrize(("line", "record_id", "error"), BAD_JSON.values(), ids=BAD_JSON)
def test_a_bad_line_of_json_fails_alone(line, record_id, error):
    before, bad, after = read(read_jsonl, '{"text": "a"}\n' + line + '\n{"text": "b"}\n')
    assert isinstance(bad, Failure)
    assert (bad.document_id, bad.source_row) == (record_id, 2)
    assert error in bad.error
    assert (before.text, after.text) == ("a", "b")


def test_whole_surrogate_pairs_and_escaped_backslashes_are_text():
    line = r'{"text": "\ud83d\ude00 \\ud800"}'
    assert texts(read_jsonl, line) == [("😀 \\ud800", None)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.dictionaries(st.text(), JSON)), max_size=5), st.booleans())
def test_metadata_can_be_read_back(rows, ascii_only):
    records = [{**rest, "text": text, "id": None, "pair": None} for text, rest in rows]
    lines = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    for (text, rest), document in zip(rows, read(read_jsonl, "\n".join(lines)), strict=True):
        assert document.text == text
        for key in {"text", "id", "pair"} & set(rest):
            del rest[key]
        given_back = {
            key: value if isinstance(rest[key], str) else json.loads(value)
            for key, value in document.metadata.items()
        }
        assert given_back == rest


@pytest.mark.parametrize("reader", [read_text, read_pairs, read_jsonl])
@settings(deadline=None)
@given(data=st.lists(st.binary(max_size=8) | st.sampled_from([b"\n", b'{"text":', b'"a"}'])))
def test_every_line_is_one_record_whatever_the_bytes(reader, data):
    content = b"".join(data)
    n_lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    if marked(content) or foreign(content):
        return  # the file is refused
    records = read(reader, content)
    assert [record.source_row for record in records] == list(range(1, n_lines + 1))
    for record in records:
        assert isinstance(record, (Document, Failure))
        str(record).encode()  # nothing in it is unfit for the output


AUTO = {
    "json": ("a/b.json", "scrapbox"),
    "text": ("b.TXT", "text"),
    "compressed": ("gs://a/b.jsonl.gz", "jsonl"),
    "ndjson": ("b.ndjson.zst", "jsonl"),
    "bz2": ("b.txt.bz2", "text"),
    "parquet": ("s3://b/part-0.parquet", "parquet"),
    "csv": ("b.CSV.gz", "csv"),
    "tsv": ("b.tsv", "tsv"),
    "markdown": ("vault/b.md", "markdown"),
}


@pytest.mark.parametrize(("path", "expected"), AUTO.values(), ids=AUTO)
def test_the_suffix_tells_the_format(path, expected):
    assert format_of(path) == expected
    assert format_of(path, "pairs") == "pairs"


@pytest.mark.parametrize("path", ["a.doc", "a", "a.gz", "json"])
def test_another_suffix_is_refused(path):
    with pytest.raises(ValueError, match=r"--input_format=auto: .*scrapbox, text, pairs, jsonl"):
        format_of(path)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="--input_format=word: unknown"):
        format_of("a.txt", "word")


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_reader(name):
    assert callable(FORMATS[name].read(Reading(unit="line", markup="keep")))


@pytest.mark.parametrize(
    ("input_format", "names", "differ"),
    [
        ("auto", ["a.txt", "b/a.txt.gz"], True),
        ("pairs", ["a.txt", "b.any"], True),
        ("auto", ["a.txt", "b.jsonl"], False),
        *[(name, ["a.any"], False) for name in sorted(set(FORMATS) - {"text", "pairs"})],
    ],
)
def test_where_records_may_say_their_ids_two_may_be_the_same(input_format, names, differ):
    assert ids_differ(Reading(input_format), names) == differ


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if row.numbers_records])
def test_ids_of_numbered_records_differ_whatever_files_are_called(name):
    data = b"\n".join(b"line %d" % line for line in range(120))
    files = ["a", "a:1", "a:1:1", "1", ":", "a/1"]
    ids = [
        id_
        for file in files
        for records in FORMATS[name].read(Reading())(lambda: io.BytesIO(data), "source", file)
        for id_ in records.documents.ids
    ]
    assert len(set(ids)) == len(ids) == 120 * len(files)
