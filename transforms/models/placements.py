"""Where a model came from, so that each machine of a run has the very model that was described."""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

from corpusvec.transforms.models.kinds import check_whole, describe_model
from corpusvec.transforms.models.sources.handles import display_name, is_handle, local_model
from corpusvec.transforms.specs import Asked, ModelSpec

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a worker needs to have a model: it travels beside the specs, which hold paths.

    `model` is what the user named, a path or a handle, and `asked` what was said of it; `folder` is
    where it was when it was described, `digest` that of its `ModelSpec`.
    """

    model: str = field(repr=False)  # a handle may hold a password
    cache: str | None
    asked: Asked
    folder: str
    digest: str


# Where the models of origins are on this machine, as far as this process knows.
_folders: dict[Origin, str] = {}
_lock = threading.Lock()


def described(
    model: str, cache: str | None, refresh: bool, asked: Asked
) -> tuple[ModelSpec, Origin]:
    """A model, fetched where it is named by a handle. Raises as `local_model` and
    `describe_model`.
    """
    folder = local_model(model, cache, refresh, check_whole)
    spec = describe_model(folder, asked)
    origin = Origin(model, cache, asked, folder, spec.digest)
    _folders[origin] = folder
    return spec, origin


def on_this_machine(value: _Value, origin: Origin | None) -> _Value:
    """A spec, or whatever else holds paths of a model, with those that it has on this machine.

    Another machine than the one that described it fetches the model into its own cache, once, and
    compares it. Raises: ValueError or RuntimeError, in one sentence, where it has not the same.
    """
    if origin is None:
        return value
    with _lock:
        if origin not in _folders:
            _folders[origin] = _find(origin)
    folder = _folders[origin]
    return value if folder == origin.folder else _moved(value, origin.folder, folder)


def _find(origin: Origin) -> str:
    if "://" not in origin.model and not _is_there(origin.model):
        raise ValueError(
            f"--model={origin.model}: is not on {socket.gethostname()}, where a worker of the run"
            " is; put it there too, or name the model by a handle (gs://…, s3://…, https://…,"
            " hf://…), which each machine fetches by itself"
        )
    for refresh in (False, True) if is_handle(origin.model) else (False,):
        # A copy of another day may be in this machine's cache: then it is fetched again.
        folder = local_model(origin.model, origin.cache, refresh, check_whole)
        if describe_model(folder, origin.asked).digest == origin.digest:
            return folder
    raise ValueError(
        f"--model={display_name(origin.model)}: is another model on {socket.gethostname()}, where a"
        " worker of the run is, than it was when the run began (its digest is not"
        f" {origin.digest[:12]}…); give each machine the same one, or run again with"
        " --refresh_model"
    )


def _is_there(path: str) -> bool:
    """A folder, a file, or the prefix of a checkpoint."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.isdir(folder) and any(there.startswith(name) for there in os.listdir(folder))


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        is_inside = value == old or value.startswith(f"{old}/")
        return new + value[len(old) :] if is_inside else value
    if isinstance(value, tuple):
        return tuple(_moved(part, old, new) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return dataclasses.replace(value, **{n: _moved(getattr(value, n), old, new) for n in names})
    return value
