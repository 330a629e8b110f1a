"""What travels to workers can be unpickled there: in a process that has the package, no more."""

from __future__ import annotations

import subprocess
import sys

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from corpusvec.pipeline.embed import build
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.settings import Recipe, Settings
from corpusvec.transforms.documents.formats import Reading
from corpusvec.transforms.documents.inputs import InputFile
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.outputs import Output
from tests import static_folders
from tests.model_zoo import MODELS, asked_of, made

# Everything of a graph is made again from its description, as a worker does with its part.
UNPICKLE = """
import sys
import apache_beam as beam
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

assert not {"tests", "conftest"} & set(sys.modules)
with open(sys.argv[1], "rb") as stream:
    proto = beam_runner_api_pb2.Pipeline.FromString(stream.read())
pipeline = beam.Pipeline.from_runner_api(proto, FnApiRunner(), None)
functions = []

class Visitor(beam.pipeline.PipelineVisitor):
    def visit_transform(self, node):
        if isinstance(node.transform, beam.ParDo):
            functions.append(node.transform.fn)

pipeline.visit(Visitor())
for function in functions:
    print(type(function).__module__, type(function).__name__)
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(params=KINDS)
def recipe(request, tmp_path) -> Recipe:
    """That of a model of each kind."""
    kind = request.param
    if kind == "static":
        folder = static_folders.write(next(iter(static_folders.KINDS.values())), tmp_path / "model")
        return Settings(model=str(folder)).resolve()
    tiny = {"hugging_face": "tiny", "checkpoint": "tiny_japanese"}.get(kind)
    if tiny:
        return Settings(model=request.getfixturevalue(tiny)).resolve()
    name = next(name for name, model in MODELS.items() if model.kind == kind)
    return Settings(model=str(made(name)), **asked_of(name)).resolve()


def graph(recipe: Recipe, n_files: int = 1) -> bytes:
    job = Job(
        files=[InputFile(f"gs://bucket/in/{n}.txt", f"{n}.txt", 10) for n in range(n_files)],
        reading=Reading(),
        limit=None,
        spread=True,
        recipe=recipe,
        snapshot=Snapshot(Output("gs://bucket/out"), "20260102T030405.678Z-0a1b2c3d"),
        manifest={"notes": []},
    )
    options = PipelineOptions(["--pickle_library=cloudpickle"])
    pipeline = beam.Pipeline(FnApiRunner(), options)
    build(pipeline, job)
    return pipeline.to_runner_api().SerializeToString()


def test_a_graph_is_unpickled_where_only_the_package_is(recipe, tmp_path):
    (tmp_path / "graph").write_bytes(graph(recipe))
    unpickled = subprocess.run(
        [sys.executable, "-P", "-c", UNPICKLE, "graph"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert unpickled.returncode == 0, unpickled.stderr
    functions = set(unpickled.stdout.splitlines())
    ours = {function.split()[1] for function in functions if function.startswith("corpusvec.")}
    assert {"_EncodeFn", "_PoolFn"} <= ours
    assert not [function for function in functions if function.startswith("__main__")]


def test_a_graph_does_not_grow_with_the_number_of_files(tiny):
    recipe = Settings(model=tiny).resolve()
    few, many = (len(graph(recipe, n_files)) for n_files in (1, 100_000))
    assert many - few < 2_000  # a number for ten thousand
