"""Hugging Face folders of the families that corpusvec runs, with sentence-transformers' files where
they are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers import (
    configurations,
    sentence_modules,
    tokenizer_files,
    weight_places,
    weights,
)
from corpusvec.transforms.models.transformers.folders import (
    check_own_tokenizer,
    digest_of,
    fitting_tokenizer,
    of_our_own,
    of_tokenizer,
    say_lowercase,
)
from corpusvec.transforms.models.transformers.stored_arrays import (
    StoredArrays,
    places,
    shapes_and_types,
)
from corpusvec.transforms.specs import (
    Asked,
    ModelSpec,
    TokenizerSpec,
    VectorColumn,
    Wanted,
)
from corpusvec.transforms.storage.json_files import read_json, setting
from corpusvec.transforms.tokens.tokens import Tokenizer

if TYPE_CHECKING:
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

_MOST_TOKENS = 1 << 20  # where files say a larger number for any length


def recognises(path: str, asked: Asked) -> bool:
    """A folder with a configuration of transformers, or with sentence-transformers' list of
    modules. A configuration alone may lie beside a SavedModel.
    """
    folder = Path(path)
    if sentence_modules.is_static(folder):
        return False
    if (folder / "modules.json").is_file():
        return True
    weights = any(folder.glob("*.safetensors*"))
    return (folder / "config.json").is_file() and (
        weights or not (folder / "saved_model.pb").is_file()
    )


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where files are missing, do not fit each other, or ask for what is not
    implemented.
    """
    modules = sentence_modules.read(Path(path))
    folder = modules.transformer if modules else Path(path)
    config_file = folder / "config.json"
    values = read_json(config_file)
    config, notes = _lengthened(*configurations.read(values, config_file), modules)
    configurations.refuse_adapters(folder)
    weight_files, has_pooler, types = _checked_weights(folder, values, config)
    tokenizer_file, said = tokenizer_files.find(Path(asked.tokenizer or folder))
    check_own_tokenizer([tokenizer_file], tokenizer_files.own_files(folder))
    lowercase = say_lowercase(asked.do_lower_case)
    lowercase_first = bool(modules and modules.lowercase and lowercase is not False)
    rules = tokenizer_files.describe(tokenizer_file, said, values, lowercase, lowercase_first)
    library = fitting_tokenizer(rules, config.vocab_size)
    files = [config_file, *weight_files, *_files_beside(rules, modules)]
    around = of_tokenizer(library)
    specials = around["specials"] + around["separators"]
    return ModelSpec(
        kind="hugging_face",
        path=path,
        weights=tuple(map(str, weight_files)),
        **of_our_own(config, has_pooler, _columns(modules, config, rules, library)),
        tokenizer=rules,
        max_seq_length=_limit(config, modules, said, tokenizer_file, specials),
        digest=digest_of(
            files, {"do_lower_case": [rules.lowercase, lowercase_first], "tokenizer": said}
        ),
        segments=library.segments and config.embeddings.segment_types > 1,
        **around,
        **sentence_modules.prompts(modules),
        notes=(
            *notes,
            *(modules.notes if modules else ()),
            *configurations.type_note(values, types, modules.dtype if modules else None),
            *tokenizer_files.notes(rules, said, values, library),
        ),
    )


def _files_beside(
    rules: TokenizerSpec, modules: sentence_modules.SentenceModules | None
) -> list[Path]:
    """All that decide vectors, but configuration and weights."""
    own = [Path(file) for file in (rules.path, rules.vocabulary) if file]
    added = [file for file in [own[0].with_name("added_tokens.json")] if file.is_file()]
    return [*own, *added, *(modules.files if modules else ())]


def _checked_weights(
    folder: Path, values: Mapping[str, Any], config: Transformer
) -> tuple[list[Path], bool, set[str]]:
    """The files of the weights, whether they have a pooler, and the types of their numbers."""
    files = weight_places.find(folder, values)
    where = str(files[0] if len(files) == 1 else folder)
    there, types = shapes_and_types(places(config, files))
    if weights.WORDS not in there:
        raise ValueError(f"{where}: the weights hold no word embeddings of a {config.family}")
    has_pooler = weights.POOLER_KERNEL in there
    weights.check_shapes(there, config, has_pooler, where)
    return files, has_pooler, types


def _columns(
    modules: sentence_modules.SentenceModules | None,
    config: Transformer,
    rules: TokenizerSpec,
    library: Tokenizer,
) -> tuple[VectorColumn, ...]:
    columns = modules.columns(config) if modules else ()
    tokenizer_files.check_skipped_prompt(rules, library, columns)
    return columns


def _lengthened(
    config: Transformer,
    notes: tuple[str, ...],
    modules: sentence_modules.SentenceModules | None,
) -> tuple[Transformer, tuple[str, ...]]:
    """A model of rotary positions takes more tokens than its configuration says where
    sentence-transformers' files say so; a note tells where it cannot.
    """
    turned = [reach.rotary for reach in config.reaches]
    if modules is None or config.embeddings.positions or not all(turned):
        return config, notes
    asked = modules.max_seq_length or 0
    if asked <= config.longest:
        return config, notes
    if not any(rotary.ends for rotary in turned if rotary):
        return replace(config, longest=max(config.longest, min(asked, _MOST_TOKENS))), notes
    note = (
        f"{Path(modules.limit_of).name} is {asked}; the positions of this model are implemented for"
        f" {config.longest} tokens, and longer texts are cut there"
    )
    return config, (*notes, note)


def _limit(
    config: Transformer,
    modules: sentence_modules.SentenceModules | None,
    said: dict[str, Any],
    tokenizer_file: Path,
    specials: int,
) -> int:
    """The longest that the model takes, or less where its files say so. Raises `ValueError` where
    that has no room for a text beside the `specials` of a pair.
    """
    limit, usual = config.longest, config.usual_length or config.longest
    file = tokenizer_file.with_name("tokenizer_config.json")
    of_tokenizer = setting(said, "model_max_length", int | float, file)
    found, where = of_tokenizer, f"{file}: model_max_length"
    if modules and modules.max_seq_length:
        found, where = modules.max_seq_length, modules.limit_of
    if not (found and 0 < found < limit):
        return usual
    if found <= specials:
        raise ValueError(
            f"{where} is {found:g}, and special tokens alone take {specials}; set it to"
            f" {specials + 1} or more"
        )
    return int(found)


def load(spec: ModelSpec, wanted: Wanted) -> TransformerEncoder:
    """Read the arrays and build the encoder."""
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

    return TransformerEncoder(spec, wanted, read_arrays(spec, wanted.pooler))


def read_arrays(spec: ModelSpec, pooler: bool) -> Mapping[str, np.ndarray]:
    """The arrays of `weights.shapes`, float32, read one by one; the pooler's if wanted."""
    assert spec.transformer is not None
    return StoredArrays(spec.transformer, list(map(Path, spec.weights)), pooler)
