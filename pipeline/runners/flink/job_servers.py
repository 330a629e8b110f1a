"""Beam's job server: takes jobs from clients, and gives them to a JobManager."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from corpusvec.pipeline.runners.flink.processes import (
    SMALL,
    ClusterError,
    alive,
    java_command,
    start,
    stop,
)

_MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_STARTED_ON = re.compile(r"(JobService|ArtifactStagingService) started on (\S+)")


def command(master: str, temporary: Path, *properties: str) -> list[str]:
    """On free ports. Raises `ClusterError` where Java or the jars are missing."""
    ports = ("--job-port", "0", "--artifact-port", "0", "--expansion-port", "-1")
    arguments = ["--flink-master", master, *ports, "--artifacts-dir", str(temporary)]
    return java_command(_MAIN, arguments, [*SMALL, *properties], temporary)


def endpoints(log: Path) -> tuple[str, str] | None:
    """Where it answers, for jobs and for their files, as it tells when it is ready."""
    told = dict(_STARTED_ON.findall(log.read_text(errors="replace")))
    if {"JobService", "ArtifactStagingService"} - told.keys():
        return None
    return told["JobService"], told["ArtifactStagingService"]


@contextlib.contextmanager
def running(master: str, seconds: float) -> Iterator[tuple[str, str, Path]]:
    """One for the length of the block: its two endpoints, and the folder of its log, which stays
    where the block fails. Raises `ClusterError` where it does not get ready in time.
    """
    place = Path(tempfile.mkdtemp(prefix="corpusvec-flink-"))
    (place / "flink-conf.yaml").touch()
    log = place / "jobserver.log"
    server = start(command(master, place), log, place, with_parent=True)
    try:
        deadline = time.monotonic() + seconds
        while (where := endpoints(log)) is None:
            if not alive(server):
                raise ClusterError(f"the job server ended at once; see {log}")
            if time.monotonic() > deadline:
                raise ClusterError(f"the job server is not ready after {seconds:g} s; see {log}")
            time.sleep(0.2)
        yield *where, place
    finally:
        stop([server])
    shutil.rmtree(place, ignore_errors=True)
