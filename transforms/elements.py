"""The values that flow between the stages, in the order in which they appear: one of each. Most
flow many together, by columns: see `columns`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

HALVED = "holds half of a surrogate pair"
# What a token is to its document (`Window.roles`).
OWN, SPECIAL, PROMPT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Alignment:
    """The parts of a text that the model reads: `runs` are ascending, disjoint [start, stop) code
    points of it.
    """

    runs: tuple[tuple[int, int], ...]

    def apply(self, text: str) -> str:
        """The text that the model reads."""
        return "".join(text[start:stop] for start, stop in self.runs)


@dataclass(frozen=True, slots=True)
class Document:
    """One text, or a pair of texts, to embed.

    `id` is unique in a run and stable between runs. `text` is the record as it stands in the
    source; `alignment` says which parts of it the model reads (None: all of it). `source` and
    `source_row` restore the input's order. `links` are the pages that it links to, by their keys.
    `span` is the place of a chunk in the text that it was cut from; None for what is whole.
    """

    id: str
    text: str
    pair: str | None = None
    source: str = ""
    source_row: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    alignment: Alignment | None = None
    links: tuple[str, ...] = ()
    span: tuple[int, int] | None = None

    @property
    def characters(self) -> int:
        """Of all that it says, which is what it takes in memory."""
        return len(self.text) + len(self.pair or "") + _characters_beside(self)

    @property
    def is_unicode(self) -> bool:
        """Readers see to it; a user's own program may send anything that Python calls a string."""
        try:
            self.text.encode()
            (self.pair or "").encode()
        except UnicodeEncodeError:
            return False
        return True


def to_document(text: str | tuple[str, str] | Document) -> Document:
    """Of a string, whose id is the SHA-256 of it, or of `(id, text)`.

    Raises `TypeError` for what is no text.
    """
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text)
    if isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text):
        return Document(*text)
    raise TypeError(f"a text is a string, (id, text) or a Document, not {text!r:.80}")


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that did not become a row: which, where in the source, in which stage, and why.

    `key` is that of its text, as in `digests`, where there is one.
    """

    stage: str
    document_id: str
    source: str
    source_row: int
    error: str
    detail: str = ""
    key: bytes = b""


Record = Document | Failure  # what each record of the input becomes


class Place(NamedTuple):
    """Where the rows of a document lie: files by their paths, and rows in them. Without token
    vectors `tokens_file` is empty.
    """

    file: str
    row: int
    tokens_file: str = ""
    tokens_row: int = 0
    n_tokens: int = 0


class Known(NamedTuple):
    """Metadata of a document whose vectors are copied from another row: one of an earlier snapshot,
    or of the first document with the same text in this run.
    """

    key: bytes
    id: str
    source: str
    source_row: int
    metadata: Mapping[str, str]
    links: tuple[str, ...] = ()
    span: tuple[int, int] | None = None

    @property
    def characters(self) -> int:
        """Of all that it says."""
        return _characters_beside(self)


def _characters_beside(one: Document | Known) -> int:
    """Of what stands beside a text."""
    n = len(one.id) + len(one.source) + sum(map(len, one.links))
    if one.metadata:
        n += sum(map(len, itertools.chain.from_iterable(one.metadata.items())))
    return n


class Packed(NamedTuple):
    """Many `Known`s of one text, compressed. A TaskManager of Flink holds a group in memory and
    sends it to its worker in one message, and a corpus may have millions of blank lines.
    """

    key: bytes
    known: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A slice of a document that fits the encoder, special tokens included: a row of `Windows`, for
    what is to be said of one.

    It owns `tokens[start:stop]`: each token of the document is owned by exactly one of its `count`
    windows. `position` is the place of the first owned token in the document. `segments` says which
    text a token is of (0: `text`, 1: `pair`), `spans` where in it (code points, -1 for special and
    prompt tokens), `roles` whose it is. Where nobody asked for strings, `tokens` is empty. For
    models that take strings there is `text` and the token fields are empty.
    """

    document: Document
    index: int
    count: int
    tokens: tuple[str, ...]
    ids: np.ndarray  # [T] int32
    segments: np.ndarray  # [T] int8
    roles: np.ndarray  # [T] int8: OWN, SPECIAL or PROMPT
    spans: np.ndarray | None  # [T, 2] int32; None where nobody asked for them
    start: int
    stop: int
    position: int
    n_unknown: int | None = 0  # of the document; None where nobody can know; told by its first one
    n_dropped: int = 0  # tokens of the document that no window holds; told by its first window
    n_skipped: int = 0  # of the document's first tokens, where its prompt is not to count
    text: str = ""  # what a model that takes strings reads

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """What it costs to encode: its tokens, or the bytes of a text without any."""
        return len(self.ids) or len(self.text.encode())


@dataclass(frozen=True, slots=True, eq=False)
class SentenceVector:
    """One document's vectors by column name, each [D] in the type of the files, and what was
    counted on the way; nobody knows the tokens of a model that takes strings.
    """

    document: Document
    vectors: Mapping[str, np.ndarray]
    n_tokens: int | None
    n_windows: int
    n_dropped: int
    n_unknown: int | None


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """All tokens of one document, in order, each owned once: the rows of the token table."""

    document: Document
    tokens: tuple[str, ...]
    segments: np.ndarray  # [T] int8
    spans: np.ndarray  # [T, 2] int32, -1 for none
    layers: Mapping[str, np.ndarray]  # column name -> [T, H] in the type of the files


@dataclass(frozen=True, slots=True)
class Count:
    """A number the final report must have, such as the records read: the sum, or where its name
    begins with `peak_` the largest. An element, because runners lose metrics.
    """

    name: str
    n: int


@dataclass(frozen=True, slots=True)
class Dated:
    """The time of a file of the input, in seconds since 1970: when it was `exported`, as it says
    itself, or last written.
    """

    source: str
    seconds: float
    exported: bool


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the user, in the manifest and the final report."""

    text: str


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file with rows of earlier runs that is not as it was written, and what it is."""

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that is complete: its table (`sentences`, `tokens`, `rejected`, `changes`), its path
    in the snapshot, what it holds.

    `digest` is the SHA-256 of its bytes, `counts` sums over its rows (`tokens`, `windows`, ...),
    `work` what making it took, as further counts of the run.
    """

    table: str
    path: str
    rows: int
    bytes: int
    digest: str
    counts: Mapping[str, int] = field(default_factory=dict)
    work: Mapping[str, int] = field(default_factory=dict)
