"""The tokenizer of a SavedModel: what lies in its `assets`, and whether the model says how letters
are treated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from corpusvec.transforms.models.saved_models import signatures
from corpusvec.transforms.models.saved_models.signatures import SavedModel
from corpusvec.transforms.models.transformers import tokenizer_files
from corpusvec.transforms.models.transformers.folders import check_own_tokenizer, say_lowercase
from corpusvec.transforms.specs import Asked, TokenizerSpec

_LOWERCASE = "do_lower_case"
_VALUE = f"{_LOWERCASE}/.ATTRIBUTES/VARIABLE_VALUE"  # of a TensorFlow 2 checkpoint
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


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
            f"{where}: expected one vocabulary, vocab.txt, tokenizer.json or a SentencePiece"
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
        _, said = tokenizer_files.find(file)
        return Found(tokenizer_files.describe(file, said, {}, lowercase, lowercase_first=False))
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
    """What the model itself says, as those of TensorFlow Hub do: a constant output of
    `tokenization_info`, as in TF1 Hub modules, or a variable.
    """
    for signature in model.signatures:
        tells = not signature.inputs and _LOWERCASE in {one.name for one in signature.outputs}
        if tells and (said := _constant(model, signature.name)) is not None:
            return said
    names = [name for name in model.variables if name.split("/")[-1] == _LOWERCASE]
    return _stored(model.path) if names else None


def _constant(model: SavedModel, signature: str) -> bool | None:
    """An output's value, where the graph, or in TensorFlow 2 a function that it calls, has it
    written down.
    """
    graph = signatures.meta_graph(model.path)
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    tensor = graph.signature_def[signature].outputs[_LOWERCASE].name
    return _written(tensor, nodes, library, lambda argument: None)


def _written(
    tensor: str,
    nodes: Mapping[str, Any],
    library: Mapping[str, Any],
    given: Callable[[str], bool | None],
) -> bool | None:
    """A constant that is handed on to `tensor`; `given` tells of an argument of the function."""
    from corpusvec.transforms.models.hardware import tf

    name, _, place = tensor.partition(":")
    if (node := nodes.get(name)) is None:
        return given(name)
    if node.op == "Const":
        return bool(tf.make_ndarray(node.attr["value"].tensor))
    if node.op == "Identity":
        return _written(node.input[0], nodes, library, given)
    if node.op not in _CALLS:
        return None
    function = library[node.attr["f"].func.name]
    # `call:1` of a graph is `call:output:1` in a function.
    output = function.signature.output_arg[int(place.rpartition(":")[2] or 0)].name
    arguments = [argument.name for argument in function.signature.input_arg]
    inner = {node.name: node for node in function.node_def}
    return _written(
        function.ret[output],
        inner,
        library,
        lambda name: _written(node.input[arguments.index(name)], nodes, library, given),
    )


def _stored(path: str) -> bool | None:
    from corpusvec.transforms.models.hardware import tf

    reader = tf.train.load_checkpoint(str(Path(path) / "variables" / "variables"))
    keys: Sequence[str] = sorted(reader.get_variable_to_shape_map())
    for key in keys:  # of TensorFlow 2, and 1
        if key.endswith(_VALUE) or key.split("/")[-1] == _LOWERCASE:
            return bool(reader.get_tensor(key))
    return None
