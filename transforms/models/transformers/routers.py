"""Routers of sentence-transformers: models that have modules for queries, others for documents.

Source: sentence-transformers 6.2, base/modules/router.py, for a text without a task.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from corpusvec.transforms.storage.json_files import no_others, read_json, setting

_FILES = ("router_config.json", "config.json")  # the newer name and the older
_KEYS = ("default_route", "allow_empty_key", "route_mappings")


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a text: full names of classes and folders of its modules; `note` tells of other
    ways.
    """

    modules: tuple[tuple[str, Path], ...]
    file: Path
    note: str


def read(folder: Path) -> Route:
    """Raises `ValueError` where the file is none of a router."""
    file = next((folder / name for name in _FILES if (folder / name).is_file()), folder / _FILES[0])
    values = read_json(file)
    no_others(values, ("types", "structure", "parameters"), file)
    types, structure = (setting(values, key, dict, file) or {} for key in ("types", "structure"))
    parameters = setting(values, "parameters", dict, file) or {}
    no_others(parameters, _KEYS, file)
    chosen = _chosen(structure, parameters, file)
    modules = []
    for name in structure[chosen]:
        if not isinstance(name, str) or not isinstance(types.get(name), str):
            raise ValueError(f"{file}: structure: {name!r} has no class among its types")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{file}: structure: {name!r} leads out of the model's folder")
        modules.append((types[name], folder / name))
    others = [route for route in structure if route != chosen]
    note = (
        f"{file.name}: texts take the route {chosen!r}, as without a task in"
        f" sentence-transformers; {', '.join(map(repr, others))} is not used"
    )
    return Route(tuple(modules), file, note if others else "")


def _chosen(structure: Mapping[str, Any], parameters: Mapping[str, Any], file: Path) -> str:
    """The route that a text takes."""
    mappings = setting(parameters, "route_mappings", dict, file) or {}
    by_text: dict[Any, Any] = {}
    for key, route in mappings.items():
        try:
            by_text[ast.literal_eval(key)] = route
        except (ValueError, SyntaxError, TypeError) as error:
            raise ValueError(f"{file}: route_mappings: {key!r} is no task and modality") from error
    first = next(iter(structure), None) if parameters.get("allow_empty_key", True) else None
    named = setting(parameters, "default_route", str, file)
    ways = (by_text.get((None, "text")), by_text.get((None, None)))
    own = "text" if "text" in structure else None
    chosen = next((way for way in (*ways, own, named, first) if way is not None), None)
    if not isinstance(structure.get(chosen), list):  # type: ignore[arg-type]
        raise ValueError(
            f"{file}: says no route for texts without a task; its routes are"
            f" {', '.join(map(repr, structure)) or 'none'}"
        )
    return str(chosen)
