"""Whether a model gives a text the same vectors whatever is encoded beside it, and what to do where
it does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from corpusvec.transforms.elements import OWN, Document, Encoded, Window
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.specs import ModelSpec, TokenizerSpec, Wanted
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

# Parts of the largest value, which the rounding of other kernels stays below.
TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2}


def stabilized(
    encoder: Encoder, probes: Sequence[Window], spec: ModelSpec, wanted: Wanted
) -> Encoder:
    """The encoder, or where the probes' vectors depend on their batch one that encodes each window
    alone; the user is told.

    Raises `ValueError` where the same text has other vectors each time.
    """
    if _is_random(encoder, probes, wanted.precision):
        raise ValueError(
            f"{spec.path}: gives the same text other vectors each time; was it saved as it is"
            " trained, with dropout? Name another function with --signature, or export it again"
        )
    if not depends_on_batch(encoder, probes, wanted.precision):
        return encoder
    print(
        f"note: the vectors of {spec.path} change with what is encoded beside a text; each text is"
        " encoded alone",
        file=sys.stderr,
    )
    return _Alone(encoder)


class _Alone:
    def __init__(self, encoder: Encoder):
        self._encoder, self.streams = encoder, encoder.streams

    def encode(self, windows: Sequence[Window]) -> list[Encoded]:
        return [encoded for window in windows for encoded in self._encoder.encode([window])]


def depends_on_batch(encoder: Encoder, probes: Sequence[Window], precision: str) -> bool:
    """Encodes `probes`, of unlike lengths, alone and together. A model that fails on them, or gives
    what is not finite, says nothing: that is for the texts to show.
    """
    try:
        together = encoder.encode(probes)
        alone = [encoder.encode([probe])[0] for probe in probes]
    except Exception:
        return False
    return any(_differ(*pair, TOLERANCES[precision]) for pair in zip(together, alone))


def _is_random(encoder: Encoder, probes: Sequence[Window], precision: str) -> bool:
    """Each probe alone, twice: one narrow vector may come out of a dropout twice the same."""
    try:
        first, second = ([encoder.encode([probe])[0] for probe in probes] for _ in range(2))
    except Exception:
        return False
    return any(_differ(*pair, TOLERANCES[precision]) for pair in zip(first, second))


def _differ(a: Encoded, b: Encoded, tolerance: float) -> bool:
    parts = [(a.layers[key], b.layers[key]) for key in a.layers]
    parts += [(a.outputs[key], b.outputs[key]) for key in a.outputs]
    for one, other in parts:
        if one.shape != other.shape:
            return True
        largest = np.abs(other).max(initial=0)
        if np.isfinite(largest) and not np.allclose(one, other, rtol=0, atol=tolerance * largest):
            return True
    return False


def check_ids(encoder: Encoder, spec: ModelSpec) -> None:
    """Raises `ValueError` where a model takes the first token of its tokenizer and not the last."""
    tokenizer: TokenizerSpec = spec.tokenizer  # type: ignore[assignment]
    size = load_tokenizer(tokenizer).size
    if fails(encoder, id_window([size - 1])) and not fails(encoder, id_window([0])):
        raise ValueError(
            f"{spec.path}: its tokenizer {Path(tokenizer.path).name} has {size} tokens, and the"
            " model does not take the last of them; is it another model's?"
        )


def check_words(encoder: Encoder, file: Path | None) -> None:
    """Raises `ValueError` where a model takes the first word of its vocabulary and not the last."""
    if file is None:
        return
    words = file.read_bytes().decode().removesuffix("\n").split("\n")
    if fails(encoder, _word_window(words[-1])) and not fails(encoder, _word_window(words[0])):
        raise ValueError(
            f"{file}: has {len(words)} words, and the model does not take the last of them; is it"
            " another model's?"
        )


def _word_window(word: str) -> Window:
    """For models of words and for models of texts."""
    return replace(id_window([0], word), tokens=(word,))


def fails(encoder: Encoder, window: Window) -> bool:
    """Whether a model does not take a window."""
    try:
        encoder.encode([window])
    except Exception:
        return True
    return False


def text_window(text: str) -> Window:
    """A window of a model that takes strings."""
    return id_window([], text)


def id_window(ids: Sequence[int], text: str = "") -> Window:
    """A window of a document that nobody asked for."""
    return Window(
        document=Document("probe", ""),
        index=0,
        count=1,
        tokens=("a",) * len(ids),
        ids=np.array(ids, np.int32),
        segments=np.zeros(len(ids), np.int8),
        roles=np.full(len(ids), OWN, np.int8),
        spans=None,
        start=0,
        stop=len(ids),
        position=0,
        text=text,
    )
