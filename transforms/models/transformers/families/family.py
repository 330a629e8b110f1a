"""What a family of models has, and how its arrays are found in its files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers.families.settings import Settings

# Before the names of arrays, where a model for another task, or sentence-transformers, has them.
_PREFIXES = ("", "model.", "0.auto_model.")
_PART = re.compile(r"(.*)\[(\d)/(\d)\]")
_LAYER = re.compile(r"encoder/layer_(\d+)/")
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "kernel": (".weight",),
    "bias": (".bias",),
    "gamma": (".weight", ".gamma"),
    "beta": (".bias", ".beta"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where an array may be: under one of the `keys`, as one of the equal parts of its outputs."""

    keys: tuple[str, ...]
    part: int = 1
    parts: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """`read` says what a model is made of. `names` has, by our names of dense layers, norms and
    tables, what stands before `.weight` and `.bias` in theirs: `{}` is the number of a layer (or of
    its group, and a second one its place there), other spellings follow after `|`, and `[1/3]` is
    the first third of the outputs.

    `classes` are those of transformers that compute nothing else (a regular expression), `code` the
    like of programs that came with models (`auto_map`). `without_effect` are settings that change
    no vector. `dropout` names what training drops of rows and of the attention's weights.
    `one_added`: norms multiply by one more than their files say. `values` are further ones of
    settings that are refused in most families.
    """

    read: Callable[[Settings], Transformer]
    names: Mapping[str, str]
    classes: str
    prefixes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    without_effect: str = ""
    dropout: tuple[str, str] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    usual_dropout: float = 0.1
    one_added: bool = False
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def allowed(self, key: str) -> tuple[Any, ...]:
        """Further values of a setting that is refused in most families."""
        return self.values.get(key, ())

    def sources(self, name: str, layers_of_group: int = 1) -> tuple[Source, ...]:
        """Where an array of `weights.shapes` may be, the spelling that counts first."""
        layer = _LAYER.match(name)
        stem, _, end = name.rpartition("/")
        if end not in _ENDINGS:
            stem, end = name, "kernel"
        theirs = self.names[_LAYER.sub("layer/", stem)]
        numbers = divmod(int(layer[1]) if layer else 0, layers_of_group)
        return tuple(self._source(one.format(*numbers), end) for one in theirs.split("|"))

    def _source(self, spelling: str, end: str) -> Source:
        part = _PART.fullmatch(spelling)
        stem = part[1] if part else spelling
        prefixes = (*_PREFIXES, *self.prefixes)
        keys = tuple(f"{before}{stem}{after}" for after in _ENDINGS[end] for before in prefixes)
        return Source(keys, int(part[2]), int(part[3])) if part else Source(keys)
