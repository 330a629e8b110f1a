"""How a cluster on this machine is configured."""

from __future__ import annotations

import shutil
from pathlib import Path

from corpusvec.pipeline.runners.flink.processes import LOOPBACK, free_port


def write_configuration(place: Path, rest_port: int, slots: int) -> None:
    """Into `conf` in a folder, whose logs and temporary files of an earlier cluster go."""
    for name in ("conf", "logs", "tmp"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir(parents=True)
    settings = {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": free_port(),
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
        # The job server sends Beam's classes along; those that are here need no second loading.
        "classloader.resolve-order": "parent-first",
        "web.submit.enable": False,
    }
    lines = [f"{key}: {str(value).lower()}\n" for key, value in settings.items()]
    (place / "conf" / "flink-conf.yaml").write_text("".join(lines))
