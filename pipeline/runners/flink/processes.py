"""Java processes on this machine: each in a group of its own, with what it starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENDPOINT = "endpoint.json"  # where all of a cluster is, once it is ready
HERE = Path(__file__).resolve().parents[3] / "deploy" / "flink"
JARS, PATCHES = HERE / "target" / "lib", HERE / "target" / "patches.jar"
# Small: TensorFlow needs the machine's memory more than Flink does.
SMALL = ["-Xmx384m", "-XX:MaxMetaspaceSize=256m"]
# What Flink and Beam look into, which Java 17 keeps closed.
_OPENED = (
    *("lang", "lang.reflect", "net", "io", "nio", "text", "time"),
    *("util", "util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
)
_OPEN = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
]
_POLITE_SECONDS = 10.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, of Linux

# Kept, for Python warns of a child that is forgotten.
_children: list[subprocess.Popen] = []


def cluster_folder() -> Path:
    """Where the logs, ids and addresses of a cluster on this machine are."""
    return Path(os.environ.get("CORPUSVEC_FLINK") or HERE / "run").absolute()


class ClusterError(RuntimeError):
    """What is missing or does not start; the message is for a user."""


@dataclass(frozen=True, slots=True)
class Process:
    """The id of a process, and a part of its command line that no other has: ids are used again."""

    pid: int
    mark: str


def java() -> str:
    """The program. Raises `ClusterError` where there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not found:
        where = f"in JAVA_HOME, {home}" if home else "in PATH"
        raise ClusterError(f"java: is not {where}; Flink needs a Java 11 or 17")
    return found


def java_command(
    main: str, arguments: Sequence[str], memory: Sequence[str], temporary: Path
) -> list[str]:
    """Raises `ClusterError` where Java or the jars are missing."""
    program = java()
    if not JARS.is_dir():
        raise ClusterError(f"{JARS}: Flink is not there; {HERE}/cluster.sh jars fetches it")
    path = f"{PATCHES}:{JARS}/*"
    return [program, _mark(temporary), *memory, *_OPEN, "-cp", path, main, *arguments]


def _mark(temporary: Path) -> str:
    return f"-Djava.io.tmpdir={temporary}"


def start(command: Sequence[str], log: Path, conf: Path, with_parent: bool = False) -> Process:
    """A process that outlives this one, unless it is to end `with_parent`; it says all to `log`."""
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=_end_with_parent if with_parent else None,
            env=os.environ | {"FLINK_CONF_DIR": str(conf)},
        )
    _children.append(process)
    return Process(process.pid, command[1])


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def alive(process: Process) -> bool:
    """Whether it runs, and is the one that was started."""
    return any(pid == process.pid and process.mark in said for pid, _, said in _living())


def stop(processes: Sequence[Process]) -> None:
    """End them and what they started, politely first; returns when they are gone."""
    if not processes:
        return
    deadline = time.monotonic() + _POLITE_SECONDS
    number = signal.SIGTERM
    while groups := _groups(processes):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        time.sleep(0.2)
        if time.monotonic() > deadline:
            number = signal.SIGKILL


def _groups(processes: Sequence[Process]) -> set[int]:
    """The groups of which something runs. Another process may have the id of one that is gone, but
    then it leads the group.
    """
    living = _living()
    leaders = {pid: said for pid, _, said in living}
    running = {group for _, group, _ in living}
    ours = (process for process in processes if process.pid in running)
    return {own.pid for own in ours if own.mark in leaders.get(own.pid, own.mark)}


def _living() -> list[tuple[int, int, str]]:
    """Process, its group, and its command line, of all that run."""
    command = ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,args="]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 3) for line in told.splitlines())
    return [(int(pid), int(group), said) for pid, group, stat, said in rows if stat[0] != "Z"]


def answers(endpoint: str, seconds: float = 2.0) -> bool:
    """Whether something listens there."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError:
        return False
    return True
