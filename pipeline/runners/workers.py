"""`corpusvec-worker`: a Python worker of Beam, started by whoever runs the workers of a cluster.

A runner calls one program, with an id and the address of a service that tells the rest (Beam's
environment PROCESS, or the entry point of a container).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import socket
import sys
import threading
from typing import Any

from corpusvec.pipeline.runners.allocators import share_heap

# What the client passes on: its versions, where workers' last words go, and a worker's cores.
CLIENT, LOGS, CORES = "CORPUSVEC_CLIENT", "CORPUSVEC_WORKER_LOGS", "CORPUSVEC_CORES"


# The exit code of one that refuses: it is all that a runner tells of a worker that ends.
OTHER_VERSIONS, REMEDY = 78, "install the same on both"
CUT_OFF = 69
_READER = "read_grpc_client_inputs"  # what Beam calls the thread that receives data


def main() -> int:
    """Run until the runner has no more work -> exit code; with other versions than the client's,
    refuse all.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    asked, _ = parser.parse_known_args()
    share_heap()
    threading.excepthook = end_if_cut_off
    if folder := os.environ.get(LOGS):
        _speak_to(os.path.join(folder, "workers.log"))
    os.environ["WORKER_ID"] = asked.id  # Beam looks for it when it is imported
    client, mine = os.environ.get(CLIENT), versions()
    if client and client != mine:
        host = socket.gethostname()
        print(f"the worker on {host} has {mine}, the client {client}; {REMEDY}", file=sys.stderr)
        return OTHER_VERSIONS
    from google.protobuf import json_format, text_format

    told = _provision(asked.provision_endpoint, asked.id)
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(told.pipeline_options)
    for name in ("control", "logging", "status"):
        endpoint = getattr(told, f"{name}_endpoint")
        if endpoint.url:
            variable = f"{name.upper()}_API_SERVICE_DESCRIPTOR"
            os.environ[variable] = text_format.MessageToString(endpoint)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(told.runner_capabilities)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    return 0


def end_if_cut_off(failed: Any) -> None:
    """Print an error that ended a thread. If it was the thread that receives data, end the worker:
    otherwise it would wait for ever, and so would the job. A runner notices a worker that is gone.
    """
    threading.__excepthook__(failed)
    if failed.thread is not None and failed.thread.name == _READER:
        sys.stderr.flush()
        os._exit(CUT_OFF)


def versions() -> str:
    """What must be alike in client and workers, for both to read what the other wrote."""
    import apache_beam

    beam = ".".join(apache_beam.__version__.split(".")[:2])
    return f"Beam {beam} and Python {'.'.join(platform.python_version_tuple()[:2])}"


def _speak_to(log: str) -> None:
    """Runners throw away what a worker says before it is connected."""
    with contextlib.suppress(OSError):
        said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.close(said)


def _provision(endpoint: str, worker: str) -> Any:
    """What the runner tells a worker about its work."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as provisions
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as services

    with grpc.insecure_channel(endpoint) as channel:
        service = services.ProvisionServiceStub(channel)
        asked = provisions.GetProvisionInfoRequest()
        return service.GetProvisionInfo(asked, metadata=(("worker_id", worker),)).info


if __name__ == "__main__":
    sys.exit(main())
