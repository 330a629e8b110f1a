"""Models that take words as strings, which are cut at spaces: ELMo's module, and lookup tables of
word vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import Encoded, Windows, joined_encoded
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import check_words, id_windows, stabilized
from corpusvec.transforms.models.saved_models import choices, signatures
from corpusvec.transforms.models.saved_models.asset_tokenizers import words_file
from corpusvec.transforms.models.saved_models.choices import Given, chosen, vectors_of
from corpusvec.transforms.models.saved_models.functions import SavedFunction, checked
from corpusvec.transforms.models.transformers.folders import say_lowercase
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.specs import (
    Asked,
    Layer,
    ModelSpec,
    Signature,
    TokenizerSpec,
    VectorColumn,
    Wanted,
)

# ELMo's outputs, the lowest first.
_ELMO: Mapping[str, Layer] = {"word_emb": 0, "lstm_outputs1": 1, "lstm_outputs2": 2, "elmo": "elmo"}
# How a function takes words: of each text with their number, all one after the other, or as a text.
_PADDED, _FLAT, _TEXTS = "padded", "flat", "texts"


def form_of(signature: Signature) -> str | None:
    """How a function takes words, None where it does not.

    Only a name tells words from texts: `tokens`.
    """
    inputs = {tensor.name: (tensor.dtype, tensor.rank) for tensor in signature.inputs}
    strings = [name for name, kind in inputs.items() if kind == ("string", 2)]
    numbers = [n for n, (dtype, rank) in inputs.items() if dtype[:3] == "int" and rank == 1]
    vectors = vectors_of(signature, 3) or vectors_of(signature, 2)
    if len(inputs) == 2 and strings and numbers and vectors:
        return _PADDED
    if inputs == {"tokens": ("string", 1)} and vectors_of(signature, 2):
        return _FLAT
    names = {tensor.name for tensor in signature.outputs}
    if list(inputs.values()) == [("string", 1)] and {"elmo", "word_emb"} <= names:
        return _TEXTS
    return None


def takes(signature: Signature) -> bool:
    return form_of(signature) is not None


def recognises(path: str, asked: Asked) -> bool:
    return choices.recognised(path, asked, "saved_words")


def given_by(signature: Signature) -> Given:
    """Layers, and the sentence vectors where the function sees texts."""
    if form_of(signature) == _FLAT:
        keys = vectors_of(signature, 2)
        first = "default" if "default" in keys else keys[0]
        layers: dict[Layer, str] = {0: first} | {key: key for key in keys if key != first}
        return Given(layers, {})
    known = [key for key in _ELMO if key in vectors_of(signature, 3)]
    others = [key for key in vectors_of(signature, 3) if key not in _ELMO]
    layers = {_ELMO[key]: key for key in known} | {key: key for key in others}
    return Given(layers, {key: key for key in vectors_of(signature, 2)})


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where the model is not whole, or cannot do what is asked."""
    choice = chosen(path, asked)
    given = given_by(choice.signature)
    flat = form_of(choice.signature) == _FLAT
    notes = choice.notes
    if not flat:
        notes += (
            "padding would change its vectors: only texts of as many words are encoded together",
        )
    words = words_file(choice.model) if flat else None
    tokenizer = _tokenizer(path, asked, str(words or ""))
    columns = _columns(path, choice.signature, given, asked)
    return choices.bare_spec(choice, given, columns, tokenizer, notes, padding=flat)


def _columns(
    path: str, signature: Signature, given: Given, asked: Asked
) -> tuple[VectorColumn, ...]:
    if not asked.output_key and not given.outputs and 0 in given.layers:
        return (VectorColumn("vector", "mean", (0,)),)
    return choices.sentence_column(path, signature, given, asked)


def _tokenizer(path: str, asked: Asked, vocabulary: str) -> TokenizerSpec:
    if asked.tokenizer:
        raise ValueError(
            f"--tokenizer={asked.tokenizer}: {path} takes words, which are cut at spaces; omit"
            " the flag"
        )
    lowercase = say_lowercase(asked.do_lower_case)
    return TokenizerSpec(
        "words", path, vocabulary, lowercase=bool(lowercase), lowercase_asked=lowercase is not None
    )


def load(spec: ModelSpec, wanted: Wanted) -> Encoder:
    """Load the model and build its function.

    Raises `ValueError` where its vocabulary is another model's.
    """
    encoder = WordEncoder(spec, wanted)
    check_words(encoder, words_file(signatures.read(spec.path)))
    return stabilized(encoder, id_windows(*([0] * length for length in (1, 3))), spec, wanted)


class WordEncoder:
    """Words in, their vectors and those of the text out. The windows of a call are of one length,
    but for a lookup table, which sees one word at a time.
    """

    def __init__(self, spec: ModelSpec, wanted: Wanted):
        signature: Signature = spec.signature  # type: ignore[assignment]
        self._form = form_of(signature)
        inputs = {tensor.dtype == "string": tensor for tensor in signature.inputs}
        self._words, self._lengths = inputs[True].name, inputs.get(False)
        batch = (inputs[True].shape or (None,))[0]
        self._function = SavedFunction(spec, given_by(signature), wanted, batch)
        self.streams = self._function.streams

    def encode(self, windows: Windows) -> Encoded:
        if self._form == _FLAT:
            return self._looked_up(windows)
        if len(np.unique(windows.lengths)) > 1:
            each = (windows.take(slice(row, row + 1)) for row in range(len(windows)))
            return joined_encoded([self.encode(one) for one in each])
        length = int(windows.lengths[0])
        return self._function.encode(windows, self._inputs(windows, length), length)

    def _inputs(self, windows: Windows, length: int) -> dict[str, np.ndarray]:
        """Windows of T words: their text [B], or words [B, T] and T [B]."""
        words = _words(windows).reshape(len(windows), length)
        if self._lengths is None:
            return {self._words: np.array([b" ".join(row) for row in words.tolist()], object)}
        return {self._words: words, self._lengths.name: np.full(len(windows), length)}

    def _looked_up(self, windows: Windows) -> Encoded:
        words, lengths = _words(windows), windows.lengths
        found = self._function({self._words: words})
        rows = np.repeat(np.arange(len(windows)), lengths)
        places = places_of(np.zeros(len(windows), np.int64), lengths)
        layers = {}
        for layer, key in self._function.layers.items():
            values = checked(found[key], key, (len(words), None))
            padded = np.zeros((len(windows), int(lengths.max()), values.shape[1]), np.float32)
            padded[rows, places] = values
            layers[layer] = padded
        return Encoded(windows, layers, {})


def _words(windows: Windows) -> np.ndarray:
    """The words of all windows, one window's after the other's: [N] of bytes."""
    names: pa.Array = windows.stream.names
    shown = names.take(pa.array(places_of(windows.starts, windows.lengths)))
    return np.array([word.encode() for word in shown.to_pylist()], object)
