"""A job on its runner: start, progress, end."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from corpusvec.pipeline.embed import build
from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.runners import dataflow
from corpusvec.pipeline.runners.failures import OutOfSight, RunFailed, explanation, run_failed
from corpusvec.pipeline.runners.options import FLINK, LOCAL, hands_over
from corpusvec.pipeline.terminal.logs import say
from corpusvec.pipeline.terminal.progress import Progress
from corpusvec.transforms.documents.inputs import write_list
from corpusvec.transforms.snapshots.layouts import LATEST
from corpusvec.transforms.storage.stores import is_remote

# Runners that are told more than the user says; Beam's name of one may end in `Runner`.
PRESETS: Mapping[str, Callable[[Namespace, Sequence[str]], list[str]]] = {
    "dataflow": dataflow.arguments,
}

_View = TypeVar("_View", bound=PipelineOptions)


def beam_arguments(flags: Namespace, given: Sequence[str]) -> list[str]:
    """Beam's arguments: those given, and those that the runner's preset adds. Raises `ValueError`
    where something is missing, `RuntimeError` where a cluster does not answer.
    """
    if flags.runner == LOCAL and hands_over(PipelineOptions(list(given))):
        raise ValueError("--no_wait_until_finish: a local run ends with its program; omit the flag")
    if flags.runner == FLINK:
        from corpusvec.pipeline.runners.flink import presets as flink

        flink.refuse_absent(flags, given)
    preset = PRESETS.get(flags.runner.lower().removesuffix("runner"))
    return preset(flags, given) if preset else list(given)


def run(job: Job, flags: Namespace, beam_arguments: Sequence[str]) -> bool:
    """Run to the end, or with Beam's --no_wait_until_finish until the job is handed over -> whether
    the end was seen. Raises `RunFailed`; the output is then as it was before, `OutOfSight` apart.
    """
    size = sum(file.size for file in job.files)
    try:
        if flags.runner == LOCAL:
            with Progress(size, job.limit):
                return _run(job, beam_arguments, _local_runner())
        if flags.runner == FLINK:
            from corpusvec.pipeline.runners.flink import presets as preset

            places = [job.files[0].path, job.snapshot.output.path(LATEST)]
            remote = [place for place in places if is_remote(place)]
            name = job.snapshot.id
            with preset.on_cluster(flags, beam_arguments, name, remote) as arguments:
                return _run(job, arguments, None)
        return _run(job, [f"--runner={flags.runner}", *beam_arguments], None)
    except RunFailed:
        raise
    except Exception as error:
        raise run_failed(error) from error


def _local_runner():
    # By name: Beam's DirectRunner would try to download another runner first.
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    return FnApiRunner()


class _Options(PipelineOptions):
    """Options that keep their views. Beam asks for one at each transform, and would parse all
    arguments every time, which takes 0.3 s of a start.
    """

    def view_as(self, cls: type[_View]) -> _View:
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


def _run(job: Job, arguments: Sequence[str], runner) -> bool:
    """Whether the end was seen."""
    options = _Options(list(arguments))
    pipeline = beam.Pipeline(runner=runner, options=options)
    write_list(job.listed, job.files)
    build(pipeline, job)
    waits = not hands_over(options)
    if not waits or job.spread:  # where this process is killed, the job may go on elsewhere
        job.snapshot.note_hand_over()
    result = pipeline.run()
    page = dataflow.page_of(result, options)
    if page:
        say(page)
    try:
        if waits:
            result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()  # else the job, which is elsewhere, would go on
        raise
    except Exception as error:
        if _has_ended(result):
            raise
        where = page.rpartition(" ")[2] or "the pages of its runner"
        raise OutOfSight(
            f"the job is out of sight ({explanation(error)}), and may go on: look at {where}. Where"
            f" it does, {job.snapshot.folder} will be there; where it does not, this removes its"
            f" rest: {command('snapshots', 'prune', job.snapshot.output.folder, '--handed_over')}"
        ) from error
    return waits


def _has_ended(result: PipelineResult) -> bool:
    with contextlib.suppress(Exception):  # each runner has its own
        return PipelineState.is_terminal(result.state)
    return False
