"""TensorFlow 1 checkpoints, as google-research/bert and bert-japanese ship them."""

from __future__ import annotations

import configparser
import glob
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers import weights
from corpusvec.transforms.models.transformers.families import bert
from corpusvec.transforms.models.transformers.families.settings import Settings
from corpusvec.transforms.models.transformers.folders import (
    check_own_tokenizer,
    digest_of,
    fitting_tokenizer,
    of_our_own,
    say_lowercase,
)
from corpusvec.transforms.specs import Asked, ModelSpec, TokenizerSpec, Wanted
from corpusvec.transforms.storage.json_files import read_json

if TYPE_CHECKING:
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

# The originals' `gelu` is the tanh approximation.
_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "tanh": "tanh", "linear": "linear"}
_PART = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")  # what follows a checkpoint's prefix
_CASED = re.compile(r"(^|_)cased_L-\d+_H-\d+")  # how Google names checkpoints that keep case
_LOWERCASE_NOTE = (
    "texts are lower-cased, as the original programs do unless they are told otherwise; the"
    " checkpoint does not say (--do_lower_case=false keeps case)"
)
_CASED_NOTE = "texts keep their case, as the folder's name says (--do_lower_case=true lower-cases)"


def recognises(path: str, asked: Asked) -> bool:
    """A folder with a checkpoint in it, or the prefix of one."""
    folder = Path(path)
    if folder.is_dir():
        return any(folder.glob("*.ckpt*.index"))
    return Path(f"{_PART.sub('', path)}.index").is_file()


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where files are missing or do not fit each other."""
    prefix = _prefix(Path(path))
    folder = prefix.parent
    config_file, config = _config(folder)
    tokenizer_files = _tokenizer_files(Path(asked.tokenizer or folder))
    check_own_tokenizer(tokenizer_files, _vocabularies(folder))
    lowercase = say_lowercase(asked.do_lower_case)
    notes: tuple[str, ...] = ()
    if lowercase is None:  # what the model says, else the default of its programs
        lowercase = not _CASED.search(folder.resolve().name)
        notes = (_LOWERCASE_NOTE if lowercase else _CASED_NOTE,)
    tokenizer_spec = _tokenizer_spec(tokenizer_files, lowercase)
    data = sorted(folder.glob(f"{glob.escape(prefix.name)}.data-*"))
    there = _names_and_shapes(prefix, data)
    has_pooler = weights.POOLER_KERNEL in there
    weights.check_shapes(there, config, has_pooler, str(prefix))
    library = fitting_tokenizer(tokenizer_spec, config.vocab_size)
    return ModelSpec(
        kind="checkpoint",
        path=path,
        weights=(str(prefix),),
        **of_our_own(config, has_pooler),
        tokenizer=tokenizer_spec,
        max_seq_length=config.longest,
        digest=digest_of(
            [config_file, Path(f"{prefix}.index"), *data, *tokenizer_files],
            {"do_lower_case": lowercase},
        ),
        separators=library.separators,
        notes=notes,
    )


def load(spec: ModelSpec, wanted: Wanted) -> TransformerEncoder:
    """Read the arrays and build the encoder."""
    from corpusvec.transforms.models.transformers.forward import TransformerEncoder

    return TransformerEncoder(spec, wanted, read_arrays(spec, wanted.pooler))


def read_arrays(spec: ModelSpec, pooler: bool) -> dict[str, np.ndarray]:
    """The arrays of `weights.shapes`, float32; the pooler's if wanted."""
    reader = _reader(Path(spec.weights[0]))
    needed = weights.shapes(spec.transformer, pooler)  # type: ignore[arg-type]
    return {name: reader.get_tensor(f"bert/{name}") for name in needed}


def _prefix(path: Path) -> Path:
    if not path.is_dir():
        return path.with_name(_PART.sub("", path.name))
    prefixes = sorted({p.with_suffix("") for p in path.glob("*.ckpt*.index")})
    if len(prefixes) > 1 and (path / "checkpoint").is_file():
        named = re.search(
            r'^model_checkpoint_path: "(.*)"', (path / "checkpoint").read_text(), re.M
        )
        latest = path / Path(named[1]).name if named else None
        if latest in prefixes:
            return latest
    if len(prefixes) > 1:
        names = ", ".join(p.name for p in prefixes)
        raise ValueError(
            f"--model={path}: several checkpoints ({names}); name one, as in {prefixes[-1]}"
        )
    return prefixes[0]


def _config(folder: Path) -> tuple[Path, Transformer]:
    """`bert_config.json`, or the section BERT-CONFIG of bert-japanese's `config.ini`."""
    file = folder / "bert_config.json"
    if file.is_file():
        values = read_json(file)
    elif (file := folder / "config.ini").is_file():
        parser = configparser.ConfigParser()
        try:
            parser.read_string(file.read_text("utf-8"))
            values = {key: _ini_value(value) for key, value in parser["BERT-CONFIG"].items()}
        except (configparser.Error, KeyError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{file}: no section BERT-CONFIG that can be read ({reason})"
            ) from error
    else:
        raise ValueError(
            f"--model={folder}: has a checkpoint, but no bert_config.json or config.ini"
        )
    settings = Settings(values, file)
    return file, bert.described(settings, {}, _ACTIVATIONS, epsilon=1e-12)


def _ini_value(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tokenizer_files(place: Path) -> list[Path]:
    """The vocabulary's files: `vocab.txt`, or a SentencePiece model and its `.vocab`."""
    if place.is_file():
        found = [place]
    else:
        found = [file for file in _vocabularies(place) if file.suffix != ".vocab"]
    if not found:
        raise ValueError(
            f"{place}: no vocab.txt and no SentencePiece .model;"
            " name its folder or file with --tokenizer"
        )
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise ValueError(f"{place}: several vocabularies ({names}); choose one with --tokenizer")
    if found[0].suffix != ".model":
        return found
    vocabulary = found[0].with_suffix(".vocab")
    if not vocabulary.is_file():
        raise ValueError(f"{found[0]}: has no {vocabulary.name} beside it, which holds the ids")
    return [found[0], vocabulary]


def _vocabularies(folder: Path) -> list[Path]:
    found = [file for file in [folder / "vocab.txt"] if file.is_file()]
    return [*found, *sorted(folder.glob("*.model")), *sorted(folder.glob("*.vocab"))]


def _tokenizer_spec(files: list[Path], lowercase: bool) -> TokenizerSpec:
    if len(files) == 2:
        return TokenizerSpec("sentencepiece", str(files[0]), str(files[1]), lowercase=lowercase)
    return TokenizerSpec("wordpiece", str(files[0]), lowercase=lowercase)


def _reader(prefix: Path):
    from corpusvec.transforms.models.hardware import tf

    return tf.train.load_checkpoint(str(prefix))


def _names_and_shapes(prefix: Path, data: list[Path]) -> dict[str, tuple[int, ...]]:
    """The arrays below `bert/`. Raises `ValueError` where the checkpoint is not whole."""
    if not data:
        raise ValueError(f"{prefix}.index: has no {prefix.name}.data-… beside it; copy all files")
    try:
        reader = _reader(prefix)
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except Exception as error:  # TensorFlow raises its own, by what is wrong with the bytes
        reason = str(error).splitlines()[0]
        raise ValueError(f"{prefix}: not a checkpoint that TensorFlow reads ({reason})") from error
    needed = sum(math.prod(shape) * types[name].size for name, shape in shapes.items())
    found = sum(file.stat().st_size for file in data)
    if found < needed:
        raise ValueError(
            f"{prefix}.data-…: {len(data)} files with {found} bytes, the index asks for {needed};"
            " one is missing or cut off"
        )
    return {
        name.removeprefix("bert/"): tuple(shape)
        for name, shape in shapes.items()
        if name.startswith("bert/")
    }
