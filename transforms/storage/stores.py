"""Object stores as Beam reaches them: asked in a time that is bounded, with reasons in one line."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

# Scheme -> Beam's extra for it, and a package that the extra installs.
EXTRAS: Mapping[str, str] = {"s3": "aws", "gs": "gcp", "hdfs": "hadoop", "azfs": "azure"}
_PACKAGES: Mapping[str, str] = {
    "s3": "boto3",
    "gs": "google.cloud.storage",
    "hdfs": "hdfs",
    "azfs": "azure.storage.blob",
}
SECONDS = 60.0  # to answer; without credentials Google's store says so after 30
_WHY: Mapping[int, str] = {
    401: "access is refused (401); check the credentials in the environment",
    403: "access is refused (403); check the credentials in the environment, and what they allow",
    404: "it is not there (404); check the name of the bucket, and the path",
}

# Of a local disk: what is the same the next time, as long as nobody does anything about it.
_LASTING = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}

_Answer = TypeVar("_Answer")


class Refused(RuntimeError):
    """A store that did not do what it was asked to; the message says why, and what to do. `lasting`
    is what another try would not help.
    """

    def __init__(self, message: str, lasting: bool = False):
        super().__init__(message)
        self.lasting = lasting


class Outage(RuntimeError):
    """A disk or a store that does not serve now, and may the next time; the message is for a
    user.
    """


def unserved(message: str, error: Exception) -> Outage | ValueError:
    """What to raise for an error of a disk or a store: `ValueError` where another try would be in
    vain.
    """
    return ValueError(message) if is_lasting(error) else Outage(message)


def is_lasting(error: Exception) -> bool:
    """Whether what a disk or a store did not do would fail again."""
    if isinstance(error, Refused):
        return error.lasting
    if not isinstance(error, OSError):
        return True
    return error.errno in _LASTING or _why(error) is not None


def damage(path: str, error: Exception) -> str:
    """Why a file that was there cannot be read, where that is the file's: it is gone, or its disk
    is damaged.

    Raises: what `unserved` gives, where a disk or a store does not serve; other faults as they are.
    """
    told: Exception
    if is_remote(path):
        told, lost = _refusal(path, error), 404 in _codes(error)
    elif isinstance(error, OSError):
        told, lost = error, error.errno in {*_LASTING, errno.EIO}
    else:
        raise error
    if not lost:
        raise unserved(f"{path}: cannot be read ({told})", told) from error
    return " ".join(str(told).split())


@contextlib.contextmanager
def served(place: str, what: str = "cannot be read") -> Iterator[None]:
    """What disks, stores and Arrow raise in the block becomes a sentence about `place`, as of
    `unserved`.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, ImportError, Refused, pa.ArrowException) as error:
        why = " ".join((_stated(place, error) or str(error)).split())
        raise unserved(f"{place}: {what} ({why})", error) from error


def _stated(place: str, error: Exception) -> str | None:
    """Beam's words for what a store did not do are for developers."""
    is_beams = isinstance(error, OSError) and is_remote(place)
    return reason(place, error) if is_beams else None


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, and so is not on a local disk."""
    return "://" in path


def ask(path: str, question: Callable[[], _Answer]) -> _Answer:
    """What `question`, which is about `path`, returns, in a time that is bounded where that is on a
    store: Beam alone tries for ten minutes, and shows tracebacks meanwhile.

    Raises: Refused, without the path in its words; of local disks whatever `question` raises.
    """
    if not is_remote(path):
        return question()
    scheme = path.partition("://")[0].lower()
    if (package := _PACKAGES.get(scheme)) and not _is_installed(package):
        raise Refused(
            f"{scheme}:// needs a package that is not installed:"
            f" pip install 'apache-beam[{EXTRAS[scheme]}]'",
            lasting=True,
        )
    _open_file_systems()
    try:
        return _in_time(question)
    except Refused:
        raise
    except Exception as error:  # each file system raises its own library's errors
        raise _refusal(path, error) from error


def _refusal(path: str, error: Exception) -> Refused:
    mistaken = isinstance([*_causes(error)][-1], ValueError | ImportError)
    scheme = path.partition("://")[0].lower()
    return Refused(_reason(scheme, error), mistaken or _why(error) is not None)


def reason(path: str, error: Exception) -> str | None:
    """Why a file could not be read or written, in a few words; None where `error` is not the disk's
    or the store's, but a fault of this program.
    """
    if is_remote(path):
        return _reason(path.partition("://")[0].lower(), error)
    return error.strerror or str(error) if isinstance(error, OSError) else None


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def _open_file_systems() -> None:
    """s3:// needs some options; where the command line has given any, those count."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:
        FileSystems.set_options(PipelineOptions([]))


def _in_time(question: Callable[[], _Answer]) -> _Answer:
    """The answer, or the error, of another thread."""
    answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
    reasons = ["no answer"]

    def run() -> None:
        try:
            answer.put((question(), None))
        except Exception as error:  # for the caller's thread
            answer.put((None, error))

    def keep_reason(record: logging.LogRecord) -> bool:
        reasons.append(record.getMessage().partition("caught exception: ")[2].partition("\n")[0])
        return False

    retries = logging.getLogger("apache_beam.utils.retry")
    level = retries.level
    retries.setLevel(logging.WARNING)  # a filter hears nothing below the level of its parents
    retries.addFilter(keep_reason)
    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = answer.get(timeout=SECONDS)
    except queue.Empty:
        level = logging.CRITICAL  # the thread goes on trying: nobody listens any more
        raise Refused(
            f"{reasons[-1]}, after {SECONDS:g} seconds; check the network, the endpoint and the"
            " credentials in the environment"
        ) from None
    finally:
        retries.removeFilter(keep_reason)
        retries.setLevel(level)
    if error is not None:
        raise error
    return found


def _reason(scheme: str, error: Exception) -> str:
    if (why := _why(error)) is not None:
        return why
    what = " ".join(str([*_causes(error)][-1]).split())
    if what.startswith("Unable to get filesystem"):  # and names a package that may be another's
        known = ", ".join(f"{name}://" for name in EXTRAS)
        return f"{scheme}:// is no file system that is known; use a path or one of {known}"
    package = f"; {scheme}:// needs apache-beam[{EXTRAS[scheme]}]" if scheme in EXTRAS else ""
    return f"{what}; check the address, and that you have access{package}"


def _why(error: Exception) -> str | None:
    """What is to be done about a store that refuses; None where it failed otherwise."""
    return next((_WHY[code] for code in _codes(error) if code in _WHY), None)


def _codes(error: Exception) -> Iterator[int]:
    """The status codes that a store answered with."""
    for link in _causes(error):
        answer = getattr(link, "response", None)  # google-resumable-media's errors have it
        if code := getattr(link, "code", None) or getattr(answer, "status_code", None):
            yield code


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: Beam keeps that in a dictionary of its own."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        details = getattr(link, "exception_details", None) or {}
        inner = [value for value in details.values() if isinstance(value, BaseException)]
        link = inner[0] if inner else link.__cause__
    return iter(seen)
