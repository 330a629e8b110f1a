"""TensorFlow, imported without its greetings, and its threads."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What native code says on stderr goes to a file, and is shown where the block fails.

    TensorFlow 2.21 greets before its logging starts, where no setting of it is heard.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _quietly():
    import tensorflow as tf

__all__ = ["prepare_threads", "tf"]


def prepare_threads() -> int:
    """One stream a core, each with one thread -> the number of streams.

    TensorFlow takes it only before it starts: in someone's own program, where it is running
    already, its threads stay as they are.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    return cores
