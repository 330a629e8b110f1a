"""`--runner=flink`: which cluster, and all that Beam must be told for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
)

from corpusvec.pipeline.runners.failures import RunFailed
from corpusvec.pipeline.runners.flink import job_servers, rest
from corpusvec.pipeline.runners.flink.checks import check
from corpusvec.pipeline.runners.flink.failures import failed
from corpusvec.pipeline.runners.flink.processes import (
    ENDPOINT,
    ClusterError,
    answers,
    cluster_folder,
)
from corpusvec.pipeline.runners.flink.watches import no_longer_than_useful, watched
from corpusvec.pipeline.runners.options import hands_over
from corpusvec.pipeline.runners.workers import CLIENT, CORES, LOGS, versions
from corpusvec.pipeline.terminal.logs import say

_WORKER = "corpusvec-worker"
_SLOT_SECONDS = 5.0  # in which the slots of a job that has just ended are free again
# For which a worker waits for the next stage of its job. A cluster that tries again sooner would be
# given a worker that is dead: of others' clusters nobody knows when they do.
_CACHE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a cluster and the job server for it are, and where both log."""

    rest: str
    job_endpoint: str
    artifact_endpoint: str
    logs: str
    one_machine: bool


def refuse_absent(flags: Namespace, beam_arguments: Sequence[str]) -> None:
    """Before anything else is done: raises `ClusterError` where no cluster answers, or no slot is
    free, and `ValueError` where another try would be in vain.
    """
    options = PipelineOptions(list(beam_arguments)).view_as(PortableOptions)
    if options.environment_type in (None, "PROCESS"):
        _environment(options.environment_config)
    master = _master(flags, beam_arguments)
    _slots(master, beam_arguments)
    if _names_master(beam_arguments):
        try:
            job_servers.command(master, Path())
        except ClusterError as error:
            raise ValueError(f"--flink_master={master}: {error}") from error
    elif not answers(where := _endpoint(flags)["job_endpoint"]):
        raise ClusterError(
            f"--runner=flink: no job server answers at {where}; deploy/flink/cluster.sh up starts"
            " it again"
        )


@contextlib.contextmanager
def on_cluster(
    flags: Namespace, beam_arguments: Sequence[str], name: str, places: Sequence[str]
) -> Iterator[list[str]]:
    """Beam's arguments for a job on the cluster, whose workers were seen to work, and to reach
    `places` on object stores. Where the block fails, no job of it runs on; its failure is a
    `RunFailed` that says what failed on the cluster. Where it does not wait for the job's end, the
    JobManager has the job when the block ends.
    """
    with _found(flags, beam_arguments) as cluster, _quiet(flags.verbose):
        arguments = _arguments(cluster, beam_arguments, f"corpusvec-{name}")
        check(cluster.rest, arguments, flags.start_timeout, cluster.logs, places)
        say(f"running on Flink, http://{cluster.rest}")
        job = PipelineOptions(arguments).view_as(GoogleCloudOptions).job_name
        try:
            with (
                no_longer_than_useful(cluster.rest, job),
                watched(cluster.rest, job, cluster.logs),
            ):
                yield arguments
                handed_over = hands_over(PipelineOptions(arguments))
                if handed_over and not rest.awaited_job(cluster.rest, job, flags.start_timeout):
                    raise RunFailed(f"the JobManager has no job {job}")
        except BaseException as error:
            _end(cluster.rest, job)
            if isinstance(error, Exception):
                raise failed(cluster.rest, job, error, cluster.logs) from error
            raise


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Beam logs a failing job's stack traces as errors; what they say becomes a sentence."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(before if verbose else logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(before)


def _end(address: str, job: str) -> None:
    try:
        if rest.cancel(address, job):
            say(f"the job {job} on Flink was cancelled")
    except (OSError, ValueError, KeyError) as error:
        say(f"the job {job} may not have been cancelled: {error}")


def _master(flags: Namespace, beam_arguments: Sequence[str]) -> str:
    """The JobManager's address. Raises `ValueError` where there is none."""
    if master := _names_master(beam_arguments):
        if flags.flink_endpoint:
            raise ValueError("--flink_endpoint and --flink_master: two clusters; name one of them")
        return master.rpartition("://")[2].rstrip("/")
    return _endpoint(flags)["rest"]


def _names_master(beam_arguments: Sequence[str]) -> str:
    """What `--flink_master` says, empty where it is not given."""
    master = PipelineOptions(list(beam_arguments)).view_as(FlinkRunnerOptions).flink_master
    return "" if master == "[auto]" else master


def _endpoint(flags: Namespace) -> dict[str, Any]:
    """What `cluster.sh up` wrote."""
    asked = os.path.expanduser(flags.flink_endpoint or "")
    file = Path(asked or cluster_folder() / ENDPOINT)
    file = file / ENDPOINT if file.is_dir() else file
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--runner=flink: no cluster is up ({file} is not there); in a checkout of corpusvec"
            " deploy/flink/cluster.sh up starts one, --flink_master=HOST:PORT names another"
        ) from error


def _slots(address: str, beam_arguments: Sequence[str]) -> int:
    """How many the job takes: what `--parallelism` says, else all that are free."""
    asked = PipelineOptions(list(beam_arguments)).view_as(FlinkRunnerOptions).parallelism
    deadline = time.monotonic() + _SLOT_SECONDS
    while True:
        told = rest.overview(address)
        if told is None:
            raise ClusterError(
                f"--runner=flink: no JobManager answers at {address}, which should be HOST:PORT of"
                " its REST address; if it is one of deploy/flink/cluster.sh, `up` starts it again"
            )
        free, total = told["slots-available"], told["slots-total"]
        if free == total > 0 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if not free or asked > free:
        what = f"--parallelism={asked}" if asked > 0 else "--runner=flink"
        why = f"{what}: of the {total} slots at {address}, {free} are free"
        raise ValueError(why) if asked > total else ClusterError(why)
    return asked if asked > 0 else free


@contextlib.contextmanager
def _found(flags: Namespace, beam_arguments: Sequence[str]) -> Iterator[Cluster]:
    """The cluster, with a job server: its own, or one that ends with the block."""
    address = _master(flags, beam_arguments)
    if not _names_master(beam_arguments):
        about = _endpoint(flags)
        names = ("rest", "job_endpoint", "artifact_endpoint", "logs")
        yield Cluster(**{name: about[name] for name in names}, one_machine=True)
        return
    try:
        with job_servers.running(address, flags.start_timeout) as (jobs, artifacts, logs):
            yield Cluster(address, jobs, artifacts, str(logs), one_machine=False)
    except ClusterError as error:
        raise RunFailed(str(error)) from error


def _arguments(cluster: Cluster, beam_arguments: Sequence[str], name: str) -> list[str]:
    """Beam's arguments; what the user says comes last, and wins."""
    options = PipelineOptions(list(beam_arguments)).view_as(PortableOptions)
    kept = list(_without_master(beam_arguments))
    preset = [
        "--runner=PortableRunner",
        f"--job_name={name}",
        f"--job_endpoint={cluster.job_endpoint}",
        f"--artifact_endpoint={cluster.artifact_endpoint}",
        f"--environment_cache_millis={_CACHE_MS if cluster.one_machine else 0}",
        # A part that fails is done again from what the parts before it left on disk.
        "--execution_mode_for_batch=BATCH",
        "--object_reuse",
    ]
    environment = options.environment_type or "PROCESS"
    if environment == "PROCESS" and not options.environment_options:
        asked = _environment(options.environment_config)
        config = _process(cluster, asked, int(options.sdk_worker_parallelism))
        kept += ["--environment_type=PROCESS", f"--environment_config={json.dumps(config)}"]
    return [*preset, *kept, f"--parallelism={_slots(cluster.rest, beam_arguments)}"]


def _environment(asked: str | None) -> dict[str, Any]:
    """Raises `ValueError` where it is not what Beam takes for environment PROCESS."""
    try:
        config = json.loads(asked or "{}")
    except ValueError as error:
        raise ValueError(f"--environment_config={asked}: is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise ValueError(f'--environment_config={asked}: is not {{"command": …, "env": {{…}}}}')
    return config


def _without_master(beam_arguments: Sequence[str]) -> Iterator[str]:
    """The job server knows its JobManager."""
    words = iter(beam_arguments)
    for word in words:
        if word == "--flink_master":
            next(words, None)
        elif not word.startswith("--flink_master="):
            yield word


def _process(cluster: Cluster, asked: dict[str, Any], each: int) -> dict[str, Any]:
    """How TaskManagers start Python workers, so many `each`: as this program's own, unless `asked`
    otherwise.
    """
    variables = {CLIENT: versions(), LOGS: cluster.logs if cluster.one_machine else ""}
    if share := _share(cluster.rest, each):
        variables[CORES] = str(share)
    beside = Path(sys.executable).with_name(_WORKER)
    worker = str(beside) if beside.exists() else shutil.which(_WORKER) or _WORKER
    return {"command": worker, **asked, "env": variables | asked.get("env", {})}


def _share(address: str, each: int) -> int:
    """The cores of a worker where machines have several; 0 where it takes all of its machine."""
    try:
        hosts = rest.workers_of_hosts(address)
    except (OSError, ValueError, KeyError):
        return 0
    # None said is Beam's word for one less than there are cores.
    shares = [(cores, managers * (each or max(1, cores - 1))) for cores, managers in hosts]
    if all(workers == 1 for _, workers in shares):
        return 0
    return max(1, min(cores // workers for cores, workers in shares))
