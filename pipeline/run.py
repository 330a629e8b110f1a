"""A job on its runner: start, progress, end."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.embed import Job, build
from pipeline.progress import Progress

LOCAL, FLINK = "local", "flink"
_LAST_LINE = re.compile(r"^(?P<kind>[\w.]+): (?P<message>.*)$")
# Errors whose messages are sentences for a user.
_SPEAKING = ("BrokenInput", "BrokenModel", "ValueError", "RuntimeError")
_WHILE = re.compile(r"\s*\[while running '(?P<stage>[^']*)'\]")


class RunFailed(RuntimeError):
    """A run that ended without a snapshot; the message is for a user."""


def check_runner(flags: Namespace, beam_arguments: Sequence[str]) -> None:
    """Raises `ValueError` for a runner that Beam does not have, or a cluster that is not there."""
    from apache_beam.runners import create_runner

    if flags.runner == FLINK:
        from pipeline.flink import preset

        preset.refuse_absent(flags, beam_arguments)
    elif flags.flink_endpoint:
        raise ValueError("--flink_endpoint: is for --runner=flink")
    elif flags.runner != LOCAL:
        try:
            create_runner(flags.runner)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"--runner={flags.runner}: use local, flink, or a runner of Beam. {error}"
            ) from error


def open_file_systems(beam_arguments: Sequence[str]) -> None:
    """Let Beam's options, as `--s3_endpoint_url`, count for what is read and written before and
    after the run.
    """
    FileSystems.set_options(PipelineOptions(list(beam_arguments)))


def run(job: Job, flags: Namespace, beam_arguments: Sequence[str]) -> None:
    """Run to the end. Raises `RunFailed`; the output is then as it was before."""
    size = sum(file.size for file in job.files)
    try:
        if flags.runner == LOCAL:
            with Progress(size, job.limit):
                _run(job, beam_arguments, _local_runner())
        elif flags.runner == FLINK:
            from pipeline.flink import preset

            with preset.on_cluster(flags, beam_arguments, job.snapshot.id) as arguments:
                _run(job, arguments, None)
        else:
            _run(job, [f"--runner={flags.runner}", *beam_arguments], None)
    except RunFailed:
        raise
    except Exception as error:
        raise RunFailed(explanation(error)) from error


def _local_runner():
    # By name: Beam's DirectRunner would try to download another runner first.
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    return FnApiRunner()


def _run(job: Job, arguments: Sequence[str], runner) -> None:
    with beam.Pipeline(runner=runner, options=PipelineOptions(list(arguments))) as pipeline:
        build(pipeline, job)


def explanation(error: BaseException) -> str:
    """One sentence of an error that Beam carried over from a worker, where it may be the text of a
    traceback.
    """
    lines = [line for line in _WHILE.sub("", str(error)).splitlines() if line.strip()]
    kind, message = type(error).__name__, lines[-1] if lines else "no message"
    if len(lines) > 1 and (match := _LAST_LINE.match(message)):
        kind, message = match["kind"].rsplit(".", 1)[-1], match["message"]
    return message if kind in _SPEAKING else f"{kind}: {message}"
