"""Chunks cover a text wholly and in order, each fits the model, and a chunk is a document."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpusvec
from corpusvec.pipeline import jobs
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.links.pages import Pages
from corpusvec.pipeline.settings import Settings, chunk_plan
from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Alignment, Document
from corpusvec.transforms.tokens.chunks import ChunkPlan, chunk_runs, cut_chunks
from corpusvec.transforms.tokens.tokens import Tokens
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests import static_folders
from tests.models import TEXTS
from tests.transforms.tokens.test_windows import Letters

_PIECES = [*"aB \n.。？字é", "\r\n", "e\u0301", "👩\u200d👧", "🇯🇵"]
_MIXED = st.lists(st.sampled_from(_PIECES), max_size=80).map("".join)


class Bytes(Letters):
    """Each byte is a token, as a byte-level tokenizer has them: a character may be several. A text
    has one more in front, as SentencePiece's may.
    """

    def _tokens(self, text):
        spans = [(at, at + 1) for at, one in enumerate(text) for _ in one.encode()]
        spans = [(0, 0), *spans] if text else spans
        names = ["_"] * len(spans)
        return Tokens(
            names, np.ones(len(spans), np.int32), np.array(spans, np.int32).reshape(-1, 2)
        )


def chunks_of(document, tokens, overlap=None, tokenizer=None, **plan):
    documents = Documents.of([Document("before", "x y z"), document])
    how = ChunkPlan(tokens, overlap, WindowPlan(max_seq_length=64, **plan))
    found = cut_chunks(documents, tokenizer or Letters(), how)
    assert not found.refused, found.refused
    return [one for one in found.documents if one.id.rpartition("#")[0] == document.id]


@settings(max_examples=200, deadline=None)
@given(_MIXED, st.integers(8, 24), st.none() | st.integers(0, 20), st.booleans(), st.booleans())
def test_chunks_cover_the_text_in_order_and_none_has_too_many_tokens(
    text, tokens, overlap, by_bytes, prompted
):
    tokenizer, prompt = (
        (Bytes() if by_bytes else Letters()),
        "Q: " if prompted and tokens > 9 else "",
    )
    document = Document("d", text, source="f", source_row=7, metadata={"a": "b"}, links=("x",))
    found = chunks_of(document, tokens, overlap, tokenizer, prompt=prompt)
    assert [one.id for one in found] == [f"d#{number}" for number in range(len(found))]
    spans = [one.span for one in found]
    assert [text[start:stop] for start, stop in spans] == [one.text for one in found]
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    for (start, stop), (later, end) in zip(spans, spans[1:]):
        assert start < later <= stop < end or (stop == end == len(text))
        if overlap == 0:
            assert later == stop
    assert all(replace(one, id="d", text=text, span=None) == document for one in found)
    windows = cut(Documents.of(found), tokenizer, WindowPlan(tokens, prompt=prompt)).windows
    assert set(windows.counts.tolist()) <= {1}


@settings(max_examples=200, deadline=None)
@given(_MIXED, st.integers(12, 24), st.none() | st.integers(0, 20))
def test_no_chunk_splits_what_a_reader_sees_as_one_character(text, room, overlap):
    starts = [at for at, one in enumerate(text) for _ in one.encode()]
    for run in chunk_runs(text, starts, max(room, 20), overlap):
        for at in run:
            inside = text[at - 1 : at + 1] if 0 < at < len(text) else ""
            assert "\u200d" not in inside
            assert inside != "\r\n"
            assert not inside.endswith("\u0301")


def test_a_chunk_ends_with_a_line_or_a_sentence_where_it_can():
    text = (
        "One two. Three four five six\nSeven. Eight nine ten eleven twelve thirteen fourteen"
        " fifteen. Sixteen 十七十八。seventeen eighteen nineteen twenty one more word"
    )
    words = [match.start() for match in re.finditer(r"\w+", text)]
    found = [text[start:stop] for start, stop in chunk_runs(text, words, 8, 0)]
    assert found == [
        "One two. Three four five six\n",
        "Seven. Eight nine ten eleven twelve thirteen fourteen ",  # a sentence is too near
        "fifteen. Sixteen 十七十八。",
        "seventeen eighteen nineteen twenty one more word",
    ]


def test_neighbours_share_whole_sentences_or_words_and_no_more_than_they_may():
    text = "a b c d. e f g h. i j k l m n o p q r s t u v"
    letters = [match.start() for match in re.finditer(r"\w", text)]
    found = [text[start:stop] for start, stop in chunk_runs(text, letters, 8, 5)]
    assert found == [
        "a b c d. e f g h. ",
        "e f g h. i j k l ",
        "i j k l m n o p ",
        "l m n o p q r s ",
        "o p q r s t u v",
    ]


def test_a_document_that_cannot_be_cut_is_refused_by_name_and_no_other_one():
    documents = [
        Document("a", "x y z"),
        Document("b", "x", "y"),
        Document("c", "éé é"),
        Document("e", ""),
    ]
    found = cut_chunks(Documents.of(documents), Bytes(), ChunkPlan(5, 0, WindowPlan(None)))
    assert {one.id.partition("#")[0] for one in found.documents} == {"a", "c", "e"}
    assert dict(found.refused)[1].startswith("is a pair of texts")
    found = cut_chunks(Documents.of(documents), Bytes(), ChunkPlan(4, 0, WindowPlan(None)))
    assert dict(found.refused)[2].startswith("--chunk_tokens=4: has a character of more tokens")
    assert [one.id for one in found.documents][-1] == "e#0"


@given(st.data())
def test_what_the_model_reads_of_chunks_is_what_it_reads_of_the_text(data):
    text = data.draw(st.text("ab [].\n", min_size=1, max_size=60))
    kept = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    alignment = Alignment(tuple((at, at + 1) for at, one in enumerate(kept) if one))
    document = Document("d", text, alignment=alignment)
    found = chunks_of(document, 6, 0)
    read = [one.alignment.apply(one.text) if one.alignment else one.text for one in found]
    assert "".join(read) == alignment.apply(text)


CHUNKS = ("--unit=window", "--chunk_tokens=20")


@pytest.fixture
def source(tmp_path) -> str:
    """A page with a link, code and a table, a note, lines, and records of which one is a pair."""
    text = " ".join(TEXTS)
    lines = ["Page", f"see [Other page] {text}", "code:a.py", f" print([{text}])", f"[* {text}]"]
    pages = [{"title": "Page", "lines": lines}, {"title": "Other page", "lines": ["Other page"]}]
    (tmp_path / "n.json").write_text(json.dumps({"name": "proj", "pages": pages}), "utf-8")
    (tmp_path / "n.md").write_text(f"---\nx: y\n---\n# Head\n\n**{text}** [[Other]]\n", "utf-8")
    (tmp_path / "n.txt").write_text(f"{text}\nshort\n", "utf-8")
    records = [{"id": "one", "text": text}, {"id": "two", "text": text, "pair": "b"}]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, records)), "utf-8")
    return f"{tmp_path}/n.*"


def by_id(outcome) -> dict[str, dict]:
    rows = outcome.table("sentences").to_pylist()
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row for row in rows}


def test_a_chunk_is_a_row_whose_vector_is_that_of_its_text_alone(embed, tiny, source):
    whole = by_id(embed(tiny, source, "--max_rejected=9"))
    outcome = embed(tiny, source, *CHUNKS, "--max_rejected=1", "--scrapbox_markup=strip")
    rows = by_id(outcome)
    assert outcome.code == 0, outcome.err
    (failure,) = (outcome.latest / "rejected").glob("*.jsonl")
    assert "which is not cut into chunks" in json.loads(failure.read_text())["error"]
    names = {id_.rpartition("#")[0] for id_ in rows}
    assert names == {id_ for id_ in whole if whole[id_]["pair"] is None}
    for id_, row in rows.items():
        of = whole[id_.rpartition("#")[0]]
        assert row["text"] == of["text"][row["start"] : row["end"]]
        assert {name: row[name] for name in ("source", "source_row", "metadata", "links")} == {
            name: of[name] for name in ("source", "source_row", "metadata", "links")
        }
        assert row["n_tokens"] <= 20
        assert row["n_windows"] == 1
    assert {of["start"] for of in whole.values()} == {None}
    embedder = corpusvec.Embedder(model=tiny)
    plain = [row for row in rows.values() if row["model_text_sha256"] is None]
    vectors = embedder.embed([row["text"] for row in plain])
    np.testing.assert_allclose(vectors, [row["vector"] for row in plain], atol=1e-5)


def test_the_second_night_embeds_no_chunk_that_it_has(embed, tiny, source, tmp_path):
    first = by_id(embed(tiny, source, *CHUNKS, "--max_rejected=1"))
    with open(tmp_path / "n.txt", "a") as file:
        file.write("and one more\n")
    outcome = embed(tiny, source, *CHUNKS, "--max_rejected=1")
    counts = json.loads((outcome.latest / "manifest.json").read_text())["counts"]
    assert (counts["embedded"], counts["reused"]) == (1, len(first))
    assert {id_: row for id_, row in by_id(outcome).items() if id_ in first} == first
    assert outcome.table("changes")["id"].to_pylist() == ["n.txt:3#0"]
    # Documents, and chunks of another size, are of the same recipe: the short ones have vectors.
    outcome = embed(tiny, source, "--max_rejected=9")
    counts = json.loads((outcome.latest / "manifest.json").read_text())["counts"]
    assert counts["reused"] >= 3


def test_spread_over_workers_the_chunks_are_the_same(embed, tiny, source, tmp_path, monkeypatch):
    alone = by_id(embed(tiny, source, *CHUNKS, "--max_rejected=1", "--layers=-1"))
    from_flags = jobs.from_flags
    monkeypatch.setattr(jobs, "from_flags", lambda *a: replace(from_flags(*a), spread=True))
    outcome = embed(tiny, source, *CHUNKS, "--max_rejected=1", "--layers=-1", "--full")
    assert by_id(outcome).keys() == alone.keys()
    for id_, row in by_id(outcome).items():
        assert row["text"] == alone[id_]["text"]
        np.testing.assert_allclose(row["vector"], alone[id_]["vector"], atol=1e-5)
    assert main(["snapshots", "verify", str(outcome.output)]) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--chunk_tokens=2",), "--chunk_tokens=2: special tokens and the prompt take 2; use at"),
        (("--chunk_tokens=65",), "--chunk_tokens=65: the model sees 64 tokens at once"),
        (("--window_overlap=62",), "--window_overlap=62: a chunk has room for 62 tokens"),
        (("--long_text=error",), "--long_text=error: no chunk is too long"),
        (("--input_format=pairs",), "--unit=window: only scrapbox, text, jsonl, parquet, csv"),
    ],
)
def test_what_makes_no_chunks_is_refused(embed, tiny, source, flags, said):
    outcome = embed(tiny, source, "--unit=window", *flags)
    assert outcome.code == 2
    assert said in outcome.err


def test_the_size_of_chunks_is_refused_where_there_are_none(embed, tiny, source):
    outcome = embed(tiny, source, "--chunk_tokens=20")
    assert outcome.code == 2
    assert "--chunk_tokens=20: chunks are made with --unit=window alone" in outcome.err


def test_a_model_of_strings_makes_no_chunks(tiny):
    recipe = Settings(model=tiny).resolve()
    strings = replace(recipe, spec=replace(recipe.spec, tokenizer=None))
    with pytest.raises(ValueError, match="--unit=window: the model takes whole strings"):
        chunk_plan(strings, None, None)


def test_a_model_of_any_length_is_told_the_size_and_searched(embed, source, tmp_path, capsys):
    kind = next(iter(static_folders.KINDS.values()))
    model = static_folders.write(kind, tmp_path / "model")
    outcome = embed(model, source, "--unit=window")
    assert "--unit=window: the model takes texts of any length" in outcome.err
    flags = ("--unit=window", "--chunk_tokens=9", "--window_overlap=3", "--max_rejected=1")
    outcome = embed(model, source, *flags)
    assert max(row["n_tokens"] for row in by_id(outcome).values()) <= 9
    assert main(["search", str(outcome.output), "the garden", "--by=vectors"]) == 0
    assert "#" in capsys.readouterr().out


def test_links_search_and_reports_know_the_page_of_a_chunk(embed, tiny, source, capsys):
    outcome = embed(tiny, source, *CHUNKS, "--window_overlap=6", "--max_rejected=1")
    whole = by_id(outcome)
    corpus = corpusvec.open(str(outcome.output))
    assert corpus.search("garden", top=1)[0].document in whole
    pages = Pages([corpus])
    assert {*pages.ids} == {id_.rpartition("#")[0] for id_ in whole}
    assert pages.titles[pages.rows["proj/Page"]] == "Page"
    assert pages.titles[pages.rows["n.txt:1"]] == "n.txt:1"
    assert pages.texts[pages.rows["n.txt:1"]] == " ".join(TEXTS)
    assert pages.row("n.txt:1#1") == pages.row("n.txt:1")
    with pytest.raises(ValueError, match="has no such document"):
        pages.row("n.txt:1#99")
    assert main(["related", str(outcome.output), "--of=proj/Page", "--format=json"]) == 0
    assert "n.txt:1" in {one["target"] for one in json.loads(capsys.readouterr().out)}
    assert main(["report", str(outcome.output), f"--file={outcome.output}/r.html"]) == 0
