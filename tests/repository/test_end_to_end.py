"""Whole runs: files in, a snapshot out, read back as a user would."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.models import TEXTS
from tests.repository.test_oracles import GOLDEN


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def vectors(table, column="vector") -> np.ndarray:
    """[N, D]"""
    return np.stack(table[column].to_numpy(zero_copy_only=False)).astype(np.float32)


def manifest_of(outcome, snapshot=None):
    return json.loads(((snapshot or outcome.latest) / "manifest.json").read_text("utf-8"))


def assert_counts_agree(outcome, snapshot=None):
    """Manifest, tables and rejected records tell the same story."""
    snapshot = snapshot or outcome.latest
    manifest = manifest_of(outcome, snapshot)
    counts = manifest["counts"]
    assert counts["records"] == counts["documents"] + counts["rejected"] + counts["empty"]
    sentences = outcome.table("sentences", snapshot)
    assert len(sentences) == counts["documents"]
    assert len(set(sentences["id"].to_pylist())) == len(sentences)
    assert pc.sum(sentences["n_tokens"]).as_py() == counts["tokens"]
    assert counts["padded_tokens"] >= counts["encoded_tokens"] >= counts["tokens"]
    assert counts["models"] == 1
    assert min(counts["model_load_ms"], counts["encode_ms"]) > 0
    stages = [f"{stage}_ms" for stage in ("model_load", "read", "tokenize", "pool", "write")]
    assert sum(counts[name] for name in stages) <= 1000 * manifest["seconds"]  # in one thread
    assert 50 << 20 < counts["peak_memory_bytes"] < 50 << 30
    assert manifest["bytes"] == {
        table: sum(file["bytes"] for file in manifest["files"] if file["table"] == table)
        for table in {file["table"] for file in manifest["files"]}
    }
    assert f"{counts['batches']:,} batches, " in outcome.out
    lines = [line for f in snapshot.glob("rejected/*") for line in f.read_bytes().splitlines()]
    assert len(lines) == counts["rejected"]
    listed = {file["path"] for file in manifest["files"]}
    there = {
        str(file.relative_to(snapshot))
        for file in snapshot.rglob("*")
        if file.is_file() and file.name != "manifest.json"
    }
    assert listed == there
    for file in manifest["files"]:
        assert (snapshot / file["path"]).stat().st_size == file["bytes"]
    return counts


ORIGINALS = [
    ("bert_japanese", 128, 2e-5),
    ("bert_japanese", 32, 2e-5),
    ("bert_wordpiece", 48, 2e-5),
]


@pytest.mark.parametrize(
    ("name", "length", "tolerance"), ORIGINALS, ids=[f"{g[0]}-{g[1]}" for g in ORIGINALS]
)
def test_the_original_programs_tokens_and_values(embed, name, length, tolerance):
    folder = GOLDEN / name
    expected = np.load(folder / f"expected_len{length}.npz")
    layers = ",".join(map(str, expected["layers"]))
    outcome = embed(
        folder,
        folder / "input.txt",
        "--input_format=pairs",
        "--long_text=truncate",
        f"--max_seq_length={length}",
        f"--layers={layers}",
    )
    assert outcome.code == 0, outcome.err
    assert_counts_agree(outcome)
    by_id: dict[str, list[int]] = {}
    tokens = outcome.table("tokens")
    for row, document in enumerate(tokens["id"].to_pylist()):
        by_id.setdefault(document, []).append(row)
    names = np.array(tokens["token"].to_pylist())
    values = np.stack([vectors(tokens, f"layer@{layer}") for layer in expected["layers"]], axis=1)
    offsets = expected["row_offsets"]
    lines = (folder / "input.txt").read_text("utf-8").split("\n")
    compared = 0
    for number, (start, stop) in enumerate(zip(offsets, offsets[1:]), start=1):
        if not lines[number - 1].strip():
            continue
        rows = by_id.pop(f"input.txt:{number}")
        assert names[rows].tolist() == expected["tokens"][start:stop].tolist()
        assert np.abs(values[rows] - expected["values"][start:stop]).max() <= tolerance
        compared += 1
    assert compared > 60
    assert not by_id


def test_the_default_models_own_vectors(embed, minilm, tmp_path):
    expected = np.load(GOLDEN / "minilm.npz")
    records = [json.dumps({"id": str(i), "text": t}) for i, t in enumerate(expected["texts"])]
    source = write_lines(tmp_path / "texts.jsonl", records)
    outcome = embed(minilm, source, "--layers=-1,-2,-3,-4")
    assert outcome.code == 0, outcome.err
    sentences = outcome.table("sentences").sort_by([("source_row", "ascending")])
    assert np.abs(vectors(sentences) - expected["sentence_vectors"]).max() <= 1e-5
    tokens = outcome.table("tokens")
    offsets = expected["row_offsets"]
    for number, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        rows = tokens.filter(pc.equal(tokens["id"], str(number)))
        assert rows["token"].to_pylist() == expected["tokens"][start:stop].tolist()
        for column, layer in enumerate(expected["layers"]):
            found = vectors(rows, f"layer@{layer}")
            assert np.abs(found - expected["values"][start:stop, column]).max() <= 1e-4


REAL = [
    ("qualia-san", "page", 872),
    ("qualia-san", "line", None),
    ("mediamarker-icossa", "page", 340),
    ("mediamarker-icossa", "line", None),
]


@pytest.mark.parametrize(("name", "unit", "pages"), REAL, ids=[f"{r[0]}-{r[1]}" for r in REAL])
def test_real_exports_are_accounted_for(shared, embed, tiny_japanese, name, unit, pages):
    source = shared / "data" / "scrapbox" / f"{name}.json"
    outcome = embed(tiny_japanese, source, f"--unit={unit}", "--max_seq_length=48")
    assert outcome.code == 0, outcome.err
    counts = assert_counts_agree(outcome)
    export = json.loads(source.read_text("utf-8"))
    lines = [
        line if isinstance(line, str) else line["text"]
        for p in export["pages"]
        for line in p["lines"]
    ]
    assert counts["records"] == (pages or len(lines))
    assert counts["rejected"] == 0
    sentences = outcome.table("sentences").sort_by([("source_row", "ascending")])
    rows, texts = sentences["source_row"].to_pylist(), sentences["text"].to_pylist()
    if unit == "page":  # in source order again
        assert sentences["id"].to_pylist() == [
            f"{name}/{page['title']}" for page in export["pages"]
        ]
    else:
        assert texts == [lines[row - 1] for row in rows]
    whole = "".join(sentences["metadata"].to_pylist())
    for user in export.get("users", []):
        assert user.get("email", "@@") not in whole


def test_token_rows_are_contiguous_in_order_and_spans_index_the_text(shared, embed, tiny):
    source = shared / "data" / "scrapbox" / "code-and-table.json"
    outcome = embed(tiny, source, "--layers=-1", "--max_seq_length=16")
    assert outcome.code == 0, outcome.err
    tokens = outcome.table("tokens").to_pylist()
    texts = {row["id"]: row for row in outcome.table("sentences").to_pylist()}
    seen = set()
    position = -1
    for before, row in zip([None, *tokens], tokens):
        if before is None or row["id"] != before["id"]:
            assert row["id"] not in seen
            seen.add(row["id"])
            position = -1
        assert row["position"] == position + 1
        position = row["position"]
        if row["start"] is None:
            assert row["token"] in ("[CLS]", "[SEP]")
        else:
            assert 0 <= row["start"] < row["end"] <= len(texts[row["id"]]["text"])
    assert seen == set(texts)
    for name, row in texts.items():
        assert row["n_tokens"] == sum(token["id"] == name for token in tokens)
        assert row["n_windows"] > 1


BAD_LINES = {
    "invalid UTF-8": b'{"id": "a", "text": "caf\xe9"}',
    "lone surrogate": b'{"id": "b", "text": "\\ud800"}',
    "broken JSON": b'{"id": "c", "text": ',
    "no text": b'{"id": "d"}',
    "wrong type": b'{"id": "e", "text": 5}',
    "duplicate id": b'{"id": "good", "text": "again"}',
}


def test_sources_ids_and_rejected_records_are_the_same_on_any_runner(
    embed, tiny, tmp_path, monkeypatch
):
    """Of relative paths and others: the one that is sorted first keeps an id that comes twice."""
    (tmp_path / "in").mkdir()
    same = ['{"id": "same", "text": "a good book"}', "{}", '{"text": "rain"}']
    write_lines(tmp_path / "in" / "b.jsonl", same)
    write_lines(tmp_path / "in" / "c.jsonl", same)
    patterns = f"{tmp_path}/in/c.*,in/b.*"
    monkeypatch.chdir(tmp_path)
    tables, rejected = [], []
    for runner in ((), ("--runner=BundleBasedDirectRunner",)):
        outcome = embed(tiny, patterns, "--max_rejected=3", *runner, "--full")
        assert outcome.code == 0, outcome.err
        order = [("source", "ascending"), ("source_row", "ascending")]
        tables.append(outcome.table("sentences").drop_columns(["vector"]).sort_by(order))
        lines = [x for f in outcome.latest.glob("rejected/*") for x in f.read_text().splitlines()]
        rejected.append(sorted(lines))
    assert tables[0].equals(tables[1])
    assert rejected[0] == rejected[1]
    assert tables[0]["source"].to_pylist() == [f"{tmp_path}/in/c.jsonl"] * 2 + ["in/b.jsonl"]
    assert tables[0]["id"].to_pylist() == ["same", "c.jsonl:3", "b.jsonl:3"]


def test_bad_records_are_named_and_their_neighbours_unharmed(embed, tiny, tmp_path):
    source = tmp_path / "records.jsonl"
    good = b'{"id": "good", "text": "a good book"}'
    blank = b'{"id": "blank", "text": " "}'
    source.write_bytes(b"\n".join([good, *BAD_LINES.values(), blank, b'{"text": "rain"}']) + b"\n")
    outcome = embed(tiny, source)
    assert outcome.code == 3
    assert not (outcome.output / "LATEST").exists()
    (snapshot,) = (outcome.output / "snapshots").iterdir()
    assert snapshot.name in outcome.err
    assert "--max_rejected" in outcome.err
    counts = assert_counts_agree(outcome, snapshot)
    assert counts | {"records": 9, "documents": 2, "rejected": 6, "empty": 1} == counts
    rejected = [
        json.loads(x) for f in snapshot.glob("rejected/*") for x in f.read_text().splitlines()
    ]
    assert sorted(record["source_row"] for record in rejected) == [2, 3, 4, 5, 6, 7]
    assert all(record["error"] and record["source"] == str(source) for record in rejected)

    from corpusvec.pipeline.cli import main

    assert main(["publish", str(outcome.output), snapshot.name]) == 0
    assert outcome.latest == snapshot
    assert sorted(outcome.table("sentences")["id"].to_pylist()) == ["good", "records.jsonl:9"]


def test_as_many_bad_records_as_allowed_are_published(embed, tiny, tmp_path):
    source = tmp_path / "records.jsonl"
    source.write_bytes(b'{"text": "a good book"}\n{"text": 1}\n')
    outcome = embed(tiny, source, "--max_rejected=1")
    assert outcome.code == 0
    assert assert_counts_agree(outcome)["rejected"] == 1


def test_nothing_to_embed_is_not_published(embed, tiny, tmp_path):
    outcome = embed(tiny, write_lines(tmp_path / "blank.txt", ["", "  ", "\u3000"]))
    assert outcome.code == 3
    assert "no record became a document" in outcome.err
    assert not (outcome.output / "LATEST").exists()


def test_a_broken_export_leaves_the_last_snapshot_as_it_was(embed, tiny, tmp_path):
    good = embed(tiny, write_lines(tmp_path / "a.txt", TEXTS))
    before = good.latest
    source = tmp_path / "cut.json"
    source.write_text(
        '{"name": "p", "pages": [{"title": "a", "lines": ["a", "b"]}, {"title": "b", "li'
    )
    outcome = embed(tiny, source)
    assert outcome.code == 2
    assert "cut.json" in outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.err.strip().splitlines()) <= 2
    assert outcome.latest == before
    assert list((outcome.output / "snapshots").iterdir()) == [before]


def test_a_compressed_file_that_is_cut_off_is_an_error(embed, tiny, tmp_path):
    source = tmp_path / "a.txt.gz"
    source.write_bytes(gzip.compress("\n".join(TEXTS * 50).encode())[:-40])
    outcome = embed(tiny, source)
    assert outcome.code == 2
    assert "a.txt.gz" in outcome.err
    assert not (outcome.output / "LATEST").exists()


def test_limit_and_ids_over_several_files(embed, tiny, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    write_lines(tmp_path / "in" / "b.txt", TEXTS[:3])
    write_lines(tmp_path / "in" / "sub" / "a.txt", TEXTS[3:6])
    outcome = embed(tiny, f"{tmp_path}/in/**.txt", "--limit=4")
    assert outcome.code == 0, outcome.err
    ids = sorted(outcome.table("sentences")["id"].to_pylist())
    assert ids == ["b.txt:1", "b.txt:2", "b.txt:3", "sub/a.txt:1"]


def test_windows_lose_nothing_and_truncation_says_what_it_lost(embed, tiny, tmp_path):
    source = write_lines(tmp_path / "long.txt", [" ".join(TEXTS)])
    whole = embed(tiny, source, "--vectors=mean@-1", "--layers=-1")
    (row,) = whole.table("sentences").to_pylist()
    cut = embed(tiny, source, "--vectors=mean@-1", "--max_seq_length=16", "--layers=-1")
    (windowed,) = cut.table("sentences").to_pylist()
    head = embed(tiny, source, "--max_seq_length=16", "--long_text=truncate", "--layers=-1")
    (truncated,) = head.table("sentences").to_pylist()
    assert windowed["n_tokens"] == row["n_tokens"] > 64
    assert windowed["n_windows"] > 4
    assert windowed["n_dropped"] == row["n_dropped"] == 0
    assert truncated["n_tokens"] == 16
    assert truncated["n_dropped"] == row["n_tokens"] - 16
    assert "cut off" in head.out
    assert cut.table("tokens", cut.latest)["token"].to_pylist()[:14]
    refused = embed(tiny, source, "--max_seq_length=16", "--long_text=error")
    assert refused.code == 3


def test_columns_are_what_was_asked_for(embed, tiny, tmp_path):
    source = write_lines(tmp_path / "a.txt", TEXTS)
    asked = "vector=mean@-1,cls@-2,mean_max@-2:-1,s=mean@0:2/sum,pooler,last@1"
    outcome = embed(tiny, source, f"--vectors={asked}", "--layers=-1,0")
    assert outcome.code == 0, outcome.err
    sentences = outcome.table("sentences")
    widths = {
        field.name: field.type.list_size
        for field in sentences.schema
        if hasattr(field.type, "list_size")
    }
    assert widths == {
        "vector": 16,
        "cls@-2": 16,
        "mean_max@-2:-1": 64,
        "s": 16,
        "pooler": 16,
        "last@1": 16,
    }
    tokens = outcome.table("tokens")
    names = ["id", "position", "token", "start", "end", "segment", "layer@-1", "layer@0"]
    assert tokens.column_names == names
    for row in sentences.to_pylist():
        own = tokens.filter(pc.equal(tokens["id"], row["id"]))
        np.testing.assert_allclose(row["vector"], vectors(own, "layer@-1").mean(axis=0), atol=1e-6)
    about = json.loads(pq.read_schema(next(outcome.latest.glob("tokens/*"))).metadata[b"corpusvec"])
    assert about == manifest_of(outcome)["run"]
    assert about["layers"] == {"layer@-1": 2, "layer@0": 0}


def test_normalize_and_float16(embed, tiny, tmp_path):
    source = write_lines(tmp_path / "a.txt", TEXTS)
    outcome = embed(
        tiny, source, "--vectors=a=max@-1,b=cls@1", "--normalize", "--vector_dtype=float16"
    )
    assert outcome.code == 0, outcome.err
    table = outcome.table("sentences")
    assert str(table.schema.field("a").type) == "fixed_size_list<element: halffloat>[16]"
    for column in ("a", "b"):
        np.testing.assert_allclose(np.linalg.norm(vectors(table, column), axis=1), 1, atol=2e-3)


def test_a_literal_special_token_is_text(embed, tiny, tmp_path):
    outcome = embed(tiny, write_lines(tmp_path / "a.txt", ["[CLS] a [SEP]"]), "--layers=-1")
    tokens = outcome.table("tokens")["token"].to_pylist()
    assert tokens.count("[CLS]") == tokens.count("[SEP]") == 1


def test_scrapbox_emails_never_leave(embed, tiny_japanese):
    from tests.conftest import ROOT

    outcome = embed(tiny_japanese, ROOT / "examples" / "notes.json", "--layers=-1", "--unit=line")
    assert outcome.code == 0, outcome.err
    for file in outcome.latest.rglob("*"):
        if file.suffix == ".parquet" and "changes" not in file.parts:
            whole = json.dumps(
                pq.read_table(file)
                .drop_columns(["layer@-1"] if "tokens" in file.parts else ["vector"])
                .to_pylist(),
                ensure_ascii=False,
            )
            assert "@example.com" not in whole
        elif file.is_file():
            assert b"@example.com" not in file.read_bytes()
