"""Dataflow's flex template of `embed`: its metadata, made from the flags, and its start.

`python -m corpusvec.pipeline.runners.flex_templates > deploy/dataflow/metadata.json` writes the
metadata again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.flags.embed import EMBED_FLAGS

_NEEDED = ("input", "output", "model")
_RUN, _ASKED_OF_RUN = "the run", ("verbose",)  # the launcher says how the job runs
_IN_IMAGE = r"/opt/corpusvec/[^\n\r]+"
_BUCKET = r"gs://[^\n\r]+"
_LIST = r"[^,\n\r]+(,[^,\n\r]+)*"
# What a value has to look like, where it is neither a choice nor a number.
_SHAPES: Mapping[str, str] = {
    "input": r"gs://[^,\n\r]+(, *gs://[^,\n\r]+)*",
    "output": _BUCKET,
    "previous": _BUCKET,
    "vector_ranges": rf"({_BUCKET}|{_IN_IMAGE})",
    "max_shrink": r"(0(\.[0-9]+)?|1(\.0+)?)",
    "max_input_age": r"0*[1-9][0-9]{0,5}[smhdw]",
    "id_root": _BUCKET,
    "model": rf"((gs|s3|hf|https?)://[^\n\r]+|{_IN_IMAGE})",
    "tokenizer": _IN_IMAGE,
    "model_cache": r"/[^\n\r]+",
    "layers": _LIST,
    "vectors": _LIST,
    "prompt": r"[\s\S]+",
}
_ANY = r"[^\n\r]+"


def metadata() -> dict[str, Any]:
    """What Dataflow shows of the template, and checks before it starts a machine."""
    parameters = [
        _parameter(name, arguments, group)
        for group, flags in EMBED_FLAGS.items()
        for name, arguments in flags.items()
        if group != _RUN or name in _ASKED_OF_RUN
    ]
    return {
        "name": "corpusvec embed",
        "description": COMMANDS["embed"].description,
        "parameters": parameters,
    }


def _parameter(name: str, arguments: Mapping[str, Any], group: str) -> dict[str, Any]:
    choices, check = arguments.get("choices"), arguments.get("type")
    kind, shape, default = "TEXT", _SHAPES.get(name, _ANY), arguments.get("default")
    if _is_switch(arguments):
        kind, shape, default = "BOOLEAN", "(true|false)", "false"
    elif choices:
        kind, shape = "ENUM", f"({'|'.join(choices)})"
    elif check and name not in _SHAPES:
        kind, shape = "NUMBER", _numbers(check)
    elif name == "output":
        kind = "GCS_WRITE_FOLDER"
    about = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": arguments["help"],
        "groupName": group.capitalize(),
        "isOptional": name not in _NEEDED,
        "paramType": kind,
        "regexes": [f"^{shape}$"],
    }
    if choices:
        about["enumOptions"] = [{"value": choice, "label": choice} for choice in choices]
    return about if default in (None, "") else about | {"defaultValue": str(default)}


def _is_switch(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("action") == "store_true"


def _numbers(check: Callable[[str], int]) -> str:
    """The flag itself knows whether 0 is allowed."""
    try:
        check("0")
    except argparse.ArgumentTypeError:
        return "0*[1-9][0-9]*"
    return "[0-9]+"


def flags_of(parameters: Sequence[str]) -> list[str]:
    """`--name=value` for each parameter -> flags: those that take no value are true or false."""
    switches = {
        f"--{name}"
        for flags in EMBED_FLAGS.values()
        for name, arguments in flags.items()
        if _is_switch(arguments)
    }
    split = [(parameter, *parameter.partition("=")[::2]) for parameter in parameters]
    return [
        name if name in switches and value == "true" else parameter
        for parameter, name, value in split
        if name not in switches or value != "false"
    ]


if __name__ == "__main__":
    print(json.dumps(metadata(), indent=2, ensure_ascii=False))
