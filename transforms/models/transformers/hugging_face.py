"""Hugging Face folders of BERT architecture, with sentence-transformers' files where they are
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
from corpusvec.transforms.specs import (
    Asked,
    BertConfig,
    ModelSpec,
    TokenizerSpec,
    VectorColumn,
    Wanted,
)
from corpusvec.transforms.storage import safetensors_files
from corpusvec.transforms.storage.json_files import read_json, setting
from corpusvec.transforms.tokens.tokens import Tokenizer

if TYPE_CHECKING:
    from corpusvec.transforms.models.transformers.forward import BertEncoder

_NAMES = {
    "embeddings.word_embeddings.weight": "embeddings/word_embeddings",
    "embeddings.position_embeddings.weight": "embeddings/position_embeddings",
    "embeddings.token_type_embeddings.weight": "embeddings/token_type_embeddings",
}
_ENDINGS = {
    "LayerNorm.weight": "LayerNorm/gamma",
    "LayerNorm.gamma": "LayerNorm/gamma",
    "LayerNorm.bias": "LayerNorm/beta",
    "LayerNorm.beta": "LayerNorm/beta",
    ".weight": "/kernel",
    ".bias": "/bias",
}


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
    config, notes = configurations.read(values, config_file)
    configurations.refuse_adapters(folder)
    weight_files, has_pooler, types = _checked_weights(folder, values, config)
    tokenizer_file, said = tokenizer_files.find(Path(asked.tokenizer or folder))
    check_own_tokenizer([tokenizer_file], tokenizer_files.own_files(folder))
    lowercase = say_lowercase(asked.do_lower_case)
    lowercase_first = bool(modules and modules.lowercase and lowercase is not False)
    rules = tokenizer_files.describe(tokenizer_file, said, values, lowercase, lowercase_first)
    library = fitting_tokenizer(rules, config.vocab_size)
    added = [file for file in [tokenizer_file.with_name("added_tokens.json")] if file.is_file()]
    own = modules.files if modules else ()
    files = [config_file, *weight_files, tokenizer_file, *added, *own]
    return ModelSpec(
        kind="hugging_face",
        path=path,
        weights=tuple(map(str, weight_files)),
        **of_our_own(config, has_pooler, _columns(modules, config, rules, library)),
        tokenizer=rules,
        max_seq_length=_limit(config, modules, said, tokenizer_file),
        digest=digest_of(
            files, {"do_lower_case": [rules.lowercase, lowercase_first], "tokenizer": said}
        ),
        segments=library.segments and config.segment_types > 1,
        **of_tokenizer(library),
        **sentence_modules.prompts(modules),
        notes=(
            *notes,
            *(modules.notes if modules else ()),
            *configurations.type_note(values, types, modules.dtype if modules else None),
            *tokenizer_files.notes(rules, said, values, library),
        ),
    )


def _checked_weights(
    folder: Path, values: Mapping[str, Any], config: BertConfig
) -> tuple[list[Path], bool, set[str]]:
    """The files of the weights, whether they have a pooler, and the types of their numbers."""
    files = weight_places.find(folder, values)
    where = str(files[0] if len(files) == 1 else folder)
    there, types = _names_and_shapes(files, config, where)
    has_pooler = weights.POOLER_KERNEL in there
    weights.check_shapes(there, config, has_pooler, where)
    return files, has_pooler, types


def _columns(
    modules: sentence_modules.SentenceModules | None,
    config: BertConfig,
    rules: TokenizerSpec,
    library: Tokenizer,
) -> tuple[VectorColumn, ...]:
    columns = modules.columns(config) if modules else ()
    tokenizer_files.check_skipped_prompt(rules, library, columns)
    return columns


def _limit(
    config: BertConfig,
    modules: sentence_modules.SentenceModules | None,
    said: dict[str, Any],
    tokenizer_file: Path,
) -> int:
    """The longest that the model takes, or less where its files say so."""
    limit = config.positions - config.first_position
    file = tokenizer_file.with_name("tokenizer_config.json")
    of_tokenizer = setting(said, "model_max_length", int | float, file)
    found = (modules and modules.max_seq_length) or of_tokenizer
    return int(found) if found and 0 < found < limit else limit


def load(spec: ModelSpec, wanted: Wanted) -> BertEncoder:
    """Read the arrays and build the encoder."""
    from corpusvec.transforms.models.transformers.forward import BertEncoder

    return BertEncoder(spec, wanted, read_arrays(spec, wanted.pooler))


def read_arrays(spec: ModelSpec, pooler: bool) -> dict[str, np.ndarray]:
    """The arrays of `weights.shapes`, float32; the pooler's if wanted."""
    needed = weights.shapes(spec.bert, pooler)  # type: ignore[arg-type]
    arrays: dict[str, np.ndarray] = {}
    for file in map(Path, spec.weights):
        with safetensors_files.opened(file) as tensors:
            for key, name in _renamed(list(tensors.keys())).items():
                if name in needed:
                    array = tensors.get_tensor(key).astype(np.float32)
                    arrays[name] = array.T if name.endswith("/kernel") else array
    return arrays


def _names_and_shapes(
    files: list[Path], config: BertConfig, where: str
) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """The arrays of a BERT by our names, and their types. Raises `ValueError` where one is there
    twice, or holds no floating-point numbers.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    sources: dict[str, str] = {}
    types: set[str] = set()
    needed = weights.shapes(config, pooler=True)
    for file in files:
        with safetensors_files.opened(file) as tensors:
            for key, name in _renamed(list(tensors.keys())).items():
                if name in needed:
                    types.add(safetensors_files.check_type(tensors, key, file))
                if name in shapes:
                    raise ValueError(f"{file}: {key} and {sources[name]} are the same weight")
                shape = tuple(tensors.get_slice(key).get_shape())
                shapes[name] = shape[::-1] if name.endswith("/kernel") else shape
                sources[name] = key
    if not shapes:
        raise ValueError(f"{where}: the weights hold no word embeddings of a BERT")
    return shapes, types


def _renamed(keys: list[str]) -> dict[str, str]:
    """Keys of a file -> our names, without what a model for another task has beside its BERT."""
    found = {}
    for key in keys:
        start = max(key.find(part) for part in ("embeddings.", "encoder.layer.", "pooler."))
        name = key[start:] if start >= 0 else ""
        if start > 0 and key[:start] not in ("bert.", "roberta.", "model.", "0.auto_model."):
            continue
        if name in _NAMES:
            found[key] = _NAMES[name]
            continue
        for ending, ours in _ENDINGS.items():
            if name.endswith(ending):
                stem = name.removesuffix(ending).replace("encoder.layer.", "encoder/layer_")
                found[key] = stem.replace(".", "/") + ours
                break
    return found
