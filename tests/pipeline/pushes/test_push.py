"""Snapshots in LanceDB and PostgreSQL: the table is the snapshot, whatever happened before."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.pushes import rows as snapshot_rows
from corpusvec.pipeline.pushes.postgres_copies import type_of
from corpusvec.pipeline.pushes.rows import Wanted
from corpusvec.transforms.storage.stores import Outage
from tests import stores
from tests.conftest import ROOT
from tests.transforms.snapshots.test_claims import started  # noqa: F401
from tests.vector_stores import (
    Database,
    LanceFolder,
    PostgresServer,
    Recipe,
    expected,
    postgres,
    published,
)

TEXTS = {
    "a": "the cat sat on a mat",
    "b": ("rain falls at noon", {"title": '猫 "quoted"', "views": "5"}),
    "garden/Growing 'tomatoes'; --": "the garden is green",
    "d": "a dog",
}
Store = LanceFolder | Database


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg")
    with postgres() as running:
        yield running


@pytest.fixture(params=["lance", "postgres"])
def store(request, tmp_path) -> Store:
    if request.param == "postgres":
        return request.getfixturevalue("server").database()
    pytest.importorskip("lance")
    return LanceFolder(tmp_path / "db", f"lance://{tmp_path}/db")


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def push(output, store, capsys) -> Callable[..., str]:
    """What a push says that ends well."""

    def run(*flags: str, output: Path = output) -> str:
        code = main(["push", str(output), store.address, *flags])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert all(line.endswith(" rows are sent") for line in said.err.splitlines())
        return said.out

    return run


@pytest.fixture
def refused(output, store, capsys) -> Callable[..., str]:
    """What one says that ends otherwise."""

    def run(*flags: str, code: int = 2, address: str = store.address, output: Path = output) -> str:
        assert main(["push", str(output), address, *flags]) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert PostgresServer.password not in line
        assert "Traceback" not in line
        return line

    return run


def counts(said: str) -> list[int]:
    """Rows written, removed and left."""
    line = [line for line in said.splitlines() if " rows written, " in line][-1]
    words = line.rpartition(": ")[2].replace(",", "").split()
    return [int(word) for word in words if word.isdigit()]


# ------------------------------------------------------------------------------ what is in a table


def test_the_table_is_the_snapshot(push, store, output):
    published(output, TEXTS)
    assert counts(push()) == [4, 0, 0]
    assert store.rows() == expected(output)
    assert not store.waiting()


def test_only_what_changed_is_written(push, store, output):
    published(output, TEXTS)
    push()
    later = {**TEXTS, "a": "the cat has left", "new": "one more", "moved": TEXTS["d"]}
    later["b"] = ("rain falls at noon", {"title": "only the metadata changed"})
    del later["d"]
    published(output, later)
    assert counts(push()) == [4, 3, 1]
    assert store.rows() == expected(output)


def test_the_same_push_again_does_nothing(push, store, output):
    name = published(output, TEXTS)
    push()
    before = _version(store)
    assert push() == f"documents has {name} already\n"
    assert _version(store) == before


def _version(store: Store):
    if isinstance(store, Database):
        return store.run("SELECT xmin::text, ctid::text FROM documents ORDER BY id")
    import lance

    return lance.dataset(str(store.folder / "documents.lance")).version


def test_a_snapshot_takes_one_step_however_many_rows_change(output, tmp_path):
    lance = pytest.importorskip("lance")
    published(output, {f"d{n}": f"text {n}" for n in range(5000)})
    data = f"{tmp_path}/l/documents.lance"
    assert main(["push", str(output), f"lance://{tmp_path}/l"]) == 0
    assert lance.dataset(data).version == 1
    published(output, {f"d{n}": f"text {n * n}" for n in range(0, 5000, 2)})
    assert main(["push", str(output), f"lance://{tmp_path}/l"]) == 0
    # One of the rows, one that says which snapshot they are of.
    assert lance.dataset(data).version == 3
    assert lance.dataset(data).count_rows() == 2500


def test_a_night_without_changes_is_noted(push, store, output):
    published(output, TEXTS)
    push()
    name = published(output, TEXTS)
    assert counts(push()) == [0, 0, 4]
    assert push() == f"documents has {name} already\n"


def test_any_snapshot_can_follow_any_other(push, store, output):
    """Also one that was pruned meanwhile, or that LATEST does not name."""
    first = published(output, TEXTS)
    push()
    published(output, {"x": "other", "a": TEXTS["a"]})
    published(output, {"x": "other", "y": "another"})
    push()
    assert store.rows() == expected(output)
    assert counts(push(f"--snapshot={first}")) == [4, 2, 0]
    assert store.rows().keys() == TEXTS.keys()
    assert main(["snapshots", "prune", str(output), "--keep=1"]) == 0
    push()
    assert store.rows() == expected(output)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    nights=st.lists(
        st.dictionaries(
            st.sampled_from("abcdefgh"), st.sampled_from(["one", "two", "three"]), min_size=1
        ),
        min_size=2,
        max_size=4,
    )
)
def test_night_after_night_the_table_is_the_snapshot(nights, store, tmp_path_factory):
    output = tmp_path_factory.mktemp("nights") / "out"
    for texts in nights:
        published(output, texts)
        assert main(["push", str(output), store.address, "--replace"]) == 0
        assert store.rows() == expected(output)


def test_what_became_of_the_table_is_mended_where_it_is_asked_for(push, store, output):
    published(output, TEXTS)
    push()
    store.damage()
    push("--replace")
    assert store.rows() == expected(output)


def test_columns_of_vectors_tables_and_halves(push, store, output):
    recipe = Recipe(columns=["vector", "cls@-2"], dtype="float16")
    published(output, TEXTS, recipe)
    push("--table=two")
    assert store.rows("two", recipe.columns) == expected(output, recipe.columns)
    push("--table=one", "--column=cls@-2")
    assert store.rows("one", ["cls@-2"]) == expected(output, ["cls@-2"])
    assert store.rows() is None


def test_many_rows_come_in_parts(push, store, output, monkeypatch):
    monkeypatch.setattr(snapshot_rows, "_CHUNK_BYTES", 20_000)
    published(output, {f"d{n}": f"text {n}" for n in range(7000)}, files=3)
    push()
    assert store.rows() == expected(output)
    said = json.loads(push("--json", "--replace"))
    assert (said["written"], said["unchanged"], said["there"]) == (0, 7000, False)


def test_what_embed_made_is_pushed(embed, tiny, store, tmp_path, push):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "a", "text": "a cat", "title": "x"}\n{"id": "b", "text": "rain"}\n')
    made = embed(tiny, source)
    push(output=made.output)
    assert store.rows() == expected(made.output)
    source.write_text('{"id": "b", "text": "rain", "title": "y"}\n{"id": "c", "text": "a cat"}\n')
    assert embed(tiny, source).code == 0
    assert counts(push(output=made.output)) == [2, 2, 0]
    assert store.rows() == expected(made.output)


@pytest.mark.parametrize("scheme", ["gs", pytest.param("s3", marks=pytest.mark.slow)])
def test_an_output_in_a_bucket_is_pushed(scheme, started, output, tmp_path, monkeypatch, capsys):  # noqa: F811
    pytest.importorskip("lance")
    store = LanceFolder(tmp_path / "db", f"lance://{tmp_path}/db")
    bucket = stores.new_bucket(scheme, started(scheme), monkeypatch)
    for texts in (TEXTS, {**TEXTS, "a": "the cat has left"}):
        published(output, texts)
        place = bucket.upload(output, "out")
        assert main(["push", place, store.address]) == 0, capsys.readouterr().err
        assert store.rows() == expected(output)
    assert counts(capsys.readouterr().out) == [1, 1, 3]
    for name in bucket.names():
        if "/sentences/" in name:
            bucket.put(name, b"damaged")
    assert main(["push", place, store.address, "--replace"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "/sentences/" in line
    assert "to see what else is damaged, run:" in line


# ------------------------------------------------------------------------------ what is not mixed


def test_vectors_of_two_recipes_are_never_mixed(push, refused, store, output):
    published(output, TEXTS)
    push()
    before = store.rows()
    published(output, TEXTS, Recipe(model="other"))
    said = refused()
    assert (
        "another recipe (--model: 'other', was 'tiny'); to replace all its rows, add --replace"
        in said
    )
    assert store.rows() == before
    assert counts(push("--replace")) == [4, 4, 0]
    assert store.rows() == expected(output)


def test_other_dimensions_replace_the_table(push, refused, store, output):
    published(output, TEXTS)
    push()
    published(output, TEXTS, Recipe(width=6))
    assert "--replace" in refused()
    assert counts(push("--replace")) == [4, 0, 0]
    assert store.rows() == expected(output)


def test_another_output_is_refused_and_a_moved_one_is_the_same(push, refused, store, output):
    published(output, TEXTS)
    push()
    other = output.with_name("other")
    published(other, TEXTS)
    assert "holds another output" in refused(output=other)
    output.rename(output.with_name("moved"))
    published(output.with_name("moved"), {"a": "text"})
    push(output=output.with_name("moved"))
    assert store.rows() == expected(output.with_name("moved"))


def test_a_table_that_is_not_of_push_is_left_alone(refused, store, output):
    published(output, TEXTS)
    store.foreign("mine")
    for more in ([], ["--replace"]):
        assert "was not made by push; choose another --table" in refused("--table=mine", *more)


# ------------------------------------------------------------------------------ what goes wrong


def test_what_is_wrong_with_the_command_is_one_sentence(refused, output, store):
    assert "holds no snapshot" in refused()
    published(output, TEXTS)
    assert "has no snapshot" in refused("--snapshot=20200101T000000.000Z-00000000")
    assert "no column of vectors; there are: vector" in refused("--column=nosuch")
    assert "--table: 'a;b' has other characters" in refused("--table=a;b")
    assert "is no store; write lance://FOLDER or postgresql://" in refused(address="mysql://u:p@h")
    assert "is no store" in refused(address="db")


@pytest.mark.parametrize(
    "place",
    [lambda content: 8, lambda content: content.index(b"corpusvec"), lambda content: -1],
    ids=["a page", "metadata", "the end"],
)
def test_a_damaged_snapshot_changes_nothing(place, push, refused, store, output):
    published(output, TEXTS)
    push()
    before = store.rows()
    name = published(output, {**TEXTS, "new": "text"})
    for file in (output / "snapshots" / name / "sentences").glob("*"):
        content = bytearray(file.read_bytes())
        content[place(content)] ^= 1
        file.write_bytes(content)
    said = refused(code=1)
    assert "/sentences/" in said
    assert "to see what else is damaged, run:" in said
    assert store.rows() == before


def test_two_at_a_time_wait_for_each_other(push, refused, store, output, monkeypatch):
    from corpusvec.pipeline.pushes.kinds import opened

    published(output, TEXTS)
    monkeypatch.setattr("corpusvec.pipeline.pushes.stores.LOCK_SECONDS", 0.5)
    with opened(store.address, "documents"):
        assert "another push writes into it" in refused(code=1)
    push()


@pytest.mark.parametrize("scheme", ["lance", "postgresql"])
def test_a_library_that_is_missing_is_named_with_its_extra(scheme, output, capsys, monkeypatch):
    published(output, TEXTS)
    package = {"lance": "lance", "postgresql": "psycopg"}[scheme]
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["push", str(output), f"{scheme}://me:hidden@nowhere/db"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    extra = {"lance": "lance", "postgresql": "postgres"}[scheme]
    assert f"pip install 'corpusvec[{extra}]'" in line
    assert "hidden" not in line


def test_a_folder_that_cannot_be_written_is_one_sentence(output, tmp_path, capsys):
    pytest.importorskip("lance")
    published(output, TEXTS)
    (tmp_path / "file").write_text("x")
    for place in (f"{tmp_path}/file", f"{tmp_path}/file/db", "s3://bucket/db", ""):
        assert main(["push", str(output), f"lance://{place}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot be read or written" in line or "names no local folder" in line


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("s3cret%25word", "wrong"), 2, "password authentication failed"),
        (("me:s3cret%25word@", "me@"), 2, "no password supplied"),
        (("/d", "/nosuch"), 2, "does not exist"),
        (("s3cret%25word", "se@cret"), 2, "%40 for @"),
        (("s3cret%25word", "se/cret"), 2, "%2F for /"),
        (("s3cret%25word", "se%zz"), 2, "address of the database is not valid"),
        (("127.0.0.1", "256.256.256.256"), 1, "does not let push in"),
    ],
    ids=["wrong password", "no password", "no database", "@", "/", "%", "no such host"],
)
def test_a_server_that_does_not_let_in(change, code, said, server, output, capsys):
    published(output, TEXTS)
    address = server.address("d").replace(*change)
    assert main(["push", str(output), address]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not any(secret in line for secret in ("cret", "wrong", "zz"))


def test_a_server_that_is_down_and_comes_back(output, capsys):
    pytest.importorskip("psycopg")
    published(output, TEXTS)
    with postgres() as own:
        database = own.database()
        own.stop()
        assert main(["push", str(output), database.address]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "Connection refused" in line
        assert own.password not in line
        own.start()
        assert main(["push", str(output), database.address]) == 0
        assert database.rows() == expected(output)


def test_a_database_without_pgvector_or_rights(server, output, capsys):
    published(output, TEXTS)
    database = server.database()
    database.run("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    database.run("DROP EXTENSION IF EXISTS vector")
    name = database.address.rpartition("/")[2]
    guest = server.address(name, "guest", "guest")
    assert main(["push", str(output), guest]) == 2
    assert "let the database's owner run: CREATE EXTENSION vector" in capsys.readouterr().err
    database.run("CREATE EXTENSION vector")
    assert main(["push", str(output), guest]) == 2
    assert "permission denied for schema public" in capsys.readouterr().err
    database.run("CREATE SCHEMA own AUTHORIZATION guest")
    assert main(["push", str(output), guest, "--table=own.notes"]) == 0
    assert database.rows("own.notes") == expected(output)


def test_what_postgresql_cannot_hold_is_replaced_and_said(server, output, capsys):
    database = server.database()
    published(output, {"a": ("nul \0 here", {"title": "\0", "path": "\\u0000"}), "b": "none"})
    assert main(["push", str(output), database.address]) == 0
    assert "note: 1 rows have U+0000" in capsys.readouterr().out
    assert database.rows()["a"][:2] == ("nul � here", {"title": "�", "path": "\\u0000"})


def test_the_index_is_said_until_it_is_there(server, output, capsys):
    database = server.database()
    recipe = Recipe(columns=["vector", "wide"], width=2001)
    published(output, TEXTS, recipe)
    assert main(["push", str(output), database.address]) == 0
    said = capsys.readouterr().out
    statements = [line.rpartition("run in SQL: ")[2] for line in said.splitlines()[1:]]
    assert len(statements) == 2
    for statement in statements:
        database.run(statement)
    published(output, {**TEXTS, "new": "text"}, recipe)
    assert main(["push", str(output), database.address]) == 0
    assert "CREATE INDEX" not in capsys.readouterr().out
    assert database.rows(columns=recipe.columns) == expected(output, recipe.columns)


def test_an_index_of_lance_outlives_pushes_and_compaction(output, tmp_path, capsys, monkeypatch):
    lance = pytest.importorskip("lance")
    monkeypatch.setattr("corpusvec.pipeline.pushes.lance_tables._WORTH_AN_INDEX", 500)
    texts = {f"d{n}": f"text {n}" for n in range(600)}
    recipe, data = Recipe(width=8), str(tmp_path / "db" / "documents.lance")

    def nearest(text: str) -> str:
        vector = recipe.vectors(text)["vector"].astype("float32")
        query = {"column": "vector", "q": vector, "k": 1, "nprobes": 100, "refine_factor": 5}
        return lance.dataset(data).to_table(nearest=query)["id"][0].as_py()

    published(output, texts, recipe)
    assert main(["push", str(output), f"lance://{tmp_path}/db"]) == 0
    statement = capsys.readouterr().out.partition("run in Python: ")[2]
    exec(statement, {"lance": lance})
    for night in range(3):
        texts[f"d{night}"] = f"changed {night}"
        texts[f"new{night}"] = f"new {night}"
        published(output, texts, recipe)
        assert main(["push", str(output), f"lance://{tmp_path}/db"]) == 0
        assert "has no index" not in capsys.readouterr().out
        assert [i.field_names for i in lance.dataset(data).describe_indices()] == [["vector"]]
        assert nearest(f"changed {night}") == f"d{night}"
        assert nearest(f"new {night}") == f"new{night}"
        assert nearest(f"text {night}") != f"d{night}"
        assert nearest("text 500") == "d500"
        if night == 1:
            lance.dataset(data).optimize.compact_files()
            lance.dataset(data).optimize.optimize_indices()
    assert LanceFolder(tmp_path / "db", "").rows() == expected(output)


def test_lancedb_reads_what_was_pushed(output, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    published(output, TEXTS)
    for texts in (TEXTS, {**TEXTS, "new": "one more"}):
        published(output, texts)
        assert main(["push", str(output), f"lance://{tmp_path}/db"]) == 0
        database = lancedb.connect(f"{tmp_path}/db")
        assert list(database.list_tables().tables) == ["documents"]
        vector = Recipe().vectors(TEXTS["d"])["vector"].astype("float32")
        (nearest,) = database.open_table("documents").search(vector).limit(1).to_list()
        assert (nearest["id"], nearest["_distance"]) == ("d", 0)


# ------------------------------------------------------------------------------ what is killed

PUSH = (
    "import sys, {library}; from corpusvec.pipeline.commands import push;"
    " from corpusvec.pipeline.pushes import rows; rows._CHUNK_BYTES = 150_000;"
    " from corpusvec.pipeline.cli import main; print('begun', flush=True);"
    " sys.exit(main(sys.argv[1:]))"
)


def test_killed_at_any_moment_nothing_is_lost_and_nothing_is_there_twice(
    store, output, push, capsys
):
    """And no reader sees a part of a snapshot."""
    seed = int(os.environ.get("CORPUSVEC_SEED") or time.time_ns() % 1_000_000)
    with capsys.disabled():
        print(f"\nCORPUSVEC_SEED={seed}")
    chance = random.Random(seed)
    recipe = Recipe(width=64)
    published(output, _night(0), recipe, files=3)
    _, seconds = _run(store, output, 60, "--table=another")
    kills, before = 0, None
    for night in range(3):
        if night:
            published(output, _night(night), recipe, files=3)
        for _ in range(4):
            killed, _ = _run(store, output, chance.uniform(0, seconds))
            kills += killed
            seconds = seconds if killed else seconds / 2  # the machine may be faster now
            assert store.rows() in (before, expected(output))
        push()
        before = expected(output)
        assert store.rows() == before
        assert not store.waiting()
    print(f"{kills} of 12 were killed")
    assert kills


def _night(number: int) -> dict[str, str]:
    """Texts of which some are gone, new or changed since the night before."""
    return {
        f"d{n}": f"text {n} {number * (n % 3)}" for n in range(number * 200, 5000 + number * 200)
    }


def _run(store: Store, output: Path, seconds: float, *flags: str) -> tuple[bool, float]:
    """Push in a process that is killed so long after it began -> whether it was, and how long it
    took.
    """
    library = "psycopg" if isinstance(store, Database) else "lance"
    script = PUSH.format(library=library)
    command = [sys.executable, "-c", script, "push", str(output), store.address, *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        began = time.monotonic()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0, time.monotonic() - began


def test_a_push_that_was_interrupted_goes_on(store, output, push, refused, monkeypatch):
    from corpusvec.pipeline.pushes import kinds

    monkeypatch.setattr(snapshot_rows, "_CHUNK_BYTES", 20_000)
    published(output, {f"d{n}": f"text {n}" for n in range(9000)}, files=4)

    sent: list[int] = []
    with kinds.opened(store.address, "documents") as table:
        original = table.add_waiting

    def add(self, rows):
        if len(sent) == 2:
            raise Outage("the power is out")
        original.__func__(self, rows)
        sent.append(len(rows))

    with monkeypatch.context() as broken:
        broken.setattr(type(table), "add_waiting", add)
        assert refused(code=1) == "corpusvec: the power is out"
    assert store.rows() is None
    assert store.waiting()
    # What waits and is in the next snapshot no longer is not sent.
    published(output, {f"d{n}": f"text {n}" for n in range(4, 9000)}, files=4)
    waits = 2  # the first of each file that was sent
    said = push()
    assert f"{sum(sent) - waits:,} rows had been sent by a push that was interrupted" in said
    assert counts(said) == [8996, 0, 0]
    assert store.rows() == expected(output)


# ------------------------------------------------------------------------------ without a store


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    wanted=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, max_size=16),
    known=st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6)),
)
def test_rows_are_found_once_by_both_halves_of_their_digests(wanted, known):
    found, seen = Wanted(np.array(wanted, np.uint64).reshape(-1, 2)), set()
    for batch in known:
        mask = found.find(np.array(batch, np.uint64).reshape(-1, 2))
        for key, is_new in zip(batch, mask.tolist()):
            assert is_new == (key in wanted and key not in seen)
            seen |= {key} if is_new else set()
    assert {wanted[at] for at in np.flatnonzero(found.found)} == seen


def test_types_of_columns():
    fields = {
        "text": pa.field("text", pa.string()),
        "jsonb": pa.field("metadata", pa.string()),
        "bytea": pa.field("row_digest", pa.binary(16)),
        "vector(3)": pa.field("v", pa.list_(pa.float32(), 3)),
        "halfvec(3)": pa.field("v", pa.list_(pa.float16(), 3)),
        "bit(12)": pa.field("v", pa.list_(pa.uint8(), 2), metadata={"bits": "12"}),
        "bigint": pa.field("start", pa.int64()),
    }
    assert {type_of(field): field for field in fields.values()} == fields
