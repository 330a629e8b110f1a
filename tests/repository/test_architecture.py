"""The direction rules of the house. What a module may import follows from the folder it is in."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from scripts import rooms
from scripts.rooms import FILES, LIBRARY, PATHS, PROGRAM, ROOMS, ROOT, imports, room

BOTH = list(PATHS.items())
# Beam is for the stages, which are the modules of `transforms` itself, for the graph and the
# program that runs it, and for two rooms that work with its files and counters.
BEAM = {LIBRARY, f"{LIBRARY}.measures", f"{LIBRARY}.storage"}
TENSORFLOW = {"tensorflow", "tensorflow_hub"}
BEAM |= {PROGRAM, f"{PROGRAM}.runners", f"{PROGRAM}.runners.flink"}


def place(module: str) -> str:
    """Its room; of the two folders themselves the module."""
    return module if room(module) in (LIBRARY, PROGRAM) else room(module)


@pytest.mark.parametrize("name", PATHS)
def test_imports_go_one_way(name):
    tops = {module.split(".")[0] for module in imports(name)}
    if name.startswith(LIBRARY):
        assert not any(module.startswith(PROGRAM) for module in imports(name))
    if "apache_beam" in tops:
        assert room(name) in BEAM
    if tops & TENSORFLOW:
        assert name.startswith(f"{LIBRARY}.models.")


def test_stages_import_no_stages():
    stages = rooms.stages()
    assert {f"{LIBRARY}.{verb}" for verb in ("read", "encode", "write")} <= stages
    for name in stages:
        assert not imports(name) & stages, name


def test_rooms_have_no_circles():
    graph: dict[str, set[str]] = {}
    for name in PATHS:
        graph.setdefault(place(name), set()).update(
            place(module)
            for module in imports(name)
            if module in PATHS and place(module) != place(name)
        )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_drawing_is_of_today_and_its_arrows_go_down():
    text = rooms.PAGE.read_text("utf-8")
    assert rooms.page(text) == text, "run: python scripts/rooms.py --write"
    lines = [line.partition(" -> ") for line in rooms.drawing().splitlines()]
    places = [place.strip() for place, _, _ in lines]
    assert len(places) > 30
    for row, (_, _, below) in enumerate(lines):
        assert {*below.split(", ")} - {""} <= {*places[row + 1 :]}


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_a_room_says_what_it_is_for_and_is_not_crowded(name):
    assert len((ast.get_docstring(ast.parse(PATHS[name].read_text("utf-8"))) or "").split()) > 4
    inside = [module for module in PATHS if module not in ROOMS and room(module) == name]
    assert 0 < len(inside) <= 16


@pytest.mark.parametrize(("name", "path"), BOTH, ids=PATHS)
def test_a_module_is_short_and_named_for_what_it_holds(name, path):
    assert len(path.read_text("utf-8").splitlines()) <= 500
    vague = {"utils", "helpers", "common", "base", "manager", "handler"}
    assert not vague & set(name.split(".")[-1].split("_"))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_functions_are_short(path):
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    )
    long = [node.name for node in functions if node.end_lineno - node.lineno >= 40]  # type: ignore[operator]
    assert not long


@cache
def brings_tensorflow(name: str) -> bool:
    """Whether importing a module imports TensorFlow."""
    found = imports(name, at_once=True)
    return any(
        brings_tensorflow(module) if module in PATHS else module.split(".")[0] in TENSORFLOW
        for module in found
    )


def test_models_alone_bring_tensorflow_and_stages_and_runners_beam():
    heavy = {name for name in PATHS if brings_tensorflow(name)}
    assert heavy
    assert all(name.startswith(f"{LIBRARY}.models.") for name in heavy)
    light = [name for name in PATHS if room(name) not in BEAM and not name.endswith("__main__")]
    light = [name for name in light if name not in heavy]
    assert len(light) > 90
    script = (
        "import importlib, sys\n"
        f"for name in {light}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'apache_beam', 'tensorflow'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_command_line_waits_with_heavy_imports():
    script = (
        "import sys, corpusvec.pipeline.cli\n"
        "heavy = {'apache_beam', 'tensorflow', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_no_module_is_imported_by_a_second_name():
    """In a checkout `transforms` can be imported too; but no worker finds what is pickled by it."""
    tops = ("benchmarks", "deploy", "tests")
    for file in [*FILES, *(file for top in tops for file in ROOT.glob(f"{top}/**/*.py"))]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                said = ast.unparse(node)
                assert not re.match(r"(from|import) (pipeline|transforms)\b", said), file


def test_the_library_refuses_a_second_name():
    command = [sys.executable, "-c", "from transforms.elements import Document"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: in a checkout too this is corpusvec.transforms" in done.stderr
