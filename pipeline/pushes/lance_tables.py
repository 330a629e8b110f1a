"""A table of LanceDB in a local folder, by the format's own library.

A push adds one version with rows, by a commit of new fragments and of what is deleted in others,
and one that says which snapshot it has. Rows that wait are a data set of their own, hidden.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.pushes.rows import DIGEST
from corpusvec.pipeline.pushes.stores import KnownRows, Pushed, locked, needs
from corpusvec.transforms.storage.locks import free, try_for
from corpusvec.transforms.storage.stores import Outage, unserved

_SCHEME = "lance://"
_KEY = "corpusvec"  # of the schema's metadata
_PLACE = "_rowaddr"
_ROWS = 10_000  # that are read at once
# What is copied is in memory in small parts: by itself the library reads far ahead.
_SMALL = {"batch_size": 2_000, "batch_readahead": 2, "fragment_readahead": 1}
_WORTH_AN_INDEX = 100_000  # rows; fewer are searched in milliseconds


@contextlib.contextmanager
def opened(address: str, table: str) -> Iterator[LanceTable]:
    """The table of a folder, which is made."""
    folder = os.path.expanduser(address.removeprefix(_SCHEME)).rstrip("/")
    if not folder or "://" in folder:
        raise UsageError(f"{address}: names no local folder; write lance://FOLDER")
    os.environ.setdefault("LANCE_LOG", "error")
    try:
        import lance
    except ImportError as error:
        raise needs("pylance", "lance", "lance") from error
    place = os.path.join(folder, f"{table}.lance")
    with _one_sentence(place):
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f".{table}.lock")
        lock = locked(lambda: try_for(path), place)
    try:
        yield LanceTable(lance, folder, table)
    finally:
        free(path, lock)


@contextlib.contextmanager
def _one_sentence(place: str) -> Iterator[None]:
    """The library raises OSError and ValueError, with lines of its own source."""
    try:
        yield
    except (UsageError, Outage):
        raise
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
        why = str(error).partition(", /")[0].splitlines()[0]
        raise unserved(f"{place}: cannot be read or written ({why})", error) from error


class LanceTable:
    """See `stores.Store`; places are addresses of rows."""

    def __init__(self, lance: Any, folder: str, table: str):
        self._lance = lance
        self._place = os.path.join(folder, f"{table}.lance")
        self._waiting = os.path.join(folder, f".{table}.waiting")

    def _dataset(self, place: str) -> Any:
        """None where none is there."""
        if not os.path.isdir(os.path.join(place, "_versions")):
            return None
        return self._lance.dataset(place)

    def held(self) -> Pushed | None:
        with _one_sentence(self._place):
            if os.path.exists(self._place) and not os.path.isdir(self._place):
                raise UsageError(f"{self._place}: is a file; choose another --table")
            if (there := self._dataset(self._place)) is None:
                return None
            kept = (there.schema.metadata or {}).get(_KEY.encode())
            if kept is None:
                raise UsageError(f"{self._place}: was not made by push; choose another --table")
            return Pushed.from_json(kept)

    def lack(self, schema: pa.Schema) -> str:
        with _one_sentence(self._place):
            return _lack(self._dataset(self._place).schema, schema)

    def rows(self) -> Iterator[KnownRows]:
        with _one_sentence(self._place):
            yield from _known(self._dataset(self._place))

    def waiting(self, schema: pa.Schema) -> Iterator[KnownRows]:
        with _one_sentence(self._waiting):
            if (there := self._dataset(self._waiting)) is None or _lack(there.schema, schema):
                self.forget_waiting()
                return
            yield from _known(there)

    def remove_waiting(self, places: Sequence[int]) -> None:
        with _one_sentence(self._waiting):
            self._dataset(self._waiting).delete(_at(places))

    def add_waiting(self, rows: pa.Table) -> None:
        with _one_sentence(self._waiting):
            self._lance.write_dataset(rows, self._waiting, mode="append")

    def forget_waiting(self) -> None:
        if os.path.lexists(self._waiting):
            with _one_sentence(self._waiting):
                shutil.rmtree(self._waiting)

    def publish(self, stale: Sequence[int], pushed: Pushed, recreate: bool) -> None:
        with _one_sentence(self._place):
            there, kept = self._dataset(self._place), pushed.as_json()
            if recreate or there is None or len(stale) == there.count_rows():
                self._overwrite(kept)
            else:
                self._update(there, stale)
                # A push that is killed before this is one that is made again, of no rows.
                self._lance.dataset(self._place).update_schema_metadata({_KEY: kept})
        self.forget_waiting()

    def _overwrite(self, kept: str) -> None:
        """A version of rows that waited alone; what it is of is in the same commit."""
        waiting = self._dataset(self._waiting)
        schema, fragments = waiting.schema, self._fragments(waiting, "overwrite")
        operation = self._lance.LanceOperation.Overwrite(
            schema.with_metadata({_KEY: kept}), fragments
        )
        self._lance.LanceDataset.commit(self._place, operation)

    def _update(self, there: Any, stale: Sequence[int]) -> None:
        waiting = self._dataset(self._waiting)
        fragments = [] if waiting is None else self._fragments(waiting, "append")
        updated, gone = _without(there, stale)
        if fragments or updated or gone:
            operation = self._lance.LanceOperation.Update(
                removed_fragment_ids=gone, updated_fragments=updated, new_fragments=fragments
            )
            self._lance.LanceDataset.commit(there, operation, read_version=there.version)

    def _fragments(self, waiting: Any, mode: str) -> list[Any]:
        """The rows that wait, written as files that no version has yet."""
        if not waiting.count_rows():
            return []
        reader = waiting.scanner(**_SMALL).to_reader()
        return self._lance.fragment.write_fragments(
            reader, self._place, schema=waiting.schema, mode=mode
        )

    def advice(self, schema: pa.Schema) -> Iterator[str]:
        with _one_sentence(self._place):
            there = self._dataset(self._place)
            if there.count_rows() < _WORTH_AN_INDEX:
                return
            indexed = {name for index in there.describe_indices() for name in index.field_names}
        for field in schema:
            if pa.types.is_fixed_size_list(field.type) and field.name not in indexed:
                bits = field.type.value_type == pa.uint8()
                kind = "'IVF_FLAT', metric='hamming'" if bits else "'IVF_HNSW_SQ', metric='cosine'"
                yield (
                    f"{field.name} has no index; to search faster, run in Python:"
                    f" lance.dataset({self._place!r}).create_index({field.name!r}, {kind})"
                )


def _lack(there: pa.Schema, schema: pa.Schema) -> str:
    for field in schema:
        at = there.get_field_index(field.name)
        if at < 0:
            return f"has no column {field.name}"
        if (kind := there.field(at).type) != field.type:
            return f"has {kind} in the column {field.name}, not {field.type}"
    return ""


def _known(dataset: Any) -> Iterator[KnownRows]:
    scanner = dataset.scanner(columns=[DIGEST], with_row_address=True, batch_size=_ROWS)
    for batch in scanner.to_batches():
        yield KnownRows.of(batch[_PLACE].to_pylist(), batch[DIGEST].to_pylist())


def _at(places: Sequence[int]) -> str:
    return f"{_PLACE} IN ({', '.join(map(str, places))})"


def _without(dataset: Any, stale: Sequence[int]) -> tuple[list[Any], list[int]]:
    """Fragments that lose rows, and the ids of those that lose all."""
    updated, gone = [], []
    numbers = np.array(stale, np.uint64)
    of_fragment = numbers >> np.uint64(32)
    for number in np.unique(of_fragment).tolist():
        places = numbers[of_fragment == number].tolist()
        left = dataset.get_fragment(number).delete(_at(places))
        if left is None:
            gone.append(number)
        else:
            updated.append(left)
    return updated, gone
