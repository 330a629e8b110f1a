"""TensorFlow, imported without its greetings."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator

_GREETING = re.compile(rb"WARNING: All log messages before absl|[IW]\d{4} ")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """TensorFlow's greetings on stderr are not shown unless the block fails; all else is, after it.

    TensorFlow 2.21 greets before its logging starts, where no setting of it is heard. Meanwhile
    other threads, and the user's Ctrl-C, may have something to say.
    """
    wanted: Callable[[bytes], bytes] = _other_lines
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception:
            wanted = bytes
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, wanted(said.read()))


def _other_lines(said: bytes) -> bytes:
    lines = said.splitlines(keepends=True)
    return b"".join(line for line in lines if not _GREETING.match(line))


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _quietly():
    import tensorflow as tf

__all__ = ["tf"]
