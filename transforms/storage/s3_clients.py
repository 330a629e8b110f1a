"""One client of S3 for all calls: Beam makes one for each, which reads megabytes of JSON and opens
a connection of its own.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

_MODULE = "apache_beam.io.aws.clients.s3.boto3_client"
_CONNECTIONS = 64  # that are kept; more are opened and closed
_SECONDS = 300  # for which a client is taken: who renews credentials in a file is to be heard


def share_clients() -> None:
    """Let Beam's file system take the clients that are there, once it is imported."""
    module = sys.modules.get(_MODULE)
    boto3 = getattr(module, "boto3", None)
    if boto3 is not None and not isinstance(boto3, _Shared):
        module.boto3 = _Shared(boto3)  # type: ignore[union-attr]


class _Shared:
    """What Beam uses of boto3. A client is for all threads of a process, and for an environment:
    credentials may be in it.
    """

    def __init__(self, boto3: Any):
        self._boto3, self._lock = boto3, threading.Lock()
        self._clients: dict[Any, Any] = {}
        self.session = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._boto3, name)

    def Session(self) -> _Shared:  # noqa: N802 (boto3's name)
        return self

    def client(self, **asked: Any) -> Any:
        from botocore.config import Config

        named = (entry for entry in os.environ.items() if entry[0].startswith("AWS_"))
        age = time.monotonic() // _SECONDS
        key = (os.getpid(), age, *sorted(named), *sorted(asked.items()))
        with self._lock:
            if key not in self._clients:
                config = Config(max_pool_connections=_CONNECTIONS)
                made = self._boto3.session.Session().client(**asked, config=config)
                self._clients = {key: made}  # others are of an environment that is gone
            return self._clients[key]
