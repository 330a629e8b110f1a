"""Scrapbox notation: what the model reads of a page."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.documents.scrapbox_markup import strip_lines

SCRAPBOX = Path(__file__).resolve().parents[4] / "shared" / "data" / "scrapbox"


USERS = SCRAPBOX.parents[1] / "cases"


def stripped(*lines):
    return [
        "".join(line[start:stop] for start, stop in runs)
        for line, runs in zip(lines, strip_lines(lines), strict=True)
    ]


CASES = {
    "plain": ("ordinary text", "ordinary text"),
    "empty": ("", ""),
    "link": ("a [word] b", "a word b"),
    "link with spaces": ("[two words]", "two words"),
    "links side by side": ("[a][b]", "ab"),
    "hashtag": ("#tag and #other", "tag and other"),
    "hashtag inside a word": ("a#b http://x.org/#c", "a#b http://x.org/#c"),
    "several hashes": ("### not a tag ##x # y", "### not a tag ##x # y"),
    "hashtag in a link": ("[foo #bar] [#baz]", "foo #bar #baz"),
    "label before": ("[the label https://example.com/a?b=c] x", "the label x"),
    "label behind": ("[https://example.com the label] x", "the label x"),
    "label of an image's address": ("[label https://example.com/x.png]", "label"),
    "no label": ("[https://example.com/page]", "https://example.com/page"),
    "address in the text": ("see https://example.com/x.png", "see https://example.com/x.png"),
    "image": ("a [https://example.com/x.PNG] b", "a  b"),
    "image with query": ("[https://example.com/x.jpg?size=1]", ""),
    "image with a query that ends as one": ("[https://x.com/x?f=a.png#b]", ""),
    "suffix with more behind it": ("[https://x.com/x.pngs?a=1]", "https://x.com/x.pngs?a=1"),
    "strong image with query": ("[[https://a.org/x.png?size=1]] a", " a"),
    "strong image and words": ("[[https://a.org/x.png? words]]", "https://a.org/x.png? words"),
    "gyazo": ("[https://gyazo.com/5f93e65a3b979ae5333aca4f32600611]", ""),
    "gyazo, its image": ("[https://i.gyazo.com/5f93e65a3b979ae5333aca4f32600611/raw]", ""),
    "file": ("[https://scrapbox.io/files/63750731cb7ce9001d557def.mp4]", ""),
    "video": ("[https://www.youtube.com/watch?v=x]", "https://www.youtube.com/watch?v=x"),
    "image that is a link": ("[https://a.org/x.png https://b.org]", ""),
    "link that has an image": ("[https://b.org https://a.org/x.png]", ""),
    "strong image": ("[[https://a.org/x.png]]", ""),
    "icon": ("[name.icon] says", " says"),
    "icons": ("a [name.icon*3]", "a "),
    "strong icon": ("[[name.icon]]!", "!"),
    "icon of a project": ("[/icons/good job.icon]", ""),
    "not an icon": ("[name.icon too] [.icon]", "name.icon too .icon"),
    "strong": ("[[strong]] text", "strong text"),
    "strong link": ("[[[word]]]", "word"),
    "bold": ("[* text]", "text"),
    "many decorations": ("[-***/ text]", "text"),
    "decorated link": ("[* [Join https://example.com]] [_ see [page]]", "Join see page"),
    "decorated icon and tag": ("[** a [x.icon] #tag]", "a  tag"),
    "decorated code": ("[* use `a[0]`]", "use a[0]"),
    "sign without space": ("[*text] [-]", "*text -"),
    "formula": ("where [$ x^2] is", "where x^2 is"),
    "formula with brackets": ("[$ x[1] + y_[2]]", "x[1] + y_[2]"),
    "formula, half-open": ("[$ [0,1) ] is", "[0,1)  is"),
    "formula before a link": ("[$ a] [b ]", "a b "),
    "code": ("use `[x] #y` here", "use [x] #y here"),
    "code without an end": ("a ` b [c]", "a ` b c"),
    "empty code": ("`` [c]", "`` c"),
    "bracket across code": ("[a `b]` c]", "a b] c"),
    "map": ("see [N35.68,E139.76,Z14 Station] now", "see Station now"),
    "map, its name before": ("[Old Park N35.68,E139.76,Z14]", "Old Park"),
    "map of the south and the west": (
        "[S13.70533,W69.6533372  Lake [x]",
        "[S13.70533,W69.6533372  Lake x",
    ),
    "map without zoom": ("[S13.70533,W69 Lake Titicaca]", "Lake Titicaca"),
    "map without a name": ("a [N35.68,E139.76] b", "a  b"),
    "map of two places": ("[N1,E2 N3,E4]", "N1,E2"),
    "map in Japanese": ("[東京駅\u3000N35.68,E139.76]", "東京駅"),
    "no map: a space behind it": ("[N1,E2 ]", "N1,E2 "),
    "no map: a space before it": ("[ N1,E2]", " N1,E2"),
    "no map: other letters": ("[E1,N2 a] [N1;E2 a] [N1.,E2 a]", "E1,N2 a N1;E2 a N1.,E2 a"),
    "no map: in a decoration": ("[* [N1,E2 a]] [N1,E2 b]", "N1,E2 a b"),
    "link with a map's name": ("[https://a.org N1,E2]", "N1,E2"),
    "page of a project": ("[/project/some page]", "/project/some page"),
    "quote": ("> said [he]", " said he"),
    "quote, indented": (" >#tag > b", " tag > b"),
    "indented": ("\t [a]", "\t a"),
    "command line": ("$ [ -f x ] && `ls`", "$ [ -f x ] && `ls`"),
    "blank": ("[ ]", " "),
    "nothing in it": ("[] [[]]", "[] "),
    "opened, not closed": ("a [b and [c]", "a [b and c"),
    "closed, not opened": ("a] b [c]] d", "a] b c] d"),
    "brackets in brackets": ("[a [b] c]", "[a b c]"),
    "Japanese": ("[日本語]の#文 #章", "日本語の#文 章"),
}


@pytest.mark.parametrize(("line", "text"), CASES.values(), ids=CASES)
def test_what_stays_of_a_line(line, text):
    assert stripped(line) == [text]


BLOCKS = {
    "code": (
        ["code:a.py", " x = [1]", "", "[y]"],
        ["a.py", " x = [1]", "", "y"],
    ),
    "code, indented": (
        [" code:a.py", "  `x`", "   #y", " #z"],
        [" a.py", "  `x`", "   #y", " z"],
    ),
    "header in code": (["code:a", " code:b", " [c]"], ["a", " code:b", " [c]"]),
    "code after code": (["code:a", " [x]", "code:b", " [y]"], ["a", " [x]", "b", " [y]"]),
    "table": (
        ["table:t", " [a]\t`[b]`\t[c\td]", "[e]"],
        ["t", " a\t`[b]`\t[c\td]", "e"],
    ),
    "cells are not decorated": (
        [
            "table:t",
            "\tplain\t#tag\t[* deco]\t[[strong]]\t`code`\t[$ x]\t[N1,E2 map]",
            "\t[* a [b]]",
        ],
        ["t", "\tplain\t#tag\t[* deco]\t[[strong]]\t`code`\t[$ x]\t[N1,E2 map]", "\t[* a [b]]"],
    ),
    "cells have links and icons": (
        ["table:t", "\t[a page]\tx [b] y [/p/c]\t[d.icon*2]!\t[[e.icon]]"],
        ["t", "\ta page\tx b y /p/c\t!\t[[e.icon]]"],
    ),
    "cells have no addresses and images": (
        ["table:t", "\t[https://a.org]\t[l https://a.org]\t[https://a.org/x.png]"],
        ["t", "\t[https://a.org]\t[l https://a.org]\t[https://a.org/x.png]"],
    ),
    "cells that are quotes and the like": (
        ["table:t", "\t> [q]\t$ [c]\t? [h]\t1. [n]\t1 [x]\t[ ]\t>[q]"],
        ["t", "\t> [q]\t$ [c]\t? [h]\t1. [n]\t1 x\t[ ]\t>[q]"],
    ),
    "no name": (["code:", " [x]"], ["code:", " x"]),
    "in the middle": (["see code:a", " [x]"], ["see code:a", " x"]),
}


@pytest.mark.parametrize(("lines", "texts"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_go_on_while_lines_are_indented_deeper(lines, texts):
    assert stripped(*lines) == texts


PIECES = st.sampled_from(
    [
        *"[]`#>*$ \t/x日",
        "[[",
        "]]",
        "[$ ",
        "[* ",
        " ]",
        ".icon]",
        "https://a.org",
        "/x.png",
        "code:",
    ]
)
LINES = st.lists(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join), max_size=6)


@settings(deadline=None)
@given(LINES)
def test_runs_are_ascending_and_maximal_and_inside_the_line(lines):
    for line, runs in zip(lines, strip_lines(lines), strict=True):
        ends = [end for run in runs for end in run]
        assert ends == sorted(set(ends))  # no run is empty, none touches the next
        assert all(0 <= end <= len(line) for end in ends)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="[]`#>:$%\n")), max_size=5))
def test_text_without_notation_stays_as_it_is(lines):
    assert stripped(*lines) == lines


HOSTILE = {
    "opened": "[" * 100_000,
    "nested": "[" * 50_000 + "]" * 50_000,
    "nested decorations": "[* " * 30_000 + "]" * 30_000,
    "decoration signs": "[((((" * 20_000,
    "formulas": "[$ " * 40_000,
    "formulas, one end": "[$ [" * 30_000 + "]",
    "formulas in formulas": "[$ [ " * 30_000 + " ]" * 30_000,
    "formulas of links": "[$ [a]]" * 20_000,
    "code": "`" * 100_000,
    "tags": " #a" * 40_000,
    "icons": "[" + "a.icon*1 .png?" * 10_000 + "]",
    "address": "[https://" + "a-." * 30_000 + "]",
    "images": "[https://" + ".png?" * 20_000 + " x]",
    "strong images": "[[https://" + ".png?" * 20_000 + " x]]",
    "strong images, other signs": "[[https://" + ".png#" * 20_000 + "\u3000]]",
    "strong image hosts": "[[https://" + "gyazo." * 16_000 + " x]]",
    "strong icons": "[[" + "a.icon*11" * 11_000 + " x]]",
    "many strong images": "[[https://a.png? x]]" * 5_000,
    "two images": "[https://" + ".png?" * 10_000 + " https://" + ".png?" * 10_000 + "]",
    "decorated images": "[* " * 10_000 + "[https://" + ".png?" * 10_000 + " x]" * 10_000,
    "places": "[N1,E2 " + "N1.1,E2" * 20_000 + "]",
    "digits of a place": "[N" + "1" * 100_000 + "]",
    "words before a place": "[" + "a  " * 40_000 + "N1,E2]",
    "white space in links": "[" + "a" + " " * 100_000 + "https://b.org]",
    "spaces": " " * 100_000 + "x",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear_in_the_length(line):
    start = time.process_time()
    strip_lines([line, "table:t", f"\t{line}"])
    assert time.process_time() - start < 1  # quadratic: minutes


@pytest.mark.skipif(not USERS.exists(), reason="the reference data is not beside this checkout")
def test_notes_of_a_user_read_as_scrapbox_shows_them():
    (page,) = json.loads((USERS / "scrapbox_notation" / "notes.json").read_bytes())["pages"]
    assert stripped(*page["lines"]) == [
        "Map",
        "Station",
        "Old Park",
        "t",
        "\tplain\t#tagged\t[* deco]",
    ]


@pytest.mark.skipif(not SCRAPBOX.exists(), reason="the real exports are not here")
def test_lines_of_a_real_project_that_are_only_icons_and_images():
    pages = json.loads((SCRAPBOX / "qualia-san.json").read_bytes())["pages"]
    emptied = [
        line
        for page in pages
        for line, text in zip(page["lines"], stripped(*page["lines"]), strict=True)
        if line.strip() and not text.strip()
    ]
    quoted = [line for line in emptied if line.lstrip().startswith(">")]
    rest = [line for line in emptied if not line.lstrip().startswith(">")]
    gyazo = [line for line in rest if "gyazo.com/" in line]
    strong = [line for line in rest if line.startswith("[[")]
    assert (len(quoted), len(gyazo), len(strong)) == (2140, 91, 11)
    assert len(rest) - len(gyazo) - len(strong) == 104  # single icons, and images by suffix
