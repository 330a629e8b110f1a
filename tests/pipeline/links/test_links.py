"""From an output to links: what a user types, on pages, lines and other records."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

import corpusvec
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.flags import links as flags_of_links
from tests.conftest import ROOT
from tests.transforms.snapshots.test_old_outputs import OLD

PAGES = {
    "Home": ["see [Tomatoes] and [Basil]", "#garden"],
    "Tomatoes": ["the red tomatoes grow in the garden", "they like sun"],
    "Basil": ["basil grows beside the red tomatoes", "water it"],
    "Sauce": ["cook the red tomatoes slowly", "[Kitchen]"],
    "Bread": ["flour and water", "[Kitchen]"],
    "Rain": ["rain falls at noon", "the kitchen is dry"],
    "Sun": ["the sun shines at noon"],
    "Draft: 1": ["nothing yet"],
}


def write_export(path: Path, name: str = "proj", pages=PAGES) -> Path:
    told = [
        {"title": title, "created": 1, "updated": 2, "lines": [title, *lines]}
        for title, lines in pages.items()
    ]
    path.write_text(json.dumps({"name": name, "pages": told}), "utf-8")
    return path


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory) -> Path:
    """Outputs: `pages`, `lines`, `other` (another project), `plain` (JSON Lines)."""
    folder = tmp_path_factory.mktemp("links")
    write_export(folder / "p.json")
    write_export(folder / "q.json", "other", {"Tomatoes": PAGES["Tomatoes"], "Moon": ["at night"]})
    texts = [" ".join([*PAGES["Basil"][: n % 3], "rain"]) for n in range(9)]
    records = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    (folder / "r.jsonl").write_text("\n".join(map(json.dumps, records)))
    for name, source, *flags in (
        ("pages", "p.json", "--vectors=vector=mean@-1,first=mean@0"),
        ("lines", "p.json", "--unit=line"),
        ("other", "q.json", "--vectors=vector=mean@-1,first=mean@0"),
        ("plain", "r.jsonl"),
    ):
        given = [f"--input={folder / source}", f"--output={folder / name}", f"--model={tiny}"]
        assert main(["embed", *given, *flags]) == 0
    return folder


@pytest.fixture
def run(place, capsys, tmp_path):
    """Types a command; `{name}` is an output, which stays as it was."""

    def typed(*words: str, code: int = 0):
        capsys.readouterr()
        assert main([word.format_map(Outputs(place, tmp_path)) for word in words]) == code
        return capsys.readouterr()

    return typed


class Outputs(dict):
    def __init__(self, place: Path, copy: Path):
        self._place, self._copy = place, copy

    def __missing__(self, name: str) -> str:
        if not (self._copy / name).exists():
            shutil.copytree(self._place / name, self._copy / name)
        return str(self._copy / name)


def brute(output: Path, column: str = "vector") -> dict[str, list[str]]:
    (folder,) = (output / "snapshots").iterdir()
    table = pq.read_table(folder / "sentences").sort_by("id")
    matrix = np.stack(table[column].to_numpy(zero_copy_only=False)).astype(np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    scores = np.round(matrix @ matrix.T, 12)
    np.fill_diagonal(scores, -np.inf)
    ids = table["id"].to_pylist()
    return {
        id_: [ids[at] for at in np.argsort(-own, kind="stable")[: len(ids) - 1]]
        for id_, own in zip(ids, scores)
    }


def targets(said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in json.loads(said):
        found.setdefault(one["document"], []).append(one["target"])
    return found


VECTORS = ("--by=vectors", "--format=json")


@pytest.mark.parametrize("column", ["vector", "first"])
def test_the_nearest_of_every_document_are_those_of_brute_force(run, place, column):
    said = run("related", "{pages}", *VECTORS, "--links=keep", f"--column={column}", "--passages=0")
    assert targets(said.out) == brute(place / "pages", column)


def test_records_of_equal_texts_are_in_the_order_of_their_ids(run, place):
    said = run("related", "{plain}", "--format=json", "--top=3", "--passages=0")
    assert targets(said.out) == {id_: near[:3] for id_, near in brute(place / "plain").items()}


def test_what_is_linked_or_two_links_away_is_left_out(run):
    found = targets(run("related", "{pages}", *VECTORS, "--passages=0").out)
    assert {"proj/Tomatoes", "proj/Basil"} & {*found["proj/Home"]} == set()
    assert "proj/Basil" not in found["proj/Tomatoes"]
    assert "proj/Bread" not in found["proj/Sauce"]  # by a red link
    only = targets(run("related", "{pages}", *VECTORS, "--links=only", "--passages=0").out)
    assert {page: set(others) for page, others in only.items()} == {
        "proj/Home": {"proj/Tomatoes", "proj/Basil"},
        "proj/Tomatoes": {"proj/Home"},
        "proj/Basil": {"proj/Home"},
    }


def test_orphans_come_first_and_titles_are_skipped(run):
    given = ("related", "{pages}", *VECTORS, "--passages=0", "--orphans", "--skip=^Draft")
    found = targets(run(*given).out)
    assert [*found][-3:] == ["proj/Home", "proj/Tomatoes", "proj/Basil"]
    assert "proj/Draft: 1" not in {one for some in found.values() for one in some}


def test_how_many_links_away_a_suggestion_is_and_the_far_ones_first(run):
    given = ("related", "{pages}", *VECTORS, "--passages=0", "--links=keep", "--of=Home", "--top=9")
    near = json.loads(run(*given).out)
    away = {one["target"]: one["links_away"] for one in near}
    assert (away["proj/Tomatoes"], away["proj/Basil"]) == (1, 1)
    far = json.loads(run(*given, "--far").out)
    assert [one["target"] for one in far] == [
        one["target"] for one in sorted(near, key=lambda one: -(one["links_away"] or 7))
    ]
    assert (far[0]["links_away"], far[-1]["links_away"]) == (None, 1)
    table = run("related", "{pages}", "--by=vectors", "--passages=0", "--links=keep", "--of=Sauce")
    assert "(linked)" in table.out


def test_passages_are_shown_with_the_phrase_and_kept(run, tmp_path):
    given = ("related", "{pages}", "--of=Sauce", "--by=vectors", "--links=keep")
    said = run(*given)
    assert "cook «the red tomatoes» slowly" in said.out
    kept = next((tmp_path / "pages" / "links").glob("*/vector/passages.npz"))
    written = kept.stat().st_mtime_ns
    assert run(*given).out == said.out
    assert kept.stat().st_mtime_ns == written


def test_pages_are_joined_from_lines_without_a_model(run):
    said = run("related", "{lines}", *VECTORS, "--of=proj/Sauce", "--model=/nowhere")
    told = json.loads(said.out)
    assert {one["document"] for one in told} == {"proj/Sauce"}
    assert "the red tomatoes" in {why["phrase"] for one in told for why in one["why"]}
    assert not said.err


def test_a_model_that_is_gone_is_a_note_and_what_needs_none_is_shown(run):
    said = run("related", "{pages}", "--of=Sauce", "--by=vectors", "--model=/nowhere")
    assert "note: passages are not compared: --model=/nowhere" in said.err
    assert said.out.startswith("Sauce\n")


def test_another_model_in_the_place_of_the_snapshots_is_refused(tiny, run, tmp_path):
    model, query = shutil.copytree(tiny, tmp_path / "model"), ("search", "{pages}", "sun")
    at = f"--model={model}"
    before = run(*query, "--by=vectors").out
    assert run(*query, "--by=vectors", at).out == before
    weights = load_file(model / "model.safetensors")
    save_file({name: 1 - values for name, values in weights.items()}, model / "model.safetensors")
    assert f"{at}: is not the model that 2" in run(*query, "--by=vectors", at, code=2).err
    said = run("related", "{pages}", "--of=Sauce", "--by=vectors", at)
    assert f"note: passages are not compared: {at}: is not the model" in said.err


def test_several_outputs_are_joined_and_own_projects_left_out(run):
    both = ("related", "{pages}", "--across={other}", *VECTORS, "--passages=0")
    found = targets(run(*both, "--not_within").out)
    assert all(one.startswith("other/") for one in found["proj/Sauce"])
    assert found["proj/Tomatoes"][0] == "other/Tomatoes"
    assert all(one.startswith("proj/") for one in found["other/Moon"])


def test_near_duplicates_are_listed_once(run):
    said = run("related", "{plain}", "--above=0.999", "--format=json", "--passages=0")
    pairs = [(one["document"], one["target"]) for one in json.loads(said.out)]
    assert all(one < other for one, other in pairs)
    assert len({*pairs}) == len(pairs)


def test_what_was_accepted_or_dismissed_does_not_come_again(run, tmp_path):
    given = ("related", "{pages}", "--of=Sauce", *VECTORS, "--links=keep", "--passages=0")
    first, second, third, *_ = targets(run(*given).out)["proj/Sauce"]
    run("related", "{pages}", "--of=Sauce", f"--accept={first}")
    run("related", "{pages}", "--of=Sauce", f"--dismiss={second}")
    assert targets(run(*given).out)["proj/Sauce"][0] == third
    lines = (tmp_path / "pages" / "suggestions.tsv").read_text().splitlines()
    assert lines == [f"accepted\tproj/Sauce\t{first}", f"dismissed\tproj/Sauce\t{second}"]
    assert "proj/Sauce" not in targets(run("related", "{pages}", *VECTORS, "--passages=0").out).get(
        first, []
    )


def test_choices_of_a_file_are_kept_and_lines_of_other_outputs_left_out(run, tmp_path):
    lines = ["accepted\tproj/Sauce\tproj/Sun", "dismissed\tproj/Rain\tkitchen"]
    (tmp_path / "c.tsv").write_text("\r\n".join([*lines, "dismissed\tnowhere\tx", ""]))
    said = run("related", "{pages}", f"--choices={tmp_path / 'c.tsv'}").out
    assert (tmp_path / "pages" / "suggestions.tsv").read_text().splitlines() == lines
    assert "accepted: 1 suggestion, in " in said
    assert "left out: 1 line about documents that the output does not have" in said


def test_several_outputs_are_in_one_report(run, tmp_path):
    given = ("report", "{pages}", "--across={other}", "--not_within", "--passages=0")
    said = run(*given, f"--file={tmp_path / 'r.html'}").out
    assert "a map of 10 documents" in said


FORMS = {"csv": "document,title,target,", "table": "Home\n", "json": '[\n {\n  "document"'}


@pytest.mark.parametrize(("form", "start"), FORMS.items(), ids=FORMS)
def test_forms_are_printed_or_written(form, start, run, tmp_path):
    given = ("related", "{pages}", "--by=vectors", f"--format={form}", "--passages=0")
    printed = run(*given).out
    assert printed.startswith(start)
    run(*given, f"--file={tmp_path / 'found'}")
    assert (tmp_path / "found").read_text("utf-8") == printed


def test_a_parquet_file_has_the_same_rows(run, tmp_path):
    given = ("related", "{pages}", "--by=vectors", "--passages=1")
    run(*given, "--format=parquet", f"--file={tmp_path / 'found.parquet'}")
    rows = pq.read_table(tmp_path / "found.parquet").to_pylist()
    told = json.loads(run(*given, "--format=json").out)
    assert [row["target"] for row in rows] == [one["target"] for one in told]
    assert rows[0]["why"][0]["mine"] == told[0]["why"][0]["mine"]


def test_words_and_red_links_where_the_library_is_there(run):
    pytest.importorskip("bm25s")
    told = json.loads(run("related", "{pages}", "--format=json").out)
    reds = {(one["document"], one["target"]) for one in told if one["red"]}
    assert ("proj/Rain", "kitchen") in reds or not reds
    assert all(0 < one["score"] <= 1 for one in told)
    said = run("search", "{pages}", "slowly", "--by=lexical", "--json")
    assert [hit["document"] for hit in json.loads(said.out)] == ["proj/Sauce"]


def test_a_page_of_another_project_is_no_red_link(tiny, tmp_path, capsys):
    pytest.importorskip("bm25s")
    both = {"A": ["[/elsewhere/moonlight] [starlight]", "red tomatoes"]}
    both |= {"B": ["red tomatoes in moonlight"], "C": ["red tomatoes in starlight"]}
    source = write_export(tmp_path / "p.json", pages=both)
    place = [f"--input={source}", f"--output={tmp_path / 'out'}", f"--model={tiny}"]
    assert main(["embed", *place]) == 0
    capsys.readouterr()
    assert main(["related", str(tmp_path / "out"), "--format=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["document"], one["target"]) for one in told if one["red"]] == [
        ("proj/C", "starlight")
    ]


def test_a_search_takes_a_text_a_draft_or_lines(run, tmp_path, monkeypatch):
    given = ("search", "{pages}", "--by=vectors", "--top=2")
    hits = json.loads(run(*given, "the red tomatoes", "--json").out)
    assert len(hits) == 2
    assert {*hits[0]} == {"document", "score", "passage", "query", "title"}
    draft = tmp_path / "draft.txt"
    draft.write_text("cook the red tomatoes slowly\n\nrain falls at noon")
    found = json.loads(run(*given, f"--file={draft}", "--json").out)
    assert {hit["query"] for hit in found} <= {*draft.read_text().split("\n\n")}
    monkeypatch.setattr(sys, "stdin", io.StringIO("the sun\n\nrain\n"))
    assert len(run(*given).out.splitlines()) == 8


def test_a_text_that_is_not_utf_8_ends_only_itself(run, monkeypatch):
    given = ("search", "{pages}", "--by=vectors", "--top=2")
    err = run(*given[:2], "caf\udce9", *given[2:], code=2).err
    assert err.splitlines()[-1] == "corpusvec: the text to search for is not UTF-8"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\nrain\n"), "utf-8"))
    said = run(*given)
    assert "is not UTF-8" in said.err
    assert len(said.out.splitlines()) == 4


@pytest.mark.parametrize("damage", [b"", b"other bytes"])
def test_what_was_kept_and_is_damaged_is_found_out_again(damage, run, tmp_path):
    pytest.importorskip("bm25s")
    given = ("related", "{pages}", "--by=hybrid", "--format=json")
    before = run(*given).out
    kept = [path for path in (tmp_path / "pages" / "links").rglob("*") if path.is_file()]
    assert {"passages.npz", "vocab.index.json"} <= {path.name for path in kept}
    for path in kept:
        path.write_bytes(damage)
    assert run(*given).out == before
    assert {path for path in (tmp_path / "pages" / "links").rglob("*") if path.is_file()} == {*kept}
    assert all(path.read_bytes() != damage for path in kept)


def test_pairs_are_compared(run, tmp_path):
    (tmp_path / "pairs.tsv").write_text("a cat ||| a cat\t5\na cat ||| rain\t1\nsun ||| a\t2\n")
    told = json.loads(run("evaluate", "{plain}", f"--pairs={tmp_path / 'pairs.tsv'}", "--json").out)
    assert told["pairs"] == 3
    assert -1 <= told["pearson"] <= 1


ALIKE = {
    "scores": ("a cat ||| a\t5\nsun ||| rain\t5\n", "all scores are equal"),
    "cosines": ("a cat ||| a cat\t5\nsun ||| sun\t1\n", "all cosines are equal"),
}


@pytest.mark.parametrize(("lines", "said"), ALIKE.values(), ids=ALIKE)
def test_pairs_that_are_all_alike_are_one_sentence(lines, said, run, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(lines)
    err = run("evaluate", "{plain}", f"--pairs={path}", code=2).err
    assert err.splitlines()[-1].startswith(f"corpusvec: --pairs={path}: {said}")


def test_the_default_model_agrees_with_people_as_published(minilm, tmp_path, capsys):
    """With the development set of STS-B (`sts-dev.csv`), whose licences leave it out of here."""
    given = os.environ.get("CORPUSVEC_STS_DEV")
    if not given:
        pytest.skip("CORPUSVEC_STS_DEV names no sts-dev.csv")
    rows = [line.split("\t") for line in Path(given).read_text("utf-8").splitlines()]
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{row[5]} ||| {row[6]}\t{row[4]}\n" for row in rows), "utf-8")
    output = f"--output={tmp_path / 'out'}"
    notes = f"--input={ROOT / 'examples' / 'notes.json'}"
    assert main(["embed", notes, output, f"--model={minilm}"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "out"), f"--pairs={pairs}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spearman"] >= 0.867


def test_links_are_found_again(run):
    pytest.importorskip("bm25s")
    told = json.loads(run("evaluate", "{pages}", "--json").out)
    assert [*told] == ["links", "vectors", "lexical", "hybrid"]
    assert told["links"] == 2
    assert all({*told[name]} == {"recall@10", "mrr"} for name in ("vectors", "lexical", "hybrid"))
    assert told["lexical"]["recall@10"] == 0.5  # nothing is left of the words for Basil


REFUSED = {
    "no such column": (["related", "{pages}", "--column=x"], 2, "has no such column of vectors"),
    "no such document": (["related", "{pages}", "--of=x"], 2, "neither by id nor by title"),
    "no output": (["related", "nowhere"], 2, "holds no snapshot"),
    "no pattern": (["related", "{pages}", "--skip=(", "--by=vectors"], 2, "--skip=(: is no"),
    "another recipe": (["related", "{pages}", "--across={plain}"], 2, "another recipe"),
    "accepted for nobody": (["related", "{pages}", "--accept=Sun"], 2, "need --of"),
    "two things at once": (["related", "{pages}", "--above=1", "--links=only"], 2, "choose one"),
    "no folder": (["related", "{pages}", "--file=/no/x", "--passages=0"], 2, "cannot be written"),
    "an empty text": (["search", "{pages}", " "], 2, "is empty"),
    "text and draft": (["search", "{pages}", "a", "--file=b"], 2, "search for one of them"),
    "no draft": (["search", "{pages}", "--file=/nowhere"], 2, "cannot be read"),
    "no choices": (["related", "{pages}", "--choices=/nowhere"], 2, "--choices=/nowhere: cannot"),
    "no pairs": (["evaluate", "{plain}", "--pairs=/nowhere"], 2, "cannot be read"),
    "no snapshot": (["search", "{pages}", "a", "--snapshot=x"], 2, "has no snapshot 'x'"),
}


@pytest.mark.parametrize(("typed", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_one_sentence(typed, code, said, run):
    err = run(*typed, code=code).err
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_a_damaged_file_is_one_sentence(damage, run, tmp_path):
    run("related", "{pages}", "--by=vectors", "--passages=0")
    (file,) = (tmp_path / "pages").glob("snapshots/*/sentences/*.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    err = run("related", "{pages}", "--passages=0", "--by=vectors", code=1).err
    assert "cannot be read" in err
    assert "verify" in err


def test_a_file_without_vectors_is_one_sentence(run, tmp_path):
    run("related", "{pages}", "--by=vectors", "--passages=0")
    (file,) = (tmp_path / "pages").glob("snapshots/*/sentences/*.parquet")
    table = pq.read_table(file)
    names = [one.name for one in table.schema if pa.types.is_fixed_size_list(one.type)]
    pq.write_table(table.drop_columns(names), file)
    err = run("related", "{pages}", "--passages=0", "--by=vectors", code=1).err
    assert "has no column of vectors; to see what is damaged, run: " in err


def test_an_output_of_an_earlier_version_is_opened():
    corpus = corpusvec.open(str(OLD))
    assert len(corpus) == len(corpus.ids) == len(corpus.matrix())
    assert corpus.links == [()] * len(corpus)
    assert corpus.metadata[corpus.rows["a"]]["views"] == "4"
    assert len(corpus.related("a", top=2)) == 2


def test_a_corpus_in_python(place):
    corpus = corpusvec.open(str(place / "pages"))
    assert corpus.columns == ["vector", "first"]
    assert corpus.dataset.to_table(columns=["id"])["id"].to_pylist() == corpus.ids
    row = corpus.rows["proj/Home"]
    assert (corpus.titles[row], corpus.links[row]) == ("Home", ("tomatoes", "basil", "garden"))
    assert corpus.texts([row]) == ["\n".join(["Home", *PAGES["Home"]])]
    assert [one.target for one in corpus.related("proj/Home", 3)] == brute(place / "pages")[
        "proj/Home"
    ][:3]
    assert corpus.search("rain", top=1)[0].document in corpus.rows


def test_a_large_matrix_is_mapped(place, monkeypatch):
    from corpusvec.pipeline.links import corpora

    plain = corpusvec.open(str(place / "pages")).matrix()
    monkeypatch.setattr(corpora, "_IN_MEMORY", 0)
    mapped = corpusvec.open(str(place / "pages")).matrix()
    assert isinstance(mapped, np.memmap)
    assert (mapped == plain).all()


ASK = """
import asyncio, json, os, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def ask():
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "corpusvec", "mcp", sys.argv[1]], env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        told = {"tools": sorted(tool.name for tool in (await session.list_tools()).tools)}
        for name, given in (
            ("search", {"text": "rain", "top": 2}),
            ("related", {"id": "Sauce", "top": 1}),
            ("get", {"id": "proj/Rain"}),
            ("get", {"id": "nowhere"}),
        ):
            answer = await session.call_tool(name, given)
            told[name + str(len(told))] = [part.text for part in answer.content]
        print(json.dumps(told))

asyncio.run(ask())
"""


def test_assistants_are_served(place):
    pytest.importorskip("mcp")
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(place / "pages")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tools"] == ["get", "related", "search"]
    assert '"passage"' in told["search1"][0]
    assert '"why"' in told["related2"][0]
    assert "rain falls at noon" in told["get3"][0]
    assert "neither by id nor by title" in told["get4"][0]


def test_every_form_is_made_by_the_function_that_its_row_names():
    for name, form in flags_of_links.FORMS.items():
        module, _, function = form.make.partition(":")
        assert function == f"as_{name}"
        assert callable(getattr(import_module(f"corpusvec.pipeline.{module}"), function))
