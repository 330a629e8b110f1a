"""Every command from the wheel, in an environment with what corpusvec needs to run and nothing
else: no package that only tests have, and no source tree.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import corpusvec
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.snapshots import Command
from tests.conftest import ROOT
from tests.models import TEXTS
from tests.packages import RUNTIME, Installed
from tests.pipeline.runners.test_start_worker import Runner, runner  # noqa: F401 - a fixture

# Imported where they are, or with a sentence that says how to install them.
OPTIONAL = {"botocore", "tensorflow_text", "bm25s", "lance", "mcp", "psycopg", "umap"}
PACKAGE = ROOT / "corpusvec"
SOURCES = [*PACKAGE.glob("*.py"), *PACKAGE.glob("pipeline/**/*.py")]
SOURCES += PACKAGE.glob("transforms/**/*.py")
EMBED = ["embed", "--input=notes.txt", "--output=out", "--model=model"]


def leaves(commands: Mapping[str, Command], *before: str) -> Iterator[str]:
    """The commands that do something: `snapshots list`, not `snapshots`."""
    for name, command in commands.items():
        if command.parts:
            yield from leaves(command.parts, *before, name)
        else:
            yield " ".join((*before, name))


@pytest.fixture(scope="module")
def made(installed: Installed, tiny: str, tmp_path_factory) -> Path:
    """A folder with a model and an output of three nights, of which the last was not published."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(tiny, folder / "model")
    nights = [*TEXTS], [*TEXTS[:-1]], [*TEXTS[:-1], "a NUL: \0"]
    for lines, code in zip(nights, (0, 0, 3)):
        (folder / "notes.txt").write_text("\n".join(lines))
        done = installed.run("corpusvec", *EMBED, "--layers=-1", cwd=folder)
        assert done.returncode == code, done.stderr
    (folder / "notes.txt").write_text("\n".join(nights[1]))
    (folder / "pairs.tsv").write_text("a cat ||| a dog\t3\nrain ||| noon\t1\n")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "place")


# What is typed ({newest}: the snapshot that was not published), and what comes back.
CASES: Mapping[str, tuple[list[str], str]] = {
    "embed": ([*EMBED, "--layers=-1"], "13 documents (0 embedded, 13 reused)"),
    "plan": (["plan", *EMBED[1:], "--workers=10"], "documents     13; 0 rejected"),
    "inspect a model": (["inspect", "model"], "to embed          corpusvec embed --model=model"),
    "inspect an output": (["inspect", "out"], "vector: float32[16]"),
    "inspect, for programs": (["inspect", "out", "--json"], '"what": "output"'),
    "report": (["report", "out", "--file=report.html"], "a map of 13 documents"),
    "export-model": (["export-model", "model", "saved"], "a TF2 SavedModel"),
    "snapshots list": (["snapshots", "list", "out"], "LATEST"),
    "snapshots show": (["snapshots", "show", "out"], "13 documents"),
    "snapshots diff": (["snapshots", "diff", "out"], "removed"),
    "snapshots verify": (["snapshots", "verify", "out"], "is whole: 13 documents"),
    "snapshots publish": (["snapshots", "publish", "out", "{newest}"], "LATEST"),
    "snapshots rollback": (["snapshots", "rollback", "out"], "LATEST"),
    "snapshots prune": (["snapshots", "prune", "out", "--keep=1"], "removed"),
    "verify": (["verify", "out"], "is whole: 13 documents"),
    "verify with a model": (["verify", "out", "--model=model"], "The model is the same."),
    "publish": (["publish", "out", "{newest}"], "LATEST"),
    "related": (["related", "out", "--top=2"], "  >"),
    "search": (["search", "out", "cat", "--top=2"], "0."),
    "evaluate": (["evaluate", "out", "--pairs=pairs.tsv"], "Spearman"),
}


@pytest.mark.parametrize(("typed", "said"), CASES.values(), ids=CASES)
def test_a_command_does_what_it_is_for(typed, said, installed, place):
    newest = max(folder.name for folder in (place / "out" / "snapshots").glob("2*"))
    done = installed.run("corpusvec", *(part.format(newest=newest) for part in typed), cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


def test_every_command_is_among_them():
    rows = [*CASES.values(), ABSENT["mcp"]]
    typed = {" ".join(typed[: 2 if typed[0] == "snapshots" else 1]) for typed, _ in rows}
    assert typed | {"push"} == set(leaves(COMMANDS))


def test_push_names_the_extra_that_it_needs(installed, place):
    for store in ("lance", "postgres"):
        done = installed.run("corpusvec", "push", "out", f"{store}://db", cwd=place)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"pip install 'corpusvec[{store}]'" in done.stderr


def test_every_command_has_help(installed, tmp_path):
    for name in ("", "snapshots", *leaves(COMMANDS)):
        done = installed.run("corpusvec", *name.split(), "--help", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.startswith(f"usage: corpusvec {name}"), name


# ------------------------------------------------------------------------------ other programs

# Modules that are run by `python -m`: what follows, the exit code, and what is said.
MODULES: Mapping[str, tuple[list[str], int, str]] = {
    "corpusvec.__main__": (["--version"], 0, "corpusvec "),
    "corpusvec.pipeline.__main__": (["--version"], 0, "corpusvec "),
    "corpusvec.pipeline.runners.workers": (["--help"], 0, "--provision_endpoint"),
    "corpusvec.pipeline.commands.fetch_model": (["model"], 1, "its SHA-256 is"),
    "corpusvec.pipeline.runners.flex_templates": ([], 0, '"name": "input"'),
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_a_program(module, installed, made):
    arguments, code, said = MODULES[module]
    done = installed.run("python", "-m", module.removesuffix(".__main__"), *arguments, cwd=made)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_module_that_is_a_program_is_among_them():
    guarded = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in SOURCES
        if path.name == "__main__.py" or '\nif __name__ == "__main__":' in path.read_text("utf-8")
    }
    assert set(MODULES) == guarded


def test_a_worker_of_a_cluster_gets_to_work(installed, runner: Runner, tmp_path):  # noqa: F811
    named = ["--id=1-1", f"--provision_endpoint={runner.address}"]
    installed.run("corpusvec-worker", *named, cwd=tmp_path)
    assert runner.worker == "1-1"
    assert runner.answers.get(timeout=10).instruction_id == "1"


# -------------------------------------------------------------------------- a user's own program

OWN_PROGRAM = """
import apache_beam as beam
import numpy as np
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import corpusvec
import pipeline
import transforms

document = corpusvec.Document("mine", pipeline.TEXT)
with beam.Pipeline(FnApiRunner()) as p:
    embedded = p | beam.Create([document]) | corpusvec.Embed(model="model", vectors="mean@-1")
    embedded.sentences | beam.Map(transforms.keep)
embedder = corpusvec.Embedder(model="model", vectors="mean@-1")
(row,) = transforms.KEPT
np.testing.assert_allclose(embedder.embed([document]), [row.vectors["mean@-1"]], atol=1e-6)
print(corpusvec.__version__, type(row).__module__)
"""


def test_modules_beside_a_script_may_have_the_names_of_ours(installed, made, tmp_path):
    (tmp_path / "model").symlink_to(made / "model")
    (tmp_path / "pipeline.py").write_text(f"TEXT = {TEXTS[0]!r}\n")
    (tmp_path / "transforms.py").write_text("KEPT = []\ndef keep(row):\n    KEPT.append(row)\n")
    (tmp_path / "own.py").write_text(OWN_PROGRAM)
    done = installed.run("python", "own.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{corpusvec.__version__} corpusvec.transforms.elements\n"
    done = installed.run("python", "-m", "corpusvec", "inspect", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_graph_that_is_made_in_a_checkout_runs_on_workers_that_have_the_wheel(
    installed, tiny, tmp_path
):
    with beam.Pipeline(FnApiRunner()) as pipeline:
        texts = pipeline | beam.Create(list(TEXTS))
        rows = texts | corpusvec.Embed(model=tiny)
        proto = rows.sentences.pipeline.to_runner_api()
    (tmp_path / "graph").write_bytes(proto.SerializeToString())
    script = (
        "import sys\n"
        "from apache_beam import Pipeline\n"
        "from apache_beam.portability.api import beam_runner_api_pb2 as messages\n"
        "from apache_beam.runners.portability.fn_api_runner import FnApiRunner\n"
        "graph = messages.Pipeline.FromString(open('graph', 'rb').read())\n"
        "print(Pipeline.from_runner_api(graph, FnApiRunner(), None).run().state)\n"
        "print(sys.modules['corpusvec'].__file__)\n"
    )
    done = installed.run("python", "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"DONE\n{RUNTIME}/lib/")


TYPED = """
import corpusvec

embedder = corpusvec.Embedder(model="model", vectors="mean@-1", normalize=True)
reveal_type(embedder.embed(["a", ("id", "b"), corpusvec.Document("id", "c")]))
reveal_type(embedder.embed_columns(["a"]))
reveal_type(corpusvec.__version__)
corpusvec.Embed(model="model", prompt="query")
corpusvec.Embed(model=5)
corpusvec.Embedder(model="model", colour="red")
embedder.embed([5])
corpusvec.Embeder
"""


def test_type_checkers_see_what_is_public(installed, tmp_path):
    (tmp_path / "typed.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--python-executable", RUNTIME / "bin" / "python"]
    done = subprocess.run(
        [*command, "--strict", "typed.py"], cwd=tmp_path, capture_output=True, text=True
    )
    vectors, columns, version = re.findall(r"Revealed type is (.*)", done.stdout)
    assert "ndarray[" in vectors
    assert re.search(r"dict\[.*str.*ndarray\[", columns)
    assert "str" in version
    errors = re.findall(r"error: .*\[(.*)\]$", done.stdout, re.MULTILINE)
    assert errors == ["arg-type", "call-arg", "list-item", "attr-defined"], done.stdout


# ------------------------------------------------------------------------- what is not there


def test_nothing_is_there_but_what_corpusvec_needs(installed, tmp_path):
    checked = installed.run("python", "-m", "pip", "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    script = (
        "import importlib.util, sys, corpusvec.transforms\n"
        "print(corpusvec.__file__, corpusvec.transforms.__file__)\n"
        "print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])\n"
    )
    ours = {folder.name for folder in ROOT.iterdir() if any(folder.glob("*.py"))}
    assert {"corpusvec", "pipeline", "transforms", "tests", "benchmarks"} <= ours
    absent = ours - {"corpusvec"} | {"pandas", "duckdb", "polars", "pytest", "boto3"}
    done = installed.run("python", "-c", script, *absent, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{RUNTIME}/lib/") == 2
    assert done.stdout.endswith("\n[]\n")


def test_every_module_that_is_imported_anywhere_is_there(installed, tmp_path):
    named = {name.partition(".")[0] for file in SOURCES for name in imported(file)}
    asked = named - set(sys.stdlib_module_names) - OPTIONAL
    assert {"apache_beam", "tensorflow", "corpusvec"} < asked
    script = (
        "import importlib.util, sys\n"
        "print([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])\n"
    )
    done = installed.run("python", "-c", script, *sorted(asked), cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def imported(file: Path) -> Iterator[str]:
    text = file.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
    yield from re.findall(r'import_module\("(\w+)', text)


# A command that needs a package which is not there.
ABSENT = {
    "input at s3": (["embed", "--input=s3://b/a.txt", *EMBED[2:]], "apache-beam[aws]"),
    "output at gs": ([*EMBED[:2], "--output=gs://b/out", EMBED[3]], "apache-beam[gcp]"),
    "model at s3": ([*EMBED[:3], "--model=s3://b/model"], "apache-beam[aws]"),
    "input at hdfs": (["embed", "--input=hdfs://b/a.txt", *EMBED[2:]], "apache-beam[hadoop]"),
    "output at azfs": ([*EMBED[:2], "--output=azfs://b/c/out", EMBED[3]], "apache-beam[azure]"),
    "snapshots at gs": (["snapshots", "list", "gs://b/out"], "apache-beam[gcp]"),
    "an output at s3": (["inspect", "s3://b/out"], "apache-beam[aws]"),
    "words": (["related", "out", "--by=hybrid"], "corpusvec[search]"),
    "links": (["evaluate", "out"], "corpusvec[search]"),
    "mcp": (["mcp", "out"], "corpusvec[mcp]"),
    "strings": (["export-model", "model", "saved", "--strings"], "tensorflow-text=="),
}


@pytest.mark.parametrize(("typed", "package"), ABSENT.values(), ids=ABSENT)
def test_a_package_that_is_missing_is_a_sentence_with_the_command_that_installs_it(
    typed, package, installed, place
):
    done = installed.run("corpusvec", *typed, cwd=place)
    assert done.returncode == 2, done.stderr
    said = done.stderr.splitlines()[-1]
    assert re.search(rf"pip install '?{re.escape(package)}", said), said
    assert "Traceback" not in done.stderr
