"""Models that take the pieces of SentencePiece as a sparse tensor of their ids: Universal Sentence
Encoder Lite.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corpusvec.transforms.batches import filled
from corpusvec.transforms.columns import Encoded, Windows
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.models.probes import check_ids, id_windows, stabilized
from corpusvec.transforms.models.saved_models import choices
from corpusvec.transforms.models.saved_models.asset_tokenizers import asked_place
from corpusvec.transforms.models.saved_models.choices import Given, chosen, vectors_of
from corpusvec.transforms.models.saved_models.functions import SavedFunction
from corpusvec.transforms.models.transformers.folders import check_own_tokenizer, say_lowercase
from corpusvec.transforms.ranges import places_of
from corpusvec.transforms.specs import Asked, ModelSpec, Signature, TokenizerSpec, Wanted
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

_PARTS = ("values", "indices", "dense_shape")


def parts_of(signature: Signature) -> dict[str, str] | None:
    """The inputs that are the three parts of one sparse tensor of ids, None where they are not.

    A tensor that is declared as sparse has its parts named after it (`inputs_values`).
    """
    found = {
        part: tensor.name
        for tensor in signature.inputs
        for part in _PARTS
        if tensor.name.endswith(part) and tensor.dtype in ("int64", "int32")
    }
    return found if len(found) == len(signature.inputs) == 3 else None


def takes(signature: Signature) -> bool:
    return parts_of(signature) is not None and bool(vectors_of(signature, 2))


def recognises(path: str, asked: Asked) -> bool:
    return choices.recognised(path, asked, "saved_pieces")


def describe(path: str, asked: Asked) -> ModelSpec:
    """Raises `ValueError` where the model is not whole, or cannot do what is asked."""
    choice = chosen(path, asked)
    given = Given.of_texts(vectors_of(choice.signature, 2))
    own = [Path(path) / name for name in choice.model.assets if name.endswith(".model")]
    tokenizer = _tokenizer(path, own, asked)
    load_tokenizer(tokenizer)
    columns = choices.sentence_column(path, choice.signature, given, asked)
    return choices.bare_spec(choice, given, columns, tokenizer, choice.notes)


def _tokenizer(path: str, own: Sequence[Path], asked: Asked) -> TokenizerSpec:
    files = list(own)
    if asked.tokenizer:
        place = asked_place(asked)
        files = sorted(place.glob("*.model")) if place.is_dir() else [place]
        check_own_tokenizer(files, own)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise ValueError(
            f"--model={path}: takes pieces of a SentencePiece model, of which it should have one"
            f" among its assets (found: {found}); name it with --tokenizer"
        )
    lowercase = say_lowercase(asked.do_lower_case)
    return TokenizerSpec(
        "pieces",
        str(files[0]),
        lowercase=bool(lowercase),
        lowercase_asked=lowercase is not None,
    )


def load(spec: ModelSpec, wanted: Wanted) -> Encoder:
    """Load the model and build its function.

    Raises `ValueError` where the SentencePiece model has ids that the model does not take.
    """
    encoder = PieceEncoder(spec, wanted)
    check_ids(encoder, spec)
    probes = id_windows(*([1] * length for length in (1, 3, 40)))
    return stabilized(encoder, probes, spec, wanted)


class PieceEncoder:
    """Ids in, the model's own sentence vectors out."""

    def __init__(self, spec: ModelSpec, wanted: Wanted):
        signature: Signature = spec.signature  # type: ignore[assignment]
        self._parts: dict[str, str] = parts_of(signature)  # type: ignore[assignment]
        self._function = SavedFunction(spec, Given.of_texts(wanted.outputs), wanted)
        self.streams = self._function.streams

    def encode(self, windows: Windows) -> Encoded:
        lengths = windows.lengths
        rows = np.repeat(np.arange(len(windows)), lengths)
        places = places_of(np.zeros(len(windows), np.int64), lengths)
        ids, _ = filled(windows, int(lengths.max()))
        sparse = {
            "values": ids[rows, places].astype(np.int64),
            "indices": np.stack([rows, places], axis=1),  # [N, 2]
            "dense_shape": np.array([len(windows), lengths.max()]),
        }
        inputs = {self._parts[part]: value for part, value in sparse.items()}
        return self._function.encode(windows, inputs)
