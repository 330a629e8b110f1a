"""What a snapshot was made with, from its manifest, as settings to embed the same texts again."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from corpusvec.pipeline.flags.compare_models import SETTINGS
from corpusvec.pipeline.settings import Recipe, Settings
from corpusvec.transforms.documents.formats import CHUNKS
from corpusvec.transforms.models.sources.downloads import without_secrets

_OF_THE_MODEL = ("tokenizer", "do_lower_case", "signature", "output_key")
_OF_THE_MACHINE = ("model_cache", "refresh_model")
_IN_THE_MANIFEST = ("vector_ranges",)  # themselves: the file may have changed


class Again(NamedTuple):
    """How to embed the texts again; `notes` are for the user."""

    recipe: Recipe
    notes: list[str]


def settings_of(manifest: Mapping[str, Any], flags: argparse.Namespace) -> Again:
    """With the model of `flags`, else the snapshot's; other flags that were given count instead of
    the snapshot's settings.

    Raises `ValueError` where the model cannot meet them, and says whose they are.
    """
    was = manifest["configuration"]
    given = {name: value for name in SETTINGS if (value := getattr(flags, name)) is not None}
    of_chunks = ["window_overlap"] if was.get("unit") == CHUNKS else []
    left = (*_OF_THE_MACHINE, *_IN_THE_MANIFEST, *of_chunks)
    kept = {name: was[name] for name in SETTINGS if name in was and name not in left}
    notes = []
    model = flags.model or was["model"]
    if not _is_same_place(model, was["model"]):
        usual = Settings(model=model)
        for name in _OF_THE_MODEL:
            value = kept.pop(name, None)
            if name not in given and value not in (None, getattr(usual, name)):
                notes.append(
                    f"--{name}={value} was given for the snapshot's model and is not used for this"
                    " one; give it again if you mean it"
                )
    values = {**kept, **given, "model": os.path.expanduser(model)}
    if not values.get("layers"):
        values["layers"] = None
    try:
        recipe = Settings(**values).resolve()
    except ValueError as error:
        raise ValueError(f"{error}{_whose(str(error), flags, given)}") from error
    _check_prompt(manifest, recipe, given)
    return Again(recipe, notes)


def _is_same_place(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return without_secrets(one) == without_secrets(other)
    return os.path.abspath(os.path.expanduser(one)) == os.path.abspath(other)


def _whose(error: str, flags: argparse.Namespace, given: Mapping[str, Any]) -> str:
    """What to do about a setting that the user has not said here."""
    named = re.match(r"--(\w+)", error)
    name = named[1] if named else ""
    if name == "model" and flags.model is None:
        return (
            "; it is the model that the snapshot was made with: give its present place with --model"
        )
    if name not in SETTINGS or name in given:
        return ""
    none = " (--layers= for none)" if name == "layers" else ""
    return f"; the snapshot was made so: another --{name} given here counts instead{none}"


def _check_prompt(manifest: Mapping[str, Any], recipe: Recipe, given: Mapping[str, Any]) -> None:
    """Raises `ValueError` where the prompt was one of the old model's by its name, and the new one
    has none of that name: the name itself would stand before each text.
    """
    said, meant = manifest["configuration"].get("prompt"), manifest["run"]["prompt"]
    names = dict(recipe.spec.prompts)
    if "prompt" not in given and said is not None and said != meant and said not in names:
        raise ValueError(
            f"--prompt={said}: is the name of a prompt of the snapshot's model ({meant!r}), and"
            " this model has none of that name; give with --prompt the text to put before each"
            " document (--prompt= for nothing)"
        )
