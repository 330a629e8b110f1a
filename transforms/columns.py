"""Elements many together, by columns, as they flow between the stages: a value of Python's for a
document, or a window, is made where there is something to say of one.

Each is a sequence of its rows, which are in `elements`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpusvec.transforms.elements import (
    SPECIAL,
    Alignment,
    Document,
    Failure,
    Record,
    SentenceVector,
    TokenVectors,
    Window,
)
from corpusvec.transforms.ranges import edges_of, places_of

DOCUMENTS, CHARACTERS = 512, 1 << 20  # of a batch, about: the tokenizer is fastest on many
Row = tuple[Any, ...]  # the fields of a `Document`, in their order; that of chunks may lack


@dataclass(frozen=True, eq=False)
class Documents(Sequence[Document]):
    """Documents by columns, in a batch whose bytes are bounded: what `Document` says of one, and of
    each a stamp, where it belongs in Beam's time (None: nowhere in particular).
    """

    ids: Sequence[str]
    texts: Sequence[str]
    pairs: Sequence[str | None]
    sources: Sequence[str]
    source_rows: Sequence[int]
    metadata: Sequence[Mapping[str, str]]
    alignments: Sequence[Alignment | None]
    links: Sequence[tuple[str, ...]]
    spans: Sequence[tuple[int, int] | None]
    stamps: Sequence[Any]
    digests: Sequence[bytes] | None = None  # of the texts, where they were needed before

    @classmethod
    def of(cls, documents: Sequence[Document], stamps: Sequence[Any] | None = None) -> Documents:
        """Those of objects."""
        return cls.of_rows(list(map(attrgetter(*_FIELDS), documents)), stamps)

    @classmethod
    def of_rows(cls, rows: Sequence[Row], stamps: Sequence[Any] | None = None) -> Documents:
        """Those of rows."""
        columns: list[Any] = [list(column) for column in zip(*rows)]
        columns += [[None] * len(rows)] * (len(_FIELDS) - len(columns))
        columns.append([None] * len(rows) if stamps is None else stamps)
        return cls(*columns)

    @classmethod
    def of_texts(
        cls, ids: Sequence[str], texts: Sequence[str], source: str, first: int
    ) -> Documents:
        """Those of a file of which nothing else is known; `first` is the row where they begin."""
        n = len(texts)
        rows, no_metadata = range(first, first + n), [_NO_METADATA] * n
        nothing = [None] * n
        told = (no_metadata, nothing, [()] * n, nothing)
        return cls(ids, texts, nothing, [source] * n, rows, *told, nothing)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Document]:
        return map(Document, *(getattr(self, name) for name in _OF_FIELDS))

    def __getitem__(self, row):
        return Document(*(getattr(self, name)[row] for name in _OF_FIELDS))

    def take(self, rows: Iterable[int]) -> Documents:
        """Some of them, in the order of `rows`."""
        places = rows.tolist() if isinstance(rows, np.ndarray) else list(rows)
        columns = (getattr(self, name) for name in _COLUMNS)
        return Documents(*(column and [column[place] for place in places] for column in columns))

    @functools.cached_property
    def characters(self) -> int:
        """Of all that they say."""
        texts = (self.ids, self.sources, self.texts, filter(None, self.pairs))
        n = sum(sum(map(len, column)) for column in texts)
        parts = itertools.chain.from_iterable(one.items() for one in self.metadata if one)
        return n + sum(map(len, itertools.chain(*parts, *self.links)))


_FIELDS = tuple(field.name for field in fields(Document))
_COLUMNS = tuple(field.name for field in fields(Documents))
_OF_FIELDS = _COLUMNS[: len(_FIELDS)]  # the columns of these
_NO_METADATA: Mapping[str, str] = {}


def joined_documents(parts: Sequence[Documents]) -> Documents:
    """All documents of several batches."""
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, name) for part in parts] for name in _COLUMNS)
    joined: list[Any] = [
        None if None in column else list(itertools.chain.from_iterable(column))
        for column in columns
    ]
    return Documents(*joined)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What records of one file become: documents, and why some are none. As a sequence they are in
    the order of the file.
    """

    documents: Documents
    failures: Sequence[Failure] = ()

    def __len__(self) -> int:
        return len(self.documents) + len(self.failures)

    def __iter__(self) -> Iterator[Record]:
        if not self.failures:
            return iter(self.documents)
        records: list[Record] = [*self.documents, *self.failures]
        return iter(sorted(records, key=attrgetter("source_row")))

    def first(self, n: int) -> Records:
        """The first `n` of them."""
        if n >= len(self):
            return self
        records = list(itertools.islice(self, n))
        documents = [one for one in records if isinstance(one, Document)]
        failures = [one for one in records if isinstance(one, Failure)]
        return Records(Documents.of(documents), failures)


def joined_records(parts: Sequence[Records]) -> Records:
    """All records of several, also of several files."""
    if len(parts) == 1:
        return parts[0]
    failures = [failure for part in parts for failure in part.failures]
    return Records(joined_documents([part.documents for part in parts]), failures)


def gathered(records: Iterable[Row | Failure]) -> Iterator[Records]:
    """Records of one file that come one by one, so many of them at once."""
    rows: list[Row] = []
    failures: list[Failure] = []
    size = 0
    for record in records:
        if isinstance(record, Failure):
            failures.append(record)
        else:
            rows.append(record)
            _, text, pair, _, _, metadata, *_ = record
            size += len(text) + len(pair or "") + sum(map(len, metadata.values()))
        if len(rows) + len(failures) >= DOCUMENTS or size >= CHARACTERS:
            yield Records(Documents.of_rows(rows), failures)
            rows, failures, size = [], [], 0
    if rows or failures:
        yield Records(Documents.of_rows(rows), failures)


@dataclass(frozen=True, slots=True, eq=False)
class TokenStream:
    """Tokens of many documents, one after the other, the documents' own special tokens among them.

    `names` are their strings, None where nobody asked for them. `cls` and `sep` are put around a
    window where the document has other tokens in their places; None: the model has none.
    """

    ids: np.ndarray  # [N] int32
    segments: np.ndarray  # [N] int8
    roles: np.ndarray  # [N] int8
    spans: np.ndarray | None  # [N, 2] int32
    names: pa.Array | None  # [N] of strings
    cls: tuple[str, int] | None
    sep: tuple[str, int] | None


@dataclass(frozen=True, eq=False)
class Windows(Sequence[Window]):
    """Windows by columns: ranges of a stream of tokens, `starts` to `stops`, of which each owns
    `own_starts` to `own_stops`. One that is `opened` has a [CLS] before its range, one that is
    `closed` a [SEP] behind it.

    `owners` says whose a window is: a row of `documents`, of which all windows are in one batch of
    the stage that sorts them. `unknown` (None where nobody can know), `dropped` and `skipped` are
    of these, as in `Window`, as are the `texts` of models that take strings.
    """

    documents: Documents
    stream: TokenStream
    unknown: np.ndarray | None  # [D] int64
    dropped: np.ndarray  # [D] int64
    skipped: np.ndarray  # [D] int64
    texts: Sequence[str] | None
    owners: np.ndarray  # [W] int64, and so are the next ones
    indices: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    own_starts: np.ndarray
    own_stops: np.ndarray
    positions: np.ndarray
    opened: np.ndarray  # 0 or 1
    closed: np.ndarray  # 0 or 1

    def __len__(self) -> int:
        return len(self.owners)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """[W] tokens of each."""
        return self.stops - self.starts + self.opened + self.closed

    @property
    def owned(self) -> np.ndarray:
        """[W] tokens that each owns."""
        return self.own_stops - self.own_starts

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """[W], see `Window.size`."""
        if self.texts is None:
            return self.lengths
        texts = (self.texts[at] for at in self.owners.tolist())
        return np.array([len(text.encode()) for text in texts], np.int64)

    def take(self, rows: np.ndarray | slice) -> Windows:
        """Some of them, of the same documents and the same stream."""
        return replace(self, **{name: getattr(self, name)[rows] for name in WINDOW_COLUMNS})

    def __getitem__(self, row: int) -> Window:  # type: ignore[override]
        found = {name: int(getattr(self, name)[row]) for name in WINDOW_COLUMNS}
        at, first = found["owners"], found["indices"] == 0
        shift = found["opened"] - found["starts"]
        unknown = None if self.unknown is None else int(self.unknown[at])
        return Window(
            self.documents[at],
            found["indices"],
            found["counts"],
            *self._shown(found),
            found["own_starts"] + shift,
            found["own_stops"] + shift,
            found["positions"],
            n_unknown=unknown and unknown * first,
            n_dropped=int(self.dropped[at]) * first,
            n_skipped=int(self.skipped[at]),
            text="" if self.texts is None else self.texts[at],
        )

    def _shown(self, window: Mapping[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        """Its tokens as strings, ids, segments, roles and spans, special tokens put in."""
        stream, own = self.stream, slice(window["starts"], window["stops"])
        around = window["opened"], window["closed"]
        specials = [[token] * n for token, n in zip((stream.cls, stream.sep), around)]
        names, ids = (
            [[token[at] for token in some if token] for some in specials] for at in (0, 1)
        )
        last = stream.segments[own][-1:][: around[1]]
        shown = (
            np.concatenate([ids[0], stream.ids[own], ids[1]]).astype(np.int32),
            np.concatenate([[0] * around[0], stream.segments[own], last]).astype(np.int8),
            np.pad(stream.roles[own], around, constant_values=SPECIAL),
        )
        spans = stream.spans
        if spans is not None:
            spans = np.pad(spans[own], (around, (0, 0)), constant_values=-1)
        if stream.names is None:
            return (), *shown, spans
        return (*names[0], *stream.names[own].to_pylist(), *names[1]), *shown, spans


_OF_STREAM = ("starts", "stops", "own_starts", "own_stops")
WINDOW_COLUMNS = tuple(column.name for column in fields(Windows))[6:]


def joined_windows(parts: Sequence[Windows]) -> Windows:
    """All windows of several, in one stream."""
    if len(parts) == 1:
        return parts[0]
    streams = [part.stream for part in parts]
    documents = edges_of(np.array([len(part.documents) for part in parts]))
    tokens = edges_of(np.array([len(stream.ids) for stream in streams]))

    def of_stream(name: str) -> np.ndarray:
        return np.concatenate([getattr(stream, name) for stream in streams])

    def columns(name: str, shift: np.ndarray | None = None) -> np.ndarray:
        found = [getattr(part, name) for part in parts]
        return np.concatenate(found if shift is None else [a + b for a, b in zip(found, shift)])

    has_texts = parts[0].texts is not None
    return Windows(
        documents=joined_documents([part.documents for part in parts]),
        stream=replace(
            streams[0],
            ids=of_stream("ids"),
            segments=of_stream("segments"),
            roles=of_stream("roles"),
            spans=None if streams[0].spans is None else of_stream("spans"),
            names=_joined_names([stream.names for stream in streams]),
        ),
        unknown=None if parts[0].unknown is None else columns("unknown"),
        dropped=columns("dropped"),
        skipped=columns("skipped"),
        texts=[text for part in parts for text in part.texts or ()] if has_texts else None,
        owners=columns("owners", documents),
        **{name: columns(name, tokens) for name in _OF_STREAM},
        **{name: columns(name) for name in WINDOW_COLUMNS[1:] if name not in _OF_STREAM},
    )


def compacted(windows: Windows) -> Windows:
    """The same windows, with no other tokens and no other documents."""
    held, owners = windows.stops - windows.starts, np.unique(windows.owners)
    edges, stream = edges_of(held), windows.stream
    places = places_of(windows.starts, held)
    shift = edges[:-1] - windows.starts
    of_tokens = {name: getattr(stream, name)[places] for name in ("ids", "segments", "roles")}
    return replace(
        windows,
        documents=windows.documents.take(owners),
        stream=replace(
            stream,
            **of_tokens,
            spans=None if stream.spans is None else stream.spans[places],
            names=None if stream.names is None else stream.names.take(pa.array(places)),
        ),
        unknown=None if windows.unknown is None else windows.unknown[owners],
        dropped=windows.dropped[owners],
        skipped=windows.skipped[owners],
        texts=windows.texts and [windows.texts[at] for at in owners.tolist()],
        owners=np.searchsorted(owners, windows.owners),
        **{name: getattr(windows, name) + shift for name in _OF_STREAM},
    )


def joined_batches(parts: Sequence[Windows]) -> Windows:
    """Of batches, of which each is of one buffer of the stage that sorts them: those of one buffer
    have their documents and their stream in common.
    """
    if len(parts) == 1:
        return parts[0]
    rows: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in WINDOW_COLUMNS
    }
    return replace(parts[0], **rows)


def _joined_names(parts: Sequence[pa.Array | None]) -> pa.Array | None:
    return None if parts[0] is None else pa.concat_arrays(parts)


class State(NamedTuple):
    """What is known of some tokens, a row for each group of them: `values` [N, H], and `weights`
    [N], which are 0 where no token of a group counts.
    """

    values: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> State:
        """Of some groups, as arrays of their own."""
        return State(self.values[rows], self.weights[rows])


class EncodedWindow(NamedTuple):
    """What the encoder made of one window, without padding: a row of `Encoded`."""

    window: Window
    layers: Mapping[int | str, np.ndarray]  # each [T, H] float32
    outputs: Mapping[str, np.ndarray]  # each [D] float32
    failure: Failure | None


@dataclass(frozen=True, slots=True, eq=False)
class Encoded(Sequence[EncodedWindow]):
    """What the encoder made of a batch: layers, padded, and the model's own outputs (`pooler`,
    `default`, …); by row, why there is nothing.

    Of columns that were pooled where the model is there are `states`, by name, one for each
    pooling; and of layers that stayed there whether a window's are all `finite`.
    """

    windows: Windows
    layers: Mapping[int | str, np.ndarray]  # each [W, T, H] float32; layers may differ in width
    outputs: Mapping[str, np.ndarray]  # each [W, D] float32
    failures: Mapping[int, Failure] = field(default_factory=dict)
    states: Mapping[str, Sequence[State]] = field(default_factory=dict)
    finite: Mapping[int | str, np.ndarray] = field(default_factory=dict)  # each [W] bool

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, row: int) -> EncodedWindow:  # type: ignore[override]
        window, failure = self.windows[row], self.failures.get(row)
        layers = (
            {} if failure else {key: one[row, : len(window)] for key, one in self.layers.items()}
        )
        outputs = {} if failure else {key: one[row] for key, one in self.outputs.items()}
        return EncodedWindow(window, layers, outputs, failure)


def joined_encoded(parts: Sequence[Encoded]) -> Encoded:
    """Of batches of the same documents, without failures."""
    if len(parts) == 1:
        return parts[0]
    one, windows = parts[0], joined_batches([part.windows for part in parts])
    layers = {key: _padded([part.layers[key] for part in parts]) for key in one.layers}
    outputs = {key: np.concatenate([part.outputs[key] for part in parts]) for key in one.outputs}
    return Encoded(windows, layers, outputs)


def _padded(layers: Sequence[np.ndarray]) -> np.ndarray:
    """[W, T, H] of unlike T -> one, padded by zeros."""
    width = max(layer.shape[1] for layer in layers)
    return np.concatenate(
        [np.pad(layer, ((0, 0), (0, width - layer.shape[1]), (0, 0))) for layer in layers]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sentences(Sequence[SentenceVector]):
    """Documents with their vectors, by columns: rows of the table of sentences."""

    documents: Documents
    vectors: Mapping[str, np.ndarray]  # column name -> [N, D] in the type of the files
    n_tokens: np.ndarray | None  # [N] int64
    n_windows: np.ndarray  # [N] int64
    n_dropped: np.ndarray  # [N] int64
    n_unknown: np.ndarray | None  # [N] int64

    def __len__(self) -> int:
        return len(self.documents)

    def take(self, rows: np.ndarray) -> Sentences:
        """Some of them."""
        counts = (self.n_tokens, self.n_windows, self.n_dropped, self.n_unknown)
        return Sentences(
            self.documents.take(rows),
            {name: values[rows] for name, values in self.vectors.items()},
            *(None if column is None else column[rows] for column in counts),  # type: ignore[arg-type]
        )

    def __getitem__(self, row: int) -> SentenceVector:  # type: ignore[override]
        counts = (self.n_tokens, self.n_windows, self.n_dropped, self.n_unknown)
        numbers = (None if column is None else int(column[row]) for column in counts)
        vectors = {name: values[row] for name, values in self.vectors.items()}
        return SentenceVector(self.documents[row], vectors, *numbers)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows(Sequence[TokenVectors]):
    """The tokens of documents, so many of each, by columns: rows of the table of tokens."""

    documents: Documents
    lengths: np.ndarray  # [D] int64
    names: pa.Array  # [N] of strings
    segments: np.ndarray  # [N] int8
    spans: np.ndarray  # [N, 2] int32, -1 for none
    layers: Mapping[str, np.ndarray]  # column name -> [N, H] in the type of the files

    def __len__(self) -> int:
        return len(self.documents)

    def take(self, rows: np.ndarray) -> TokenRows:
        """Those of some documents."""
        places = places_of(edges_of(self.lengths)[:-1][rows], self.lengths[rows])
        return TokenRows(
            self.documents.take(rows),
            self.lengths[rows],
            self.names.take(pa.array(places)),
            self.segments[places],
            self.spans[places],
            {name: values[places] for name, values in self.layers.items()},
        )

    def __getitem__(self, row: int) -> TokenVectors:  # type: ignore[override]
        start = int(self.lengths[:row].sum())
        own = slice(start, start + int(self.lengths[row]))
        return TokenVectors(
            document=self.documents[row],
            tokens=tuple(self.names[own].to_pylist()),
            segments=self.segments[own],
            spans=self.spans[own],
            layers={name: values[own] for name, values in self.layers.items()},
        )
