"""`--runner=dataflow` without Google: Beam's own translator makes the job, a storage server and a
server that speaks as Dataflow does are on the loopback interface.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.runners import dataflow
from corpusvec.pipeline.runners.flex_templates import flags_of
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.outputs import Output
from tests.servers import Site, body, serving, status

IMAGE = "europe-west1-docker.pkg.dev/my-project/corpusvec/corpusvec:1"
JOB = ["--project=my-project", "--region=europe-west1", "--temp_location=gs://bucket/tmp"]
PLACES = ["--input=gs://bucket/in/*.txt", "--output=gs://bucket/out", "--model=gs://bucket/model"]
SENT = (
    "job job-1 is sent: https://console.cloud.google.com/dataflow/jobs/europe-west1/job-1"
    "?project=my-project\n"
)
JOBS = "/v1b3/projects/my-project/locations/europe-west1/jobs"


@pytest.fixture(scope="module")
def bucket(tiny, tmp_path_factory) -> Iterator[Any]:
    """A bucket on the loopback interface, a text and a model in it, and nobody's credentials."""
    pytest.importorskip("apache_beam.io.gcp.gcsio", reason="needs apache-beam[gcp]")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    from apache_beam.internal.gcp import auth
    from google.cloud import storage

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("TFHUB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        # As after a look for credentials that found none: it takes half a minute.
        patch.setattr(auth._Credentials, "_credentials_init", True)
        patch.setattr(auth._Credentials, "_credentials", None)
        filled = storage.Client.create_anonymous_client().bucket("bucket")
        filled.blob("in/a.txt").upload_from_string("The garden is quiet.\nAnd the tea?\n")
        for file in Path(tiny).rglob("*"):
            if file.is_file():
                filled.blob(f"model/{file.relative_to(tiny)}").upload_from_filename(str(file))
        yield filled
    server.stop()


class Made(NamedTuple):
    """A job as Dataflow would get it, and the graph that lies beside it in the bucket."""

    environment: dict[str, Any]
    graph: beam_runner_api_pb2.Pipeline

    @property
    def pool(self) -> dict[str, Any]:
        (pool,) = self.environment["workerPools"]
        return pool

    @property
    def options(self) -> dict[str, Any]:
        return self.environment["sdkPipelineOptions"]["options"]


def made(bucket, *parameters: str) -> Made:
    """What the template's launcher makes of parameters."""
    place = [*JOB, "--runner=DataflowRunner", "--template_location=gs://bucket/launch/job"]
    assert main(["embed", *flags_of([*place, *PLACES, *parameters])]) == 0
    environment = json.loads(bucket.blob("launch/job").download_as_bytes())["environment"]
    graph = environment["sdkPipelineOptions"]["options"]["pipelineUrl"]
    content = bucket.blob(graph.removeprefix("gs://bucket/")).download_as_bytes()
    return Made(environment, beam_runner_api_pb2.Pipeline.FromString(content))


def steps(graph: beam_runner_api_pb2.Pipeline) -> dict[str, str]:
    """The steps that run something, by their names -> what they are."""
    return {
        transform.unique_name: transform.spec.urn
        for transform in graph.components.transforms.values()
        if not transform.subtransforms and transform.spec.urn
    }


def test_the_job_of_the_template(bucket, monkeypatch, capsys):
    monkeypatch.setenv(dataflow.IMAGE, IMAGE)
    job = made(bucket, "--layers=-1", "--normalize=true", "--mask_special=false")
    assert "handed over; gs://bucket/out/snapshots/" in capsys.readouterr().out
    experiments = job.environment["experiments"]
    assert "no_use_multiple_sdk_containers" in experiments
    assert "use_multiple_sdk_containers" not in experiments
    assert "use_runner_v2" in experiments
    assert "flexResourceSchedulingGoal" not in job.environment
    pool = job.pool
    assert (pool["machineType"], pool["diskSizeGb"]) == ("n2-standard-8", 50)
    assert pool["numThreadsPerWorker"] == 4
    assert pool["autoscalingSettings"] == {
        "algorithm": "AUTOSCALING_ALGORITHM_BASIC",
        "maxNumWorkers": 10,
    }
    # What is installed on a machine that starts is in the image, and nothing else.
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert [package["name"] for package in pool["packages"]] == [
        "submission_environment_dependencies.txt"
    ]
    assert job.options["save_main_session"] is False
    assert job.options["temp_location"].startswith("gs://bucket/tmp/")


def test_the_graph_of_the_job(bucket, monkeypatch):
    monkeypatch.setenv(dataflow.IMAGE, IMAGE)
    graph = made(bucket, "--layers=-1").graph
    (environment,) = graph.components.environments.values()
    assert IMAGE.encode() in environment.payload
    named = steps(graph)
    stages = [
        "ReadDocuments",
        "FindVectorsByText",
        "CompareSnapshots",
        "Tokenize",
        "BatchBySize",
        "Encode",
        "Pool",
    ]
    stages += ["WriteSentences", "WriteTokens", "WriteRejected", "CommitSnapshot"]
    for stage in stages:
        assert [name for name in named if name.split("/")[0] == stage], stage
    groupings = [name for name, urn in named.items() if urn == "beam:transform:group_by_key:v1"]
    before = {name.split("/")[0] for name in groupings}
    # Texts cross the network and the names of files, vectors do not.
    texts = {"ReadDocuments", "FindVectorsByText", "FindRepeatedByText"}
    names = {"LocateEarlier", "LocateFresh", "CompareSnapshots", "CommitSnapshot"}
    assert before == texts | names


def written(bucket) -> set[str]:
    return {blob.name for blob in bucket.list_blobs(prefix="out/")}


def test_the_template_s_job_is_not_waited_for_and_publishes_nothing_yet(bucket, monkeypatch):
    monkeypatch.setenv(dataflow.IMAGE, IMAGE)
    before = written(bucket)
    made(bucket)
    # Its licence to commit, that nobody here knows whether it lives, and what it is to read.
    begun, over, listed = sorted(written(bucket) - before)
    assert begun.endswith("/.begun")
    assert over.endswith("/.handed_over")
    assert listed.endswith("/inputs.parquet")


def test_what_the_user_says_wins(bucket):
    job = made(
        bucket,
        "--flexrs_goal=COST_OPTIMIZED",
        "--sdk_container_image=other:2",
        "--worker_machine_type=c3-standard-8",
        "--max_num_workers=50",
        "--disk_size_gb=100",
        "--number_of_worker_harness_threads=8",
        "--experiments=use_multiple_sdk_containers",
    )
    assert job.environment["flexResourceSchedulingGoal"] == "FLEXRS_COST_OPTIMIZED"
    assert "no_use_multiple_sdk_containers" not in job.environment["experiments"]
    pool = job.pool
    assert (pool["machineType"], pool["diskSizeGb"]) == ("c3-standard-8", 100)
    assert (pool["numThreadsPerWorker"], pool["workerHarnessContainerImage"]) == (8, "other:2")
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 50


# ------------------------------------------------------------------------------------- refusals


REFUSED = {
    "project": ([*JOB[1:]], "--runner=dataflow: --project is missing: the Google Cloud project"),
    "region": ([JOB[0], JOB[2]], "--region is missing: where the job runs"),
    "temp_location": (JOB[:2], "--temp_location is missing: a folder for the job's own files"),
    "image": (JOB, "--sdk_container_image is missing: the image that was made with"),
    "input": ([*JOB, "--input=a.txt"], "--input=a.txt: is on this machine"),
    "one of the inputs": ([*JOB, "--input=gs://b/a.txt,b.txt"], "--input=b.txt: is on this"),
    "output": ([*JOB, "--output=out"], "--output=out: is on this machine"),
    "model": ([*JOB, "--model=models/bert"], "or put it into the image, in /opt/corpusvec/"),
    "model by file": ([*JOB, "--model=file:///m.tar.gz"], "--model=file:///m.tar.gz: is on"),
    "tokenizer": ([*JOB, "--tokenizer=vocab.txt"], "--tokenizer=vocab.txt: is on this machine"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_missing_or_cannot_be_seen_is_one_sentence(given, message, monkeypatch, capsys):
    monkeypatch.delenv(dataflow.IMAGE, raising=False)
    names = {argument.partition("=")[0] for argument in given}
    places = [place for place in PLACES if place.partition("=")[0] not in names]
    image = [] if message.startswith("--sdk") else [f"--sdk_container_image={IMAGE}"]
    assert main(["embed", "--runner=dataflow", *places, *image, *given]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def flags(**places: str):
    given = {"input": ["gs://b/a.txt"], "output": "gs://b/out", "model": "gs://b/m"}
    return Namespace(**({"runner": "dataflow", "tokenizer": ""} | given | places))


def test_a_model_in_the_image_is_taken_as_it_is():
    given = [*JOB, "--sdk_container_image=i"]
    inside = flags(model="/opt/corpusvec/model", tokenizer="/opt/corpusvec/model/vocab.txt")
    assert dataflow.arguments(inside, given)[-len(given) :] == given


def test_a_staging_location_will_do():
    given = [*JOB[:2], "--staging_location=gs://b/staging", "--sdk_container_image=i"]
    read = PipelineOptions(dataflow.arguments(flags(), given)).get_all_options()
    assert read["temp_location"] == "gs://b/staging"


# ---------------------------------------------------------------------------- a job that is sent


_STATES = {5: "JOB_STATE_CANCELLED"}


class Service:
    """As much of Dataflow as a client sees: one job, in a `state`, and what was asked of it."""

    def __init__(self, site: Site, state: str, message: str = ""):
        self.site, self.state, self.message = site, state, message
        self.on_look: Callable[[], object] = lambda: None
        self.asked_for: list[str] = []
        site.answers[JOBS] = self._create
        site.answers[f"{JOBS}/job-1"] = self._job
        site.answers[f"{JOBS}/job-1/messages"] = self._messages

    def _create(self, handler) -> None:
        self._said(handler)
        body(json.dumps({"id": "job-1", "name": "n"}).encode())(handler)

    def _job(self, handler) -> None:
        if handler.command == "PUT":
            self.state = _STATES[self._said(handler)["requestedState"]]
            self.asked_for.append(self.state)
        answer = {"id": "job-1", "currentState": self.state}
        body(json.dumps(answer).encode())(handler)
        self.on_look()

    def _messages(self, handler) -> None:
        message = {"id": "1", "time": "2026-01-02T03:04:05Z", "messageText": self.message}
        found = [message | {"messageImportance": "JOB_MESSAGE_ERROR"}] if self.message else []
        body(json.dumps({"jobMessages": found}).encode())(handler)

    def _said(self, handler) -> dict[str, Any]:
        return json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))

    @property
    def flags(self) -> list[str]:
        endpoint = self.site.address.replace("127.0.0.1", "localhost")
        return [f"--dataflow_endpoint={endpoint}", "--no_auth", f"--sdk_container_image={IMAGE}"]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as served:
        yield served


def test_ctrl_c_cancels_the_job(bucket, site, capsys):
    service = Service(site, "JOB_STATE_RUNNING")
    presses, before = iter([signal.SIGINT]), written(bucket)
    service.on_look = lambda: [os.kill(os.getpid(), press) for press in presses]
    assert main(["embed", "--runner=dataflow", *JOB, *PLACES, *service.flags]) == 130
    for thread in threading.enumerate():
        if "poll_for_job_completion" in thread.name:
            thread.join()  # it asks once more, and the server shall be there
    assert service.asked_for == ["JOB_STATE_CANCELLED"]
    assert capsys.readouterr().err == f"{SENT}interrupted; nothing was published\n"
    assert written(bucket) == before


def test_a_job_that_fails_says_why_in_one_line(bucket, site, capsys):
    trace = "Traceback (most recent call last):\n  File x\nValueError: vocab.txt: is damaged"
    service = Service(site, "JOB_STATE_FAILED", trace)
    assert main(["embed", "--runner=dataflow", *JOB, *PLACES, *service.flags]) == 1
    assert capsys.readouterr().err == f"{SENT}corpusvec: vocab.txt: is damaged\n"


def test_a_job_that_is_out_of_sight_is_left_alone(bucket, site, capsys):
    """What it has written stays, and nobody takes it for dead."""
    service = Service(site, "JOB_STATE_RUNNING")
    site.answers[f"{JOBS}/job-1/messages"] = status(403)
    before = set(Output("gs://bucket/out").leftovers())
    assert main(["embed", "--runner=dataflow", *JOB, *PLACES, *service.flags]) == 1
    said = capsys.readouterr().err.removeprefix(SENT)
    assert len(said.splitlines()) == 1
    assert said.startswith("corpusvec: the job is out of sight (")
    assert "and may go on: look at https://console.cloud.google.com/dataflow/" in said
    assert service.asked_for == []
    (left,) = set(Output("gs://bucket/out").leftovers()) - before
    assert Snapshot(Output("gs://bucket/out"), left).is_handed_over


def test_a_job_can_be_handed_over(bucket, site, capsys):
    service = Service(site, "JOB_STATE_RUNNING")
    handed = ["--no_wait_until_finish", *service.flags]
    assert main(["embed", "--runner=dataflow", *JOB, *PLACES, *handed]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("handed over; gs://bucket/out/snapshots/")
    assert said.err == SENT
    assert sum(site.asked.values()) == 1
