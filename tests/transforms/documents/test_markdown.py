"""Markdown notes: what the model reads of them, their sections, what is in front of them."""

from __future__ import annotations

import io
import re
import time
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.transforms.documents.markdown import read_markdown
from corpusvec.transforms.documents.markdown_markup import headings, parsed
from corpusvec.transforms.elements import Failure


def read(data: bytes | str, unit: str = "page", markup: str = "strip"):
    data = data.encode() if isinstance(data, str) else data
    found = read_markdown(lambda: io.BytesIO(data), "vault/a/Note.md", "a/Note.md", unit, markup)
    return list(chain.from_iterable(found))


def shown(text: str) -> str:
    return "".join(text[start:stop] for start, stop in parsed(text).runs)


SHOWN = {
    "a heading": ("## A title ##", "A title"),
    "a heading below itself": ("A title\n===\ntext", "A title\n\ntext"),
    "emphasis": ("**a** *b* __c__ _d_ ***e*** ~~f~~ ==g==", "a b c d e f g"),
    "Japanese without spaces": ("これは**太字**です", "これは太字です"),
    "no emphasis": (
        "snake_case 2 * 3 a == b == c #1 5$ 6$",
        "snake_case 2 * 3 a == b == c #1 5$ 6$",
    ),
    "code": ("`a*b*` and ``c`d``", "a*b* and c`d"),
    "a lone tick": ("a ` b", "a ` b"),
    "links": ("[a *b*](http://c/d_(e) 'f') [g][h] <https://i.j/k_l_m>", "a b g https://i.j/k_l_m"),
    "links of a wiki": ("[[a]] [[b|c]] [[d#e|f]]", "a c f"),
    "images": ("a ![b](c.png) ![[d.png]] [![e](f)](g) h", "a    h"),
    "a tag": ("#tag/sub and a#b", "tag/sub and a#b"),
    "bullets": ("- a\n* b\n+ c\n1. d\n2) e\n- [ ] f\n  - [x] g", "a\nb\nc\nd\ne\nf\ng"),
    "quotes": ("> a\n>> b\n> [!note]+ c", "a\nb\nc"),
    "a table": ("| a | b |\n|:--|--:|\n| c | d |", " a  b \n\n c  d "),
    "a rule": ("a\n\n* * *\n\nb", "a\n\n\n\nb"),
    "a block of code": ("```py\n# a\n*b*\n```\n*c*", "# a\n*b*\nc"),
    "a block within tildes": ("~~~\n```\na\n~~~\n*b*", "```\na\nb"),
    "a block that never ends": ("```\n*a*", "*a*"),
    "HTML": ("a <b>c</b> <!-- d\ne --> f", "a c  f"),
    "a comment of Obsidian": ("a %%b%% c", "a  c"),
    "escapes": (r"\*a\* \[b\]", "*a* [b]"),
    "a footnote": ("a[^1]\n[^1]: b", "a\nb"),
    "a definition": ("[a]: http://b", ""),
    "an anchor": ("a ^b-1", "a"),
}


@pytest.mark.parametrize(("text", "expected"), SHOWN.values(), ids=SHOWN)
def test_what_the_model_reads(text, expected):
    assert shown(text) == expected


LINKS = {
    "of a wiki": (
        "[[One note]] [[b|c]] [[d#e|f]] [[g^h]] [[i.md]]",
        ["One note", "b", "d", "g", "i"],
    ),
    "in a table": ("| [[a\\|b]] |\n|--|", ["a"]),
    "a heading of the note itself": ("[[#a]] [b](#c)", []),
    "shown in the place": ("![[a#b|c]] ![[d.png]] [[e.pdf]] ![f](g.md)", ["a"]),
    "relative": (
        "[a *b*](c.md) [d](<e f.md>) [g](../h%20i.md#j 'k') [l](/m.markdown)",
        ["./c", "./e f", "../h i", "/m"],
    ),
    "defined elsewhere": ("[a][b]\n\n[b]: c/d.md", ["./c/d"]),
    "addresses and other files": (
        "[a](https://b/c.md) [d](e.txt) [f](//g/h.md) <https://i.md>",
        [],
    ),
    "tags": ("#a #b/c, x#d #1 #2024年 # e (#f)", ["a", "b/c", "2024年"]),
    "within other notation": ("# [[a]]\n- **[[b]]** ==[[c]]==\n> [[d]]", ["a", "b", "c", "d"]),
    "code": ("`[[a]]`\n```\n[[b]] #c\n```", []),
    "comments": ("%%[[a]]%% <!-- [[b]]\n#c --> [[d]]", ["d"]),
}


@pytest.mark.parametrize(("text", "expected"), LINKS.values(), ids=LINKS)
def test_links_and_tags_of_a_note(text, expected):
    assert [link.page for link in parsed(text).links] == expected


def test_links_are_keys_and_relative_ones_paths_in_the_vault():
    first = "# H\n[[Two Words]] [x](B.md) [y](../C.md) [z](/D.md) [[./E]]"
    text = f"---\ntags: [Red, '#big']\n---\n{first}\n# I\n[[e\u0301]]"
    (note,) = read(text)
    expected = ("two_words", "a/b", "c", "d", "a/e", "\u00e9", "red", "big")
    assert note.links == expected
    first, second = read(text, "section")
    assert (*first.links, *second.links) == (*expected[:5], "red", "big", "\u00e9")


@given(st.text("ab *_~=`[]()!<>#|\\-+>\n^%$:1.", max_size=60))
def test_what_stays_are_ascending_runs_of_any_text(text):
    runs, links = parsed(text)
    flat = [place for run in runs for place in run]
    assert flat == sorted(set(flat))
    assert all(0 <= place <= len(text) for place in flat)
    assert all(text[start : start + 1] for start, _ in headings(text))
    assert all(0 <= link.start <= link.stop <= len(text) for link in links)


@given(st.text("abc \n", max_size=40))
def test_words_alone_stay(text):
    lines = text.split("\n")
    assert shown(text) == "\n".join(line.lstrip(" ") for line in lines)


def test_front_matter_becomes_metadata():
    (note,) = read("---\ntitle: 庭\ntags: [a, b]\ndate: 2024-01-02\nnone:\nn: 1.5\n---\n\nText\n")
    assert note.text == "Text"
    assert note.metadata == {"title": "庭", "tags": '["a", "b"]', "date": "2024-01-02", "n": "1.5"}
    assert (note.id, note.source, note.source_row) == ("a/Note.md", "vault/a/Note.md", 1)


@pytest.mark.parametrize("text", ["---\nno end", "a\n---\nb: c\n---\n", "--- \n\n---x\n"])
def test_rules_are_no_front_matter(text):
    (note,) = read(text, markup="keep")
    assert (note.text, note.metadata, note.alignment) == (text.strip(), {"title": "Note"}, None)


BAD = {
    "YAML": ("---\na: [\n---\n", "is not YAML"),
    "a list": ("---\n- a\n---\n", "no `key: value`"),
    "aliases": ("---\na: &x [1]\nb: *x\n---\n", "has an alias"),
    "bytes": (b"a\xff", r"is not UTF-8 \(byte 0xff at 2\)"),
    "UTF-16": ("a".encode("utf-16"), "the note is UTF-16"),
    "Shift_JIS": ("ひらがなです\n".encode("cp932"), "the note is Shift_JIS"),
    "a NUL": ("some words\0 and more\n", "the note has a NUL"),
}


@pytest.mark.parametrize(("data", "said"), BAD.values(), ids=BAD)
def test_a_bad_note_fails_alone(data, said):
    (record,) = read(data)
    assert isinstance(record, Failure)
    assert record.document_id == "a/Note.md"
    assert re.search(said, record.error)


def test_sections_are_below_headings():
    text = "---\na: 1\n---\nFirst\n\n# One *x*\nb\n\nTwo\n---\nc\n```\n# no\n```\n# One x\nd\n"
    parts = read(text, "section")
    assert [(part.id, part.source_row) for part in parts] == [
        ("a/Note.md", 4),
        ("a/Note.md#One x", 6),
        ("a/Note.md#Two", 9),
        ("a/Note.md#One x-2", 15),
    ]
    assert [part.text for part in parts] == [
        "First",
        "# One *x*\nb",
        "Two\n---\nc\n```\n# no\n```",
        "# One x\nd",
    ]
    assert parts[1].metadata == {"title": "Note", "a": "1", "heading": "One x"}


def test_an_empty_note_is_an_empty_document():
    for unit in ("page", "section"):
        assert [(note.id, note.text) for note in read(" \n", unit)] == [("a/Note.md", "")]


def test_a_long_line_of_spaces_takes_no_longer_than_words():
    text = f"a{' ' * 200_000}b\n{' ' * 200_000}c [[d]]"  # minutes, where each space is tried twice
    assert shown(text).split() == ["a", "b", "c", "d"]
    assert headings(text) == []


HOSTILE = {
    "comments": "a %%comment%% b\n" * 20_000,
    "comments and tags": "#tag %%comment%%\n" * 20_000,
    "comments and links": "[[a]] <!-- x --> [b](c.md)\n" * 20_000,
    "comments and code": "```\ncode\n```\n%%x%%\n" * 20_000,
    "comments in a line": "a %%comment%% #b " * 20_000,
    "open notes": "[^a" * 20_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear_in_the_length(text):
    start = time.process_time()
    parsed(text)
    assert time.process_time() - start < 3  # quadratic: ten times that
