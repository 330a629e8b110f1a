"""How long a job is tried again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from corpusvec.pipeline.runners.flink import rest
from corpusvec.pipeline.runners.flink.failures import is_permanent

_SECONDS = 1.0


@contextlib.contextmanager
def no_longer_than_useful(address: str, job: str) -> Iterator[None]:
    """Meanwhile the job is cancelled when it fails as it always will: Flink, which knows nothing of
    disks and models, would do all of the stage again, several times.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            with contextlib.suppress(OSError, ValueError, KeyError):
                if is_permanent(rest.cause(address, job)):
                    rest.cancel(address, job)
                    return

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
