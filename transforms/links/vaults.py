"""Which note of a vault a link means: by its path, the end of it, or another name, as in Obsidian.

Paths are keys, as links are: without `.md`, in lower case, with underscores.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping


class Vault:
    """The notes of a vault, by their paths, each with its other names (aliases, its title)."""

    def __init__(self, notes: Mapping[str, Iterable[str]]):
        self._paths = notes
        self._ends: dict[str, list[str]] = {}  # by the last part of their paths
        self._named: dict[str, str] = {}
        for path, names in notes.items():
            self._ends.setdefault(posixpath.basename(path), []).append(path)
            for name in names:
                self._named.setdefault(name, path)

    def find(self, link: str, note: str) -> str | None:
        """The path of the note that a link of `note` means; None where it is not there.

        Of notes whose paths end so the one in the folder of `note` comes first, then the shortest
        path. A relative link may also be only the end of a path, as Obsidian writes it.
        """
        folder = f"{posixpath.dirname(note)}/".removeprefix("/")
        for wanted in dict.fromkeys((link, link.removeprefix(folder))):
            if wanted in self._paths:
                return wanted
            ends = self._ends.get(posixpath.basename(wanted), ())
            if near := [path for path in ends if path.endswith(f"/{wanted}")]:
                return min(near, key=lambda path: (not path.startswith(folder), len(path), path))
        return self._named.get(link)
