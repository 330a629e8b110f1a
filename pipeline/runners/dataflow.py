"""A job on Google's Dataflow: the options that the user need not set, and those that are refused.

docs/dataflow.md says why each setting is as it is.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from corpusvec.transforms.documents.inputs import split_patterns

IN_IMAGE = "/opt/corpusvec/"  # where deploy/dataflow/Dockerfile puts a model
IMAGE = "CORPUSVEC_IMAGE"  # the image knows its own name by this variable

_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"

_WORKERS: Mapping[str, Any] = {
    "machine_type": "n2-standard-8",
    "disk_size_gb": 50,
    "autoscaling_algorithm": "THROUGHPUT_BASED",
    "max_num_workers": 10,
    "number_of_worker_harness_threads": 4,
    "sdk_location": "container",
    "no_save_main_session": True,
}
# One process a machine: each would load a model of its own.
_ONE_PROCESS, _MANY_PROCESSES = "no_use_multiple_sdk_containers", "use_multiple_sdk_containers"

_NEEDED: Mapping[str, str] = {
    "project": "the Google Cloud project, as --project=my-project",
    "region": "where the job runs, as --region=europe-west1",
    "temp_location": "a folder for the job's own files, as --temp_location=gs://BUCKET/tmp",
    "sdk_container_image": "the image that was made with deploy/dataflow/Dockerfile",
}


def arguments(flags: argparse.Namespace, given: Sequence[str]) -> list[str]:
    """Beam's arguments: what suits the job, then those that were given, as the last one counts.

    Raises `ValueError` where one is missing, and for places that workers cannot see.
    """
    known = PipelineOptions(list(given)).get_all_options(drop_default=True)
    wanted = dict(_WORKERS)
    if IMAGE in os.environ:
        wanted["sdk_container_image"] = os.environ[IMAGE]
    if "template_location" in known:  # the launcher of a template starts the job when we are done
        wanted["no_wait_until_finish"] = True
    if "staging_location" in known:
        wanted["temp_location"] = known["staging_location"]
    for name, what in _NEEDED.items():
        if not {**wanted, **known}.get(name):
            raise ValueError(f"--runner={flags.runner}: --{name} is missing: {what}")
    _refuse_local(flags)
    if _MANY_PROCESSES not in known.get("experiments", ()):
        wanted["experiments"] = _ONE_PROCESS
    said = [f"--{name}" if value is True else f"--{name}={value}" for name, value in wanted.items()]
    return [*said, *given]


def page_of(result: Any, options: PipelineOptions) -> str:
    """Where a job can be watched; empty for what is no job on Dataflow."""
    if not getattr(result, "has_job", False):
        return ""
    place = options.view_as(GoogleCloudOptions)
    page = f"{_CONSOLE}/{place.region}/{result.job_id()}?project={place.project}"
    return f"job {result.job_id()} is sent: {page}"


def _refuse_local(flags: argparse.Namespace) -> None:
    places = [("input", pattern) for text in flags.input for pattern in split_patterns(text)]
    places += [(name, getattr(flags, name)) for name in ("output", "model", "tokenizer")]
    for name, place in places:
        may_be_inside = name in ("model", "tokenizer")
        if not place or (may_be_inside and place.startswith(IN_IMAGE)):
            continue
        if "://" not in place or place.startswith("file:"):
            instead = f", or put it into the image, in {IN_IMAGE}" if may_be_inside else ""
            raise ValueError(
                f"--{name}={place}: is on this machine, where Dataflow's workers do not see it;"
                f" copy it to a bucket and give its address, as gs://BUCKET/…{instead}"
            )
