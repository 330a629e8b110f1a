"""The program that a cluster starts: what it asks the runner, and when it refuses to work."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2 as messages
from apache_beam.portability.api import beam_fn_api_pb2_grpc as fn_services
from apache_beam.portability.api import beam_provision_api_pb2 as provisions
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_services

from corpusvec.pipeline.runners.flink.failures import sentence
from corpusvec.pipeline.runners.workers import (
    CLIENT,
    CORES,
    CUT_OFF,
    LOGS,
    OTHER_VERSIONS,
    versions,
)

ROOT = Path(__file__).resolve().parents[3]


class Runner(
    provision_services.ProvisionServiceServicer,
    fn_services.BeamFnControlServicer,
):
    """What a TaskManager is to its worker: provision and control, on one port."""

    def __init__(self, server: grpc.Server):
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        self.answers: queue.Queue = queue.Queue()
        self.worker = ""

    def GetProvisionInfo(self, request, context):  # noqa: N802
        info = provisions.ProvisionInfo()
        info.control_endpoint.url = self.address
        return provisions.GetProvisionInfoResponse(info=info)

    def Control(self, answers, context):  # noqa: N802
        self.worker = dict(context.invocation_metadata())["worker_id"]
        instruction = messages.InstructionRequest(instruction_id="1")
        instruction.process_bundle.process_bundle_descriptor_id = "stage"
        yield instruction
        self.answers.put(next(answers))


@pytest.fixture
def runner():
    server = grpc.server(ThreadPoolExecutor(4))
    service = Runner(server)
    provision_services.add_ProvisionServiceServicer_to_server(service, server)
    fn_services.add_BeamFnControlServicer_to_server(service, server)
    server.start()
    yield service
    server.stop(None).wait()


def start(runner: Runner, **environment: str) -> subprocess.CompletedProcess:
    named = ["--id=1-1", f"--provision_endpoint={runner.address}"]
    return subprocess.run(
        [sys.executable, "-m", "corpusvec.pipeline.runners.workers", *named],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_another_version_than_the_clients_ends_with_a_code_of_its_own(runner, tmp_path):
    done = start(runner, **{CLIENT: "Beam 2.1 and Python 3.5", LOGS: str(tmp_path)})
    assert done.returncode == OTHER_VERSIONS
    assert not runner.worker
    said = (tmp_path / "workers.log").read_text()
    assert f"has {versions()}, the client Beam 2.1 and Python 3.5; install" in said
    failure = f"Caused by: IllegalStateException: Process died with exit code {done.returncode}"
    assert sentence(failure, str(tmp_path)) == said.splitlines()[-1]
    assert "install the same" in sentence(failure, "/nowhere")


def test_the_clients_version_gets_to_work(runner):
    """The runner here knows no stage of this name, and its worker says so."""
    start(runner, **{CLIENT: versions()})
    assert runner.worker == "1-1"
    assert runner.answers.get(timeout=10).instruction_id == "1"


@pytest.mark.parametrize(
    ("share", "streams"), [("1", 1), ("", None), ("many", None), ("999", None)]
)
def test_a_worker_takes_its_share_of_the_cores(share, streams):
    affinity = getattr(os, "sched_getaffinity", None)
    every = len(affinity(0)) if affinity else os.cpu_count()
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from corpusvec.transforms.models.cores import share; print(share())",
        ],
        cwd=ROOT,
        env=os.environ | {CORES: share},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) == (streams or every)


# A worker of which only the end that takes data is there.
LISTENS = """
import sys, threading, time
import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services
from apache_beam.runners.worker.data_plane import GrpcClientDataChannel
from corpusvec.pipeline.runners.workers import end_if_cut_off

threading.excepthook = end_if_cut_off
stub = services.BeamFnDataStub(grpc.insecure_channel(sys.argv[1]))
GrpcClientDataChannel(stub)
time.sleep(60)
"""


class Broken(fn_services.BeamFnDataServicer):
    """A runner that fails at the first message, as one does that has no memory left."""

    def Data(self, messages, context):  # noqa: N802
        context.abort(grpc.StatusCode.UNKNOWN, "Application error processing RPC")


def test_a_worker_that_hears_no_more_of_its_runner_ends():
    """It would wait for ever: Beam's thread fails alone."""
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    fn_services.add_BeamFnDataServicer_to_server(Broken(), server)
    server.start()
    command = [sys.executable, "-c", LISTENS, address]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    finally:
        server.stop(None).wait()
    assert done.returncode == CUT_OFF, done.stderr
    assert "Application error processing RPC" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        "io.grpc.StatusRuntimeException: CANCELLED: client cancelled",
        "io.grpc.StatusRuntimeException: CANCELLED: call already cancelled. Use X",
        "java.lang.RuntimeException: java.lang.InterruptedException",
    ],
)
def test_a_worker_that_was_killed_is_said_to_have_ended(error):
    told = f"Caused by: {error}\n\tat io.grpc.X"
    assert sentence(told, "/logs") == "a worker ended in the middle of its work; see /logs"
