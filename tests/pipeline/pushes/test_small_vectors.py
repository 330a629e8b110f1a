"""Small vectors and chunks in LanceDB and PostgreSQL."""

# ruff: noqa: F811 (fixtures of another file are taken as arguments)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import corpusvec
from tests.pipeline.pushes.test_push import (  # noqa: F401
    TEXTS,
    Store,
    counts,
    output,
    push,
    server,
    store,
)
from tests.vector_stores import Database


@pytest.mark.parametrize("dtype", ["int8", "binary", "ubinary"])
def test_small_vectors_are_pushed_as_stores_search_them(embed, tiny, store, tmp_path, push, dtype):
    """Bytes are restored, as halves; bits are bits, also where they fill no byte."""
    source = tmp_path / "in.txt"
    for night, texts in enumerate((TEXTS, {**TEXTS, "more": "one more"})):
        lines = [said if isinstance(said, str) else said[0] for said in texts.values()]
        source.write_text("\n".join(lines))
        made = embed(tiny, source, f"--vector_dtype={dtype}", "--dimensions=12")
        assert made.code == 0, made.err
        assert counts(push(output=made.output)) == ([4, 0, 0], [1, 0, 4])[night]
        corpus = corpusvec.open(str(made.output))
        matrix = corpus.matrix()
        wanted = matrix.astype(np.float16) if dtype == "int8" else matrix > 0
        assert _vectors(store, dtype != "int8") == dict(zip(corpus.ids, wanted.tolist()))


def _vectors(store: Store, bits: bool) -> dict[str, list]:
    """Those of a table by id; bits as booleans."""
    if isinstance(store, Database):
        found = dict(store.run("SELECT id, vector::text FROM documents"))
        if bits:
            return {id_: [sign == "1" for sign in said] for id_, said in found.items()}
        return {id_: np.float16(json.loads(said)).tolist() for id_, said in found.items()}
    import lance

    rows = lance.dataset(str(store.folder / "documents.lance")).to_table().to_pylist()
    found = {row["id"]: row["vector"] for row in rows}
    if not bits:
        return found
    return {
        id_: np.unpackbits(np.array(said, np.uint8), count=12).astype(bool).tolist()
        for id_, said in found.items()
    }


def test_a_search_by_hamming_distance_finds_bits(embed, tiny, store, tmp_path, push):
    source = tmp_path / "in.txt"
    source.write_text("\n".join(f"text number {n}" for n in range(50)))
    made = embed(tiny, source, "--vector_dtype=ubinary")
    said = push(output=made.output)
    corpus = corpusvec.open(str(made.output))
    codes = corpus.stored()
    kinds, times = np.unique(codes, axis=0, return_counts=True)
    assert len(kinds) > 1
    at = int((codes == kinds[times.argmin()]).all(axis=1).argmax())  # of the rarest bits
    if isinstance(store, Database):
        (made_by,) = [line for line in said.splitlines() if "CREATE INDEX" in line]
        store.run(made_by.partition("run in SQL: ")[2])
        query = "".join(str(int(sign > 0)) for sign in corpus.matrix()[at])
        order = f"vector <~> B'{query}'"
        ((nearest,),) = store.run(f"SELECT id FROM documents ORDER BY {order} LIMIT 1")
    else:
        import lance

        data = lance.dataset(str(store.folder / "documents.lance"))
        data.create_index("vector", "IVF_FLAT", metric="hamming", num_partitions=1)
        sought = {"column": "vector", "q": codes[at], "k": 1, "metric": "hamming"}
        (nearest,) = data.to_table(nearest=sought)["id"].to_pylist()
    # Several texts may have the same bits.
    assert codes[corpus.rows[nearest]].tolist() == codes[at].tolist()


def test_chunks_have_their_places(embed, tiny, store, tmp_path, push):
    source = tmp_path / "in.jsonl"
    long = "the cat sat on a mat. rain falls at noon. the garden is green. "
    source.write_text(json.dumps({"id": "a", "text": long * 3}) + "\n")
    flags = ("--unit=window", "--chunk_tokens=12")
    made = embed(tiny, source, *flags)
    push(output=made.output)
    assert _places(store) == _spans(made.output)
    # The same chunks at another place of a longer record.
    source.write_text(json.dumps({"id": "a", "text": "a dog. " + long * 3}) + "\n")
    assert embed(tiny, source, *flags).code == 0
    push(output=made.output)
    assert _places(store) == _spans(made.output)


def _spans(output: Path) -> dict[str, tuple[str, int, int]]:
    corpus = corpusvec.open(str(output))
    return {id_: (text, *span) for id_, text, span in zip(corpus.ids, corpus.texts(), corpus.spans)}


def _places(store: Store) -> dict[str, tuple[str, int, int]]:
    if isinstance(store, Database):
        found = store.run('SELECT id, text, start, "end" FROM documents')
    else:
        import lance

        table = lance.dataset(str(store.folder / "documents.lance")).to_table()
        found = list(zip(*(table[name].to_pylist() for name in ("id", "text", "start", "end"))))
    return {id_: (text, start, end) for id_, text, start, end in found}
