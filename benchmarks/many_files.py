"""As many files as documents: what each takes does not grow with their number, here or on a store.
The encoder takes no time, so that it is the program's own work.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from benchmarks import null
from benchmarks.memory import write_lines
from benchmarks.plans import Plan
from benchmarks.rows import Row, at_most, not_measured

_FEWEST = 1_000  # files; ten times as many, and a hundred times
_OBJECTS = 100  # of a store, alike
_A_FOLDER = 1_000  # files
_MOST = 1.25
_VECTORS = "--vectors=vector=pooler"
_BUCKET = "many"
_SECRETS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def measure(plan: Plan) -> list[Row]:
    """Files of one line each, in folders of a disk and as objects of a server of S3's protocol."""
    numbers = [10**n * plan.scaled(_FEWEST) for n in range(3)]
    runs = [_embed(plan, f"{_write(plan.folder / f'{n} files', n)}/*/*.txt") for n in numbers]
    return [*_rows("files of one line", numbers, runs), *_on_a_store(plan)]


def _embed(plan: Plan, pattern: str) -> null.Took:
    shutil.rmtree(plan.folder / "out", ignore_errors=True)
    return null.embed(plan, pattern, _VECTORS)


def _rows(what: str, numbers: Sequence[int], runs: Sequence[null.Took]) -> list[Row]:
    """Start-up, which they have in common, is left out of the time of a file."""
    few, some, many = numbers
    one, two, three = (run.program for run in runs)
    fewer, more = (two - one) / (some - few), (three - two) / (many - some)
    less, most = (run.MiB for run in runs[1:])
    return [
        at_most(
            f"{what}, null encoder: processor time of each, up to {some:,}; up to {many:,}; ratio",
            f"{1e6 * fewer:,.0f} µs; {1e6 * more:,.0f} µs; {more / fewer:.2f}",
            more / fewer,
            _MOST,
        ),
        at_most(
            f"{what}, null encoder: peak memory of {some:,}; {many:,}; ratio",
            f"{less:,.0f} MiB; {most:,.0f} MiB; {most / less:.2f}",
            most / less,
            _MOST,
        ),
    ]


def _write(folder: Path, n: int) -> Path:
    for number, line in enumerate(_lines(folder, n)):
        path = folder / f"{number // _A_FOLDER}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{line}\n")
    return folder


def _lines(folder: Path, n: int) -> list[str]:
    return write_lines(folder.with_suffix(".lines"), n).read_text().splitlines()


def _on_a_store(plan: Plan) -> list[Row]:
    numbers = [10**n * plan.scaled(_OBJECTS) for n in range(3)]
    what = "objects of one line"
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("boto3") is None:
        return [not_measured(what, f"≤ {_MOST:g}", "needs moto[server] and boto3")]
    with _store() as client:
        runs = []
        for n in numbers:
            for number, line in enumerate(_lines(plan.folder / f"{n} objects", n)):
                client.put_object(Bucket=_BUCKET, Key=f"{n}/{number}.txt", Body=line.encode())
            runs.append(_embed(plan, f"s3://{_BUCKET}/{n}/*.txt"))
    return _rows(what, numbers, runs)


@contextlib.contextmanager
def _store() -> Iterator:
    """A server of S3's protocol on this machine, found in the environment -> its client."""
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        with mock.patch.dict("os.environ", {**_SECRETS, "AWS_ENDPOINT_URL_S3": address}):
            _wait_for(port)
            client = boto3.client("s3")
            client.create_bucket(Bucket=_BUCKET)
            yield client
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
