"""The command `embed`, from its flags to its exit code."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.runners.options import check_runner, open_file_systems, refuse_misread
from corpusvec.pipeline.terminal import logs
from corpusvec.pipeline.terminal.exits import DONE, INTERRUPTED, NOT_PUBLISHED, failed, say
from corpusvec.pipeline.terminal.metrics_files import MetricsFile

if TYPE_CHECKING:
    from corpusvec.pipeline.jobs import Job


def embed(flags: parsing.Typed) -> int:
    """Run it -> exit code. Raises what is to be said in one line."""
    metrics: MetricsFile = flags.metrics
    refuse_misread(flags.beam)
    parsing.refuse_contradictions(flags)
    from corpusvec.pipeline import jobs
    from corpusvec.pipeline.run import beam_arguments
    from corpusvec.pipeline.terminal import summaries

    check_runner(flags)
    rest = beam_arguments(flags, flags.beam)
    metrics.check(rest)
    open_file_systems(rest)
    job = None
    try:
        with _interruptible(), contextlib.ExitStack() as held:
            job = jobs.from_flags(flags, metrics.started, held)
            for line in summaries.forecast(job):
                logs.say(line)
            code = _run(job, metrics, flags, rest)
            if code == DONE and flags.keep is not None and metrics.manifest is not None:
                code = _prune(job, flags.keep)
        return code
    except KeyboardInterrupt:
        if job is None or job.snapshot.output.latest_now() != job.snapshot.id:
            raise
        told = f"interrupted, after {job.snapshot.folder} was published"
        return failed(told, INTERRUPTED, "interrupted", snapshot=job.snapshot.id)


def _run(job: Job, metrics: MetricsFile, flags: argparse.Namespace, rest: list[str]) -> int:
    from corpusvec.pipeline.outputs.prunings import remove_taken_up
    from corpusvec.pipeline.run import run
    from corpusvec.pipeline.runners.failures import OutOfSight
    from corpusvec.pipeline.terminal import summaries
    from corpusvec.transforms.snapshots.schemas import CHANGES, REJECTED

    snapshot, ended, interrupted = job.snapshot, True, False
    try:
        with _interruptible():
            snapshot.begin([*job.tables, REJECTED, CHANGES])
            ended = run(job, flags, rest)
    except KeyboardInterrupt:
        interrupted = True
        raise
    except OutOfSight:
        ended = False
        raise
    finally:
        # Not what a run leaves that failed: its disk may be full.
        if ended and snapshot.abandon(keep=interrupted):
            logs.say("what this run had completed is kept for the next one")
    if not ended:
        later = "; nothing is pruned until then" if flags.keep else ""
        say([f"handed over; {snapshot.folder} will be there when the job is done{later}"])
        return DONE
    metrics.manifest = manifest = snapshot.output.manifest(snapshot.id)
    published = snapshot.output.latest_now() == snapshot.id
    remove_taken_up(job)
    say(summaries.summary(snapshot, manifest, time.time() - metrics.started))
    if published:
        return DONE
    reason = summaries.not_published(snapshot, manifest, job.limits)
    return failed(f"corpusvec: {reason}", NOT_PUBLISHED, "not_published", snapshot=snapshot.id)


def _prune(job: Job, keep: int) -> int:
    """After a run has published -> its exit code. What fails here is a warning, whatever it is: the
    vectors are there, and the next run prunes again.

    The output is still claimed, else a run that waits for it could begin in between.
    """
    from corpusvec.pipeline.commands import snapshots

    snapshot = job.snapshot
    asked = {"keep": keep, "handed_over": False, "dry_run": False}
    try:
        with _interruptible():
            for claim in job.claims:
                claim.tell(snapshot.id, [])  # what was read for this run is not needed any more
            snapshots.prune(argparse.Namespace(**asked, output=snapshot.output.folder))
    except KeyboardInterrupt:
        told = f"interrupted while it pruned, after {snapshot.folder} was published"
        return failed(told, INTERRUPTED, "interrupted", snapshot=snapshot.id)
    except Exception as error:
        again = parsing.command("snapshots", "prune", snapshot.output.folder, f"--keep={keep}")
        why = (
            f"--keep={keep}: the run has succeeded, and old snapshots are still there"
            f" ({error}); to remove them, run: {again}"
        )
        logs.say(logs.warning(why))
    return DONE


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C, and a scheduler's SIGTERM, end the block with `KeyboardInterrupt`, also where Beam
    wraps it in its own.
    """
    interrupted, timers = False, []
    report = sys.unraisablehook

    def interrupt(signum, frame):
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever presses twice means it
        raise KeyboardInterrupt

    def passed_over(what):
        """Python passes over what is raised while it frees an object."""
        if what.exc_type is KeyboardInterrupt:
            main = threading.main_thread().ident
            timers.append(threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGTERM)))
            timers[-1].start()
        else:
            report(what)

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    sys.unraisablehook = passed_over
    try:
        yield
    except Exception as error:
        if interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        for timer in timers:
            timer.cancel()
            timer.join()
        for number, handler in before.items():
            signal.signal(number, handler)
