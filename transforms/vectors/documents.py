"""Documents' vectors, put together from what the encoder made of their windows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import (
    Documents,
    Encoded,
    Sentences,
    State,
    TokenRows,
    Windows,
    joined_batches,
)
from corpusvec.transforms.elements import Failure
from corpusvec.transforms.ranges import edges_of, places_of
from corpusvec.transforms.specs import VectorPlan
from corpusvec.transforms.vectors import poolings
from corpusvec.transforms.vectors.dense_layers import load_steps, normalized
from corpusvec.transforms.vectors.poolings import Owned
from corpusvec.transforms.vectors.quantizations import FLOATS, quantized


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What is kept of encoded windows until the others of their documents are there."""

    windows: Windows
    states: Sequence[Sequence[State]]  # of each column, and of each of its poolings
    layers: Mapping[str, np.ndarray]  # [N, H] of the owned tokens, where there is a token table
    failures: Mapping[int, Failure] = field(default_factory=dict)  # by row, which has no more

    def take(self, rows: np.ndarray) -> Parts:
        """Some windows, as arrays of their own: no view of a batch."""
        lengths = self.windows.owned
        places = places_of(edges_of(lengths)[:-1][rows], lengths[rows])
        failed = self.failures
        return Parts(
            self.windows.take(rows),
            [[state.take(rows) for state in states] for states in self.states],
            {name: values[places] for name, values in self.layers.items()},
            {at: failed[row] for at, row in enumerate(rows.tolist()) if row in failed},
        )

    @property
    def nbytes(self) -> int:
        """Of what the windows' vectors take."""
        states = sum(state.values.nbytes for some in self.states for state in some)
        return states + sum(values.nbytes for values in self.layers.values())


def joined_parts(parts: Sequence[Parts]) -> Parts:
    """Of windows that did not fail, of one buffer of those that are sorted."""
    if len(parts) == 1:
        return parts[0]
    one, windows = parts[0], joined_batches([part.windows for part in parts])
    states = [
        [
            State(*map(np.concatenate, zip(*(part.states[column][at] for part in parts))))
            for at in range(len(poolings))
        ]
        for column, poolings in enumerate(one.states)
    ]
    layers = {name: np.concatenate([part.layers[name] for part in parts]) for name in one.layers}
    return Parts(windows, states, layers)


class Made(NamedTuple):
    """What became of documents whose windows were all encoded; `failures` by their rows in
    `documents`, and why.
    """

    sentences: Sentences
    tokens: TokenRows | None
    documents: Documents
    failures: Mapping[int, str]


class DocumentVectors:
    """Windows of documents -> their vectors, by a plan."""

    def __init__(self, plan: VectorPlan):
        self._plan = plan
        self._floats = plan.dtype if plan.dtype in FLOATS else "float32"
        self._steps: list[list[Callable[[np.ndarray], np.ndarray]]] = [
            load_steps(column.modules) + ([normalized] if plan.normalize else [])
            for column in plan.columns
        ]

    def parts(self, encoded: Encoded) -> Parts:
        """What documents need of a batch of windows."""
        if len(encoded.failures) == len(encoded):
            return Parts(encoded.windows, (), {}, encoded.failures)
        plan, layers = self._plan, encoded.layers
        width = next((layer.shape[1] for layer in layers.values()), 0)
        owned = Owned(encoded.windows, width)
        # What failed may be no numbers at all.
        with np.errstate(invalid="ignore") if encoded.failures else contextlib.nullcontext():
            states = [
                poolings.start(one, encoded, owned, plan.mask_special) for one in plan.columns
            ]
        tokens = {
            name: poolings.rows_of(layers[layer])[owned.places] for name, layer in plan.token_layers
        }
        return Parts(encoded.windows, states, tokens, encoded.failures)

    def finish(self, parts: Parts) -> Made:
        """All parts of documents, each document's together and in order -> their vectors."""
        windows = parts.windows
        starts = np.flatnonzero(windows.indices == 0)
        owners = windows.owners[starts]
        vectors: dict[str, np.ndarray] = {}
        failures: dict[int, str] = {}
        for column, steps, states in zip(self._plan.columns, self._steps, parts.states):
            found = poolings.finish(column, states, starts)
            for step in steps:
                found = step(found)
            vectors[column.name] = self._narrowed(found, column.name, failures)
        for column, how in zip(self._plan.columns, self._plan.quantizations):
            vectors[column.name] = quantized(vectors[column.name], how)
        tokens = self._tokens(parts, starts, failures) if self._plan.token_layers else None
        n_tokens = None if windows.texts else np.add.reduceat(windows.owned, starts)
        unknown = windows.unknown
        sentences = Sentences(
            documents=windows.documents.take(owners),
            vectors=vectors,
            n_tokens=n_tokens,
            n_windows=windows.counts[starts],
            n_dropped=windows.dropped[owners],
            n_unknown=None if unknown is None or windows.texts else unknown[owners],
        )
        if not failures:
            return Made(sentences, tokens, sentences.documents, failures)
        good = np.delete(np.arange(len(starts)), list(failures))
        kept = tokens and tokens.take(good)
        return Made(sentences.take(good), kept, sentences.documents, failures)

    def _tokens(self, parts: Parts, starts: np.ndarray, failures: dict[int, str]) -> TokenRows:
        windows, stream = parts.windows, parts.windows.stream
        in_stream = places_of(windows.own_starts, windows.owned)
        lengths = np.add.reduceat(windows.owned, starts)
        layers = {
            name: self._narrowed(values, name, failures, lengths)
            for name, values in parts.layers.items()
        }
        return TokenRows(
            documents=windows.documents.take(windows.owners[starts]),
            lengths=lengths,
            names=stream.names.take(pa.array(in_stream)),  # type: ignore[union-attr]
            segments=stream.segments[in_stream],
            spans=stream.spans[in_stream],  # type: ignore[index]
            layers=layers,
        )

    def _narrowed(
        self,
        values: np.ndarray,
        name: str,
        failures: dict[int, str],
        lengths: np.ndarray | None = None,
    ) -> np.ndarray:
        """[N, D] in the floats of the files; what these cannot hold is a failure of its
        document, which has so many rows (None: one each).
        """
        with np.errstate(over="ignore"):
            narrow = values.astype(self._floats, copy=False)
        if np.isfinite(narrow).all():
            return narrow
        rows = np.flatnonzero(~np.isfinite(narrow).all(axis=1))
        edges = np.arange(len(values) + 1) if lengths is None else edges_of(lengths)
        for row in np.unique(np.searchsorted(edges, rows, side="right") - 1).tolist():
            own = values[edges[row] : edges[row + 1]]
            what = f"{name} has a value that is not finite"
            if np.isfinite(own).all():
                what = (
                    f"{name} has a value of {np.abs(own).max():g}, more than {self._floats}"
                    " holds; use --vector_dtype=float32"
                )
            failures.setdefault(row, what)
        return narrow


class Gathering:
    """Parts of the documents whose windows are not all there yet."""

    def __init__(self) -> None:
        # By the batch that was sorted, whose documents they are, and the row there.
        self._waiting: dict[tuple[int, int], list[Parts]] = {}

    def add(self, parts: Parts) -> tuple[Parts | None, list[tuple[int, Failure]]]:
        """Documents of which all windows are there, each one's together and in order, and those of
        which one failed, by their rows.
        """
        windows, failures = parts.windows, parts.failures
        single = windows.counts == 1
        if not failures and single.all():
            return parts, []
        failed = [(int(windows.owners[row]), one) for row, one in failures.items() if single[row]]
        good = single.copy()
        good[list(failures)] = False
        whole = [parts.take(np.flatnonzero(good))] if good.any() else []
        for row in np.flatnonzero(~single).tolist():
            found = self._of_document(parts, row)
            if why := [part.failures[0] for part in found if part.failures]:
                failed.append((int(windows.owners[row]), why[0]))
            else:
                whole += sorted(found, key=lambda part: int(part.windows.indices[0]))
        return joined_parts(whole) if whole else None, failed

    def _of_document(self, parts: Parts, row: int) -> list[Parts]:
        """The windows of a document once they are all there; nothing before."""
        windows = parts.windows
        key = (id(windows.documents), int(windows.owners[row]))
        waiting = self._waiting.setdefault(key, [])
        waiting.append(parts.take(np.array([row])))
        return self._waiting.pop(key) if len(waiting) == windows.counts[row] else []

    def check_empty(self) -> None:
        """Raises where a document's windows did not all arrive: a fault of the program, never of
        the input.
        """
        if self._waiting:
            windows = next(iter(self._waiting.values()))[0].windows
            name = windows.documents.ids[int(windows.owners[0])]
            raise RuntimeError(
                f"{len(self._waiting)} documents have windows missing at the end of their bundle,"
                f" {name!r} first"
            )
