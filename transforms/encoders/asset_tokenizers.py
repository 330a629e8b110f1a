"""The tokenizer of a SavedModel: what lies in its `assets`, and whether the model says how letters
are treated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from transforms.encoders import folder_tokenizers, signatures
from transforms.encoders.folders import check_own_tokenizer, read_json, say_lowercase
from transforms.encoders.signatures import SavedModel
from transforms.specs import Asked, TokenizerSpec

_LOWERCASE = "do_lower_case"
_VALUE = f"{_LOWERCASE}/.ATTRIBUTES/VARIABLE_VALUE"  # of a TensorFlow 2 checkpoint


class Found(NamedTuple):
    """A tokenizer, and what was decided where its files do not say."""

    tokenizer: TokenizerSpec
    notes: tuple[str, ...] = ()


def find(model: SavedModel, asked: Asked) -> Found:
    """Raises `ValueError` where there is no tokenizer, or more than one could be meant."""
    own = _files(Path(model.path) / "assets")
    files = own
    if asked.tokenizer:
        place = asked_place(asked)
        files = _files(place) if place.is_dir() else [place]
        check_own_tokenizer(files, own)
    where = f"--tokenizer={asked.tokenizer}" if asked.tokenizer else f"--model={model.path}"
    vocabularies = [file for file in files if file.suffix != ".vocab"]
    if (named := [file for file in vocabularies if file.name == "tokenizer.json"]) or (
        named := [file for file in vocabularies if file.name == "vocab.txt"]
    ):
        vocabularies = named
    if len(vocabularies) != 1:
        names = ", ".join(file.name for file in vocabularies) or "none"
        raise ValueError(
            f"{where}: one vocabulary was looked for, vocab.txt, tokenizer.json or a SentencePiece"
            f" .model (found: {names}); name it with --tokenizer"
        )
    return _spec(vocabularies[0], model, asked)


def asked_place(asked: Asked) -> Path:
    """`--tokenizer`. Raises `ValueError` where nothing is there."""
    place = Path(asked.tokenizer)
    if not place.exists():
        raise ValueError(f"--tokenizer={place}: no such file or folder")
    return place


def words_file(model: SavedModel) -> Path | None:
    """The asset that says which words a model has, one a line, where that is clear."""
    names = [name for name in model.assets if name.endswith((".txt", ".vocab"))]
    if len(names) != 1:
        return None
    file = Path(model.path) / names[0]
    try:
        return file if file.read_bytes().decode().strip() else None
    except UnicodeDecodeError:
        return None


def _spec(file: Path, model: SavedModel, asked: Asked) -> Found:
    lowercase = say_lowercase(asked.do_lower_case)
    if file.name == "tokenizer.json":
        said_file = file.with_name("tokenizer_config.json")
        said = read_json(said_file) if said_file.is_file() else {}
        return Found(folder_tokenizers.describe(file, said, {}, lowercase, lowercase_first=False))
    notes: tuple[str, ...] = ()
    if lowercase is None:
        lowercase = carried_lowercase(model)
    if file.suffix == ".model":
        if lowercase is None:
            lowercase = False
            notes = (
                f"texts keep their case: the model does not say {_LOWERCASE}, and {file.name} may"
                " lower-case by itself",
            )
        beside = file.with_suffix(".vocab")
        kind = "sentencepiece" if beside.is_file() else "sentencepiece_ids"
        vocabulary = str(beside) if beside.is_file() else ""
        return Found(TokenizerSpec(kind, str(file), vocabulary, lowercase=lowercase), notes)
    if lowercase is None:
        lowercase = not _has_capitals(file)
        what, has = ("lower-cased", "no") if lowercase else ("not lower-cased", "some")
        notes = (
            f"texts are {what}: the model does not say {_LOWERCASE}, and its vocabulary has {has}"
            " words with capital letters",
        )
    return Found(TokenizerSpec("wordpiece", str(file), lowercase=lowercase), notes)


def _files(folder: Path) -> list[Path]:
    """What could be a tokenizer's file; a text is one where it has [CLS] for a line."""
    texts = [file for file in sorted(folder.glob("*.txt")) if b"[CLS]" in _lines(file)]
    others = [*folder.glob("tokenizer.json"), *folder.glob("*.model"), *folder.glob("*.vocab")]
    return [*texts, *sorted(others)]


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


def _has_capitals(file: Path) -> bool:
    words = (line.decode("utf-8", "replace").strip() for line in _lines(file))
    return any(
        word != word.lower() for word in words if not (word.startswith("[") and word.endswith("]"))
    )


def carried_lowercase(model: SavedModel) -> bool | None:
    """What the model itself says, as those of TensorFlow Hub do: a variable, or in TF1 Hub modules
    a constant output of `tokenization_info`.
    """
    for signature in model.signatures:
        if not signature.inputs and _LOWERCASE in {tensor.name for tensor in signature.outputs}:
            return _constant(model, signature.name)
    names = [name for name in model.variables if name.split("/")[-1] == _LOWERCASE]
    return _stored(model.path) if names else None


def _constant(model: SavedModel, signature: str) -> bool | None:
    """An output's value, where the graph has it written down."""
    from transforms.encoders.runtime import tf

    graph = signatures.meta_graph(model.path)
    nodes = {node.name: node for node in graph.graph_def.node}
    node = nodes[graph.signature_def[signature].outputs[_LOWERCASE].name.rpartition(":")[0]]
    while node.op == "Identity":
        node = nodes[node.input[0].rpartition(":")[0] or node.input[0]]
    return bool(tf.make_ndarray(node.attr["value"].tensor)) if node.op == "Const" else None


def _stored(path: str) -> bool | None:
    from transforms.encoders.runtime import tf

    reader = tf.train.load_checkpoint(str(Path(path) / "variables" / "variables"))
    keys: Sequence[str] = sorted(reader.get_variable_to_shape_map())
    for key in keys:  # of TensorFlow 2, and 1
        if key.endswith(_VALUE) or key.split("/")[-1] == _LOWERCASE:
            return bool(reader.get_tensor(key))
    return None
