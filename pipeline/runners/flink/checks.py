"""Whether a cluster's workers can do the job, before it begins."""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import time
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from corpusvec.pipeline.runners.failures import RunFailed
from corpusvec.pipeline.runners.flink import failures, rest
from corpusvec.pipeline.runners.workers import versions
from corpusvec.transforms.storage.files import exists
from corpusvec.transforms.storage.stores import Refused, ask


def check(
    address: str, arguments: Sequence[str], seconds: float, logs: str, places: Sequence[str]
) -> None:
    """Run a job of no work in the same environment, whose workers look for `places` on object
    stores. Raises `RunFailed` where it fails, or is not done in time.
    """
    name = f"corpusvec-check-{secrets.token_hex(4)}"
    own = [f"--job_name={name}"]
    failed: list[Exception] = []

    def run() -> None:
        try:
            _run([*arguments, *own], places)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="check", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + seconds
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(1.0)
            with contextlib.suppress(OSError, ValueError, KeyError):
                if told := rest.cause(address, name):  # Flink itself would try again
                    raise RunFailed(failures.sentence(told, logs))
    finally:
        if unfinished := thread.is_alive():
            with contextlib.suppress(OSError, ValueError, KeyError):
                rest.cancel(address, name)
    if unfinished:
        raise RunFailed(
            f"no worker on Flink answered within {seconds:g} s (--start_timeout); see {logs}"
        )
    if failed:
        raise failures.failed(address, name, failed[0], logs)


def _run(arguments: Sequence[str], places: Sequence[str]) -> None:
    options = PipelineOptions(list(arguments))
    options.view_as(StandardOptions).no_wait_until_finish = False
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(range(100)), reshuffle=False)
            | beam.Reshuffle()  # to all workers
            | beam.Map(compare, versions(), tuple(places))
        )


def compare(_: int, client: str, places: Sequence[str]) -> None:
    """Raises `RuntimeError` in a worker that was started by another program than ours, and has
    other versions than the client; and in one that cannot reach a place.
    """
    import corpusvec.transforms.elements  # noqa: F401

    if client != (mine := versions()):
        raise RuntimeError(f"a worker has {mine}, the client {client}; install the same on both")
    for place in places:
        _reach(place)


@functools.cache
def _reach(place: str) -> None:
    """Whether there is anything does not matter, but that the store answers."""
    try:
        ask(place, lambda: exists(place))
    except Refused as error:
        raise RuntimeError(
            f"{place}: a worker on Flink cannot reach it ({error}). The store's credentials and"
            " address have to be in the environment of the workers: before `cluster.sh up`, or in"
            " the env of --environment_config"
        ) from error
