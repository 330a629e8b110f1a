"""Small JSON files that say how a model is made, read with errors that name file and key."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

_IN_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    dict: "an object",
    list: "a list",
    str: "a text",
}


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises `ValueError` naming the file."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{file}: is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file}: holds a {type(value).__name__}; expected an object")
    return value


def whole_number(values: Mapping[str, Any], key: str, file: Path, least: int = 1) -> int:
    """A whole number of a configuration. Raises `ValueError` naming file and key."""
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{file}: {key} must be an integer ≥ {least}, got {value!r}")
    return value


def setting(values: Mapping[str, Any], key: str, types: type | UnionType, file: Path) -> Any:
    """A value of a configuration, None where it is null or not there. Raises `ValueError` naming
    file and key where it is of another type.
    """
    value = values.get(key)
    wrong = not isinstance(value, types) or (isinstance(value, bool) and types is not bool)
    if value is not None and wrong:
        expected = _IN_WORDS.get(types, "a number")
        raise ValueError(f"{file}: {key} must be {expected}, got {value!r}")
    return value


def no_others(values: Mapping[str, Any], known: Collection[str], file: Path) -> None:
    """Raises `ValueError` with the first setting that is none of the `known` ones."""
    for key, value in values.items():
        if key not in known:
            raise ValueError(
                f"{file}: {key} is {json.dumps(value, ensure_ascii=False)}; corpusvec does not know"
                " this setting, and it may change vectors"
            )
