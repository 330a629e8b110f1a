"""The direction rules of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The left column: Beam's wiring. `SHARED` is what several stages use.
STAGES = {"read", "tokenization", "batching", "encode", "pool", "write", "counting"}
STAGES |= {"reuse", "locate", "compare"}
SHARED = {"files", "handles", "metrics", "snapshots", "stamps", "stores", "tables"}
SHARED |= {
    "attempts",
    "outputs",
    "beats",
    "claims",
    "copies",
    "earlier_rows",
    "stored_files",
    "timing",
}
MODULES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("transforms/**/*.py")])
NAMES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES]
LIBRARY = [
    name
    for name in NAMES
    if name.startswith("transforms.")
    and name.split(".")[1] not in STAGES | SHARED
    and not name.endswith("__init__")
]
# Imported only when a model is loaded.
LOADED_LATE = {
    f"transforms.encoders.{name}"
    for name in (
        *("bert", "freezing", "inlined_graphs", "optimized_graphs", "runtime"),
        *("exports", "graph_poolings", "graph_tokenizers", "lookups", "repeatable"),
        "string_exports",
    )
}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(("name", "path"), list(zip(NAMES, MODULES)), ids=NAMES)
def test_imports_go_one_way(name, path):
    imported = imports(path)
    tops = {module.split(".")[0] for module in imported}
    if name.startswith("transforms"):
        assert "pipeline" not in tops
    if name in LIBRARY:
        assert "apache_beam" not in tops
    if not name.startswith("transforms.encoders"):
        assert "tensorflow" not in tops
    if name.split(".")[-1] in STAGES:
        assert not {m for m in imported if m in {f"transforms.{stage}" for stage in STAGES}}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_is_short_and_named_for_what_it_holds(path):
    assert len(path.read_text("utf-8").splitlines()) <= 500
    vague = {"utils", "helpers", "common", "base", "manager", "handler"}
    assert not vague & set(path.stem.split("_"))


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_functions_are_short(path):
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    )
    long = [node.name for node in functions if node.end_lineno - node.lineno >= 40]  # type: ignore[operator]
    assert not long


def test_library_modules_bring_neither_beam_nor_tensorflow():
    late = sorted(set(LIBRARY) - LOADED_LATE)
    script = (
        "import importlib, sys\n"
        f"for name in {late}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'apache_beam', 'tensorflow'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_command_line_waits_with_heavy_imports():
    script = (
        "import sys, pipeline.cli\n"
        "heavy = {'apache_beam', 'tensorflow', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
