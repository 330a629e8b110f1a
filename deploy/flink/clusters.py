"""A Flink cluster on this machine: `cluster.sh up`, `down`, `status`.

One JobManager, TaskManagers that start the Python workers themselves, and Beam's job server, all on
the loopback interface. What runs is in `processes.json`; `endpoint.json` is there when all of it is
ready, and is what `--runner=flink` reads.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpusvec.pipeline.runners.flink import job_servers, rest
from corpusvec.pipeline.runners.flink.processes import (
    ENDPOINT,
    HERE,
    JARS,
    SMALL,
    ClusterError,
    Process,
    alive,
    cluster_folder,
    java,
    java_command,
    start,
    stop,
)
from corpusvec.transforms.storage import locks

LOOPBACK = "127.0.0.1"
_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_SMALL_TASK_MANAGER = ["-Xmx512m", "-XX:MaxDirectMemorySize=320m", "-XX:MaxMetaspaceSize=256m"]
_MEMORY = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.task.heap.size": "384m",
    "taskmanager.memory.task.off-heap.size": "128m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "128m",
    "taskmanager.memory.jvm-overhead.max": "128m",
}
_NAMES = {"jobmanager": "the JobManager", "jobserver": "the job server"}


def jars() -> None:
    """Let Maven fetch Flink and Beam's job server, and make the patches, if they are not there as
    they are wanted.
    """
    done, wanted = JARS.parent / "complete", _wanted()
    if _is(done, wanted):
        return
    maven = shutil.which("mvn")
    if not maven:
        raise ClusterError(f"mvn: is not in PATH; Maven fetches what {HERE}/pom.xml names")
    with _sole_owner(JARS.parent):
        if not _is(done, wanted):
            _fetch(maven)
            done.write_text(wanted)


def _wanted() -> str:
    """The digest of all that Maven is given."""
    files = [HERE / "pom.xml", *sorted((HERE / "src").rglob("*.java"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _is(done: Path, wanted: str) -> bool:
    return done.exists() and done.read_text() == wanted


def _fetch(maven: str) -> None:
    print("fetching Flink and Beam's job server (150 MB, once)", file=sys.stderr)
    run = subprocess.run(
        [maven, "--quiet", "--batch-mode", f"--file={HERE}/pom.xml", "package"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode:
        lines = [line for line in run.stdout.splitlines() if "ERROR" in line] or ["no message"]
        raise ClusterError(f"mvn: could not fetch {HERE}/pom.xml: {lines[0]}")


def up(asked: argparse.Namespace) -> str:
    """Start a cluster, or of one that lost a piece that piece -> what to say. What was started is
    taken down again where not all of it gets ready.
    """
    place = cluster_folder()
    before = _processes(place)
    gone = [name for name, process in before.items() if not alive(process)]
    if before and not gone and (place / ENDPOINT).exists():
        return f"is up already{_other_size(place, asked)}; {_told(place)}"
    if before and (place / ENDPOINT).exists():
        return _mend(place, before, gone, asked.start_timeout)
    down()
    java()
    jars()
    port = _free_port(asked.rest_port)
    _configure(place, port, asked.slots)
    names = ["jobmanager", *(f"taskmanager-{n + 1}" for n in range(asked.task_managers))]
    try:
        _start(place, [*names, "jobserver"], f"{LOOPBACK}:{port}", {})
        size = (asked.task_managers, asked.task_managers * asked.slots)
        _await(place, f"{LOOPBACK}:{port}", size, asked.start_timeout)
    except BaseException:
        down()
        raise
    return f"is up: {_told(place)}"


def _mend(place: Path, before: Mapping[str, Process], gone: Sequence[str], seconds: float) -> str:
    about = json.loads((place / ENDPOINT).read_text())
    stop([before[name] for name in gone])
    for name in gone:
        with contextlib.suppress(FileNotFoundError):
            _log(place, name).replace(_log(place, f"{name}.before"))
    kept = {name: process for name, process in before.items() if name not in gone}
    try:
        _start(place, gone, about["rest"], kept)
        _await(place, about["rest"], (about["task_managers"], about["slots"]), seconds)
    except BaseException:
        stop([process for name, process in _processes(place).items() if name in gone])
        raise
    return f"had lost {', '.join(gone)}, and is whole again: {_told(place)}"


def _start(place: Path, names: Sequence[str], master: str, kept: Mapping[str, Process]) -> None:
    """Each process is written down before the next is started."""
    running = dict(kept)
    for name in names:
        temporary = place / "tmp" / name
        temporary.mkdir(parents=True, exist_ok=True)
        command = _command(place, name, temporary, master)
        running[name] = start(command, _log(place, name), place / "conf")
        ids = {name: asdict(process) for name, process in running.items()}
        _write_whole(place / "processes.json", ids)


def _command(place: Path, name: str, temporary: Path, master: str) -> list[str]:
    configured = ["--configDir", str(place / "conf")]
    if name == "jobmanager":
        return java_command(_JOB_MANAGER, configured, SMALL, temporary)
    if name == "jobserver":
        return job_servers.command(master, temporary, "-Dcorpusvec.jars.are.there=true")
    settings = _MEMORY | {
        "taskmanager.resource-id": name,
        "io.tmp.dirs": str(temporary),
        "process.taskmanager.working-dir": str(temporary / "work"),
    }
    defined = [word for key, value in settings.items() for word in ("-D", f"{key}={value}")]
    return java_command(_TASK_MANAGER, [*configured, *defined], _SMALL_TASK_MANAGER, temporary)


def _await(place: Path, master: str, size: tuple[int, int], seconds: float) -> None:
    """Write down where all is, when it is ready, with so many TaskManagers and slots. Raises
    `ClusterError` where a process ends, or not all are ready in time.
    """
    deadline = time.monotonic() + seconds
    log = _log(place, "jobserver")
    pieces = (
        ("jobmanager", lambda: rest.overview(master) is not None),
        ("taskmanager", lambda: _size(rest.overview(master)) == size),
        ("jobserver", lambda: job_servers.endpoints(log) is not None),
    )
    for piece, ready in pieces:
        _await_piece(place, piece, ready, deadline, seconds)
    _write_endpoint(place, master)


def _await_piece(
    place: Path, piece: str, ready: Callable[[], bool], deadline: float, seconds: float
) -> None:
    while not ready():
        for name, process in _processes(place).items():
            if not alive(process):
                raise ClusterError(f"{_name(name)} ended at once; see {_log(place, name)}")
        if time.monotonic() > deadline:
            late = [name for name in _processes(place) if name.startswith(piece)]
            logs = ", ".join(str(_log(place, name)) for name in late)
            raise ClusterError(f"{_name(late[0])} is not ready after {seconds:g} s; see {logs}")
        time.sleep(0.2)


def _size(told: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return (told["taskmanagers"], told["slots-total"]) if told else None


def _write_endpoint(place: Path, master: str) -> None:
    where = job_servers.endpoints(_log(place, "jobserver"))
    told = rest.overview(master)
    if where is None or told is None:
        raise ClusterError(f"the cluster ended at once; see {place}/logs")
    about = {
        "rest": master,
        "job_endpoint": where[0],
        "artifact_endpoint": where[1],
        "task_managers": told["taskmanagers"],
        "slots": told["slots-total"],
        "flink": told["flink-version"],
        "logs": str(place / "logs"),
    }
    _write_whole(place / ENDPOINT, about)


def _write_whole(path: Path, about: Mapping[str, Any]) -> None:
    written = path.with_suffix(".new")
    written.write_text(json.dumps(about, indent=1))
    written.replace(path)


def down() -> str:
    """Stop all that runs, by its ids -> what to say."""
    place = cluster_folder()
    processes = _processes(place)
    (place / ENDPOINT).unlink(missing_ok=True)
    stop(list(processes.values()))
    (place / "processes.json").unlink(missing_ok=True)
    shutil.rmtree(place / "tmp", ignore_errors=True)
    return "is down" if processes else "was not up"


def status() -> str:
    """What to say of it. Raises `ClusterError` where it is not whole."""
    place = cluster_folder()
    processes = _processes(place)
    if not processes:
        raise ClusterError("the cluster is not up")
    if gone := [name for name, process in processes.items() if not alive(process)]:
        raise ClusterError(f"{', '.join(gone)}: ended; see {place}/logs, and then `up` or `down`")
    if not (place / ENDPOINT).exists():
        raise ClusterError("the cluster is starting")
    return f"is up: {_told(place)}"


def _other_size(place: Path, asked: argparse.Namespace) -> str:
    about = json.loads((place / ENDPOINT).read_text())
    size = (asked.task_managers, asked.task_managers * asked.slots)
    if size == (about["task_managers"], about["slots"]):
        return ""
    return ", of another size than is asked for (`down` takes it down)"


def _told(place: Path) -> str:
    about = json.loads((place / ENDPOINT).read_text())
    slots = f"{about['task_managers']} TaskManagers, {about['slots']} slots"
    return f"Flink {about['flink']}, {slots}, http://{about['rest']}, logs in {about['logs']}"


def _processes(place: Path) -> dict[str, Process]:
    try:
        ids = json.loads((place / "processes.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: Process(**process) for name, process in ids.items()}


def _log(place: Path, name: str) -> Path:
    logs = place / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return logs / f"{name}.log"


def _name(process: str) -> str:
    return _NAMES.get(process, f"{process} ")


def _configure(place: Path, rest_port: int, slots: int) -> None:
    """Into `conf` in a folder, whose logs and temporary files of an earlier cluster go."""
    for name in ("conf", "logs", "tmp"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir(parents=True)
    settings = {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": _free_port(),
        "jobmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": rest_port,
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.numberOfTaskSlots": slots,
        "cluster.evenly-spread-out-slots": True,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 3,
        # By then a worker that died is no longer kept for the next stage.
        "restart-strategy.fixed-delay.delay": "8 s",
        # A TaskManager that is gone is noticed in 20 seconds, and waited for a minute.
        "heartbeat.interval": 4000,
        "heartbeat.timeout": 20000,
        "slot.request.timeout": 60000,
        # A step that gives several results needs so many buffers for each; 512 would be too many.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        # A group, of texts that are alike or of rows of a file, may be larger than a sort buffer.
        "taskmanager.runtime.large-record-handler": True,
        # The job server sends Beam's classes along; those that are here need no second loading.
        "classloader.resolve-order": "parent-first",
        "web.submit.enable": False,
    }
    lines = [f"{key}: {str(value).lower()}\n" for key, value in settings.items()]
    (place / "conf" / "flink-conf.yaml").write_text("".join(lines))


@contextlib.contextmanager
def _sole_owner(folder: Path) -> Iterator[None]:
    """Only one program at a time works in a folder: another waits. Raises `ClusterError`."""
    path = str(folder / ".lock")

    def say() -> None:
        print(f"another cluster.sh is at work in {folder}; waiting for it", file=sys.stderr)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = locks.wait_for(path, say)
    except OSError as error:
        raise ClusterError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        locks.free(path, lock)


def _free_port(wanted: int = 0) -> int:
    """A port on the loopback interface; raises `ClusterError` where the one wanted is taken."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, wanted))
        except OSError as error:
            raise ClusterError(
                f"port {wanted}: is taken; name another, or none, for a free one"
            ) from error
        return server.getsockname()[1]


def main() -> int:
    """The command line of `cluster.sh`."""
    parser = argparse.ArgumentParser(prog="cluster.sh", allow_abbrev=False, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    flags = commands.add_parser("up")
    flags.add_argument("--task_managers", type=int, default=2)
    flags.add_argument("--slots", type=int, default=1, help="of each TaskManager")
    flags.add_argument("--rest_port", type=int, default=0, help="of the JobManager (0: a free one)")
    flags.add_argument("--start_timeout", type=float, default=120.0, metavar="SECONDS")
    for name in ("down", "status", "jars"):
        commands.add_parser(name)
    asked = parser.parse_args()
    try:
        if asked.command == "jars":
            jars()
        elif asked.command == "status":
            print(f"the cluster {status()}")
        else:
            with _sole_owner(cluster_folder()):
                print(f"the cluster {up(asked) if asked.command == 'up' else down()}")
    except ClusterError as error:
        print(f"cluster.sh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
