"""Whether a model gives a text the same vectors whatever is encoded beside it, and what to do where
it does not.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import (
    Documents,
    Encoded,
    EncodedWindow,
    TokenStream,
    Windows,
    joined_encoded,
)
from corpusvec.transforms.elements import OWN, Document
from corpusvec.transforms.models.kinds import Encoder
from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.specs import ModelSpec, TokenizerSpec, Wanted
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

_LOG = logging.getLogger(__name__)
# Parts of the largest value, which the rounding of other kernels stays below.
TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 5e-2}


def stabilized(encoder: Encoder, probes: Windows, spec: ModelSpec, wanted: Wanted) -> Encoder:
    """The encoder; or, if the probes' vectors depend on their batch, one that encodes each window
    alone, with a warning.

    Raises `ValueError` where the same text has other vectors each time.
    """
    if _is_random(encoder, probes, wanted.precision):
        raise ValueError(
            f"{spec.path}: gives the same text other vectors each time; was it saved as it is"
            " trained, with dropout? Name another function with --signature, or export it again"
        )
    if not depends_on_batch(encoder, probes, wanted.precision):
        return encoder
    _LOG.warning(
        "the vectors of %s change with what is encoded beside a text; each text is encoded alone",
        spec.path,
    )
    return _Alone(encoder)


class _Alone:
    def __init__(self, encoder: Encoder):
        self._encoder, self.streams = encoder, encoder.streams

    def encode(self, windows: Windows) -> Encoded:
        return joined_encoded([self._encoder.encode(one) for one in _each(windows)])


def _each(windows: Windows) -> list[Windows]:
    return [windows.take(slice(row, row + 1)) for row in range(len(windows))]


def depends_on_batch(encoder: Encoder, probes: Windows, precision: str) -> bool:
    """Encodes `probes`, of unlike lengths, alone and together. A model that fails on them, or gives
    what is not finite, says nothing: that is for the texts to show.
    """
    try:
        together = encoder.encode(probes)
        alone = [encoder.encode(probe)[0] for probe in _each(probes)]
    except Exception:
        return False
    return any(_differ(*pair, TOLERANCES[precision]) for pair in zip(together, alone))


def _is_random(encoder: Encoder, probes: Windows, precision: str) -> bool:
    """Each probe alone, twice: one narrow vector may come out of a dropout twice the same."""
    try:
        first, second = ([encoder.encode(one)[0] for one in _each(probes)] for _ in range(2))
    except Exception:
        return False
    return any(_differ(*pair, TOLERANCES[precision]) for pair in zip(first, second))


def _differ(a: EncodedWindow, b: EncodedWindow, tolerance: float) -> bool:
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
    if fails(encoder, id_windows([size - 1])) and not fails(encoder, id_windows([0])):
        raise ValueError(
            f"{spec.path}: its tokenizer {Path(tokenizer.path).name} has {size} tokens, and the"
            " model does not take the last of them; is it another model's?"
        )


def check_words(encoder: Encoder, file: Path | None) -> None:
    """Raises `ValueError` where a model takes the first word of its vocabulary and not the last."""
    if file is None:
        return
    words = file.read_bytes().decode().removesuffix("\n").split("\n")
    if fails(encoder, _word_windows(words[-1])) and not fails(encoder, _word_windows(words[0])):
        raise ValueError(
            f"{file}: has {len(words)} words, and the model does not take the last of them; is it"
            " another model's?"
        )


def _word_windows(word: str) -> Windows:
    """For models of words and for models of texts."""
    return _probes([[0]], [word], [word])


def fails(encoder: Encoder, windows: Windows) -> bool:
    """Whether a model does not take them."""
    try:
        encoder.encode(windows)
    except Exception:
        return True
    return False


def text_windows(*texts: str) -> Windows:
    """Windows of a model that takes strings."""
    return _probes([[]] * len(texts), texts, ())


def id_windows(*ids: Sequence[int]) -> Windows:
    """Windows of documents that nobody asked for."""
    return _probes(ids, None, ("a",) * sum(map(len, ids)))


def _probes(
    ids: Sequence[Sequence[int]], texts: Sequence[str] | None, names: Sequence[str]
) -> Windows:
    lengths = np.array([len(some) for some in ids], np.int64)
    edges, none = edges_of(lengths), np.zeros(len(ids), np.int64)
    n = int(edges[-1])
    return Windows(
        documents=Documents.of([Document("probe", "")] * len(ids)),
        stream=TokenStream(
            np.array([one for some in ids for one in some], np.int32),
            np.zeros(n, np.int8),
            np.full(n, OWN, np.int8),
            None,
            pa.array(names, pa.string()),
            None,
            None,
        ),
        unknown=None,
        dropped=none,
        skipped=none,
        texts=texts,
        owners=np.arange(len(ids)),
        indices=none,
        counts=none + 1,
        starts=edges[:-1],
        stops=edges[1:],
        own_starts=edges[:-1],
        own_stops=edges[1:],
        positions=none,
        opened=none,
        closed=none,
    )
