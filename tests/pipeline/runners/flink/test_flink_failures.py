"""Broken on purpose on Flink: what fails once costs time only; what fails for good is one line, and
leaves the last snapshot as it was.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import (
    assert_every_text_once,
    assert_one_line,
    counts,
    embed,
    embedding,
    latest,
    manifest,
    program,
    table,
)
from tests.models import TEXTS

pytestmark = pytest.mark.flink

# A worker whose first file of sentences is whole, and its bundle not yet done, when it ends.
ENDS_ONCE = """
import os, signal, sys
os.environ["WORKER_ID"] = next(word[5:] for word in sys.argv if word.startswith("--id="))
from corpusvec.transforms.snapshots import tables
close = tables._Parquet.close
def close_and_end(file):
    written = close(file)
    if written.table == "sentences":
        try:
            with open({note!r}, "x") as note:
                note.write(written.path)
        except FileExistsError:
            return written
        {end}
    return written
tables._Parquet.close = close_and_end
from corpusvec.pipeline.runners.workers import main
raise SystemExit(main())
"""
ENDS = {
    "its bundle fails": "raise RuntimeError('once')",
    "it dies": "os.kill(os.getpid(), signal.SIGKILL)",
}


# A worker that is slow, and ends for good in the middle of what waits for it.
ENDS_EARLY = """
import os, signal, sys, time
os.environ["WORKER_ID"] = next(word[5:] for word in sys.argv if word.startswith("--id="))
from corpusvec.transforms import gather
batch, seen = gather._GatherFn._batch, []
def slow(stage):
    if not os.path.exists({note!r}):
        time.sleep(0.2)
        seen.append(stage)
        if len(seen) == 40:
            open({note!r}, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
    return batch(stage)
gather._GatherFn._batch = slow
from corpusvec.pipeline.runners.workers import main
raise SystemExit(main())
"""


def lines(folder: Path, times: int) -> Path:
    source = folder / "a.txt"
    source.write_text("\n".join(f"{text} {n}" for n, text in enumerate(TEXTS * times)))
    return source


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_bundle_done_again_after_its_file_was_written(cluster, tiny, tmp_path, end):
    """The file of the first time is nobody's, and goes."""
    note, output = tmp_path / "note", tmp_path / "out"
    worker = program(tmp_path, ENDS_ONCE.format(note=str(note), end=end))
    flags = ("--runner=flink", "--layers=-1", f"--environment_config={worker}")
    code, said = embed(cluster, tiny, lines(tmp_path, 40), output, *flags)
    assert code == 0, said
    assert note.read_text().startswith("sentences/")
    assert note.read_text() not in {file["path"] for file in manifest(output)["files"]}
    assert_every_text_once(output, 40 * len(TEXTS))


@pytest.mark.slow
def test_a_worker_that_dies_while_data_waits_for_it(cluster, tiny, tmp_path):
    """More than Beam sends without looking for room: its task waits, and nobody wakes it."""
    note, output, source = tmp_path / "note", tmp_path / "out", tmp_path / "large.txt"
    count, long = 5_000, f"{TEXTS[0]} " * 9_000
    with source.open("w") as file:
        file.writelines(f"{n} {long[:100_000]}\n" for n in range(count))
    worker = program(tmp_path, ENDS_EARLY.format(note=str(note)))
    flags = ("--runner=flink", "--parallelism=1", "--long_text=truncate")
    code, said = embed(cluster, tiny, source, output, *flags, f"--environment_config={worker}")
    assert code == 0, said
    assert note.exists()
    assert "begins again: a worker ended in the middle of its work" in said
    assert counts(output)["documents"] == count


def assert_failed_for_good(cluster, output: Path, said: str, *parts: str) -> None:
    """In one line; nothing of the run is left, neither on the cluster nor in the output, where the
    first snapshot is as it was.
    """
    running, *progress, line = said.splitlines()
    assert running.startswith("running on Flink")
    assert not [
        said for said in progress if not said.endswith((" yet", " encoding", " tokens", "tokens/s"))
    ]
    assert_one_line(line, *parts)
    assert list(cluster.jobs().values())[-1] == "CANCELED"  # and not tried three times more
    assert set(cluster.jobs().values()) <= {"CANCELED", "FINISHED", "FAILED"}
    assert list((output / "snapshots").iterdir()) == [latest(output)]
    assert len(table(output, "sentences")) == 14


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_last_snapshot_stays(cluster, tiny, small_disk, tmp_path):
    output, source = small_disk / "out", lines(tmp_path, 1)
    assert embed(cluster, tiny, source, output, "--layers=-1")[0] == 0
    before = latest(output)
    (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free - (64 << 10)))
    flags = ("--runner=flink", "--layers=-1")
    started = time.monotonic()
    code, said = embed(cluster, tiny, lines(tmp_path, 400), output, *flags)
    assert code == 1, said
    assert time.monotonic() - started < 120
    parts = (
        f"{output}/snapshots/",
        "(No space left on device); make room (`",
        "snapshots prune` removes old snapshots)",
    )
    assert_failed_for_good(cluster, output, said, *parts)
    assert latest(output) == before


VANISH = {
    "all of it": (shutil.rmtree, ": is not on ", "where a worker of the run is; put it there too"),
    "its weights": (lambda model: (model / "model.safetensors").unlink(), "model.safetensors"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("vanish", "parts"), [(v[0], v[1:]) for v in VANISH.values()], ids=VANISH)
def test_a_model_that_vanishes_before_workers_load_it(cluster, tiny, tmp_path, vanish, parts):
    output, source, model = tmp_path / "out", lines(tmp_path, 1), tmp_path / "model"
    shutil.copytree(tiny, model)
    assert embed(cluster, model, source, output)[0] == 0
    before, started = latest(output), time.monotonic()
    with embedding(cluster, model, source, output, "--runner=flink", "--full") as process:
        said = process.stderr.readline()  # that the job begins, after workers were seen to work
        vanish(model)
        said += process.communicate(timeout=300)[1]
    assert process.returncode == 1, said
    assert time.monotonic() - started < 120
    assert_failed_for_good(cluster, output, said, f"--model={model}", *parts)
    assert latest(output) == before
