"""What goes back to Scrapbox and into other programs: no page is overwritten, every link leads
where it shall, and nothing of a private project is in a file for another.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.pipeline.flags.links import FORMS
from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import corpora
from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.reports import exchanges, scrapbox_pages
from corpusvec.transforms.documents.scrapbox_markup import links_of, title_key
from corpusvec.transforms.documents.scrapbox_notation import link_to, plain
from corpusvec.transforms.links.suggestions import Reason, Suggestion

TITLES = {
    "plain": ("Basil", "[Basil]"),
    "spaces": ("Two words", "[Two words]"),
    "a slash inside": ("a/b", "[a/b]"),
    "a slash first": ("/a/b", "[https://scrapbox.io/p/%2Fa%2Fb /a/b]"),
    "brackets": ("[x] y", "[https://scrapbox.io/p/%5Bx%5D%20y ［x］ y]"),
    "decoration": ("* bold", "[https://scrapbox.io/p/%2A%20bold * bold]"),
    "an icon": ("me.icon", "[https://scrapbox.io/p/me.icon me.icon]"),
    "code": ("a `b` c", "[https://scrapbox.io/p/a%20%60b%60%20c a ｀b｀ c]"),
    "an address": ("https://a.b", "[https://scrapbox.io/p/https%3A%2F%2Fa.b https://a.b]"),
    "a tag": ("#tag", "[#tag]"),
    "japanese": ("トマトの育て方", "[トマトの育て方]"),
}


def exchange(form, *arguments):
    return getattr(exchanges, f"as_{form}")(*arguments)


@pytest.mark.parametrize(("title", "link"), TITLES.values(), ids=TITLES)
def test_links_to_titles(title, link):
    assert link_to(title, "p") == link


def test_a_link_from_another_project_names_it():
    assert link_to("Basil", "p", elsewhere=True) == "[/p/Basil]"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1))
def test_a_link_leads_to_the_title_or_is_an_address(title):
    link = link_to(title, "p")
    named = [found.page for found in links_of([link])[0]]
    assert named == ([title] if link == f"[{title}]" else [])


@given(st.text())
def test_nothing_in_a_plain_line_is_a_link(text):
    line = plain(text)
    assert "\n" not in line
    assert links_of([f"  > {line}"]) == [[]]


NOTES = {
    "Tomatoes": ["Water them. [Basil] [Red link]", "See #herbs too."],
    "Basil": ["[Tomatoes]"],
    "[Brackets]": ["Here."],
    "/slash": ["There [Basil]"],
    "Related pages": ["A page with this name."],
}


def export(folder: Path, project: str, notes: dict[str, list[str]]) -> Path:
    pages = [{"title": title, "lines": [title, *lines]} for title, lines in notes.items()]
    pages.append({"title": "Broken", "lines": [{"text": 1}]})
    file = folder / f"{project}.json"
    file.write_text(json.dumps({"name": project, "displayName": project, "pages": pages}))
    return file


@pytest.fixture(scope="module")
def pages(tmp_path_factory, tiny) -> Pages:
    """Two projects, with a page in each that was rejected."""
    from corpusvec.pipeline.cli import main

    folder = tmp_path_factory.mktemp("two")
    inputs = [export(folder, "mine", NOTES), export(folder, "other", {"Basil": ["Secret."]})]
    place = [f"--input={inputs[0]},{inputs[1]}", f"--output={folder / 'out'}", f"--model={tiny}"]
    assert main(["embed", *place, "--max_rejected=2"]) == 0
    return Pages([corpora.open(str(folder / "out"))])


WHY = (Reason("Water [them].", "#herbs `x`", "water", 0.9),)
SUGGESTIONS = [
    Suggestion("mine/Tomatoes", "mine/[Brackets]", 0.9, WHY),
    Suggestion("mine/Tomatoes", "other/Basil", 0.8, (Reason("Mine.", "Secret.", "", 0.8),)),
    Suggestion("mine/Tomatoes", "red_link", 0.75, (), red=True),
    Suggestion("mine//slash", "mine/Tomatoes", 0.7, WHY),
]


def written(pages, folder: Path, form: str, *public: str) -> dict[str, str]:
    lines = list(exchange(form, pages, SUGGESTIONS, str(folder / "related.json"), public))
    files = {file.name: file.read_text() for file in folder.iterdir()}
    assert {line.partition(": ")[0] for line in lines} == {str(folder / name) for name in files}
    return files


def test_an_import_is_what_scrapbox_takes(pages, tmp_path):
    given = json.loads(written(pages, tmp_path, "scrapbox")["related.mine.json"])
    assert given.keys() == {"pages"}
    assert given["pages"]
    for page in given["pages"]:
        assert page.keys() == {"title", "lines"}
        assert all(isinstance(line, str) and "\n" not in line for line in page["lines"])
        assert page["lines"][0] == page["title"]


def test_an_import_has_no_title_that_exists_and_every_link_resolves(pages, tmp_path):
    made = json.loads(written(pages, tmp_path, "scrapbox")["related.mine.json"])["pages"]
    titles = {title_key(title) for title in [*NOTES, "Broken"]}
    red = {"red_link", "herbs"}
    assert not {title_key(page["title"]) for page in made} & (titles | red)
    links = [link for page in made for line in links_of(page["lines"]) for link in line]
    assert {title_key(link.page) for link in links} <= titles | red
    assert "[red_link]" in str(made)


def test_titles_are_taken_by_pages_rejected_ones_and_red_links(pages):
    taken = scrapbox_pages.titles_taken(pages)["mine"]
    assert {"tomatoes", "[brackets]", "/slash", "broken", "red_link", "herbs"} <= taken
    for name in ("Related pages", "Broken", "Red link", "herbs"):
        (page,) = scrapbox_pages.made_pages(pages, SUGGESTIONS[:1], name, taken)
        assert page[0] == f"{name} 2"


def test_the_page_and_its_text(pages, tmp_path):
    text = written(pages, tmp_path, "scrapbox")["related.mine.txt"]
    day = pages.corpora[0].manifest["finished"][:10]
    assert text.splitlines() == [
        f"Related pages {day}",
        "[Tomatoes]",
        " [https://scrapbox.io/mine/%5BBrackets%5D ［Brackets］] 0.90",
        "  > Water ［them］.",
        "  > ＃herbs ｀x｀",
        " [red_link] 0.75",
        "[https://scrapbox.io/mine/%2Fslash /slash]",
        " [Tomatoes] 0.70",
        "  > Water ［them］.",
        "  > ＃herbs ｀x｀",
    ]


def test_a_long_page_is_cut_between_documents():
    ids = [f"p/{n}" for n in range(600)]
    rows = {id_: n for n, id_ in enumerate(ids)}
    titles = [id_[2:] for id_ in ids]
    many = SimpleNamespace(ids=ids, rows=rows, titles=titles, projects=["p"] * 600)
    suggestions = [Suggestion(id_, "p/0", 0.5) for id_ in ids]
    made = list(scrapbox_pages.made_pages(many, suggestions, "Related", {"related"}))
    assert [page[0] for page in made] == ["Related 2", "Related 3", "Related 4"]
    assert sum(len(page) - 1 for page in made) == 1200
    assert all(not page[1].startswith(" ") for page in made)


@pytest.mark.parametrize("form", ["scrapbox", "userscript"])
def test_nothing_of_a_private_project_is_in_a_file_for_another(pages, tmp_path, form):
    files = written(pages, tmp_path, form)
    assert not [name for name, text in files.items() if "ecret" in text or "other" in text]
    for file in tmp_path.iterdir():
        file.unlink()
    public = "".join(written(pages, tmp_path, form, "other").values())
    assert "Secret." in public
    assert "other/Basil" in public


def test_a_userscript_gets_what_is_related_to_each_page(pages, tmp_path):
    found = json.loads(written(pages, tmp_path, "userscript")["related.mine.json"])
    assert list(found) == ["mine/Tomatoes", "mine//slash"]
    assert found["mine//slash"] == [
        {
            "id": "mine/Tomatoes",
            "score": 0.7,
            "why": [{"mine": "Water [them].", "theirs": "#herbs `x`", "phrase": "water"}],
        }
    ]


def test_of_several_projects_each_has_a_file(pages, tmp_path):
    both = [*SUGGESTIONS, Suggestion("other/Basil", "broken", 0.5, red=True)]
    lines = list(exchange("userscript", pages, both, str(tmp_path / "related.json")))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "related.mine.json",
        "related.other.json",
    ]
    assert len(lines) == 2
    with pytest.raises(UsageError, match="a file for each of the projects mine, other"):
        list(exchange("userscript", pages, both, None))


def test_a_project_with_a_slash_in_its_name_has_a_file_too(embed, tiny, tmp_path):
    for file, name in (("a.json", "mine"), ("b.json", "../other")):
        pages = [{"title": "Rain", "lines": ["Rain", "at noon"]}]
        (tmp_path / file).write_text(json.dumps({"name": name, "pages": pages}))
    both = Pages([corpora.open(str(embed(tiny, tmp_path / "*.json").output))])
    made = [Suggestion(id_, "red", 0.5, red=True) for id_ in both.ids]
    (tmp_path / "made").mkdir()
    list(exchange("userscript", both, made, str(tmp_path / "made" / "related.json")))
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == [
        "related..._other.json",
        "related.mine.json",
    ]


def test_without_a_file_it_is_printed(pages):
    (text,) = exchange("scrapbox", pages, SUGGESTIONS, None)
    assert json.loads(text)["pages"]
    (nothing,) = exchange("userscript", pages, [], None)
    assert json.loads(nothing) == {}


def test_the_projector_gets_a_row_for_each_document(pages, tmp_path):
    (line,) = exchange("projector", pages, [], str(tmp_path / "new" / "folder"))
    folder = tmp_path / "new" / "folder"
    assert line.startswith(f"{folder}: ")
    tensors = np.loadtxt(folder / "tensors.tsv", delimiter="\t")
    assert np.allclose(tensors, pages.vectors.matrix, atol=1e-5)
    head, *rows = (folder / "metadata.tsv").read_text().splitlines()
    assert head.split("\t") == ["title", "id"]
    assert [row.split("\t")[1] for row in rows] == pages.ids
    assert 'tensor_path: "tensors.tsv"' in (folder / "projector_config.pbtxt").read_text()


def test_what_cannot_be_written_is_refused(pages, tmp_path):
    with pytest.raises(UsageError, match="add --file=FOLDER"):
        list(exchange("projector", pages, [], None))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        list(exchange("projector", pages, [], str(tmp_path / "file")))
    with pytest.raises(UsageError, match="there is no folder"):
        list(exchange("scrapbox", pages, SUGGESTIONS, str(tmp_path / "no" / "x.json")))
    files = {name for name, form in FORMS.items() if form.files}
    assert files == {"scrapbox", "userscript", "projector"}


def test_of_one_project_the_file_is_the_one_asked_for(embed, tiny, tmp_path):
    output = embed(tiny, export(tmp_path, "mine", NOTES), "--max_rejected=1").output
    alone = Pages([corpora.open(str(output))])
    lines = list(exchange("scrapbox", alone, SUGGESTIONS[:1], str(tmp_path / "import.json")))
    assert [line.partition(": ")[0] for line in lines] == [
        str(tmp_path / "import.json"),
        str(tmp_path / "import.txt"),
    ]


def test_only_exports_of_scrapbox_go_back_there(embed, tiny, tmp_path):
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    other = Pages([corpora.open(str(embed(tiny, tmp_path / "lines.txt").output))])
    with pytest.raises(UsageError, match="was not made of Scrapbox exports alone"):
        list(exchange("scrapbox", other, [], None))


def test_related_writes_them(pages, tmp_path, capsys):
    from corpusvec.pipeline.cli import main

    output = pages.corpora[0].output
    command = ["related", output, "--links=keep", "--by=vectors", "--top=2", "--passages=1"]
    file = tmp_path / "import.json"
    assert main([*command, "--format=scrapbox", f"--file={file}"]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["import.mine.json", "import.mine.txt"]
    assert "other" not in (tmp_path / "import.mine.json").read_text()
    assert main([*command, "--format=userscript", "--public=mine,other"]) == 2
    assert "a file for each of the projects mine, other" in capsys.readouterr().err
    assert main(["related", output, "--format=projector", f"--file={tmp_path / 'p'}"]) == 0
    assert (tmp_path / "p" / "tensors.tsv").exists()
