"""The package as it travels: in an sdist that holds what it needs, and in an image."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from glob import glob
from pathlib import Path

import pytest

import corpusvec
from tests.conftest import ROOT
from tests.packages import built, pip

DOCKERFILE = (ROOT / "deploy" / "dataflow" / "Dockerfile").read_text("utf-8")
# Of the package as it is installed; `glob` follows the links that a checkout has there.
MODULES = {"corpusvec/py.typed"} | {
    f"corpusvec/{path}"
    for pattern in ("*.py", "pipeline/**/*.py", "transforms/**/*.py")
    for path in glob(pattern, root_dir=ROOT / "corpusvec", recursive=True)
}
# Without these pip asks an index for what is there already.
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation"]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return built("sdist", tmp_path_factory.mktemp("sdist"))


def test_the_sdist_holds_the_program_and_no_more(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "constraints.txt", "setup.py", "pyproject.toml"} <= names
    assert {name for name in names if name.endswith((".py", "py.typed"))} == MODULES | {"setup.py"}


def test_the_sdist_installs_and_runs_without_a_network(sdist, tmp_path):
    pip(*OFFLINE, "--target", tmp_path / "site", sdist)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [tmp_path / "site" / "bin" / "corpusvec", "--help"]
    helped = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert helped.returncode == 0, helped.stderr
    assert "embed a corpus" in helped.stdout
    script = "import corpusvec.transforms; print(corpusvec.__file__, corpusvec.transforms.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert where.stdout.count(str(tmp_path / "site")) == 2


def test_an_editable_install_has_no_other_name_either(tmp_path):
    """Without site, as the environment of the tests has this package too."""
    wheel = built("editable", tmp_path)
    pip("--no-index", "--no-deps", "--target", tmp_path / "site", wheel)
    script = (
        "import importlib.util, site, sys\n"
        "site.addsitedir(sys.argv.pop())\n"
        "import corpusvec.pipeline.cli\n"
        "print(corpusvec.__version__, corpusvec.pipeline.cli.__file__)\n"
        "print([importlib.util.find_spec(name) for name in ('pipeline', 'transforms', 'tests')])\n"
    )
    command = [sys.executable, "-IS", "-c", script, tmp_path / "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    place = tmp_path / "copy" / "corpusvec" / "pipeline" / "cli.py"
    assert done.stdout == f"{corpusvec.__version__} {place}\n[None, None, None]\n", done.stderr


# ---------------------------------------------------------------------------------------- image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, its build arguments put in."""
    joined = re.sub(r"\\\n", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    arguments: dict[str, str] = {}
    found = []
    for line in lines:
        word, _, rest = line.partition(" ")
        assert word in {"ARG", "FROM", "COPY", "RUN", "WORKDIR", "ENV", "ENTRYPOINT"}
        rest = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest)
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value or "registry/corpusvec:1"
        found.append((word, rest))
    return found


def values(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def test_the_image_has_the_tested_versions():
    worker, launcher, own = values("FROM")
    assert worker == f"apache/beam_python3.11_sdk:{pinned('apache-beam')} AS worker"
    assert "/python311-template-launcher-base:" in launcher
    assert own == "python:3.11-slim"
    asked = re.search(r'python_requires=">=([\d.]+)"', (ROOT / "setup.py").read_text("utf-8"))
    assert asked is not None
    assert tuple(int(part) for part in asked[1].split(".")) <= (3, 11)
    install = next(run for run in values("RUN") if "constraint" in run)
    extras = re.search(r"\.\[([\w,]+)\]", install)
    assert extras is not None
    known = (ROOT / "setup.py").read_text("utf-8")
    assert all(f'"{extra}": [' in known for extra in extras[1].split(","))


def test_the_image_starts_as_worker_and_as_launcher():
    copied = [shlex.split(rest) for rest in values("COPY") if "--from" in rest]
    assert [(parts[0], parts[2]) for parts in copied] == [
        ("--from=worker", "/opt/apache/beam"),
        ("--from=launcher", "/opt/google/dataflow/python_template_launcher"),
    ]
    assert values("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']
    variables = dict(rest.split("=", 1) for rest in values("ENV"))
    assert variables["FLEX_TEMPLATE_PYTHON_PY_FILE"] == "/template/main.py"
    assert instructions().index(("WORKDIR", "/template")) == (
        instructions().index(("COPY", "deploy/dataflow/main.py main.py")) - 1
    )
    assert variables["CORPUSVEC_IMAGE"] == "registry/corpusvec:1"


def test_the_program_and_the_image_agree_on_names():
    from corpusvec.pipeline.runners import dataflow, flex_templates

    assert f"ENV {dataflow.IMAGE}=" in DOCKERFILE
    assert any(rest.endswith(f" {dataflow.IN_IMAGE}model") for rest in values("COPY"))
    assert flex_templates._IN_IMAGE.startswith(dataflow.IN_IMAGE)


def test_what_is_copied_into_the_image_is_there_and_installs(tmp_path):
    """The Dockerfile's own steps, without network and dependencies."""
    allowed = (ROOT / "deploy" / "dataflow" / "Dockerfile.dockerignore").read_text().splitlines()
    folder, installed = tmp_path, 0
    for word, rest in instructions():
        if word == "WORKDIR":
            folder = tmp_path / rest.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            for source in sources:
                assert any(
                    source == line[1:] or source.startswith(f"{line[1:]}/") for line in allowed
                )
                place = (
                    (tmp_path / target.strip("/")) if target.startswith("/") else folder / target
                )
                copy(ROOT / source, place / source if len(sources) > 1 else place)
        elif word == "RUN":
            site = tmp_path / f"site{installed}"
            pip(*OFFLINE, "--target", site, ".", cwd=folder)
            installed += 1
    assert installed == 2
    dependencies = tmp_path / "site0"
    assert not (dependencies / "corpusvec" / "transforms").exists()
    assert {
        str(path.relative_to(tmp_path / "site1"))
        for path in (tmp_path / "site1").rglob("*")
        if path.suffix in (".py", ".typed")
    } == MODULES
    assert (tmp_path / "template" / "main.py").is_file()


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
