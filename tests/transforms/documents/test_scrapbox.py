"""Scrapbox exports: one result for each page or line, and damage told where it is."""

from __future__ import annotations

import io
import json
import tracemalloc
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.documents.ages import Dates
from corpusvec.transforms.documents.scrapbox import alignment_again, read_scrapbox
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.elements import Alignment, Document, Failure
from corpusvec.transforms.storage.digests import model_text_sha256

SCRAPBOX = Path(__file__).resolve().parents[4] / "shared" / "data" / "scrapbox"
needs_exports = pytest.mark.skipif(not SCRAPBOX.exists(), reason="the real exports are not here")


def read(data, unit="page", markup="strip"):
    if not isinstance(data, (str, bytes)):
        data = json.dumps(data, ensure_ascii=False)
    if isinstance(data, str):
        data = data.encode()
    found = read_scrapbox(lambda: io.BytesIO(data), "in/p.json", "p.json", unit, markup)
    return list(chain.from_iterable(found))


def export(*pages, **more):
    return {"name": "proj", "displayName": "P", **more, "pages": list(pages)}


def page(title="T", *lines, **more):
    return {"title": title, "created": 1, "updated": 2, **more, "lines": [title, *lines]}


OBJECTS = [
    {"text": "T", "created": 10, "updated": 11, "userId": "u"},
    {"text": "see [a]", "created": 20, "updated": 21, "userId": "u"},
]


@pytest.mark.parametrize("lines", [["T", "see [a]"], OBJECTS], ids=["strings", "objects"])
def test_a_page_is_a_document(lines):
    extra = {"id": "x", "views": 5, "linksLc": ["a"], "image": None}
    data = export(
        {"title": "T", "created": 1, "updated": 2, "lines": lines, **extra},
        users=[{"id": "u", "email": "a@example.com"}],
    )
    assert read(data) == [
        Document(
            "proj/T",
            "T\nsee [a]",
            None,
            "in/p.json",
            1,
            {"title": "T", "created": "1", "updated": "2", "views": "5"},
            Alignment(((0, 6), (7, 8))),
            ("a",),
        )
    ]


def test_a_line_is_a_document_with_stamps_of_its_own():
    data = export({**page(), "lines": ["T", *OBJECTS, ""]}, page("U", "[x.icon]"))
    found = read(data, unit="line")
    ids = ["proj/T#0", "proj/T#1", "proj/T#2", "proj/T#3", "proj/U#0", "proj/U#1"]
    assert [line.id for line in found] == ids
    assert [line.source_row for line in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].metadata == {"title": "T", "created": "1", "updated": "2"}
    assert found[2].metadata == {"title": "T", "created": "20", "updated": "21"}
    assert found[2].alignment.apply(found[2].text) == "see a"
    assert found[3].alignment is None
    assert [line.links for line in found] == [(), (), ("a",), (), (), ()]
    assert found[5].alignment == Alignment(())


def test_kept_markup_has_no_alignment():
    assert [line.alignment for line in read(export(page("T", "[a]")), markup="keep")] == [None]
    assert read(export(page("T", "a", "")))[0].alignment is None  # nothing to strip


def test_newlines_stay_between_stripped_lines():
    (document,) = read(export(page("[x.icon]", "code:a", " [b]", "", "[c]")))
    assert document.alignment.apply(document.text) == "\na\n [b]\n\nc"


def test_blocks_hold_for_single_lines_too():
    lines = read(export(page("T", "code:a", " [b]", "[c]")), unit="line")
    read_texts = [
        line.alignment.apply(line.text) if line.alignment else line.text for line in lines
    ]
    assert read_texts == ["T", "a", " [b]", "c"]


@pytest.mark.parametrize(("unit", "id_"), [("page", "proj/T"), ("line", "proj/T#0")])
def test_a_page_without_lines_is_its_title(unit, id_):
    (document,) = read(export({"title": "T", "lines": []}), unit)
    assert (document.id, document.text, document.metadata) == (id_, "T", {"title": "T"})


def test_the_name_may_come_after_the_pages():
    data = {"users": [{"name": "u"}], "pages": [page("name"), page("U")], "name": "late"}
    assert [document.id for document in read(data)] == ["late/name", "late/U"]


def test_a_byte_order_mark_is_dropped():
    data = b"\xef\xbb\xbf" + json.dumps(export(page()), indent=2).encode()
    assert [document.id for document in read(data)] == ["proj/T"]


def test_text_that_looks_like_an_escape_is_text():
    (document,) = read(r'{"name": "p", "pages": [{"title": "\\ud800 \ud83d\ude00", "lines": []}]}')
    assert document.text == "\\ud800 😀"


GOOD = ["P/a", "P/c"]
HEAD, TAIL = b'{"name": "P", "pages": [{"title": "a", "lines": ["a"]}, ', b"]}"
LAST = b', {"title": "c", "lines": ["c"]}'

BAD_PAGES = {
    "bad byte in a line": (b'{"title": "b", "lines": ["b", "x\xff"]}', "P/b", "line 2 has bytes"),
    "cut sequence": (b'{"title": "b", "lines": ["b", "\xe3\x81"]}', "P/b", "line 2 has bytes"),
    "coded surrogate": (b'{"title": "b", "lines": ["\xed\xa0\x80"]}', "P/b", "line 1 has bytes"),
    "bad byte after a backslash": (b'{"title": "b", "lines": ["\\\xff"]}', "P/b", "has bytes"),
    "half a pair": (rb'{"title": "b", "lines": ["b", "\ud800x"]}', "P/b", "line 2 has half a surr"),
    "half a pair after a backslash": (rb'{"title": "b", "lines": ["\\\udc00"]}', "P/b", "has half"),
    "bad title": (b'{"title": "b\xff", "lines": ["b"]}', "P/b\ufffd", "its title has bytes"),
    "bad stamp": (b'{"title": "b", "lines": [], "created": "\xff"}', "P/b", "`created` has bytes"),
    "stamp of a wrong type": (b'{"title": "b", "lines": [], "views": {}}', "P/b", "`views` is"),
    "no title": (b'{"lines": ["b"]}', "P/(page 2)", "its title is missing"),
    "title of a wrong type": (
        b'{"title": 1, "lines": ["b"]}',
        "P/(page 2)",
        "its title is missing",
    ),
    "no lines": (b'{"title": "b"}', "P/b", "its `lines` are missing"),
    "lines of a wrong type": (b'{"title": "b", "lines": "b"}', "P/b", "its `lines` are missing"),
    "line of a wrong type": (b'{"title": "b", "lines": ["b", 7]}', "P/b", "its line 2 is missing"),
    "line without text": (b'{"title": "b", "lines": [{"userId": "u"}]}', "P/b", "its line 1 is"),
    "a key twice": (
        b'{"title": "b", "lines": ["b"], "lines": []}',
        "P/b",
        "it has the key `lines` twice",
    ),
    "an unused key twice": (
        b'{"title": "b", "lines": [], "id": 1, "id": 1}',
        "P/b",
        "key `id` twice",
    ),
    "a line's key twice": (
        b'{"title": "b", "lines": [{"text": "b"}, {"text": "c", "text": "d"}]}',
        "P/b",
        "its line 2 has the key `text` twice",
    ),
    "a key twice deep down": (
        b'{"title": "b", "lines": ["b"], "links": [{"x": {"id": 1, "id": 2}}]}',
        "P/b",
        "it has the key `id` twice",
    ),
    "no object": (b"[1, 2]", "P/(page 2)", "it is not an object"),
    "null": (b"null", "P/(page 2)", "it is not an object"),
}


@pytest.mark.parametrize(("bad", "record_id", "error"), BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_bad_page_fails_alone(bad, record_id, error):
    before, failure, after = read(HEAD + bad + LAST + TAIL)
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.document_id) == ("read", record_id)
    assert (failure.source, failure.source_row) == ("in/p.json", 2)
    assert "page 2: " in failure.error
    assert error in failure.error
    assert [before.id, after.id] == GOOD


BAD_LINES = {
    "a bad line": (b'{"title": "b", "lines": ["b", "\xff", "d"]}', ["P/b#1"]),
    "a line of a wrong type": (b'{"title": "b", "lines": ["b", {}, "d"]}', ["P/b#1"]),
    "a key twice in a line": (
        b'{"title": "b", "lines": ["b", {"text": "c", "text": "d"}, "e"]}',
        ["P/b#1"],
    ),
    "a key twice in a page": (b'{"title": "b", "title": "b", "lines": ["b"]}', ["P/b#0"]),
    "a bad stamp": (rb'{"title": "b", "lines": [{"text": "b", "created": []}, "d"]}', ["P/b#0"]),
    "a bad title": (
        rb'{"title": "\udfff", "lines": ["b", "d"]}',
        ["P/\ufffd#0", "P/\ufffd#1"],
    ),
    "no lines": (b'{"title": "b"}', ["P/b#0"]),
    "no object": (b"7", ["P/(page 2)#0"]),
}


@pytest.mark.parametrize(("bad", "failed"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_fails_alone(bad, failed):
    found = read(HEAD + bad + LAST + TAIL, unit="line")
    assert [line.source_row for line in found] == list(range(1, len(found) + 1))
    assert [line.document_id for line in found if isinstance(line, Failure)] == failed
    assert (found[0].id, found[-1].id) == ("P/a#0", "P/c#0")


BROKEN = {
    "empty": (b"", "the file is empty"),
    "byte-order mark alone": (b"\xef\xbb\xbf", "the file is empty"),
    "white space": (b" \n", "the file is empty"),
    "white space and no more of it": (b"\n\n{", "before its pages"),
    "JSON lines": (b'{"text": "a"}\r\n{"text": "b"}\r\n', "--input_format=jsonl"),
    "JSON lines, cut off": (b'{"text": "a"}\n{"te', "--input_format=jsonl"),
    "an object and something else": (b'{"text": "a"}\nx', "before its pages"),
    "no JSON": (b"hello", "before its pages"),
    "a list": (b"[1, 2]", "not an object with `name` and `pages`"),
    "a string": (b'"name"', "not an object with `name` and `pages`"),
    "no pages": (b'{"name": "P"}', "it has no `pages`"),
    "pages are an object": (b'{"name": "P", "pages": {"item": {}}}', "`pages` are not a list"),
    "pages are null": (b'{"name": "P", "pages": null}', "`pages` are not a list"),
    "no name": (b'{"pages": []}', "its `name`"),
    "name is a number": (b'{"name": 7, "pages": []}', "its `name`"),
    "bad name": (b'{"name": "\xff", "pages": []}', "its `name`"),
    "bad name after the pages": (rb'{"pages": [], "name": "\ud800"}', "its `name`"),
    "name twice": (b'{"name": "a", "name": "b", "pages": []}', "its key `name` twice"),
    "pages twice": (HEAD + b'{"title": "b", "lines": []}], "pages": []}', "its key `pages` twice"),
    "something unused twice": (HEAD + b'{}], "users": [], "users": []}', "its key `users` twice"),
    "cut off at the first page": (HEAD[:40], "before its first page"),
    "cut off": (HEAD, 'after page 1 "a"'),
    "cut off, name unknown": (b'{"pages": [{"title": "a", "lines": []}, {"t', 'after page 1 "a"'),
    "cut off after the pages": (HEAD + b'{"title": "b", "lines": []}]', 'after page 2 "b"'),
    "something behind": (HEAD + b"{}]} x", 'after page 2 "(page 2)"'),
    "control character": (HEAD + b'{"title": "\x01"}]}', 'after page 1 "a"'),
    "bad byte between pages": (HEAD + b"\xff {}]}", 'after page 1 "a"'),
    "long number": (
        HEAD + b'{"title": "b", "x": ' + b"9" * 4301 + b"}]}",
        "more than 4,300 digits",
    ),
    "long number, name unknown": (
        b'{"pages": [{"title": "a", "lines": []}], "x": ' + b"9" * 200_000 + b', "name": "P"}',
        "more than 4,300 digits",
    ),
    "deep": (HEAD + b"[" * 50_000 + b"]" * 50_000 + b"]}", "nested more than 200 deep"),
    "deep before the pages": (b'{"x": ' + b"[" * 100_000, "nested more than 200 deep"),
    "endless number": (HEAD + b"1e99999999999999999999]}", 'after page 1 "a"'),
}


@pytest.mark.parametrize(("data", "where"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_an_error_that_says_where(data, where):
    with pytest.raises(BrokenInput) as caught:
        read(data)
    message = str(caught.value)
    assert message.startswith("in/p.json: ")
    assert where in message
    assert "export it again" in message
    assert "\n" not in message


FIRST = {"name": "P", "exported": 1578221415, "pages": [page(updated=5), page("U", updated=9)]}
TIMES = {
    "as it is exported": (FIRST, (1578221415.0, 9.0)),
    "at its end": ({**{k: FIRST[k] for k in ("name", "pages")}, "exported": 7.5}, (7.5, 9.0)),
    "not said": ({"name": "P", "pages": FIRST["pages"]}, (None, 9.0)),
    "of a page alone": ({"name": "P", "pages": [page(exported=3, updated=None)]}, (None, None)),
    "in milliseconds": ({**FIRST, "exported": 1578221415000}, (None, 9.0)),
    "no number": ({**FIRST, "exported": "2020-01-05"}, (None, 9.0)),
    "a truth value": ({**FIRST, "exported": True}, (None, 9.0)),
    "pages are read whatever they say": ({**FIRST, "pages": [page(updated=True)]}, None),
}


@pytest.mark.parametrize(("data", "expected"), TIMES.values(), ids=TIMES)
def test_an_export_tells_its_time(data, expected):
    dates = Dates()
    whole = json.dumps(data).encode()
    list(read_scrapbox(lambda: io.BytesIO(whole), "p.json", "p.json", dates=dates))
    assert (dates.exported, dates.updated) == (expected or (1578221415.0, None))


@needs_exports
def test_a_real_export_tells_its_time():
    dates, path = Dates(), SCRAPBOX / "qualia-san.json"
    list(read_scrapbox(lambda: path.open("rb"), "p.json", "p.json", dates=dates))
    assert dates.exported == 1678252437
    assert dates.updated < dates.exported


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_no_cut_off_file_passes_for_a_whole_one(cut):
    data = json.dumps(export(page("a", "b"), page("c"), page("d"))).encode()
    with pytest.raises(BrokenInput):
        read(data[:-cut])


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=3), st.binary(min_size=1, max_size=2))
def test_corrupted_bytes_never_lose_a_page_unnoticed(places, junk):
    data = bytearray(json.dumps(export(*(page(f"p{i}", "x\\y", "é") for i in range(5)))).encode())
    for place in places:
        at = place % len(data)
        data[at : at + len(junk)] = junk
    try:
        found = read(bytes(data))
    except BrokenInput:
        return
    rows = [result.source_row for result in found]
    assert rows == list(range(1, len(found) + 1))
    for result in found:
        str(result).encode()  # nothing in it is unfit for the output


@needs_exports
@pytest.mark.parametrize("file", ["qualia-san", "mediamarker-icossa", "code-and-table"])
def test_real_exports_are_read_whole(file):
    path = SCRAPBOX / f"{file}.json"
    raw = json.loads(path.read_bytes())
    documents = read(path.read_bytes())
    assert [document.text for document in documents] == [
        "\n".join(page["lines"]) for page in raw["pages"]
    ]
    lines = read(path.read_bytes(), unit="line")
    assert [line.text for line in lines] == [
        line for page in raw["pages"] for line in page["lines"]
    ]
    assert all(isinstance(line, Document) for line in lines)


class Pages(io.RawIOBase):
    """An export of any size that is never whole in memory."""

    def __init__(self, n_pages):
        page = {"title": "T", "lines": [{"text": "some [words]", "userId": "u"}] * 100}
        self._left, self._page = n_pages, json.dumps(page).encode()
        self._rest = b'{"name": "P", "pages": ['

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._rest and self._left >= 0:
            self._left -= 1
            self._rest = self._page + b"," * (self._left > 0) if self._left >= 0 else b"]}"
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def peak_memory(n_pages):
    tracemalloc.start()
    try:
        records = read_scrapbox(lambda: io.BufferedReader(Pages(n_pages)), "p.json", "p.json")
        assert sum(map(len, records)) == n_pages
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file():
    assert peak_memory(400) < 1.3 * peak_memory(40)


NOTATION = ["[a link]", "plain", "code:a.py", "table:t", " [x]\t[y]", "\t`[z]`", " #tag", "[* b]"]
NOTATION += [
    "[N1,E2 a map]",
    " > [a]\t[* [b]]\t#c",
    "  [N1,E2 d]\t[e]",
    " table:t",
    "  [i.icon] [[s]]",
    "> [q]",
    "",
    "[https://a.example label]",
]


@given(st.lists(st.sampled_from(NOTATION), max_size=12), st.sampled_from(["page", "line"]))
def test_how_a_text_was_stripped_is_found_out_again(lines, unit):
    for document in read(export(page("a [title]", *lines)), unit):
        if (digest := model_text_sha256(document)) is not None:
            found = alignment_again(document.text, digest)
            assert found.apply(document.text) == document.alignment.apply(document.text)


def test_a_newline_inside_of_a_line_may_hide_it():
    (document,) = read(export(page("T", "> q\n> r", "[c]")))
    digest = model_text_sha256(document)
    assert document.alignment.apply(document.text) == "T\n q\n> r\nc"
    assert alignment_again(document.text, digest) is None
