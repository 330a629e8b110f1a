"""Runs whose vectors are bytes or bits: what they write, that nights are alike, and what reads
them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import corpusvec
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.links.searches import Searcher
from corpusvec.pipeline.settings import Settings
from corpusvec.transforms.snapshots.schemas import METADATA_KEY
from corpusvec.transforms.vectors.quantizations import (
    quantization_in,
    quantized,
    ranges_of,
    restored,
)
from tests.models import TEXTS
from tests.repository.test_end_to_end import manifest_of, write_lines

SMALL = ("int8", "binary", "ubinary")
COLUMNS = "--vectors=vector=mean@-1,cls@-2,wide=max@-2:-1,max_first=mean_max@-1"
NAMES = ("vector", "cls@-2", "wide", "max_first")


def numbered(*numbers: int) -> list[str]:
    return [f"{text} {number}" for number in numbers for text in TEXTS]


@pytest.fixture
def source(tmp_path) -> Path:
    return write_lines(tmp_path / "in.txt", numbered(*range(12)))


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """`made(dtype)`: an output of the same texts, each once."""
    folder = tmp_path_factory.mktemp("small")
    source = write_lines(folder / "in.txt", numbered(*range(12)))
    done: dict[str, Path] = {}

    def make(dtype: str) -> Path:
        if dtype not in done:
            output = folder / dtype
            place = [f"--model={tiny}", f"--input={source}", f"--output={output}"]
            assert main(["embed", *place, f"--vector_dtype={dtype}", COLUMNS]) == 0
            done[dtype] = output
        return done[dtype]

    return make


def stored(output: Path, column: str) -> np.ndarray:
    """As Arrow reads it, in the order of ids."""
    snapshot = output / "snapshots" / (output / "LATEST").read_text().strip()
    table = pq.read_table(snapshot / "sentences").sort_by("id")
    kind = table.schema.field(column).type
    flat = table[column].combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, kind.list_size)


def run_of(output: Path) -> dict:
    snapshot = output / "snapshots" / (output / "LATEST").read_text().strip()
    return json.loads((snapshot / "manifest.json").read_text())["run"]


@pytest.mark.parametrize("dtype", SMALL)
def test_every_column_is_the_float_one_made_small(made, dtype):
    run = run_of(made(dtype))
    for name in NAMES:
        floats, found = stored(made("float32"), name), stored(made(dtype), name)
        how = quantization_in(run, name)
        assert how.dimensions == floats.shape[1]
        assert found.dtype == (np.uint8 if dtype == "ubinary" else np.int8)
        np.testing.assert_array_equal(found, quantized(floats, how))
        # Of so few documents all are measured.
        assert how.ranges == (ranges_of(floats) if dtype == "int8" else None)


@pytest.mark.parametrize("dtype", SMALL)
def test_files_and_manifest_say_how_to_restore_them(made, dtype):
    (file,) = made(dtype).glob("snapshots/*/sentences/*.parquet")
    told = json.loads(pq.read_schema(file).metadata[METADATA_KEY])
    assert told == run_of(made(dtype))
    assert set(told["quantization"]) == set(NAMES)
    assert "quantization" not in run_of(made("float32"))


@pytest.mark.parametrize("dtype", ["int8", "binary"])
def test_a_night_embeds_what_is_new_and_keeps_the_ranges(embed, tiny, source, dtype):
    first = embed(tiny, source, f"--vector_dtype={dtype}")
    run = manifest_of(first)["run"]
    before = stored(first.output, "vector")
    # Values that the first night did not have are outside its ranges.
    write_lines(source, [*source.read_text().splitlines(), "zebra " * 40, "a b c d e f"])
    second = embed(tiny, source, f"--vector_dtype={dtype}")
    assert second.code == 0, second.err
    counts = manifest_of(second)["counts"]
    assert (counts["embedded"], counts["reused"]) == (2, len(before))
    assert manifest_of(second)["run"] == run
    rows = {tuple(row) for row in stored(second.output, "vector").tolist()}
    assert {tuple(row) for row in before.tolist()} <= rows
    assert main(["verify", str(second.output)]) == 0
    assert main(["snapshots", "diff", str(second.output)]) == 0


def test_the_ranges_of_a_snapshot_that_was_not_published_are_kept(embed, tiny, tmp_path):
    source = tmp_path / "in.jsonl"
    records = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(numbered(1, 2))]
    write_lines(source, [*records, "{"])
    assert embed(tiny, source, "--vector_dtype=int8").code == 3
    write_lines(source, [*records[:-3], json.dumps({"id": "x", "text": "zebra " * 30})])
    outcome = embed(tiny, source, "--vector_dtype=int8")
    assert outcome.code == 0
    assert manifest_of(outcome)["counts"]["reused"] == len(records) - 3


def test_repeated_texts_and_a_damaged_file_are_as_with_floats(embed, tiny, source):
    lines = source.read_text().splitlines()
    write_lines(source, [*lines, lines[0], lines[1]])
    first = embed(tiny, source, "--vector_dtype=int8")
    assert manifest_of(first)["counts"]["repeated"] == 2
    write_lines(source, lines)
    embed(tiny, source, "--vector_dtype=int8")
    whole = stored(first.output, "vector")
    for file in embed(tiny, source, "--vector_dtype=int8").latest.glob("sentences/*.parquet"):
        file.write_bytes(file.read_bytes()[:-100])
    outcome = embed(tiny, source, "--vector_dtype=int8")
    assert outcome.code == 0
    assert manifest_of(outcome)["counts"]["damaged_files"] > 0
    np.testing.assert_array_equal(stored(outcome.output, "vector"), whole)


def test_given_ranges_are_those_of_the_file(embed, tiny, source, tmp_path):
    ranges = np.stack([np.full(16, -0.5, np.float32), np.full(16, 0.75, np.float32)])
    np.save(tmp_path / "ranges.npy", ranges)
    flags = ("--vector_dtype=int8", f"--vector_ranges={tmp_path}/ranges.npy")
    outcome = embed(tiny, source, *flags)
    assert manifest_of(outcome)["run"]["quantization"]["vector"]["ranges"] == ranges.tolist()
    assert {-128, 127} <= set(stored(outcome.output, "vector").ravel().tolist())
    # Other numbers under the same name are another recipe.
    np.save(tmp_path / "ranges.npy", ranges * 2)
    place = [f"--model={tiny}", f"--input={source}", f"--output={outcome.output}"]
    assert main(["embed", *place, *flags]) == 3


def test_outputs_with_the_same_ranges_can_be_searched_together(embed, made, tiny, source, capsys):
    first = made("int8")
    outcome = embed(tiny, source, "--vector_dtype=int8", f"--vector_ranges={first}", COLUMNS)
    assert manifest_of(outcome)["run"] == run_of(first)
    command = ["related", str(first), f"--across={outcome.output}", "--passages=0", "--top=1"]
    assert main(command) == 0


@pytest.mark.parametrize("dtype", SMALL)
def test_the_first_dimensions(embed, tiny, source, dtype):
    whole = embed(tiny, source, "--normalize", "--dimensions=5")
    floats = stored(whole.output, "vector")
    outcome = embed(tiny, source, "--normalize", "--dimensions=5", f"--vector_dtype={dtype}")
    how = quantization_in(manifest_of(outcome)["run"], "vector")
    assert how.dimensions == 5
    np.testing.assert_array_equal(stored(outcome.output, "vector"), quantized(floats, how))


def brute(matrix: np.ndarray, row: int, ids: list[str], count: int) -> list[str]:
    exact = matrix.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1)[:, None]
    scores = np.round(exact @ exact[row], 12)
    ranked = sorted(range(len(ids)), key=lambda at: (-scores[at], ids[at]))
    return [ids[at] for at in ranked if at != row][:count]


@pytest.mark.parametrize("dtype", SMALL)
def test_related_and_search_find_what_plain_numpy_finds(made, tiny, dtype):
    corpus = corpusvec.open(str(made(dtype)))
    rows = stored(made(dtype), "vector")
    ids = sorted(corpus.ids)
    how = quantization_in(run_of(made(dtype)), "vector")
    floats = restored(rows, how)
    in_order = [ids.index(id_) for id_ in corpus.ids]
    np.testing.assert_array_equal(corpus.matrix(), floats[in_order])
    np.testing.assert_array_equal(corpus.stored(), rows[in_order])
    for row in (0, 17, 40):
        found = [one.target for one in corpus.related(ids[row], top=12)]
        assert found == brute(floats, row, ids, 12)
    asked = corpusvec.Embedder(model=tiny, vectors="mean@-1").embed(["the rain 3"])
    hits = Searcher(corpus, "vector", by="vectors").search("the rain 3", top=5)
    with_question = np.concatenate([asked, floats])
    assert [hit.document for hit in hits] == brute(with_question, 0, ["", *ids], 5)


@pytest.mark.parametrize("dtype", ["binary", "ubinary"])
def test_documents_of_bits_are_ranked_by_hamming_distance(made, dtype):
    corpus = corpusvec.open(str(made(dtype)))
    bits = np.unpackbits(corpus.stored().view(np.uint8), axis=1)
    row = 5
    distances = (bits != bits[row]).sum(axis=1)
    ranked = sorted(range(len(bits)), key=lambda at: (distances[at], corpus.ids[at]))
    expected = [corpus.ids[at] for at in ranked if at != row][:20]
    found = corpus.related(corpus.ids[row], top=20)
    assert [one.target for one in found] == expected
    width = corpus.matrix().shape[1]
    for one in found:
        distance = int(distances[corpus.rows[one.target]])
        assert one.score == pytest.approx(1 - 2 * distance / width)


@pytest.mark.parametrize("dtype", SMALL)
def test_commands_read_them(made, dtype, capsys, tmp_path):
    output = str(made(dtype))
    for command in (
        ["verify", output],
        ["inspect", output],
        ["related", output, "--top=2", "--passages=1", "--of=in.txt:3"],
        ["search", output, "the rain"],
        ["report", output, f"--file={tmp_path}/report.html"],
    ):
        assert main(command) == 0, command
        said = capsys.readouterr().out
        if command[0] == "inspect":
            kind = "uint8" if dtype == "ubinary" else "int8"
            width = 16 if dtype == "int8" else 2
            assert f"vector: {kind}[{width}]" in " ".join(said.split())


@pytest.mark.parametrize("dtype", SMALL)
def test_the_same_model_gives_the_same_again(made, tiny, dtype, capsys):
    assert main(["verify", str(made(dtype)), f"--model={tiny}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["swap"]["settings"] == []
    for column in found["swap"]["columns"]:
        assert column["same"]
        assert column["neighbours"]["mean"] > 0.99


def test_verify_says_what_a_smaller_type_would_keep(made, tiny, capsys):
    kept = {}
    for dtype in ("int8", "binary"):
        flags = [f"--model={tiny}", f"--vector_dtype={dtype}", "--json"]
        assert main(["verify", str(made("float32")), *flags]) == 0
        (column, *_) = json.loads(capsys.readouterr().out)["swap"]["columns"]
        kept[dtype] = column["neighbours"]["mean"]
    assert kept["int8"] > 0.95 > kept["binary"]


REFUSED = {
    "token layers": (("--vector_dtype=binary", "--layers=-1"), "is for sentence vectors, and"),
    "ranges of floats": (("--vector_ranges=x.npy",), "is for --vector_dtype=int8, and that is"),
    "no file": (("--vector_dtype=int8", "--vector_ranges=x.npy"), "cannot be read as .npy or JSON"),
    "encoding": (
        ("--vector_dtype=ubinary", "--vector_encoding=byte_stream_split"),
        "is for floats, and --vector_dtype is ubinary",
    ),
}


@pytest.mark.parametrize(("flags", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_one_sentence(embed, tiny, source, flags, said):
    outcome = embed(tiny, source, *flags)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


def test_ranges_of_another_width_are_named(embed, tiny, source, tmp_path):
    np.save(tmp_path / "r.npy", np.array([[-1.0] * 5, [1.0] * 5]))
    outcome = embed(tiny, source, "--vector_dtype=int8", f"--vector_ranges={tmp_path}/r.npy")
    assert outcome.code == 2
    assert "has ranges of 5 dimensions, and vector has 16" in outcome.err


@pytest.mark.parametrize("texts", [["alone"], ["alike"] * 3], ids=["one", "all alike"])
def test_too_few_documents_to_measure(embed, tiny, tmp_path, texts):
    source = write_lines(tmp_path / "in.txt", texts)
    outcome = embed(tiny, source, "--vector_dtype=int8")
    assert outcome.code == 2
    assert "ranges are measured on two different vectors at least, and the first" in outcome.err
    assert not (outcome.output / "snapshots").exists() or not list(
        (outcome.output / "snapshots").glob("2*")
    )


def test_a_program_of_ones_own_gives_ranges(tiny, made):
    with pytest.raises(ValueError, match="needs vector_ranges"):
        corpusvec.Embedder(model=tiny, vector_dtype="int8")
    with pytest.raises(ValueError, match="needs vector_ranges"):
        corpusvec.Embed(model=tiny, vector_dtype="int8")
    embedder = corpusvec.Embedder(
        model=tiny, vector_dtype="int8", vectors="vector=mean@-1", vector_ranges=str(made("int8"))
    )
    corpus = corpusvec.open(str(made("int8")))
    texts = corpus.texts([3, 8])
    np.testing.assert_array_equal(embedder.embed(texts), corpus.stored("vector")[[3, 8]])
    bits = corpusvec.Embedder(model=tiny, vector_dtype="ubinary").embed(texts)
    floats = corpusvec.Embedder(model=tiny).embed(texts)
    np.testing.assert_array_equal(bits, np.packbits(floats > 0, axis=1))


def test_ranges_belong_to_the_fingerprint(tiny, tmp_path):
    found = set()
    for scale in (1, 2):
        path = str(tmp_path / f"{scale}.npy")
        np.save(path, np.array([[-scale] * 16, [scale] * 16], np.float32))
        settings = Settings(model=tiny, vector_dtype="int8", vector_ranges=path)
        found.add(settings.resolve().describe("strip")["fingerprint"])
    assert len(found) == 2
