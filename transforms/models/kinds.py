"""Models that turn windows into vectors, of whichever kind they are.

Describing a model reads small files only; TensorFlow is imported when one is loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.sources.kinds import KINDS, patterns
from corpusvec.transforms.specs import Asked, ModelSpec, Wanted
from corpusvec.transforms.storage import lfs_pointers
from corpusvec.transforms.storage.file_digests import sha256
from corpusvec.transforms.storage.globs import read_state


class Encoder(Protocol):
    """A loaded model, safe from several threads. `streams` is how many calls at once keep the
    machine busy.
    """

    streams: int

    def encode(self, windows: Windows) -> Encoded:
        """What it makes of a batch of one window or more."""


def describe_model(path: str, asked: Asked = Asked()) -> ModelSpec:  # noqa: B008 (it is frozen)
    """What a folder, or a checkpoint's prefix, holds.

    Raises `ValueError` where nothing known is there, something is missing, or its files contradict
    each other.
    """
    try:
        return _described(path, asked)
    except ValueError as error:
        places = [Path(place) for place in (path, asked.tokenizer) if place]
        lfs_pointers.refuse_blamed(str(error), *places)
        raise


def _described(path: str, asked: Asked) -> ModelSpec:
    from corpusvec.transforms.models.sources.handles import hub_hint

    refuse_unreadable(Path(path))
    for kind in KINDS.values():
        module = kind.load_module()
        if module.recognises(path, asked):
            spec = module.describe(path, asked)
            for flag in ("signature", "output_key"):
                if (value := getattr(asked, flag)) and spec.signature is None:
                    raise ValueError(f"--{flag}={value}: {path} has no signatures; omit the flag")
            return spec
    if not Path(path).exists():
        raise ValueError(f"--model={path}: no such folder; {hub_hint(path)}")
    looked_for = "; ".join(kind.looks_for for kind in KINDS.values())
    raise ValueError(f"--model={path}: no model that corpusvec knows. Expected: {looked_for}")


def check_whole(folder: str) -> None:
    """Raises `ValueError` where files of a SavedModel are damaged; whether anything here could run
    it is not asked. Of other models nothing is imported.
    """
    if Path(folder, "saved_model.pb").is_file():
        importlib.import_module(".saved_models.signatures", __package__).check_whole(folder)


def weights_digest(spec: ModelSpec) -> str:
    """SHA-256 over the files that hold a model's arrays. `ModelSpec.digest` is over all that this
    version reads, which the next one may extend: the weights are what they are.
    """
    folder = Path(spec.path)
    files = [*folder.glob("variables/variables.*"), *folder.glob("saved_model.pb")]
    if spec.weights:  # files, or the prefix of a checkpoint
        places = map(Path, spec.weights)
        files = [
            file
            for place in places
            for file in ([place] if place.is_file() else place.parent.glob(f"{place.name}.[di]*"))
        ]
    digests = (sha256(str(file)) for file in sorted(files))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def load_encoder(spec: ModelSpec, wanted: Wanted) -> Encoder:
    """Load the weights and build what computes `wanted`, no more. Takes seconds: once per
    process.
    """
    return KINDS[spec.kind].load_module().load(spec, wanted)


_MODULE = re.compile(r"\d+_")  # the folder of a module of sentence-transformers


def refuse_unreadable(folder: Path) -> None:
    """Raises `ValueError` for what stands where a file of a model should, in the folder or in those
    of its modules, and is none: a link that leads nowhere would pass for a file that is not there,
    and the vectors be others.
    """
    if not folder.is_dir():
        return
    read = patterns("files", "weights", "older_weights")
    modules = (inner for inner in folder.iterdir() if _MODULE.match(inner.name) and inner.is_dir())
    for file in (file for place in (folder, *modules) for file in sorted(place.iterdir())):
        if any(fnmatch(file.name, pattern) for pattern in read) and not file.is_dir():
            try:
                read_state(str(file))
            except ValueError as error:
                raise ValueError(f"{file}: {error}; fetch the model again") from error
            except OSError as error:
                raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
