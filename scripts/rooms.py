"""The rooms of the package and who imports whom: `python scripts/rooms.py` draws it.

Each line names a room and the rooms it imports, all of them on lines below; those that one of the
others imports anyway are left out. docs/architecture.md shows the drawing: `--write` renews it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY, PROGRAM = "corpusvec.transforms", "corpusvec.pipeline"
PAGE = ROOT / "docs" / "architecture.md"
_BEGIN, _END = "<!-- scripts/rooms.py -->\n", "<!-- end -->\n"
_PACKAGE = ROOT / "corpusvec"
# Through the two links, which `**` does not follow.
_FILES = [*_PACKAGE.glob("*.py"), *_PACKAGE.glob("pipeline/**/*.py")]
FILES = sorted([*_FILES, *_PACKAGE.glob("transforms/**/*.py")])
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
ROOMS = {name for name, path in PATHS.items() if path.stem == "__init__"}


def room(name: str) -> str:
    """The room that a module stands in."""
    return name if name in ROOMS else name.rpartition(".")[0]


@cache
def imports(name: str, at_once: bool = False) -> frozenset[str]:
    """The modules that a module imports; `at_once` those alone that come with it."""
    tree = ast.parse(PATHS[name].read_text("utf-8"))
    found = set()
    for node in _at_once(tree) if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module for module in inner if module in PATHS} or {node.module}
    return frozenset(found)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported."""
    yield node
    late = isinstance(node, ast.FunctionDef)
    late |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    for child in () if late else ast.iter_child_nodes(node):
        yield from _at_once(child)


def stages() -> set[str]:
    """The modules of the library that import Beam."""
    names = [name for name in PATHS if room(name) == LIBRARY]
    return {name for name in names if any("apache_beam" in module for module in imports(name))}


def _place(name: str) -> str:
    """Where a module stands in the drawing. In the two folders themselves there are layers: each
    module of the program, and of the library the stages and what flows through them.
    """
    if room(name) == LIBRARY:
        return f"transforms ({'stages' if name in stages() else 'elements'})"
    if room(name) == PROGRAM:
        return f"{name.removeprefix('corpusvec.').replace('.', '/')}.py"
    if name in ("corpusvec", "corpusvec.__main__"):
        return "corpusvec/__init__.py"
    return "/".join(room(name).split(".")[1:4])


def _graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for name in PATHS.keys() - {LIBRARY, PROGRAM}:
        known = (imports(name) & PATHS.keys()) - {"corpusvec", LIBRARY, PROGRAM}
        others = {_place(module) for module in known} - {_place(name)}
        graph.setdefault(_place(name), set()).update(others)
    return graph


def _reached(graph: Mapping[str, set[str]], place: str) -> set[str]:
    return graph[place].union(*(_reached(graph, other) for other in graph[place]))


def drawing() -> str:
    """A line for each room, those above first. Raises `CycleError` where two import each other."""
    graph, levels = _graph(), dict[str, int]()
    for place in TopologicalSorter(graph).static_order():
        levels[place] = 1 + max((levels[other] for other in graph[place]), default=-1)
    lines = []
    for place in sorted(graph, key=lambda place: (-levels[place], place)):
        beyond = set().union(*(_reached(graph, other) for other in graph[place]))
        below = ", ".join(sorted(graph[place] - beyond))
        lines.append(f"    {place:31} -> {below}" if below else f"    {place}")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with today's drawing."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{drawing()}\n{_END}{rest.partition(_END)[2]}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(drawing())
