"""What was found out once of a snapshot, kept beside the output: `OUTPUT/links/SNAPSHOT/`, which
may be removed at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from corpusvec.pipeline.links.models import PassageModel
from corpusvec.transforms.links.lexical import LexicalIndex
from corpusvec.transforms.links.notations import SCRAPBOX
from corpusvec.transforms.links.passages import passages_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.files import write
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.storage.stores import is_remote

FOLDER = "links"
_WEIGHTS = "weights.json"
# What is damaged is found out again.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def folder_of(output: str, snapshot: str, column: str) -> str | None:
    """Where it is kept; None where nothing can be, on a store or a disk that is read only. What was
    kept of snapshots that are gone is removed.
    """
    if is_remote(output) or not os.access(output, os.W_OK):
        return None
    place = os.path.join(output, FOLDER)
    folder = os.path.join(place, snapshot, column.replace("/", "_"))
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        gone = set(os.listdir(place)) - set(Output(output).snapshot_ids()) - {snapshot}
        for name in gone:
            if os.path.isdir(os.path.join(place, name)):
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)
    return folder


class KeptVectors:
    """Vectors of passages, by their texts; those not yet known are embedded."""

    def __init__(self, folder: str | None, model: PassageModel):
        self._path = os.path.join(folder, "passages.npz") if folder else None
        self.model = model
        self._known: dict[str, int] = {}
        self._vectors = np.zeros((0, 0), np.float32)
        if self._path and os.path.exists(self._path):
            with contextlib.suppress(*_DAMAGE), np.load(self._path) as kept:
                texts = kept["texts"].tobytes().decode("utf-8", "surrogatepass")
                self._vectors = kept["vectors"]
                self._known = {text: at for at, text in enumerate(texts.split("\0"))}

    def add(self, texts: Sequence[str]) -> None:
        """Embed those that are not known, and keep them."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not new:
            return
        vectors = self.model.embed(new)
        before = (
            self._vectors if len(self._vectors) else np.zeros((0, vectors.shape[1]), np.float32)
        )
        for at, text in enumerate(new, len(before)):
            self._known[text] = at
        self._vectors = np.concatenate([before, vectors])
        self._keep()

    def take(self, lines: Sequence[str], vectors: np.ndarray) -> None:
        """Vectors of lines that a snapshot has; what is kept on the disk is the others."""
        parts = [passages_of(line, SCRAPBOX) for line in lines]
        whole = [at for at, part in enumerate(parts) if len(part) == 1]
        before = len(self._vectors)
        none = np.zeros((0, vectors.shape[1]), np.float32)
        self._vectors = np.concatenate([self._vectors if before else none, vectors[whole]])
        for place, at in enumerate(whole, before):
            self._known[parts[at][0]] = place

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """[N, D], each known."""
        return self._vectors[np.array([self._known[text] for text in texts], np.int64)]

    def _keep(self) -> None:
        if self._path is None:
            return
        texts = "\0".join(self._known).encode("utf-8", "surrogatepass")
        joined, vectors = np.frombuffer(texts, np.uint8), self._vectors[[*self._known.values()]]
        with contextlib.suppress(OSError):  # it can be found out again
            number, path = tempfile.mkstemp(dir=os.path.dirname(self._path))
            with os.fdopen(number, "wb") as file:
                np.savez(file, texts=joined, vectors=vectors)
            os.replace(path, self._path)


def keep_weights(folder: str | None, weights: Mapping[str, float]) -> None:
    """Keep the weights of rankings that the corpus's own links gave."""
    if folder:
        with contextlib.suppress(OSError):
            write(os.path.join(folder, _WEIGHTS), json.dumps(dict(weights)).encode())


def kept_weights(folder: str | None) -> Mapping[str, float]:
    """The weights that were kept, by the names of rankings; none where there are none."""
    path = os.path.join(folder, _WEIGHTS) if folder else None
    if path and os.path.exists(path):
        with contextlib.suppress(OSError, ValueError):
            found = read_json(Path(path))
            return found if isinstance(found, dict) else {}
    return {}


def lexical_index(folder: str | None, read: Callable[[], Sequence[str]]) -> LexicalIndex:
    """The index of the texts of a snapshot, which are read for it once."""
    place = os.path.join(folder, "words") if folder else None
    if place and os.path.isdir(place):
        with contextlib.suppress(*_DAMAGE):
            return LexicalIndex.load(place)
        shutil.rmtree(place, ignore_errors=True)
    index = LexicalIndex.of(read())
    if place and folder:
        with contextlib.suppress(OSError):
            made = tempfile.mkdtemp(dir=folder)
            index.save(made)
            os.replace(made, place)
    return index
