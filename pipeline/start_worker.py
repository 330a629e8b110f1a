"""`corpusvec-worker`: a Python worker of Beam, started by whoever runs the workers of a cluster.

A runner calls one program, with an id and the address of a service that tells the rest (Beam's
environment PROCESS, or the entry point of a container).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import queue
import socket
import sys
from collections.abc import Iterator
from typing import Any

# What the client passes on: its versions, where workers' last words go, and a worker's cores.
CLIENT, LOGS, CORES = "CORPUSVEC_CLIENT", "CORPUSVEC_WORKER_LOGS", "CORPUSVEC_CORES"


def main() -> None:
    """Run until the runner has no more work; with other versions than the client's, refuse all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    asked, _ = parser.parse_known_args()
    if folder := os.environ.get(LOGS):
        _speak_to(os.path.join(folder, "workers.log"))
    os.environ["WORKER_ID"] = asked.id  # Beam looks for it when it is imported
    from google.protobuf import json_format, text_format

    told = _provision(asked.provision_endpoint, asked.id)
    client, mine = os.environ.get(CLIENT), versions()
    if client and client != mine:
        host = socket.gethostname()
        sentence = f"the worker on {host} has {mine}, the client {client}; install the same on both"
        print(sentence, file=sys.stderr, flush=True)
        _refuse(told.control_endpoint.url, asked.id, sentence)
        return
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(told.pipeline_options)
    for name in ("control", "logging", "status"):
        endpoint = getattr(told, f"{name}_endpoint")
        if endpoint.url:
            variable = f"{name.upper()}_API_SERVICE_DESCRIPTOR"
            os.environ[variable] = text_format.MessageToString(endpoint)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(told.runner_capabilities)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


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


def _refuse(endpoint: str, worker: str, sentence: str) -> None:
    """Answer whatever is asked with the sentence: so it becomes the failure of the job, where an
    exit code would be all that is seen.
    """
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2 as messages
    from apache_beam.portability.api import beam_fn_api_pb2_grpc as services

    answers: queue.Queue = queue.Queue()
    replies: Iterator = iter(answers.get, None)
    with grpc.insecure_channel(endpoint) as channel, contextlib.suppress(grpc.RpcError):
        control = services.BeamFnControlStub(channel)
        for asked in control.Control(replies, metadata=(("worker_id", worker),)):
            told = messages.InstructionResponse(instruction_id=asked.instruction_id, error=sentence)
            answers.put(told)
    answers.put(None)


if __name__ == "__main__":
    main()
