"""Models as `.tar.gz` archives: unpacked without trust in what is in them, packed the same each
time.

An archive is taken for what it is: files and folders. Unlike `tar`, nothing that it says of links,
devices, owners or modes is followed.
"""

from __future__ import annotations

import errno
import gzip
import os
import tarfile
import zlib
from pathlib import Path
from typing import IO

from corpusvec.transforms.storage.lfs_pointers import POINTER, is_pointer

SUFFIXES = (".tar.gz", ".tgz")
_GB = 10**9
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20  # bytes; tarfile reads the headers of long names into memory whole
_MOST_MEMBERS = 100_000
_DEEPEST = 32  # folders in each other; Python makes, walks and removes them by recursion
_BLOCK = 512  # bytes of tar's headers


def unpack(file: str, folder: str, limit: int | None = None) -> None:
    """Write the files of an archive into `folder`, which is there and empty.

    `limit` is how many bytes it may unpack to. What was written before an error stays.

    Raises: ValueError where it is no whole `.tar.gz`, above the limit, or has a member that is no
    file or folder inside of it, or there twice. OSError where the disk fails.
    """
    limit = _limit(os.path.getsize(file)) if limit is None else limit
    with open(file, "rb") as packed:
        first = packed.read(64)
        if is_pointer(first):
            raise ValueError(POINTER)
        if not first.startswith(b"\x1f\x8b"):
            page = ", but looks like a web page" if first.lstrip().startswith(b"<") else ""
            raise ValueError(f"is no .tar.gz archive{page} (it begins with {first[:16]!r})")
        packed.seek(0)
        try:
            _unpack(_Unzipped(packed, limit), folder)
        except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
            raise ValueError(f"the archive is cut short or damaged ({error})") from error


def inner_folder(folder: str) -> str:
    """The folder itself, or while there is nothing else in it the only one in it: some archives
    hold `model/` or `path/to/model/`, and not its files.
    """
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    inner = os.path.join(folder, names[0]) if len(names) == 1 else ""
    return inner_folder(inner) if os.path.isdir(inner) else folder


def pack(folder: str, file: str) -> None:
    """Write the files of `folder` as a `.tar.gz`: the same bytes for the same names and contents.

    Folders have members of their own, as tensorflow-hub needs them. Raises: ValueError for a file
    inside of the folder.
    """
    top, target = Path(folder).resolve(), Path(file).resolve()
    if target.is_relative_to(top):
        raise ValueError(f"{file}: lies in the folder {folder} that it would hold; put it beside")
    paths = sorted(top.rglob("*"), key=lambda path: path.relative_to(top).parts)
    partial = f"{file}.partial"
    try:
        with (
            open(partial, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in paths:
                _add(archive, path, path.relative_to(top).as_posix())
        os.replace(partial, file)
    finally:
        Path(partial).unlink(missing_ok=True)


def relative_parts(name: str) -> list[str]:
    """A name in an archive or a store as parts of a path below a folder.

    Raises: ValueError for one that leaves it, or lies deeper in it than any model's file.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"{name!r} would lie outside of the model's folder")
    if len(parts) - 1 > _DEEPEST:
        raise ValueError(f"{name[:40]}… lies in {len(parts) - 1} folders; {_DEEPEST} are allowed")
    return parts


def _limit(size: int) -> int:
    """Weights hardly shrink, vocabularies and graphs to a tenth at most: 20 times leaves room, and
    small archives have a GB; no model that one machine runs has more than 32.
    """
    return min(32 * _GB, max(_GB, 20 * size))


def _unpack(stream: _Unzipped, folder: str) -> None:
    written: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        for count, member in enumerate(archive, 1):
            path = os.path.join(folder, *relative_parts(member.name))
            if count > _MOST_MEMBERS:
                raise ValueError(f"the archive has more than {_MOST_MEMBERS} members")
            if path in written or not (member.isdir() or _is_plain(member)):
                what = "is there twice" if path in written else "is neither a file nor a folder"
                raise ValueError(f"{member.name!r} {what} in the archive")
            stream.check(member.size)
            try:
                if member.isdir():
                    os.makedirs(path, exist_ok=True)
                    continue
                written.add(path)
                _write(archive, member, path)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ValueError(f"{member.name!r} is file and folder in the archive") from error
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                raise ValueError(f"{member.name[:40]}… is too long for a file's name") from error
    if stream.last.strip(b"\0"):
        raise tarfile.ReadError("a header that is none")  # tarfile takes it for the end
    while stream.read(_CHUNK):  # to the checksum at the end
        pass


def _is_plain(member: tarfile.TarInfo) -> bool:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    return plain and member.size >= 0  # tarfile believes a header of less


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    """One file, with the mode that new files have; folders may lack members of their own."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None  # a regular file
    with open(path, "xb") as target:
        while data := source.read(_CHUNK):
            target.write(data)
    if os.path.getsize(path) != member.size:
        raise tarfile.ReadError(f"{member.name!r} is not whole")


class _Unzipped:
    """The tar inside of a gzip file, read forwards only; it counts what it gave, against the
    limit.
    """

    def __init__(self, packed: IO[bytes], limit: int):
        self._stream, self._limit = gzip.GzipFile(fileobj=packed, mode="rb"), limit
        self._position = 0
        self.last = b""  # the header read last; no data block is ever asked for at that size

    def check(self, more: int) -> None:
        """Raises: ValueError where `more` bytes to come would be above the limit."""
        if self._position + more > self._limit:
            size = f"{self._limit / _GB:.3g} GB" if self._limit >= _GB else f"{self._limit} B"
            raise ValueError(f"the archive unpacks to more than the {size} allowed for its size")

    def read(self, size: int) -> bytes:
        if size > _LONGEST_HEADER:
            raise tarfile.ReadError("a header that is too long")
        data = self._stream.read(size)
        self._position += len(data)
        self.check(0)
        if size == _BLOCK:
            self.last = data
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """One member, without times, owners and modes of this machine; links as what they lead to."""
    member = tarfile.TarInfo(name)
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(member)
        return
    member.size, member.mode = path.stat().st_size, 0o644
    with path.open("rb") as stream:
        archive.addfile(member, stream)
