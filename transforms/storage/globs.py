"""Globs on a local disk: which files a pattern matches, and what cannot be read as a file.

Nothing that matches is passed over in silence: opening a pipe waits for ever, and a link that leads
nowhere is a text that is missing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_GONE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(slots=True)
class Matched:
    """What a pattern matches: files, each with its size in bytes and when it was last written, in
    seconds since 1970; and folders, whose files it does not reach.
    """

    files: list[tuple[str, int, float]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def read_state(path: str) -> tuple[int, float]:
    """The size of a file, and when it was last written.

    Raises: ValueError for what is no file, in words that begin with what it is; OSError for what is
    not there, or must not be read.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        if not os.path.islink(path):
            raise
        leads = "in a circle" if error.errno == errno.ELOOP else "nowhere"
        if error.errno not in (errno.ELOOP, *_GONE):
            leads = f"to what cannot be looked at ({error.strerror})"
        raise ValueError(f"is a link to {os.readlink(path)} that leads {leads}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ValueError(f"is {kind}, not a file")
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return found.st_size, found.st_mtime


def match(root: str, rest: str, matcher: Callable[[str], Callable[[str], object]]) -> Matched:
    """What the pattern `rest` matches below the folder `root`.

    `matcher` makes of a pattern what tells whether a path matches it. As in a shell, names that
    begin with a dot are matched by a dot alone. `*` follows links to folders, `**` does not: they
    may lead in a circle.

    Raises: ValueError for a match that is no file; OSError for a folder that cannot be listed.
    """
    found, matches = Matched(), matcher(rest)
    for inside, entry, is_entered in _walk(root, rest, matcher):
        if not matches(inside):
            continue
        path = root + inside
        if is_entered or _is_folder(entry):
            if not (is_entered and "**" in rest):
                found.folders.append(path)
            continue
        try:
            size, written = read_state(path)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
        except FileNotFoundError:  # removed just now
            continue
        found.files.append((path, size, written))
    return found


def hidden_names(path: str) -> int:
    """How many names in a path begin with a dot; one in a pattern matches just one such name."""
    return sum(name.startswith(".") for name in path.split("/") if name not in (".", ".."))


def _walk(
    root: str, rest: str, matcher: Callable[[str], Callable[[str], object]]
) -> Iterator[tuple[str, os.DirEntry[str], bool]]:
    """Each entry below `root` that may match: its path from there, and whether it is a folder whose
    own entries come, too.
    """
    parts, hidden = rest.split("/"), hidden_names(rest)
    # A folder is entered where it matches the beginning of the pattern.
    fits = [matcher("/".join(parts[: n + 1])) for n in range(len(parts))]
    deep = next((n for n, part in enumerate(parts) if "**" in part), len(parts))
    folders = [""]
    while folders:
        folder = folders.pop()
        depth = folder.count("/")
        try:
            entries = list(os.scandir(root + folder or "."))
        except OSError as error:
            if error.errno in _GONE:
                continue
            raise
        for entry in entries:
            inside = folder + entry.name
            if hidden_names(inside) > hidden:
                continue
            is_folder = _is_folder(entry, follow=depth < deep)
            if is_folder and (depth >= deep or (depth + 1 < len(parts) and fits[depth](inside))):
                folders.append(f"{inside}/")
            yield inside, entry, is_folder


def _is_folder(entry: os.DirEntry[str], follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a link that leads in a circle
        return False
