"""Beam's own options: which there are, and what is asked of its runners. Beam takes a second to
import, so that waits until something is asked.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpusvec.pipeline.flags.parsing import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL, FLINK = "local", "flink"


def check_runner(flags: argparse.Namespace) -> None:
    """Raises `ValueError` for a runner that Beam does not have."""
    from apache_beam.runners import create_runner

    if flags.flink_endpoint and flags.runner != FLINK:
        raise ValueError("--flink_endpoint: is for --runner=flink")
    if flags.runner not in (LOCAL, FLINK):
        try:
            create_runner(flags.runner)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"--runner={flags.runner}: use local, flink, dataflow, or a runner of Beam. {error}"
            ) from error


def hands_over(options: PipelineOptions) -> bool:
    """Whether nobody waits for the job's end."""
    from apache_beam.options.pipeline_options import StandardOptions

    return bool(options.view_as(StandardOptions).no_wait_until_finish)


def open_file_systems(beam_arguments: Sequence[str]) -> None:
    """Let Beam's options, as `--s3_endpoint_url`, count for what is read and written before and
    after the run.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(beam_arguments)))


def refuse_misread(beam_arguments: Sequence[str]) -> None:
    """Raises `UsageError` where Beam cannot read the value of an option: it would print how it is
    used, and leave the program.
    """
    if not beam_arguments:
        return
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            PipelineOptions(list(beam_arguments)).get_all_options()
    except SystemExit as error:
        why = said.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"{why.removeprefix('argument ')} (see --help)") from error


def beam_flags() -> set[str]:
    """The names of Beam's own options, of all that are installed."""
    from apache_beam.options.pipeline_options import PipelineOptions

    flags: set[str] = set()
    classes = [PipelineOptions]
    while classes:
        current = classes.pop()
        classes += current.__subclasses__()
        if "_add_argparse_args" in vars(current):
            parser = argparse.ArgumentParser(
                add_help=False, allow_abbrev=False, conflict_handler="resolve"
            )
            current._add_argparse_args(parser)
            flags |= {name for action in parser._actions for name in action.option_strings}
    return flags
