"""The graph: read -> tokenize -> batch -> encode -> pool -> write, fused by the runner into one
stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline.recipe import Recipe, Settings
from transforms.batching import BatchBySize
from transforms.counting import CountElements
from transforms.elements import Document
from transforms.encode import Encode
from transforms.files import InputFile
from transforms.pool import Pool
from transforms.read import ReadDocuments
from transforms.schemas import SENTENCES, TOKENS
from transforms.snapshots import Snapshot
from transforms.specs import ModelSpec
from transforms.tokenization import Tokenize
from transforms.write import CommitSnapshot, WriteRejected, WriteTable

_BATCH_TOKENS, _BATCH_BYTES = 1024, 1 << 15  # padding included
_WIDE = 1024  # dimensions of layers of which nobody says it


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run: what to read, how to embed it, where it goes."""

    files: Sequence[InputFile]
    input_format: str
    unit: str
    markup: str
    limit: int | None
    spread: bool = False  # over workers: reading by file, all else by document
    recipe: Recipe
    snapshot: Snapshot
    max_rejected: int
    manifest: dict[str, Any]  # what the manifest says beside counts and files


class Embedded(NamedTuple):
    """What becomes of documents: each is in `sentences`, in `failures`, or in `empty`, which holds
    those without a token of their own. `tokens` has the token vectors of those in `sentences`,
    where layers were asked for.
    """

    sentences: beam.PCollection
    tokens: beam.PCollection
    failures: beam.PCollection
    empty: beam.PCollection


class Embed(beam.PTransform):
    """Texts -> `Embedded`: for a pipeline of one's own.

    Takes strings, `(id, text)` or `Document`s; a string's id is the SHA-256 of the text. Results
    keep Beam's windows and timestamps. Settings are the flags of `embed` that are about model and
    vectors: `Embed(model=…, vectors="mean@-1")`.

    Raises `ValueError`, when it is made, for settings that the model cannot meet.
    """

    def __init__(self, *, model: str, **settings: Any):
        super().__init__()
        self._recipe = Settings(model=model, **settings).resolve()

    def expand(self, texts) -> Embedded:
        embedded, _ = _embed(texts | "Documents" >> beam.Map(to_document), self._recipe)
        return embedded


def to_document(text: str | tuple[str, str] | Document) -> Document:
    """Raises `TypeError` for what is no text."""
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text)
    if isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text):
        return Document(*text)
    raise TypeError(f"Embed takes a string, (id, text) or a Document, not {text!r:.80}")


def batch_budget(spec: ModelSpec) -> int:
    """What a batch may have: tokens, padding included; bytes where the model takes strings."""
    return _BATCH_TOKENS if spec.tokenizer else _BATCH_BYTES


def _token_bytes(recipe: Recipe) -> int:
    """What a token takes whose vectors are written."""
    return 4 * (recipe.spec.hidden_size or _WIDE) * len(recipe.vectors.token_layers)


def _embed(documents: beam.PCollection, recipe: Recipe) -> tuple[Embedded, beam.PCollection]:
    """What becomes of documents, and `Count`s of the work."""
    tokenized = documents | Tokenize(
        tokenizer=recipe.spec.tokenizer, plan=recipe.windows, origin=recipe.origin
    )
    batches = tokenized.windows | BatchBySize(
        budget=batch_budget(recipe.spec),
        padding=recipe.spec.padding,
        longest=recipe.spec.longest_padded,
        kept=_token_bytes(recipe),
    )
    encoded = batches | Encode(model=recipe.spec, wanted=recipe.wanted, origin=recipe.origin)
    pooled = encoded.encoded | Pool(plan=recipe.vectors, origin=recipe.origin)
    failures = (tokenized.failures, pooled.failures) | "Failures" >> beam.Flatten()
    embedded = Embedded(pooled.sentences, pooled.tokens, failures, tokenized.empty)
    return embedded, encoded.counts


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Add the whole run to a pipeline."""
    read = pipeline | ReadDocuments(
        files=job.files,
        input_format=job.input_format,
        unit=job.unit,
        markup=job.markup,
        limit=job.limit,
        spread=job.spread,
    )
    embedded, work = _embed(read.documents, job.recipe)
    rejected = (read.failures, embedded.failures) | "Rejected" >> beam.Flatten()
    about = job.recipe.describe(job.markup)
    snapshot = job.snapshot
    reports = [
        embedded.sentences
        | "WriteSentences" >> WriteTable(snapshot=snapshot, table=SENTENCES, about=about),
        rejected | WriteRejected(snapshot=snapshot),
        read.counts,
        work,
        embedded.empty | CountElements(name="empty"),
    ]
    if job.recipe.vectors.token_layers:
        reports.append(
            embedded.tokens
            | "WriteTokens" >> WriteTable(snapshot=snapshot, table=TOKENS, about=about)
        )
    (
        reports
        | "Reports" >> beam.Flatten()
        | CommitSnapshot(
            snapshot=snapshot, about=job.manifest | {"run": about}, max_rejected=job.max_rejected
        )
    )
