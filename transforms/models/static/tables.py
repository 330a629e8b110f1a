"""Static embeddings: a table of vectors, one for each token, whose mean is the vector of a text.

Those of sentence-transformers (`StaticEmbedding`), and model2vec's own folders. They are looked up
with NumPy: nothing here needs TensorFlow, and the tokenizer is what takes the time.

Source: sentence-transformers 6.2, static_embedding.py; model2vec 0.10, model.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.transformers import (
    sentence_modules,
    tokenizer_settings,
    weight_places,
)
from corpusvec.transforms.models.transformers.folders import (
    check_own_tokenizer,
    digest_of,
    of_tokenizer,
    say_lowercase,
)
from corpusvec.transforms.models.transformers.sentence_modules import SentenceModules
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.specs import Asked, ModelSpec, TokenizerSpec, VectorColumn, Wanted
from corpusvec.transforms.storage import safetensors_files
from corpusvec.transforms.storage.json_files import read_json, setting, whole_number
from corpusvec.transforms.tokens.tokenizers import Tokenizer, load_tokenizer
from corpusvec.transforms.vectors.dense_layers import NORMALIZE

# The table by its names in newer files and in model2vec's, where it may have fewer rows than there
# are tokens, and a factor for each token.
_TABLES = ("embedding.weight", "embeddings")
_MAPPING, _WEIGHTS = "mapping", "weights"
_USUAL_LENGTH = 512  # of model2vec, in tokens


def recognises(path: str, asked: Asked) -> bool:
    return sentence_modules.is_static(Path(path))


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where files are missing, do not fit each other, or ask for what is not
    implemented.
    """
    modules = sentence_modules.read(Path(path))
    folder = modules.transformer if modules else Path(path)
    rules = _tokenizer(folder, asked, skips_unknown=modules is None)
    library = load_tokenizer(rules)
    (weights,) = weight_places.find(folder, {})
    rows, width = _shape(weights, library.size)
    about = _about(modules, folder / "config.json", width, Path(rules.path))
    files = [weights, Path(rules.path), *(modules.files if modules else [folder / "config.json"])]
    return ModelSpec(
        kind="static",
        path=path,
        digest=digest_of(files, {"do_lower_case": rules.lowercase}),
        tokenizer=rules,
        max_seq_length=about.max_seq_length,
        longest=None,
        layers=(0,),
        outputs=(),
        default_columns=(about.column,),
        hidden_size=width,
        parameters=rows * width,
        weights=(str(weights),),
        segments=False,
        **of_tokenizer(library),
        **sentence_modules.prompts(modules),
        notes=_notes(modules, folder / "config.json", library),
    )


def _tokenizer(folder: Path, asked: Asked, skips_unknown: bool) -> TokenizerSpec:
    """The file's rules alone, with nothing around a text."""
    own = folder / "tokenizer.json"
    place = Path(asked.tokenizer or own)
    file = place / own.name if place.is_dir() else place
    if not file.is_file():
        raise ValueError(f"{file.parent}: has no {file.name}, which static embeddings need")
    check_own_tokenizer([file], [own] if own.is_file() else [])
    tokenizer_settings.check(file, {})
    lowercase = say_lowercase(asked.do_lower_case)
    return TokenizerSpec(
        "tokenizer.json",
        str(file),
        lowercase=lowercase,
        lowercase_asked=lowercase is not None,
        bare=True,
        skips_unknown=skips_unknown,
        keep_end=_truncation(file).get("direction") == "Left",
    )


def _truncation(file: Path) -> Mapping[str, Any]:
    return tokenizer_settings.outline(file).get("truncation") or {}


def _notes(modules: SentenceModules | None, config: Path, library: Tokenizer) -> tuple[str, ...]:
    if modules is None:
        return ()
    if not sentence_modules.is_model2vec(config) or library.unknown == -1:
        return modules.notes
    note = (
        f"{config.name}: model2vec leaves unknown tokens out of a text's vector; here they count,"
        " as in sentence-transformers, whose files the folder has too"
    )
    return (*modules.notes, note)


@dataclass(frozen=True, slots=True)
class _About:
    """The vector of a text, and how many tokens the original sees of it (None: all)."""

    column: VectorColumn
    max_seq_length: int | None


def _about(modules: SentenceModules | None, config: Path, width: int, tokenizer: Path) -> _About:
    """As modules say it, which do not ask model2vec's configuration, or else as that does."""
    if modules:
        return _About(modules.column(width, 0), _truncation(tokenizer).get("max_length"))
    said = {"max_length": _USUAL_LENGTH, **read_json(config)}
    steps = (NORMALIZE,) if setting(said, "normalize", bool, config) else ()
    length = None if said["max_length"] is None else whole_number(said, "max_length", config)
    return _About(VectorColumn("vector", "mean", (0,), modules=steps), length)


def _shape(file: Path, tokens: int) -> tuple[int, int]:
    """Rows and columns of the table. Raises `ValueError` where its file has no table for so many
    tokens, or anything else.
    """
    with safetensors_files.opened(file) as tensors:
        shapes = {key: tensors.get_slice(key).get_shape() for key in list(tensors.keys())}
    names = [name for name in _TABLES if name in shapes]
    others = sorted(shapes.keys() - {*names[:1], _MAPPING, _WEIGHTS})
    if not names or others:
        what = f"holds {others[0]}" if names else f"has no {' and no '.join(_TABLES)}"
        raise ValueError(f"{file}: {what}; expected is a table of embeddings alone")
    table = shapes[names[0]]
    by_token = {name: shapes[name] for name in (_MAPPING, _WEIGHTS) if name in shapes}
    if len(table) != 2 or any(len(shape) != 1 for shape in by_token.values()):
        raise ValueError(f"{file}: {names[0]} has the shape {table}; expected two sizes")
    lengths = by_token if _MAPPING in by_token else {names[0]: table, **by_token}
    for name, (length, *_) in lengths.items():
        if length < tokens:
            raise ValueError(f"{file}: {name} has {length} rows, the tokenizer {tokens} tokens")
    return table[0], table[1]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """`vectors` [V, D]; `rows` [N] says which of them a token has, `weights` [N, 1] what it is
    multiplied by, both None where nothing of the kind is said.
    """

    vectors: np.ndarray
    rows: np.ndarray | None
    weights: np.ndarray | None

    @classmethod
    def read(cls, file: Path) -> Table:
        """Raises `ValueError` where it does not hold numbers as it should."""
        with safetensors_files.opened(file) as tensors:
            keys = list(tensors.keys())
            name = next(name for name in _TABLES if name in keys)
            if tensors.get_slice(name).get_dtype() != "I8":  # of model2vec, without a scale
                safetensors_files.check_type(tensors, name, file)
            vectors = tensors.get_tensor(name)
            rows = tensors.get_tensor(_MAPPING) if _MAPPING in keys else None
            weights = tensors.get_tensor(_WEIGHTS) if _WEIGHTS in keys else None
        if rows is not None and not set(rows.tolist()) <= set(range(len(vectors))):
            raise ValueError(f"{file}: {_MAPPING} names rows that {name} does not have")
        return cls(vectors, rows, None if weights is None else weights.astype(np.float32)[:, None])

    def look_up(self, ids: np.ndarray) -> np.ndarray:
        """ids [T] -> [T, D] float32."""
        places = ids if self.rows is None else self.rows[ids]
        found = self.vectors[places].astype(np.float32, copy=False)
        return found if self.weights is None else found * self.weights[ids]


def load(spec: ModelSpec, wanted: Wanted) -> StaticEncoder:
    """Read the table. Its numbers stay in the type of the file."""
    return StaticEncoder(Table.read(Path(spec.weights[0])))


class StaticEncoder:
    """Ids in, their rows out, whatever stands beside them."""

    streams = 1

    def __init__(self, table: Table):
        self._table = table

    def encode(self, windows: Windows) -> Encoded:
        lengths = windows.lengths
        found = self._table.look_up(windows.stream.ids[places_of(windows.starts, lengths)])
        padded = np.zeros((len(windows), int(lengths.max()), found.shape[1]), np.float32)
        rows = np.repeat(np.arange(len(windows)), lengths)
        padded[rows, places_of(np.zeros(len(windows), np.int64), lengths)] = found
        return Encoded(windows, {0: padded}, {})
