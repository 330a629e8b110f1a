"""SavedModels and TF1 Hub modules that take strings: Universal Sentence Encoder, NNLM and whatever
else is a text embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.exports import notes as export_notes
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import check_words, stabilized, text_windows
from corpusvec.transforms.models.saved_models import choices, signatures
from corpusvec.transforms.models.saved_models.asset_tokenizers import words_file
from corpusvec.transforms.models.saved_models.choices import Given, chosen, vectors_of
from corpusvec.transforms.models.saved_models.functions import SavedFunction
from corpusvec.transforms.models.transformers.folders import say_lowercase
from corpusvec.transforms.specs import Asked, ModelSpec, Signature, Wanted

_PROBES = (
    "a",
    "The cat is on the mat.",
    "One text that is much longer than the others, as there is always one, with some words in it "
    "that no vocabulary has, such as Xyzzyx, 12,345 and トマト; it ends where it ends.",
)


def takes(signature: Signature) -> bool:
    """One string for each text, and vectors for each.

    Keras has the texts in a column, [B, 1]. Where not even the rank is known, they are a row.
    """
    if len(signature.inputs) != 1 or signature.inputs[0].dtype != "string":
        return False
    (texts,) = signature.inputs
    column = texts.rank == 2 and texts.shape[1] == 1  # type: ignore[index]
    return (column or texts.rank in (1, None)) and bool(vectors_of(signature, 2))


def recognises(path: str, asked: Asked) -> bool:
    return choices.recognised(path, asked, "saved_strings")


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where the model is not whole, or cannot do what is asked."""
    choice = chosen(path, asked)
    if asked.tokenizer or say_lowercase(asked.do_lower_case) is not None:
        flag = f"--tokenizer={asked.tokenizer}" if asked.tokenizer else "--do_lower_case"
        raise ValueError(f"{flag}: {path} takes strings and cuts them itself; omit the flag")
    given = Given.of_texts(vectors_of(choice.signature, 2))
    notes = choice.notes
    if dropped := vectors_of(choice.signature, 3):
        notes += (
            f"{', '.join(dropped)} may be vectors of tokens, but the model does not say of which;"
            " they are not available",
        )
    if exported := export_notes.read(Path(path) / "assets"):
        notes += (f"it reads only the first {exported.max_seq_length} tokens of a text",)
    columns = choices.sentence_column(path, choice.signature, given, asked)
    return choices.bare_spec(choice, given, columns, None, notes)


def load(spec: ModelSpec, wanted: Wanted) -> Encoder:
    """Load the model and build its function.

    Raises `ValueError` where its vocabulary is another model's.
    """
    encoder = StringEncoder(spec, wanted)
    check_words(encoder, words_file(signatures.read(spec.path)))
    return stabilized(encoder, text_windows(*_PROBES), spec, wanted)


class StringEncoder:
    """Texts in, the model's own sentence vectors out."""

    def __init__(self, spec: ModelSpec, wanted: Wanted):
        (texts,) = spec.signature.inputs  # type: ignore[union-attr]
        batch = (texts.shape or (None,))[0]
        self._function = SavedFunction(spec, Given.of_texts(wanted.outputs), wanted, batch)
        self._input, self.streams = texts.name, self._function.streams
        self._shape = (-1, *[1] * ((texts.rank or 1) - 1))

    def encode(self, windows: Windows) -> Encoded:
        assert windows.texts is not None
        texts = np.array([windows.texts[at].encode() for at in windows.owners.tolist()], object)
        return self._function.encode(windows, {self._input: texts.reshape(self._shape)})
