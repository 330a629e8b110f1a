"""Models named by a handle: an address, or an archive, in place of a folder.

`https://`, `http://`: an archive, or a TF Hub handle. `gs://`, `s3://`: a folder or an archive.
`hf://owner/name@revision`: a model of the Hugging Face Hub. `file://`, or a path: a local archive.
Any other scheme for which the user has added a resolver to tensorflow-hub's registry.
Each is fetched into the cache once.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from corpusvec.transforms.models.sources import archives, downloads, hubs
from corpusvec.transforms.models.sources.caches import Entry, accept_all, cache_folder, cached, say
from corpusvec.transforms.models.sources.kinds import patterns
from corpusvec.transforms.storage.file_digests import sha256
from corpusvec.transforms.storage.files import listed, open_file
from corpusvec.transforms.storage.stores import Refused, ask, unserved

STORES = ("gs", "s3")
_HTTP = ("http", "https")
_KINDS = "https://…, http://…, gs://…, s3://…, hf://owner/name, file://… or a .tar.gz file"
_COMPRESSED = "tf-hub-format=compressed"

_ASKING = ("config.json", "tokenizer.json")  # beside which weights are to be
_WEIGHTLESS = ("_Pooling", "_Normalize", "_Dropout")  # modules without any
# Of a repository, which has the same model in many forms.
_NOT_READ = ("onnx/*", "openvino/*", "coreml/*")
_OWNER_AND_NAME = re.compile(r"[a-z\d][\w.-]*/[a-z\d][\w.-]*(@[\w./-]+)?", re.ASCII | re.IGNORECASE)


def is_handle(model: str) -> bool:
    """Whether a model is named by an address or an archive: `local_model` makes a folder of it."""
    return "://" in model or (model.endswith(archives.SUFFIXES) and os.path.isfile(model))


def hub_hint(place: str) -> str:
    """How a model of a hub is named, for a `place` where there is nothing: by its handle where it
    may be the owner and name of one.
    """
    is_name = _OWNER_AND_NAME.fullmatch(place) and not place.endswith(archives.SUFFIXES)
    if is_name and not os.path.exists(place.partition("/")[0]):
        return f"if it is a model of the Hugging Face Hub, type --model=hf://{place}"
    return "models of hubs are named as https://… or hf://…"


def local_model(
    model: str,
    cache: str | None,
    refresh: bool = False,
    check: Callable[[str], None] = accept_all,
) -> str:
    """The local path of a model: a path as it is, a handle through the cache.

    `cache` is the cache's folder, None for tensorflow-hub's own; `refresh` fetches even what is
    there. `check(folder)` raises ValueError for a model that is damaged: it is asked of what was
    fetched, and of what tensorflow-hub left. Where a whole copy is there no other machine is asked.
    Raises: ValueError or RuntimeError, in one sentence, where the model cannot be had.
    """
    if not is_handle(model):
        return model
    name = display_name(model)
    folder = cache_folder(cache)
    try:
        return _local_model(model, name, folder, refresh, check)
    except RuntimeError as error:
        raise RuntimeError(f"--model={name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"--model={name}: {error}") from error
    except OSError as error:
        what = error.strerror or str(error)
        raise RuntimeError(
            f"--model={name}: cannot be kept in {folder} ({what});"
            " choose a folder that can be written and has room with --model_cache"
        ) from error


def display_name(model: str) -> str:
    """A handle without what is secret in it."""
    if "://" not in model:
        return model
    try:
        return downloads.without_secrets(model)
    except ValueError:  # an address that is none may hold a password anywhere
        raise ValueError(f"--model: this address cannot be read; give {_KINDS}") from None


def _local_model(
    model: str, name: str, cache: str, refresh: bool, check: Callable[[str], None]
) -> str:
    scheme = model.partition("://")[0].lower() if "://" in model else "file"
    source = ""
    if scheme in STORES:
        fetch = functools.partial(_fetch_store, model)
    elif scheme == "hf":
        fetch = functools.partial(_fetch_hugging_face, model)
    elif scheme == "file":
        path = os.path.abspath(_local_path(model))
        if os.path.isdir(path):
            return path
        model, name, source = f"file://{path}", path, _archive_digest(path)
        fetch = functools.partial(_unpack, path)
    elif scheme in _HTTP or hubs.LIBRARY in sys.modules:  # else nobody has added a resolver
        fetch = functools.partial(_fetch_hub, model, name, scheme)
    else:
        raise _unknown(scheme)
    entry = Entry(cache, model, name, source, check)
    try:
        return archives.inner_folder(cached(entry, fetch, refresh))
    except FileNotFoundError:  # another process replaces it this very moment
        return archives.inner_folder(cached(entry, fetch))


def _local_path(model: str) -> str:
    if "://" not in model:
        return os.path.expanduser(model)
    address = urlsplit(model)
    if address.netloc not in ("", "localhost"):
        raise ValueError("a file:// address has three slashes, as in file:///models/bert.tar.gz")
    return unquote(address.path)


def _archive_digest(path: str) -> str:
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}")
    if not path.endswith(archives.SUFFIXES):
        raise ValueError(f"{path} is neither a folder nor a .tar.gz archive")
    return sha256(path)


def _unpack(archive: str, folder: str, scratch: str = "") -> None:
    try:
        archives.unpack(archive, folder)
    except ValueError as error:
        raise ValueError(
            f"{error}; nothing of it is kept; check what is there, or give a folder"
        ) from error


def _unknown(scheme: str) -> ValueError:
    return ValueError(f"{scheme}:// is no kind of address that a model can have; give {_KINDS}")


def _fetch_hub(handle: str, shown: str, scheme: str, folder: str, scratch: str) -> None:
    """By tensorflow-hub's registry: the folder that a resolver knows, else a download."""
    if os.environ.get("TFHUB_MODEL_LOAD_FORMAT", "").upper() == "UNCOMPRESSED":
        raise ValueError(
            "TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED reads a model where it is published, and nobody"
            " could tell whether it changes; unset it, or set it to COMPRESSED"
        )
    try:
        place = hubs.resolved(handle)
    except Exception as error:  # someone's own resolver raises what it likes
        reason = _first_line(error).replace(handle, shown)
        raise RuntimeError(f"tensorflow-hub does not find it: {reason}") from error
    if place != handle:
        if not os.path.isdir(place):
            raise ValueError(f"its resolver answers {place}, which is no folder of this machine")
        shutil.copytree(place, folder, dirs_exist_ok=True)
    elif scheme in _HTTP:
        _download(handle, shown, folder, scratch)
    else:
        raise _unknown(scheme)


def _download(handle: str, shown: str, folder: str, scratch: str) -> None:
    say(f"fetching {shown}")
    archive = os.path.join(scratch, "archive.tar.gz")
    downloads.fetch(download_address(handle), archive, lambda text: say(f"{shown}: {text}"))
    _unpack(archive, folder)


def download_address(handle: str) -> str:
    """Where the archive of an http handle is: a TF Hub handle is asked for its compressed form."""
    parts = urlsplit(handle)
    given = parts.query.split("&") if parts.query else []
    asked = any(item.startswith("tf-hub-format=") for item in given)
    if parts.path.endswith(archives.SUFFIXES) or asked:
        return handle
    return urlunsplit((*parts[:3], "&".join([*given, _COMPRESSED]), ""))


def _fetch_store(handle: str, folder: str, scratch: str) -> None:
    """From a store that Beam knows: one archive, or all files of a folder."""
    say(f"fetching {handle}")
    handle = handle.rstrip("/")
    is_archive = handle.endswith(archives.SUFFIXES)
    pattern = handle if is_archive else f"{handle}/**"
    try:
        files = [
            file for file in ask(handle, lambda: listed(pattern)) if not file.path.endswith("/")
        ]
        if (total := sum(file.size for file in files)) > downloads.LARGEST:
            allowed = downloads.LARGEST / 1e9
            raise ValueError(f"has {total / 1e9:.1f} GB; {allowed:g} are allowed")
        for file in files:
            parts = archives.relative_parts(file.path[len(handle) + 1 :])
            target = os.path.join(scratch, "archive.tar.gz")
            if not is_archive:
                target = os.path.join(folder, *parts)
                os.makedirs(os.path.dirname(target), exist_ok=True)
            _copy(open_file(file.path), target, file.size)
    except Refused as error:
        raise unserved(f"cannot be fetched: {error}", error) from error
    except Exception as error:  # each file system raises its own library's errors
        what = " ".join(str(error).split())
        raise RuntimeError(f"cannot be fetched: {what}") from error
    if not files:
        raise ValueError("no files are there; check the bucket and the path")
    if is_archive:
        _unpack(target, folder)


def _copy(raw: Any, target: str, size: int) -> None:
    with raw, open(target, "wb") as copy:
        while data := raw.read(1 << 20):
            copy.write(data)
    if os.path.getsize(target) != size:
        raise ValueError(f"{os.path.basename(target)} was cut short")


def _fetch_hugging_face(handle: str, folder: str, scratch: str) -> None:
    """From the Hub, or HF_ENDPOINT; the library finds the user's token by itself."""
    name, _, revision = handle.partition("://")[2].strip("/").partition("@")
    if name.count("/") != 1 or not all(name.split("/")) or handle.endswith("@"):
        raise ValueError("is no model of the Hugging Face Hub; write hf://owner/name[@revision]")
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars

    say(f"fetching {handle}")
    disable_progress_bars()
    fetch = functools.partial(
        huggingface_hub.snapshot_download,
        name,
        revision=revision or None,
        local_dir=folder,
        cache_dir=scratch,
        endpoint=os.environ.get("HF_ENDPOINT") or None,
        ignore_patterns=list(_NOT_READ),
    )
    try:
        fetch(allow_patterns=patterns("files", "weights"))
        if older := _older_weights(folder):
            fetch(allow_patterns=older)
    except Exception as error:  # the library's own and those of its HTTP client
        raise RuntimeError(_why_not_had(error, name)) from error
    shutil.rmtree(os.path.join(folder, ".cache"), ignore_errors=True)  # the library's notes


def _older_weights(folder: str) -> list[str]:
    """Patterns of older weights, for the model and each of its modules that came without other
    weights.
    """
    there = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    weights = patterns("weights")
    own = {
        os.path.dirname(file)
        for file in there
        if any(fnmatch(os.path.basename(file), pattern) for pattern in weights)
    }
    asking = {os.path.dirname(file) for file in there if os.path.basename(file) in _ASKING}
    lacking = [os.path.relpath(place, folder) for place in sorted(asking - own)]
    places = [place for place in lacking if not place.endswith(_WEIGHTLESS)]
    older = patterns("older_weights")
    return [os.path.normpath(f"{place}/{pattern}") for place in places for pattern in older]


def _why_not_had(error: BaseException, name: str) -> str:
    """What the Hub said, in one sentence; the library's own are pages."""
    from huggingface_hub import errors

    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    answers = (getattr(link, "response", None) for link in chain)
    status = next((answer.status_code for answer in answers if answer is not None), None)
    log_in = "log in with `hf auth login` or HF_TOKEN"
    if any(isinstance(link, errors.GatedRepoError) for link in chain):
        return f"is gated (status {status}); accept its terms on its page and {log_in}"
    if any(isinstance(link, errors.RevisionNotFoundError) for link in chain):
        return f"{name} has no such revision (status {status}); check what follows the @"
    if any(isinstance(link, errors.RepositoryNotFoundError) for link in chain):
        return f"no such model (status {status}); check the name, or {log_in} if it is private"
    if any(isinstance(link, errors.OfflineModeIsEnabled) for link in chain):
        return "is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it"
    if isinstance(error, errors.HFValidationError):
        return f"{name!r} is no name of a model; write hf://owner/name[@revision]"
    said = f"the server answers {status}" if status else _first_line(chain[-1])
    return (
        f"cannot be fetched: {said}; check the network (and HF_ENDPOINT), or download the"
        " model elsewhere and give its folder as --model=FOLDER"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
