"""Hugging Face folders of BERT architecture, with sentence-transformers' files where they are
there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.encoders import folder_tokenizers, sentence_modules, weights
from transforms.encoders.folders import (
    bert_config,
    check_own_tokenizer,
    digest_of,
    fitting_tokenizer,
    of_our_own,
    read_json,
    say_lowercase,
    setting,
    whole_number,
)
from transforms.specs import Asked, BertConfig, ModelSpec, Wanted

if TYPE_CHECKING:
    from transforms.encoders.bert import BertEncoder

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_ARCHITECTURES = ("bert", "xlm-roberta")  # the latter counts positions from its padding id + 1

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
    config = _config(config_file, values)
    weight_files = _weight_files(folder)
    there = _names_and_shapes(weight_files, str(folder))
    has_pooler = weights.POOLER_KERNEL in there
    weights.check_shapes(there, config, has_pooler, str(folder))
    tokenizer_file, said = folder_tokenizers.find(Path(asked.tokenizer or folder))
    check_own_tokenizer([tokenizer_file], folder_tokenizers.own_files(folder))
    lowercase = say_lowercase(asked.do_lower_case)
    lowercase_first = bool(modules and modules.lowercase and lowercase is not False)
    rules = folder_tokenizers.describe(tokenizer_file, said, values, lowercase, lowercase_first)
    library = fitting_tokenizer(rules, config.vocab_size)
    added = [file for file in [tokenizer_file.with_name("added_tokens.json")] if file.is_file()]
    own = modules.files if modules else ()
    return ModelSpec(
        kind="hugging_face",
        path=path,
        weights=tuple(map(str, weight_files)),
        **of_our_own(config, has_pooler, modules.columns(config) if modules else ()),
        tokenizer=rules,
        max_seq_length=_limit(config, modules, said, tokenizer_file),
        digest=digest_of(
            [config_file, *weight_files, tokenizer_file, *added, *own],
            {"do_lower_case": [rules.lowercase, lowercase_first], "tokenizer": said},
        ),
        separators=library.separators,
        segments=library.segments and config.segment_types > 1,
        prompts=modules.prompts if modules else (),
        default_prompt=modules.default_prompt if modules else "",
        notes=(*folder_tokenizers.notes(rules, said, values, library),),
    )


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
    from transforms.encoders.bert import BertEncoder

    return BertEncoder(spec, wanted, read_arrays(spec, wanted.pooler))


def read_arrays(spec: ModelSpec, pooler: bool) -> dict[str, np.ndarray]:
    """The arrays of `weights.shapes`, float32; the pooler's if wanted."""
    import ml_dtypes  # noqa: F401  (tells NumPy what bfloat16 is)
    from safetensors import safe_open

    needed = weights.shapes(spec.bert, pooler)  # type: ignore[arg-type]
    arrays: dict[str, np.ndarray] = {}
    for file in spec.weights:
        with safe_open(file, framework="np") as tensors:
            for key, name in _renamed(list(tensors.keys())).items():
                if name in needed:
                    array = tensors.get_tensor(key).astype(np.float32)
                    arrays[name] = array.T if name.endswith("/kernel") else array
    return arrays


def _config(file: Path, values: dict[str, Any]) -> BertConfig:
    architecture = values.get("model_type")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{file}: model_type is {architecture!r}; corpusvec runs {' and '.join(_ARCHITECTURES)}"
        )
    if (kind := values.get("position_embedding_type", "absolute")) != "absolute":
        raise ValueError(
            f"{file}: position_embedding_type is {kind!r}; only absolute is implemented"
        )
    if values.get("is_decoder"):
        raise ValueError(f"{file}: is_decoder is set; only encoders are implemented")
    first = 0
    if architecture == "xlm-roberta":
        first = whole_number({"pad_token_id": 1} | values, "pad_token_id", file, least=0) + 1
    epsilon = values.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float | int) or not 0 <= epsilon < 1:
        raise ValueError(f"{file}: layer_norm_eps is {epsilon!r}, a small number was looked for")
    more = {"layer_norm_eps": epsilon, "first_position": first}
    return bert_config({"type_vocab_size": 2} | values, file, _ACTIVATIONS, **more)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ValueError(f"{index}: has no weight_map, which says where each weight is")
        for key, name in names.items():
            if not isinstance(name, str):
                raise ValueError(f"{index}: weight_map: {key} is {name!r}, a file was looked for")
        files = [folder / name for name in sorted(set(names.values()))]
    else:
        files = [folder / "model.safetensors"]
    for file in files:
        if not file.is_file():
            hint = ""
            if (folder / "pytorch_model.bin").is_file():
                hint = "; pytorch_model.bin is not read, save the model as safetensors"
            raise ValueError(f"--model={folder}: has no {file.name}{hint}")
    return files


def _names_and_shapes(files: list[Path], where: str) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="np") as tensors:
                for key, name in _renamed(list(tensors.keys())).items():
                    shape = tuple(tensors.get_slice(key).get_shape())
                    shapes[name] = shape[::-1] if name.endswith("/kernel") else shape
        except SafetensorError as error:
            raise ValueError(f"{file}: is not a whole safetensors file ({error})") from error
    if not shapes:
        raise ValueError(f"{where}: the weights hold no word embeddings of a BERT")
    return shapes


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
