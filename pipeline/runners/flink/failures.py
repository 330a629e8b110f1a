"""Why a job failed, in a sentence: what Flink says of it is Java's stack traces around Python's."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from corpusvec.pipeline.runners.failures import (
    RunFailed,
    explanation,
    kind_and_message,
    run_failed,
)
from corpusvec.pipeline.runners.flink import rest
from corpusvec.pipeline.runners.workers import OTHER_VERSIONS, REMEDY, versions

# Of the input, the model and the disk, which are no other the next time.
_LASTING = ("BrokenInput", "ChangedInput", "BrokenModel", "BrokenOutput")

_FROM_WORKER = re.compile(
    r"Error received from SDK harness for instruction \S+?: (?P<error>.*?)(?=\n\s*at |\Z)",
    re.DOTALL,
)
_NO_PROGRAM = re.compile(
    r'Cannot run program "(?P<program>[^"]*)"[^\n]*?(?:error=\d+, )(?P<why>[^\n]*)'
)
_GONE = re.compile(r"CANCELLED: (client cancelled|call already cancelled)|InterruptedException")
_ENDED = re.compile(r"Process died with exit code (?P<code>-?\d+)")
_CAUSE = re.compile(r"^(?:Caused by: )?(?P<kind>[\w.$]+): (?P<message>[^\n]+)", re.MULTILINE)


def failed(address: str, job: str, error: BaseException, logs: str) -> RunFailed:
    """The error to raise: it says what failed, and where the details are."""
    try:
        told = rest.cause(address, job) or str(error)
    except (OSError, ValueError, KeyError):
        return RunFailed(f"the JobManager at {address} is gone; see {logs}")
    if found := _FROM_WORKER.search(told):
        return run_failed(RuntimeError(found["error"]))
    return RunFailed(sentence(told, logs))


def sentence(told: str, logs: str) -> str:
    """The one sentence of Java's stack traces."""
    if found := _FROM_WORKER.search(told):
        return explanation(RuntimeError(found["error"]))
    if found := _NO_PROGRAM.search(told):
        return (
            f"{found['program']}: the worker does not start on a TaskManager ({found['why']});"
            " --environment_config names another"
        )
    if found := _ENDED.search(told):
        if int(found["code"]) == OTHER_VERSIONS:
            return _refusal(f"{logs}/workers.log")
        return f"a worker ended with code {found['code']}; see {logs}/workers.log"
    if _GONE.search(told):
        return f"a worker ended in the middle of its work; see {logs}"
    if "StatusCode.UNAVAILABLE" in told:
        return f"the job server is gone; see {logs}"
    if "NoResourceAvailableException" in told:
        return f"the cluster has not as many free slots as the job wants; see {logs}"
    if causes := _CAUSE.findall(told):
        kind, message = causes[-1]
        return f"{kind.rpartition('.')[2]}: {message}; see {logs}"
    return f"{told.splitlines()[0] if told else 'the job failed'}; see {logs}"


def is_permanent(told: str) -> bool:
    """Whether a job that failed so would fail so again; a store may answer the next time, and a
    worker that died is started again.
    """
    if (found := _FROM_WORKER.search(told)) is None:
        return False
    kind, message = kind_and_message(RuntimeError(found["error"]))
    if "://" in message.split(": ")[0]:
        return False
    return kind in _LASTING or (kind == "ValueError" and message.startswith("--"))


def _refusal(log: str) -> str:
    """What a worker of this machine said last; others' logs are not here."""
    with contextlib.suppress(OSError, IndexError):
        said = Path(log).read_text(errors="replace").splitlines()
        return [line for line in said if line.endswith(REMEDY)][-1]
    return f"a worker has not {versions()}, as the client has; {REMEDY}"
