"""What the report shows of an output: which pages are shown, and how it ends
where it cannot be written.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from pathlib import Path

import pytest

from corpusvec.pipeline.reports import contents as made
from corpusvec.pipeline.reports import pages
from corpusvec.transforms.links.suggestions import Suggestion


def test_of_too_many_documents_those_with_the_first_suggestions_are_shown_and_a_sample(monkeypatch):
    monkeypatch.setattr(made, "MOST", 10)
    rows_of = {f"d{n}": n for n in range(100)}
    suggestions = [
        Suggestion("d7", "d93", 0.9),
        Suggestion("d50", "d8", 0.8, red=True),  # a red link is no document
        Suggestion("d93", "d51", 0.7),
        *(Suggestion(f"d{n}", f"d{n + 1}", 0.1) for n in range(60, 80, 2)),
    ]
    rows = made.shown_rows(rows_of, suggestions[:3])
    assert len(rows) == len(set(rows)) == 10
    assert rows == sorted(rows)
    assert {7, 93, 50, 51} <= set(rows)
    assert {0, 99} <= set(rows)  # the sample goes from end to end
    assert len(made.shown_rows(rows_of, suggestions)) == 10
    few = {f"d{n}": n for n in range(10)}
    assert made.shown_rows(few, []) == list(range(10))


def test_of_a_long_passage_the_part_with_the_phrase_is_shown():
    passage = "x" * 900 + "The Phrase" + "y" * 900
    part = made.around(passage, "the phrase")
    assert "The Phrase" in part
    assert len(part) < 410
    assert part.startswith("… x")
    assert part.endswith("y …")
    assert made.around("short", "phrase") == "short"


def unpacked(page: str) -> dict:
    """What the browser unpacks."""
    blocks = re.findall(
        r'<script type="application/octet-stream" id="([^"]+)">([^<]*)</script>', page
    )
    (_, core), *texts = [
        (name, json.loads(gzip.decompress(base64.b64decode(data)))) for name, data in blocks
    ]
    assert [name for name, _ in texts] == [f"texts-{n}" for n in range(len(texts))]
    assert all(len(some) == core["block"] for _, some in texts[:-1])
    core["documents"]["text"] = [text for _, some in texts for text in some]
    return core


def test_texts_are_cut_where_the_file_would_be_too_large(monkeypatch):
    dice = random.Random(1)
    texts = ["".join(chr(dice.randrange(0x4E00, 0x9000)) for _ in range(4_500)) for _ in range(201)]
    contents = {"name": "n", "documents": {"text": texts}}
    whole = pages.page(contents, "ja")
    assert [len(text) for text in unpacked(whole)["documents"]["text"]] == [4_000] * 201
    monkeypatch.setattr(pages, "LARGEST", 500_000)
    cut = pages.page(contents, "ja")
    assert len(cut) < 500_000
    assert [len(text) for text in unpacked(cut)["documents"]["text"]] == [500] * 201


def test_both_tables_have_the_same_words_for_the_same_values():
    words = unpacked(pages.page({"name": "n", "documents": {"text": []}}, None))["words"]
    assert set(words) == set(pages.LANGUAGES)
    english, japanese = words["en"], words["ja"]
    assert english.keys() == japanese.keys()
    for key in english:
        forms = [table[key] for table in (english, japanese)]
        assert len({isinstance(form, list) for form in forms}) == 1, key
        holes = [set(re.findall(r"\{\w+\}", str(form))) for form in forms]
        assert holes[0] == holes[1], key
        assert all(len(form) == 2 for form in forms if isinstance(form, list))


def test_every_word_that_the_page_says_is_in_the_tables_and_no_other():
    folder = Path(pages.__file__).parent / "page"
    scripts = "".join(file.read_text("utf-8") for file in folder.glob("*.js"))
    words = json.loads((folder / "words.en.json").read_text("utf-8"))
    said = set(re.findall(r'say\("(\w+)"', scripts)) | set(re.findall(r'figure\("(\w+)"', scripts))
    patterns = {name.replace("${", "") for name in re.findall(r"say\(`(\w+_)\$\{", scripts)}
    patterns |= set(re.findall(r"figure\(`(\w+_)\$\{", scripts))
    said |= set(re.findall(r'\? "(\w+)" : "\w+"', scripts)) & words.keys()
    said |= set(re.findall(r'\? "\w+" : "(\w+)"', scripts)) & words.keys()
    said |= set(re.findall(r'\["(closer|wider|all)",', scripts))
    said |= set(re.findall(r'"(copy|save|clear)"[,\]]', scripts))
    assert said <= words.keys()
    rest = {key for key in words.keys() - said if not key.startswith(tuple(patterns))}
    assert not rest


def test_the_title_is_markup_in_no_place():
    page = pages.page({"name": "</title><script>{{js}}", "documents": {"text": []}}, "en")
    assert page.count("<script") == 2
    assert "<title>&lt;/title&gt;&lt;script&gt;{{js}}</title>" in page


WRONG = {
    "a folder": (".", 2, "is a folder"),
    "no such folder": ("nowhere/report.html", 2, "there is no folder nowhere"),
    "a store": ("s3://bucket/report.html", 2, "is not on this machine"),
}


@pytest.mark.parametrize(("file", "code", "said"), WRONG.values(), ids=WRONG)
def test_where_no_report_can_be_written(file, code, said, tmp_path, monkeypatch, capsys):
    from corpusvec.pipeline.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["report", "out", f"--file={file}"]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_an_output_that_is_none_is_said_in_a_sentence(tmp_path, capsys):
    from corpusvec.pipeline.cli import main

    assert main(["report", str(tmp_path), f"--file={tmp_path / 'report.html'}"]) == 2
    assert "holds no snapshot" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
