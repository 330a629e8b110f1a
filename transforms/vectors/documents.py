"""A document's vectors, put together from what the encoder made of its windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusvec.transforms.elements import Document, Encoded, Failure, SentenceVector, TokenVectors
from corpusvec.transforms.specs import Layer, VectorColumn
from corpusvec.transforms.vectors import poolings
from corpusvec.transforms.vectors.dense_layers import load_steps, normalized


@dataclass(frozen=True, slots=True)
class VectorPlan:
    """Which vectors to make of a document.

    `token_layers` is column name and layer of every token table column, empty for no token table;
    `normalize` is for all sentence vectors, beside what a column says of itself; `dtype` is float32
    or float16.
    """

    columns: tuple[VectorColumn, ...]
    token_layers: tuple[tuple[str, Layer], ...] = ()
    normalize: bool = False
    mask_special: bool = False
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, eq=False)
class WindowPart:
    """What is kept of an encoded window until the document's other windows are there."""

    document: Document
    index: int  # of the window in the document
    n_dropped: int
    n_unknown: int | None
    n_tokens: int | None  # owned; None where the model takes strings
    states: Sequence[list[Any]]  # for each column, what `pooling.start` made
    tokens: TokenVectors | None  # the owned ones, where there is a token table


class Overflow(ValueError):
    """A value that the type of the files cannot hold."""


class DocumentVectors:
    """Windows of a document -> its vectors, by a plan."""

    def __init__(self, plan: VectorPlan):
        self._plan = plan
        self._steps: list[list[Callable[[np.ndarray], np.ndarray]]] = [
            load_steps(column.modules) + ([normalized] if plan.normalize else [])
            for column in plan.columns
        ]

    def part(self, encoded: Encoded) -> WindowPart:
        """What the document needs of one window."""
        plan, window = self._plan, encoded.window
        return WindowPart(
            document=window.document,
            index=window.index,
            n_dropped=window.n_dropped,
            n_unknown=window.n_unknown if len(window) else None,
            n_tokens=window.stop - window.start if len(window) else None,
            states=[poolings.start(column, encoded, plan.mask_special) for column in plan.columns],
            tokens=self._owned(encoded) if plan.token_layers else None,
        )

    def finish(self, parts: Sequence[WindowPart]) -> tuple[SentenceVector, TokenVectors | None]:
        """All parts of a document, in order -> its vectors. Raises `Overflow`."""
        vectors = {}
        states = zip(*(part.states for part in parts))
        for column, steps, state in zip(self._plan.columns, self._steps, states):
            vector = poolings.finish(column, state)
            for step in steps:
                vector = step(vector)
            vectors[column.name] = self._narrowed(vector, column.name)
        sentence = SentenceVector(
            document=parts[0].document,
            vectors=vectors,
            n_tokens=_total([part.n_tokens for part in parts]),
            n_windows=len(parts),
            n_dropped=sum(part.n_dropped for part in parts),
            n_unknown=_total([part.n_unknown for part in parts]),
        )
        return sentence, self._tokens([part.tokens for part in parts if part.tokens is not None])

    def _owned(self, encoded: Encoded) -> TokenVectors:
        window = encoded.window
        own = slice(window.start, window.stop)
        return TokenVectors(
            document=window.document,
            tokens=window.tokens[own],
            segments=window.segments[own],
            spans=window.spans[own],  # type: ignore[index]
            # A copy where it has to wait for other windows: a view would keep a whole batch.
            layers={
                name: np.array(encoded.layers[layer][own], copy=window.count > 1 or None)
                for name, layer in self._plan.token_layers
            },
        )

    def _tokens(self, parts: Sequence[TokenVectors]) -> TokenVectors | None:
        if not parts:
            return None
        return TokenVectors(
            document=parts[0].document,
            tokens=tuple(itertools.chain.from_iterable(part.tokens for part in parts)),
            segments=_joined([part.segments for part in parts]),
            spans=_joined([part.spans for part in parts]),
            layers={
                name: self._narrowed(_joined([part.layers[name] for part in parts]), name)
                for name, _ in self._plan.token_layers
            },
        )

    def _narrowed(self, values: np.ndarray, name: str) -> np.ndarray:
        if not np.isfinite(values).all():
            raise Overflow(f"{name} has a value that is not finite")
        if self._plan.dtype == "float32":
            return values
        with np.errstate(over="ignore"):
            narrow = values.astype(self._plan.dtype)
        if not np.isfinite(narrow).all():
            raise Overflow(
                f"{name} has a value of {np.abs(values).max():g}, more than {self._plan.dtype}"
                " holds; use --vector_dtype=float32"
            )
        return narrow


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class Gathering:
    """Parts of the documents whose windows are not all there yet."""

    def __init__(self) -> None:
        self._waiting: dict[Any, list[WindowPart | Failure]] = {}

    def add(
        self, key: Any, count: int, part: WindowPart | Failure
    ) -> list[WindowPart] | Failure | None:
        """The document's parts in order once all `count` are there, or its first failure; None
        before.
        """
        if count == 1:
            return part if isinstance(part, Failure) else [part]
        parts = self._waiting.setdefault(key, [])
        parts.append(part)
        if len(parts) < count:
            return None
        del self._waiting[key]
        for failure in parts:
            if isinstance(failure, Failure):
                return failure
        return sorted(parts, key=lambda part: part.index)  # type: ignore[union-attr, arg-type, return-value]

    def check_empty(self) -> None:
        """Raises where a document's windows did not all arrive: a fault of the program, never of
        the input.
        """
        if self._waiting:
            part = next(iter(self._waiting.values()))[0]
            name = part.document_id if isinstance(part, Failure) else part.document.id
            raise RuntimeError(
                f"{len(self._waiting)} documents have windows missing at the end of their bundle,"
                f" {name!r} first"
            )
