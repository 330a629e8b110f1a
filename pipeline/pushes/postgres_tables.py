"""A table of PostgreSQL with pgvector's types.

Rows that wait are a table beside it. What comes into the table comes in one transaction, with the
row of `corpusvec_pushes` that says which snapshot it has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.pushes.postgres_copies import binary, type_of, with_nul
from corpusvec.pipeline.pushes.rows import DIGEST
from corpusvec.pipeline.pushes.stores import KnownRows, Pushed, locked, needs
from corpusvec.transforms.storage.stores import Outage

_PUSHES = "corpusvec_pushes"
_WAITING = "_corpusvec_waiting"  # the end of a table's name
_LONGEST = 63 - len(_WAITING)  # bytes of a name; PostgreSQL cuts off what is longer
_CONNECT_SECONDS = 15
_ROWS = 10_000  # that are read or taken away at once
# Classes of errors that another try does not help: of data, names, rights, limits.
_LASTING = {"0A", "22", "23", "28", "2B", "3D", "3F", "42", "54"}
_REFUSED = ("password", "does not exist", "pg_hba.conf", "invalid", "authentication", "support SSL")
_INDEXED = {"vector": 2000, "halfvec": 4000, "bit": 64_000}  # the most dimensions of an index
_MAY_LACK = ("pair", "start", "end")


@contextlib.contextmanager
def opened(address: str, table: str) -> Iterator[PostgresTable]:
    """The table of a database."""
    try:
        import psycopg
    except ImportError as error:
        raise needs("psycopg", "postgresql", "postgres") from error
    name = table.split(".")
    if len(name) > 2 or not all(name) or len(name[-1].encode()) > _LONGEST:
        raise UsageError(
            f"--table={table}: write NAME or SCHEMA.NAME, with at most {_LONGEST} bytes in a name"
        )
    where = _where(psycopg, address)
    with _connected(psycopg, address, where) as connection, _one_sentence(psycopg, where):
        place = PostgresTable(psycopg, connection, where, name)
        locked(place.lock, f"{where}: {table}")
        yield place


def _where(psycopg: Any, address: str) -> str:
    """An address without user and password, as it is shown."""
    user, _, _ = address.partition("://")[2].rpartition("@")
    example = "postgresql://USER@HOST:PORT/DATABASE"
    if set("/?#@[] ") & set(user):
        raise UsageError(
            f"{example}: special characters in USER or in a password are written as their codes,"
            " such as %40 for @ and %2F for /"
        )
    try:
        parts = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error:
        # From `None`: the library's words may have the password in them.
        raise UsageError(f"the address of the database is not valid; write {example}") from None
    host, port = (parts.get(name, "") for name in ("host", "port"))
    return f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"


@contextlib.contextmanager
def _connected(psycopg: Any, address: str, where: str) -> Iterator[Any]:
    try:
        connection = psycopg.connect(
            address,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="corpusvec push",
        )
    except psycopg.Error as error:
        why = _line(error)
        message = f"{where}: does not let push in ({why})"
        if any(word in why for word in _REFUSED):
            raise UsageError(message) from error
        raise Outage(message) from error
    try:
        yield connection
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


@contextlib.contextmanager
def _one_sentence(psycopg: Any, where: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        message = f"{where}: {_line(error)}"
        lasting = (error.sqlstate or "")[:2] in _LASTING
        raise (UsageError if lasting else Outage)(message) from error


def _line(error: Exception) -> str:
    """The last reason of an error, of which a server that has several addresses gives several."""
    return " ".join(str(error).replace("connection failed: ", "").split())


class PostgresTable:
    """See `stores.Store`; places are ids."""

    def __init__(self, psycopg: Any, connection: Any, where: str, name: Sequence[str]):
        self._sql = psycopg.sql
        self._connection, self._where = connection, where
        self._name, self._schema = name[-1], name[:-1]
        self._nul = 0  # rows with a character that became another

    def _named(self, name: str) -> Any:
        return self._sql.Identifier(*self._schema, name)

    @property
    def _waiting(self) -> str:
        return f"{self._name}{_WAITING}"

    def _run(self, query: str, values: Sequence[Any] = (), **names: Any) -> Any:
        """A statement with the names of tables and columns put in."""
        composed = self._sql.SQL(query).format(**names)
        return self._connection.execute(composed, values or None)

    def lock(self) -> bool | None:
        """Until the connection ends."""
        query = "SELECT pg_try_advisory_lock(hashtext('corpusvec push'), hashtext(%s))"
        key = ".".join([*self._schema, self._name])
        return self._run(query, [key]).fetchone()[0] or None

    def _types(self, name: str) -> dict[str, str]:
        """The columns of a table; none where it is not there."""
        query = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        )
        return dict(self._run(query, [self._named(name).as_string(self._connection)]).fetchall())

    def held(self) -> Pushed | None:
        if not self._types(self._name):
            return None
        found = None
        if self._types(_PUSHES):
            query = "SELECT pushed::text FROM {pushes} WHERE name = %s"
            found = self._run(query, [self._name], pushes=self._named(_PUSHES)).fetchone()
        if found is None:
            raise UsageError(
                f"{self._where}: the table {self._name} was not made by push; choose another"
                " --table"
            )
        return Pushed.from_json(found[0])

    def lack(self, schema: pa.Schema) -> str:
        return _lack(self._types(self._name), schema)

    def rows(self) -> Iterator[KnownRows]:
        yield from self._known(self._name)

    def _known(self, name: str) -> Iterator[KnownRows]:
        query = self._sql.SQL("SELECT id, {digest} FROM {table}").format(
            digest=self._sql.Identifier(DIGEST), table=self._named(name)
        )
        cursor = self._connection.cursor("rows", binary=True)  # the server keeps the rows
        with self._connection.transaction(), cursor:
            cursor.execute(query)
            while found := cursor.fetchmany(_ROWS):
                ids, digests = zip(*found)
                yield KnownRows.of(ids, digests)

    def waiting(self, schema: pa.Schema) -> Iterator[KnownRows]:
        self._check_types(schema)
        types = self._types(self._waiting)
        if types and not _lack(types, schema):
            yield from self._known(self._waiting)
            return
        self.forget_waiting()
        columns = [
            self._sql.SQL(
                "{} " + type_of(field) + " NOT NULL" * (field.name not in _MAY_LACK)
            ).format(self._sql.Identifier(field.name))
            for field in schema
        ]
        self._run(
            "CREATE TABLE {table} ({columns})",
            table=self._named(self._waiting),
            columns=self._sql.SQL(", ").join(columns),
        )

    def _check_types(self, schema: pa.Schema) -> None:
        """Raises `UsageError` where pgvector, or a type of it, is not there."""
        # An index of bits needs pgvector, too.
        for kind in sorted({"vector", *(type_of(field).partition("(")[0] for field in schema)}):
            if self._run("SELECT to_regtype(%s)", [kind]).fetchone()[0]:
                continue
            try:
                self._run("CREATE EXTENSION vector")
            except Exception as error:
                if getattr(error, "sqlstate", None) is None:  # nobody answered
                    raise
                raise UsageError(
                    f"{self._where}: has no type {kind} ({_line(error)}); install pgvector 0.7 or"
                    " later on the server, and let the database's owner run: CREATE EXTENSION"
                    " vector (or: ALTER EXTENSION vector UPDATE)"
                ) from error

    def remove_waiting(self, places: Sequence[str]) -> None:
        self._remove(self._waiting, places)

    def _remove(self, name: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _ROWS):
            chosen = list(ids[start : start + _ROWS])
            self._run("DELETE FROM {table} WHERE id = ANY(%s)", [chosen], table=self._named(name))

    def add_waiting(self, rows: pa.Table) -> None:
        query = self._sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)").format(
            table=self._named(self._waiting), columns=self._columns(rows.schema)
        )
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for part in binary(rows):
                copy.write(part)
        self._nul += with_nul(rows)

    def _columns(self, schema: pa.Schema) -> Any:
        return self._sql.SQL(", ").join(map(self._sql.Identifier, schema.names))

    def forget_waiting(self) -> None:
        self._run("DROP TABLE IF EXISTS {table}", table=self._named(self._waiting))

    def publish(self, stale: Sequence[str], pushed: Pushed, recreate: bool) -> None:
        names = {"table": self._named(self._name), "waiting": self._named(self._waiting)}
        with self._connection.transaction():
            if recreate:
                self._run("DROP TABLE IF EXISTS {table}", **names)
                own = self._sql.Identifier(self._name)
                self._run("ALTER TABLE {waiting} RENAME TO {own}", **names, own=own)
                digest = self._sql.Identifier(DIGEST)
                primary = "ALTER TABLE {table} ADD PRIMARY KEY (id) INCLUDE ({digest})"
                self._run(primary, **names, digest=digest)
            else:
                self._remove(self._name, stale)
                own = self._sql.SQL(", ").join(
                    map(self._sql.Identifier, self._types(self._waiting))
                )
                insert = "INSERT INTO {table} ({own}) SELECT {own} FROM {waiting}"
                self._run(insert, **names, own=own)
                self.forget_waiting()
            self._note(pushed)

    def _note(self, pushed: Pushed) -> None:
        pushes = self._named(_PUSHES)
        self._run(
            "CREATE TABLE IF NOT EXISTS {pushes} (name text PRIMARY KEY, pushed jsonb NOT NULL,"
            " at timestamptz NOT NULL DEFAULT now())",
            pushes=pushes,
        )
        self._run(
            "INSERT INTO {pushes} (name, pushed) VALUES (%s, %s) ON CONFLICT (name)"
            " DO UPDATE SET pushed = excluded.pushed, at = excluded.at",
            [self._name, pushed.as_json()],
            pushes=pushes,
        )

    def advice(self, schema: pa.Schema) -> Iterator[str]:
        if self._nul:
            yield (
                f"note: {self._nul:,} rows have U+0000, which PostgreSQL cannot hold; they have"
                " U+FFFD in its place"
            )
        table = self._named(self._name).as_string(self._connection)
        query = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%s)"
        indexes = [found for (found,) in self._run(query, [table]).fetchall()]
        for field in schema:
            if pa.types.is_fixed_size_list(field.type):
                name = self._sql.Identifier(field.name).as_string(self._connection)
                if made := _index(name, type_of(field), table, indexes):
                    yield f"{field.name} has no index; to search faster, run in SQL: {made}"


def _index(name: str, kind: str, table: str, indexes: Sequence[str]) -> str:
    """The statement that makes the index of a column; empty where it has one, or can have none."""
    plain = name.strip('"')
    if any(f"({name}" in one or f"({plain}" in one for one in indexes):
        return ""
    base, _, size = kind.rstrip(")").partition("(")
    if int(size) <= _INDEXED[base]:
        distance = "hamming" if base == "bit" else "cosine"
        return f"CREATE INDEX ON {table} USING hnsw ({name} {base}_{distance}_ops)"
    if int(size) <= _INDEXED["halfvec"]:
        half = f"({name}::halfvec({size})) halfvec_cosine_ops"
        return f"CREATE INDEX ON {table} USING hnsw ({half})"
    return ""


def _lack(types: dict[str, str], schema: pa.Schema) -> str:
    for field in schema:
        if field.name not in types:
            return f"has no column {field.name}"
        if types[field.name] != type_of(field):
            return f"has {types[field.name]} in the column {field.name}, not {type_of(field)}"
    return ""
