"""What tests share: the reference data, tiny models, and the program run in this process."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clusters import Cluster, cluster_sh, commands_with
from tests.models import checkpoint_folder, hugging_face_folder
from tests.packages import ROOT, RUNTIME, Installed, built

SHARED = ROOT.parent / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Property tests draw other examples in each run, and the same ones from the same seed."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = secrets.randbelow(1 << 32)


# Files whose tests share a cluster, or the environment that holds the wheel.
TOGETHER = (("/flink/",), ("test_docs.py", "test_installed.py", "test_package.py"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several processes (`-n 2`) one runs all tests of a file, and of such files."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            groups = (str(names) for names in TOGETHER if any(name in file for name in names))
            return next(groups, file)

    return Together(config, log)


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.option.hypothesis_seed
    return f"seed: {seed} (--hypothesis-seed={seed} draws the same examples)"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the reference data is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def minilm() -> str:
    folder = ROOT / "models" / "all-MiniLM-L6-v2"
    if not folder.is_dir():
        pytest.skip("the default model is not there; ./run_tests.sh fetches it")
    return str(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """A BERT of two layers of 16 dimensions, in a Hugging Face folder."""
    return str(hugging_face_folder(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(scope="session")
def tiny_japanese(tmp_path_factory) -> str:
    """A BERT of the same size as a TensorFlow 1 checkpoint with a SentencePiece model."""
    folder = tmp_path_factory.mktemp("tiny_japanese") / "model"
    return str(checkpoint_folder(folder, tokenizer="sentencepiece"))


@dataclass(frozen=True)
class Outcome:
    """What a call of the program left: exit code, what it printed, and its output folder."""

    code: int
    out: str
    err: str
    output: Path

    @property
    def latest(self) -> Path:
        return self.output / "snapshots" / (self.output / "LATEST").read_text().strip()

    def table(self, name: str, snapshot: Path | None = None) -> pa.Table:
        files = sorted(((snapshot or self.latest) / name).glob("*.parquet"))
        return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.fixture(scope="session")
def beam_looks_once() -> Iterator[None]:
    """Beam searches all methods of each DoFn for state, seven times in a run, which takes a quarter
    of a small one. Here it searches each class once.
    """
    from apache_beam.transforms import userstate

    look, found = userstate.get_dofn_specs, {}

    def looked(dofn):
        if type(dofn) not in found:
            found[type(dofn)] = look(dofn)
        return found[type(dofn)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(userstate, "get_dofn_specs", looked)
        yield


@pytest.fixture
def embed(tmp_path, capsys, beam_looks_once) -> Callable[..., Outcome]:
    """`embed(model, input, *flags)` runs the command in this process, into one output folder,
    whatever recipe that has.
    """
    from corpusvec.pipeline.cli import main

    output = tmp_path / "out"

    def run(model, source, *flags: str) -> Outcome:
        place = [f"--model={model}", f"--input={source}", f"--output={output}"]
        code = main(["embed", *place, "--new_recipe", *flags])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err, output)

    return run


@pytest.fixture
def program() -> Iterator[None]:
    """What the library logs is on stderr as the program says it."""
    from corpusvec.pipeline.terminal import logs

    with logs.written(as_json=False):
        yield


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    """The wheel of this tree, in an environment with what it needs and nothing else."""
    if not any(RUNTIME.glob(".installed-*")):
        pytest.skip("the environment is not there; ./run_tests.sh makes it")
    return Installed.from_wheel(built("wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="session")
def jars() -> None:
    """Java, and what Maven fetches."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not here")
    if (fetched := cluster_sh("jars")).returncode:
        pytest.skip(fetched.stderr.strip())


@pytest.fixture(scope="session")
def cluster(jars, tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("flink")
    started = cluster_sh("up", CORPUSVEC_FLINK=str(folder))
    try:
        assert started.returncode == 0, started.stderr
        yield Cluster(folder)
    finally:
        stopped = cluster_sh("down", CORPUSVEC_FLINK=str(folder))
        assert stopped.stdout == "the cluster is down\n", stopped
        assert not commands_with(str(folder))
