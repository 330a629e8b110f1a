"""Input files on any of Beam's file systems: which there are, their names in ids, their bytes, and
whether they are still what they were. A run's list of them is a file, since there may be millions.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any, BinaryIO

from corpusvec.transforms.documents.streams import BrokenInput, decompress
from corpusvec.transforms.storage.files import (
    FileState,
    as_expression,
    create,
    exists,
    listed,
    open_file,
    state,
    version,
)
from corpusvec.transforms.storage.globs import hidden_names, match
from corpusvec.transforms.storage.lfs_pointers import POINTER, is_pointer
from corpusvec.transforms.storage.stores import (
    EXTRAS,
    Outage,
    Refused,
    ask,
    is_lasting,
    is_remote,
    reason,
    unserved,
)

_WILDCARD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
PIECE = 1 << 16  # bytes, as they are read and counted
_LISTED = 10_000  # files of a row group of a list

# One of each kind of file that an output folder holds.
_SNAPSHOT = "snapshots/20250102T030405.678Z-0a1b2c3d"
_OUTPUT_FILES = (
    "LATEST",
    f"{_SNAPSHOT}/manifest.json",
    f"{_SNAPSHOT}/sentences/0a1b2c3d-00000.parquet",
    f"{_SNAPSHOT}/tokens/0a1b2c3d-00000.parquet",
    f"{_SNAPSHOT}/rejected/0a1b2c3d-00000.jsonl",
)


class ChangedInput(RuntimeError):
    """A file that is not what it was when the run began; the next run reads it as it is then."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read: its path as matched, which is the `source` of its records, its name in ids,
    its size in bytes as it lies there, and when it was last written, in seconds since 1970 (0:
    nobody knows). `absolute` is its path for workers, who are at home in other folders, `version`
    that of its content on a store, from when it was opened first.
    """

    path: str
    name: str
    size: int
    written: float = 0.0
    absolute: str = ""
    version: str = ""

    @property
    def opened(self) -> str:
        """The path by which it is opened."""
        return self.absolute or self.path


def split_patterns(text: str) -> list[str]:
    """The patterns of --input: separated by commas, unless all of it names one file that exists.

    A `~` in front of one is the home folder.
    """
    whole = os.path.expanduser(text.strip())
    if "," in whole and not _SCHEME.match(whole) and os.path.isfile(whole):
        return [whole]
    return [os.path.expanduser(part.strip()) for part in text.split(",") if part.strip()]


def match_inputs(
    patterns: Sequence[str],
    id_root: str | None = None,
    unique_names: bool = True,
    notes: list[str] | None = None,
) -> list[InputFile]:
    """The files that the patterns match, each once, sorted by path.

    A name is the path from the folder before the pattern's first wildcard, or from `id_root`. A
    path that exists is taken as it is, whatever characters are in it. As in a shell, files and
    folders whose names begin with a dot are matched only by a dot. `unique_names=False` is for
    formats whose ids hold no file name. `notes` get a sentence on folders that match: they are not
    read.

    Raises: ValueError for a pattern without a file or with what is none (a pipe, a link that leads
    nowhere), and for two files of one name; Outage for a store that does not answer.
    """
    found: dict[str, InputFile] = {}
    for pattern in patterns:
        root, matches = _matches(pattern, [] if notes is None else notes)
        for path, size, written in matches:
            name = _name(path, root if id_root is None else id_root, id_root)
            found.setdefault(_absolute(path), InputFile(path, name, size, written))
    files = sorted(found.values(), key=lambda file: file.path)
    if unique_names:
        check_names(files)
    return files


def write_list(path: str, files: Sequence[InputFile]) -> None:
    """A list of files, as Parquet with a column for each field."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [field.name for field in fields(InputFile)]
    table = pa.table({name: [getattr(file, name) for file in files] for name in names})
    with create(path) as stream:
        pq.write_table(table, stream, row_group_size=_LISTED)


def groups_listed(n: int) -> range:
    """The row groups of a list of `n` files."""
    return range(-(-n // _LISTED))


def read_list(path: str, groups: Iterable[int]) -> Iterator[InputFile]:
    """The files in some row groups of a list."""
    import pyarrow.parquet as pq

    with closing(open_file(path)) as stream:
        listed = pq.ParquetFile(stream)
        for group in groups:
            columns = listed.read_row_group(group).columns
            yield from map(InputFile, *(column.to_pylist() for column in columns))


def open_input(
    path: str,
    on_bytes: Callable[[int], None] | None = None,
    start: int = 0,
    buffer: int = PIECE,
) -> BinaryIO:
    """The content of a file, decompressed by its suffix; `on_bytes` gets the number of bytes
    read, at most `buffer` at a time. What is not compressed can be read from any `start` on.

    Raises: BrokenInput, for a file that cannot be opened or is a Git LFS pointer, and while
    reading, for a compressed file that is cut off or damaged; Outage for a disk or a store that
    does not serve.
    """
    try:
        raw = ask(path, lambda: open_file(path))
        if start:
            raw.seek(start)
    except (OSError, Refused) as error:
        raise _unopened(path, error) from error
    counted = io.BufferedReader(_Counted(raw, path, on_bytes or (lambda n: None)), buffer)
    if not start and is_pointer(counted.peek()):
        raise BrokenInput(f"{path}: {POINTER}")
    return decompress(counted, path)


def refuse_output_inside_inputs(output: str, patterns: Iterable[str]) -> None:
    """Raises: ValueError if a file of the output folder would be an input of the next run."""
    folder = _real(output).rstrip("/")
    for pattern in patterns:
        if _SCHEME.match(pattern) and not _SCHEME.match(output):
            continue
        wildcard = None if os.path.isfile(pattern) else _WILDCARD.search(pattern)
        if wildcard is None:
            inside = _real(pattern) in {f"{folder}/{file}" for file in _OUTPUT_FILES}
        else:
            root = _folder(pattern[: wildcard.start()])
            base = _real(root or ".").rstrip("/") + "/"
            rest = as_expression(pattern[len(root) :]).removeprefix("(?ms)")
            matches = re.compile(f"(?ms){re.escape(base)}{rest}").match
            inside = any(matches(f"{folder}/{file}") for file in _OUTPUT_FILES)
            inside = inside or base.startswith(f"{folder}/snapshots/")
        if inside:
            raise ValueError(
                f"--output={output} lies inside --input={pattern}: its files would be read as "
                "input; choose another folder for --output or a narrower pattern"
            )


def known(file: InputFile) -> InputFile:
    """With the version of what lies there now, where it has none yet. Raises: as `open_input`."""
    if file.version:
        return file
    try:
        return replace(file, version=ask(file.opened, lambda: version(file.opened)))
    except Refused as error:
        raise _unopened(file.path, error) from error


def _unopened(path: str, error: OSError | Refused) -> BrokenInput | Outage:
    why = str(error) if isinstance(error, Refused) else reason(path, error)
    said = f"{path}: cannot be opened ({why}); check --input"
    return BrokenInput(said) if is_lasting(error) else Outage(said)


def check_unchanged(file: InputFile) -> None:
    """A store's times are whole seconds: what differs of an object that another one of its size
    replaces within one is the version alone.

    Raises: ChangedInput for a file that is not what it was when the run began; Outage for one that
    nobody can ask about.
    """
    began = f"when the run began it had {file.size:,} bytes"
    try:
        _, size, written = _state(file.opened)
        now = ask(file.opened, lambda: version(file.opened)) if file.version else ""
    except FileNotFoundError as error:
        raise _changed(file, f"{began}, and now it is gone") from error
    except (Refused, OSError, ValueError) as error:
        raise Outage(f"{file.path}: cannot be checked again ({error})") from error
    if size != file.size:
        raise _changed(file, f"{began}, and now it has {size:,}")
    # One store gives fractions of a second in listings alone.
    if file.written and abs(written - file.written) >= (1.0 if is_remote(file.path) else 1e-6):
        at = datetime.fromtimestamp(written, timezone.utc)
        raise _changed(file, f"it was written to at {at:%Y-%m-%d %H:%M:%S} UTC")
    if now != file.version:
        how = f"it was replaced (its ETag or checksum was {file.version}, and is {now})"
        raise _changed(file, how)


def _changed(file: InputFile, how: str) -> ChangedInput:
    return ChangedInput(
        f"{file.path}: the file changed during the run: {how}; run again when nothing"
        " writes to it, or read a copy"
    )


def _state(path: str) -> FileState:
    return ask(path, lambda: state(path))


def _matches(pattern: str, notes: list[str]) -> tuple[str, list[FileState]]:
    """The folder that names start from, and each file."""
    if _is_folder(pattern):
        raise ValueError(
            f"--input={pattern}: is a folder; say which of its files, "
            f"as in {pattern.rstrip('/')}/*.txt"
        )
    wildcard = _WILDCARD.search(pattern)
    root = _folder(pattern[: wildcard.start()] if wildcard else pattern)
    try:
        if _is_there(pattern):
            return _folder(pattern), [_state(pattern)]
        listed = _listed if _SCHEME.match(pattern) else _found
        files = listed(pattern, root, notes) if wildcard else []
    except (Refused, OSError) as error:
        raise unserved(_unlisted(pattern, error), error) from error
    except ValueError as error:
        raise ValueError(
            f"--input={pattern}: {error}; put a file in its place, or leave it out of the pattern"
        ) from error
    if not files:
        raise ValueError(f"--input={pattern}: matches no file; {_check(pattern)} (quote wildcards)")
    return root, files


def _found(pattern: str, root: str, notes: list[str]) -> list[FileState]:
    """The files that a pattern matches on a local disk."""
    rest = pattern[len(root) :] + ("*" if pattern.endswith("/") else "")
    found = match(root, rest, lambda part: re.compile(as_expression(part)).match)
    if n := len(found.folders):
        first = min(found.folders)
        what = f"the folder {first}" if n == 1 else f"{n:,} folders ({first}, …)"
        notes.append(
            f"--input={pattern}: matches {what} and reads no file in it; {root}** reads all below"
        )
    return [FileState(*file) for file in found.files]


def _listed(pattern: str, root: str, notes: list[str]) -> list[FileState]:
    """The files that a pattern matches in a store, which has no folders."""
    hidden = hidden_names(pattern[len(root) :])
    return [
        file
        for file in ask(pattern, lambda: listed(pattern))
        if not file.path.endswith("/") and hidden_names(file.path.removeprefix(root)) <= hidden
    ]


def _check(pattern: str) -> str:
    return "check the bucket and the path" if _SCHEME.match(pattern) else "check the path"


def _unlisted(pattern: str, error: Exception) -> str:
    """Why the files of a pattern cannot be listed, and what to do; Beam's own words name neither
    the flag nor the right package.
    """
    scheme = pattern.partition("://")[0].lower() if _SCHEME.match(pattern) else ""
    if scheme and scheme not in EXTRAS:
        known = ", ".join(f"{name}://" for name in EXTRAS)
        return (
            f"--input={pattern}: {scheme}:// is no file system that can be read; "
            f"fetch the files first, or use a path or one of {known}"
        )
    return f"--input={pattern}: cannot be listed: {error}"


def _name(path: str, root: str, id_root: str | None) -> str:
    """The path of a file as seen from `root`."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"--input: the name of {path!a} is not UTF-8; rename the file") from error
    base = _absolute(root or ".").rstrip("/") + "/"
    absolute = _absolute(path)
    if absolute.startswith(base):
        return absolute[len(base) :]
    if id_root is None:
        return _folder_and_base(path)[1]
    raise ValueError(f"--id_root={id_root}: {path} is not inside of it; choose a folder above all")


def check_names(files: Iterable[InputFile]) -> None:
    """Raises: ValueError for two files of one name."""
    paths: dict[str, str] = {}
    for file in files:
        if (other := paths.setdefault(file.name, file.path)) != file.path:
            raise ValueError(
                f"--input: {other} and {file.path} would both be called {file.name} in ids; "
                "name a folder above both with --id_root"
            )


def _is_folder(path: str) -> bool:
    return not _SCHEME.match(path) and os.path.isdir(path)


def _is_there(path: str) -> bool:
    if not _SCHEME.match(path):
        return os.path.lexists(path)
    return not path.endswith("/") and ask(path, lambda: exists(path))


def _absolute(path: str) -> str:
    """One spelling for each path; addresses with a scheme have only one."""
    return path if _SCHEME.match(path) else os.path.abspath(path)


def _real(path: str) -> str:
    """As `_absolute`, links followed."""
    return path if _SCHEME.match(path) else os.path.realpath(path)


def _folder_and_base(path: str) -> tuple[str, str]:
    head, slash, base = path.rpartition("/")
    return head + slash, base


def _folder(path: str) -> str:
    """The part of a path up to its last slash."""
    return _folder_and_base(path)[0]


class _Counted(io.RawIOBase):
    """A raw stream that tells how much of it was read; errors name the file."""

    def __init__(self, raw: Any, path: str, on_bytes: Callable[[int], None]):
        self._raw, self._path, self._on_bytes = raw, path, on_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._raw.read(len(buffer))
        except Exception as error:
            if (why := reason(self._path, error)) is None:
                raise
            raise OSError(f"{self._path}: reading failed: {why}") from error
        buffer[: len(data)] = data
        if data:
            self._on_bytes(len(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
