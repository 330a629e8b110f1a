"""The cache of models that were fetched: a folder for each handle, whole or not there.

The layout is tensorflow-hub's: the folder is named by the SHA-1 of the handle, and
`.descriptor.txt` beside it says whose it is, so each program uses what the other fetched. Unlike
it, a record beside the folder has the SHA-256 of every file, compared at every use; and a lock that
its holder's death frees.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from corpusvec.transforms.models.sources.archives import inner_folder
from corpusvec.transforms.models.sources.kinds import patterns
from corpusvec.transforms.storage import locks
from corpusvec.transforms.storage.file_digests import sha256

_LOG = logging.getLogger(__name__)
_VARIABLE_OPS = (b"VarHandleOp", b"VariableV2")
_TEMPORARY, _LOCK = ".corpusvec.tmp", ".corpusvec.lock"


def accept_all(folder: str) -> None:
    """The check of a model that asks for nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the model of a handle is in a cache, or will be.

    `shown` is the handle without what is secret in it; `source` the digest of what it was made
    from where that is at hand, else empty. `check` raises ValueError for a folder that is damaged.
    """

    cache: str
    handle: str
    shown: str
    source: str = ""
    check: Callable[[str], None] = accept_all

    @property
    def folder(self) -> str:
        return os.path.join(self.cache, hashlib.sha1(self.handle.encode()).hexdigest())

    @property
    def record(self) -> str:
        return f"{self.folder}.corpusvec.json"


def say(text: str) -> None:
    """A line to whoever waits."""
    _LOG.info("corpusvec: %s", text)


def _say_waiting(entry: Entry) -> None:
    say(f"{entry.shown}: waiting for another process that fetches it")


def cache_folder(cache: str | None) -> str:
    """`cache`, or tensorflow-hub's own: TFHUB_CACHE_DIR, else a folder among temporary files."""
    chosen = cache or os.environ.get("TFHUB_CACHE_DIR") or ""
    if "://" in chosen:
        flag = "--model_cache" if cache else "TFHUB_CACHE_DIR"
        raise ValueError(f"{flag}={chosen}: is no local folder; models are kept on a local disk")
    chosen = chosen or os.path.join(tempfile.gettempdir(), "tfhub_modules")
    return os.path.abspath(os.path.expanduser(chosen))


def cached(entry: Entry, fetch: Callable[[str, str], None], refresh: bool = False) -> str:
    """The folder of the entry's model; `fetch(folder, scratch)` writes it into `folder`, with
    `scratch` for files on the way, where it is not there, is damaged, or `refresh` asks for it.

    One process at a time fetches; the others wait and use what it fetched. Raises: what `fetch`
    raises, ValueError where it brought no whole model, OSError where the cache cannot be written.
    """
    _clear_leftovers(entry.cache)
    before = _record_of(entry)
    if before and not refresh and _damage(entry, before) is None:
        return entry.folder
    try:
        os.makedirs(entry.cache, exist_ok=True)
        lock = locks.wait_for(entry.folder + _LOCK, functools.partial(_say_waiting, entry))
    except OSError as error:
        # A cache that others fill: without a lock, but what tensorflow-hub left in it is used.
        read_only = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        if read_only and not (refresh or _damage(entry, before)):
            return entry.folder
        raise
    try:
        record = _record_of(entry)
        if refresh and record == before:  # else another process did it while this one waited
            _renew(entry, fetch)
        elif damage := _damage(entry, record):
            _mend(entry, fetch, damage)
        elif record is None:  # tensorflow-hub's
            _write_record(entry, entry.folder, entry.record)
    finally:
        locks.free(entry.folder + _LOCK, lock)
    return entry.folder


def missing_part(folder: str) -> str | None:
    """What a folder lacks to be a model, None where nothing is missed at a glance."""
    if not os.path.isdir(folder):
        return "it is not there"
    files = _files(inner_folder(folder))
    names = [os.path.basename(file) for file in files]
    weights = patterns("weights", "older_weights")
    if not any(fnmatch.filter(names, pattern) for pattern in weights):
        return f"it has no model that corpusvec knows: none of {', '.join(weights)}"
    if "saved_model.pb" not in files:
        return None
    with open(files["saved_model.pb"], "rb") as stream:
        graph = stream.read()
    has_variables = any(op in graph for op in _VARIABLE_OPS)
    variables = {file for file in files if file.startswith("variables/")}
    if not graph or (has_variables and "variables/variables.index" not in variables):
        return f"{'variables/variables.index' if graph else 'saved_model.pb'} is missing or empty"
    for shard in fnmatch.filter(variables, "variables/variables.data-*-of-*"):
        count = int(shard.rpartition("-")[2])
        there = fnmatch.filter(variables, f"variables/variables.data-*-of-{count:05}")
        return None if len(there) == count else f"of its {count} variables.data files some are gone"
    return "variables/variables.data-* is missing" if has_variables else None


def _files(folder: str) -> dict[str, str]:
    """The files below a folder: names with slashes -> paths."""
    paths = (os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    return {os.path.relpath(path, folder).replace(os.sep, "/"): path for path in sorted(paths)}


def _digests(folder: str) -> dict[str, dict[str, Any]]:
    return {
        name: {"size": os.path.getsize(path), "sha256": sha256(path)}
        for name, path in _files(folder).items()
    }


def _record_of(entry: Entry) -> dict[str, Any] | None:
    """What was recorded of the entry; None where there is nothing that can be read."""
    try:
        with open(entry.record, encoding="utf-8") as stream:
            record = json.load(stream)
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else None


def _write_record(entry: Entry, folder: str, path: str) -> None:
    files = _digests(folder)
    record = {
        "handle": entry.shown,
        "source": entry.source,
        "fetched": datetime.now(timezone.utc).isoformat(),
        "digest": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        "files": files,
    }
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1)
    os.replace(f"{path}.new", path)


def _damage(entry: Entry, record: Mapping[str, Any] | None) -> str | None:
    """What is wrong with an entry; None where it is whole."""
    try:
        return _difference(entry, record)
    except OSError as error:  # without a lock, another process may be about to replace it
        return f"{error.filename} cannot be read ({error.strerror})"


def _difference(entry: Entry, record: Mapping[str, Any] | None) -> str | None:
    """As `_damage`; raises OSError."""
    if not os.path.isdir(entry.folder):
        return "it is not there"
    if record is None:
        return _flaw(entry, entry.folder) or _unsaid(entry)
    if record.get("source", "") != entry.source:
        return "the archive has changed"
    recorded, there = record["files"], _files(entry.folder)
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            return f"{name} is missing"
        if name not in recorded:
            return f"{name} was added"
        # The size first: it tells at once what a digest tells after all bytes.
        size = os.path.getsize(there[name])
        if size != recorded[name]["size"] or sha256(there[name]) != recorded[name]["sha256"]:
            return f"{name} was changed"
    return None


def _flaw(entry: Entry, folder: str) -> str | None:
    """What is wrong with a folder that nothing is recorded of."""
    if missing := missing_part(folder):
        return missing
    try:
        entry.check(inner_folder(folder))
    except ValueError as error:
        return str(error).replace(f"{folder}/", "").removeprefix(f"{folder}: ")
    return None


def _unsaid(entry: Entry) -> str | None:
    """What nobody says of a folder that nothing is recorded of and that has no flaw. tensorflow-hub
    leaves such, and a SavedModel's graph names the files that belong to it; no other model does.
    """
    is_saved_model = os.path.isfile(os.path.join(inner_folder(entry.folder), "saved_model.pb"))
    return "nothing says what it was made of" if entry.source or not is_saved_model else None


def _mend(entry: Entry, fetch: Callable[[str, str], None], damage: str) -> None:
    """Fetch an entry that is not there or damaged; what is there stays where that fails."""
    if not os.path.isdir(entry.folder):
        _renew(entry, fetch)
        return
    say(f"{entry.shown}: its copy in {entry.cache} is not used, {damage}; fetching it again")
    try:
        _renew(entry, fetch)
    except (ValueError, RuntimeError) as error:
        raise RuntimeError(f"the copy in {entry.folder} is not used ({damage}); {error}") from error


def _renew(entry: Entry, fetch: Callable[[str, str], None]) -> None:
    """Fetch beside the entry and swap: at each moment the entry is whole, the old one, or none."""
    temporary = entry.folder + _TEMPORARY
    new, old, scratch = (os.path.join(temporary, name) for name in ("new", "old", "scratch"))
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that died just now
    try:
        for folder in (temporary, new, scratch):
            os.mkdir(folder)  # not tempfile's: others of this machine may read the cache
        fetch(new, scratch)
        if flaw := _flaw(entry, new):
            raise ValueError(f"what was fetched is not whole: {flaw}")
        _write_record(entry, new, os.path.join(temporary, "record"))
        _describe(entry, os.path.join(temporary, "descriptor"))
        if os.path.lexists(entry.folder):
            os.rename(entry.folder, old)
        os.replace(os.path.join(temporary, "record"), entry.record)
        os.replace(os.path.join(temporary, "descriptor"), f"{entry.folder}.descriptor.txt")
        os.rename(new, entry.folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _describe(entry: Entry, path: str) -> None:
    """The file by which people find whose folder it is, in tensorflow-hub's words."""
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(
            f"Module: {entry.shown}\nDownload Time: {datetime.now()}\n"
            f"Downloader Hostname: {socket.gethostname()} (PID:{os.getpid()})"
        )


def _clear_leftovers(cache: str) -> None:
    """Take away what processes left that died while fetching; those alive have their locks."""
    with contextlib.suppress(OSError):
        for name in os.listdir(cache):
            if name.endswith((_TEMPORARY, _LOCK)):
                folder = os.path.join(cache, name.removesuffix(_TEMPORARY).removesuffix(_LOCK))
                if (lock := locks.try_for(folder + _LOCK)) is not None:
                    shutil.rmtree(folder + _TEMPORARY, ignore_errors=True)
                    locks.free(folder + _LOCK, lock)
