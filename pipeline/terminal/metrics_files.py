"""What a monitor wants to know of a run, in Prometheus' text format: a file for the textfile
collector of its node_exporter.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from corpusvec.pipeline import __version__
from corpusvec.pipeline.flags.parsing import UsageError, value_of
from corpusvec.pipeline.terminal.logs import say, warning
from corpusvec.transforms.measures import names

_LAST_SUCCESS = "last_success_timestamp_seconds"


class _Sample(NamedTuple):
    """A value; samples of one name follow each other."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = {}


class MetricsFile:
    """The file that `--metrics_file` of a command line names: written when its run has ended,
    however it did. `manifest` is that of the snapshot, once there is one.
    """

    def __init__(self, arguments: Sequence[str]):
        self.started = time.time()
        self.manifest: Mapping[str, Any] | None = None
        # Not of parsed flags: a command line that cannot be read is a run that failed.
        path = value_of("metrics_file", arguments)
        self._path = os.path.expanduser(path) if path is not None else None
        self._output = _place(value_of("output", arguments) or "")

    def check(self, beam_arguments: Sequence[str]) -> None:
        """Raises `UsageError` where it could not be written at the end."""
        if self._path is None:
            return
        path, self._path = self._path, None  # what is refused is not written to
        where = f"--metrics_file={path}"
        if "://" in path or not path.strip() or os.path.isdir(path):
            raise UsageError(f"{where}: name a file on this machine, as /var/lib/metrics/a.prom")
        if "--no_wait_until_finish" in beam_arguments:
            raise UsageError(
                f"{where}: is written when the run has ended, which --no_wait_until_finish does not"
                " wait for; omit one of them"
            )
        try:
            with open(_beside(path), "w"):
                pass
            os.remove(_beside(path))
        except OSError as error:
            raise UsageError(
                f"{where}: cannot be written ({error.strerror}); make its folder, or name another"
            ) from error
        self._path = path

    def write(self, code: int) -> None:
        """After the run. A file that cannot be written is a warning: what was published is."""
        if self._path is None:
            return
        try:
            with open(_beside(self._path), "w", encoding="utf-8") as stream:
                stream.write(self._text(code))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(_beside(self._path), self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.remove(_beside(self._path))
            say(warning(f"--metrics_file={self._path}: cannot be written ({error.strerror})"))

    def _text(self, code: int) -> str:
        lines: list[str] = []
        told = ""
        for sample in self._samples(code):
            name = f"corpusvec_{sample.name}"
            if name != told:
                lines += [f"# HELP {name} {sample.help}.", f"# TYPE {name} gauge"]
                told = name
            lines.append(f"{self._series(sample)} {sample.value!r}")
        return "".join(f"{line}\n" for line in lines)

    def _series(self, sample: _Sample) -> str:
        labels = {"output": self._output, **sample.labels}
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        return f"corpusvec_{sample.name}{{{pairs}}}"

    def _samples(self, code: int) -> Iterator[_Sample]:
        now = time.time()
        yield _Sample("run_success", "Whether the run ended with exit code 0", int(code == 0))
        yield _Sample("run_exit_code", "Exit code of the run", code)
        yield _Sample("run_started_timestamp_seconds", "When the run began", self.started)
        yield _Sample("run_finished_timestamp_seconds", "When the run ended", now)
        yield _Sample("run_duration_seconds", "What the run took", now - self.started)
        success = _Sample(_LAST_SUCCESS, "When a run last ended with exit code 0", now)
        before = now if code == 0 else self._before(success)
        if before is not None:
            yield success._replace(value=before)
        manifest = self.manifest or {}
        labels = {"version": __version__}
        if manifest:
            labels["fingerprint"] = manifest["run"]["fingerprint"]
            libraries = {n: v for n, v in manifest["versions"].items() if n != "corpusvec"}
            labels |= {name.replace("-", "_"): version for name, version in libraries.items()}
        yield _Sample("info", "What ran: the program, its libraries, its settings", 1, labels)
        if manifest:
            yield from _of_snapshot(manifest)

    def _before(self, sample: _Sample) -> float | None:
        """What the file says of the runs before this one."""
        series = f"{self._series(sample)} "
        with contextlib.suppress(OSError, ValueError), open(self._path or "", "rb") as stream:
            for line in stream.read().decode().splitlines():
                if line.startswith(series):
                    return float(line.removeprefix(series))
        return None


def _of_snapshot(manifest: Mapping[str, Any]) -> Iterator[_Sample]:
    counts = manifest["counts"]
    for name, what in names.COUNTS.items():
        if name in counts:
            yield _Sample(name, what, counts[name])
    for stage, time_of in zip(names.STAGES, names.TIMES):
        if (took := counts.get(time_of)) is not None:
            what = "What each stage took, processes and streams summed"
            yield _Sample("stage_seconds", what, took / 1000, {"stage": stage})
    for table, size in manifest["bytes"].items():
        yield _Sample("bytes", "Size of each table of the snapshot", size, {"table": table})
    yield _Sample("input_bytes", "Size of the input files", manifest["input"]["bytes"])
    yield _Sample("input_files", "Input files", manifest["input"]["files"])
    if (age := manifest["input"].get("age_seconds")) is not None:
        yield _Sample("input_age_seconds", "Age of the input when the run began", age)
    same = manifest["input"].get("unchanged", {"snapshots": 0})["snapshots"]
    what = "Snapshots in a row, this one included, in which nothing is new"
    yield _Sample("input_unchanged_snapshots", what, same)
    peak = counts[names.PEAK_MEMORY]
    yield _Sample(names.PEAK_MEMORY, "The most memory that one process of the run held", peak)


def _place(output: str) -> str:
    """An output folder by a name that it has from everywhere on this machine."""
    return output if not output or "://" in output else os.path.abspath(os.path.expanduser(output))


def _beside(path: str) -> str:
    """A file of this process in the same folder; node_exporter reads only names in `.prom`."""
    return f"{path}.{os.getpid()}.new"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
