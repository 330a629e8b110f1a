"""Lines of text, pairs and JSON: each record is one document or one failure."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import Document, Failure
from transforms.formats import (
    FORMATS,
    format_of,
    has_pair_separator,
    read_jsonl,
    read_pairs,
    read_text,
    reader_for,
)
from transforms.streams import BrokenInput


def read(reader, data):
    if isinstance(data, str):
        data = data.encode()
    return list(reader(lambda: io.BytesIO(data), "folder/f.txt", "f.txt"))


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
@pytest.mark.parametrize("name", FORMATS)
def test_utf_16_is_refused_by_its_name(name, encoding):
    data = '\ufeff{"text": "a"}\n'.encode(encoding)
    with pytest.raises(BrokenInput, match=r"^folder/f\.txt: the file is UTF-16; save it as UTF-8$"):
        read(reader_for(name), data)


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
    "too large a number deep down": ('{"text": "a", "m": [-1e999]}', "f.txt:2", "`m` has a num"),
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
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return  # UTF-16
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
}


@pytest.mark.parametrize(("path", "expected"), AUTO.values(), ids=AUTO)
def test_the_suffix_tells_the_format(path, expected):
    assert format_of(path) == expected
    assert format_of(path, "pairs") == "pairs"


@pytest.mark.parametrize("path", ["a.csv", "a", "a.gz", "json"])
def test_another_suffix_is_refused(path):
    with pytest.raises(ValueError, match=r"--input_format=auto: .*scrapbox, text, pairs, jsonl"):
        format_of(path)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="--input_format=csv: unknown"):
        format_of("a.txt", "csv")


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_reader(name):
    assert callable(reader_for(name, unit="line", markup="keep"))
