"""The graph: read -> tokenize -> batch -> encode -> pool -> write, fused by the runner into one
stage.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa

from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.settings import Recipe, Settings, complete, takes
from corpusvec.transforms.batch import BatchBySize
from corpusvec.transforms.batches import batch_budget
from corpusvec.transforms.columns import Documents, Sentences, TokenRows, Windows
from corpusvec.transforms.compare import CompareSnapshots
from corpusvec.transforms.documents.formats import ids_differ
from corpusvec.transforms.elements import Count, WrittenFile, to_document
from corpusvec.transforms.encode import Encode
from corpusvec.transforms.gather import GatherDocuments
from corpusvec.transforms.locate import LocateEarlier, LocateRows
from corpusvec.transforms.measures import names
from corpusvec.transforms.measures.batch_coders import as_batches
from corpusvec.transforms.measures.beam_times import each_stamped
from corpusvec.transforms.measures.stages import CountElements
from corpusvec.transforms.pool import Pool
from corpusvec.transforms.read import ReadDocuments
from corpusvec.transforms.reuse import (
    FindRepeated,
    FindRepeatedByText,
    FindVectors,
    FindVectorsByText,
    Found,
    Settled,
)
from corpusvec.transforms.snapshots.copies import Copies
from corpusvec.transforms.snapshots.earlier_rows import EarlierFile
from corpusvec.transforms.snapshots.schemas import SENTENCES, TOKENS
from corpusvec.transforms.tokenize import CutChunks, Tokenize
from corpusvec.transforms.vectors.documents import Parts
from corpusvec.transforms.write import CommitSnapshot, CopyRows, WriteRejected, WriteTable

_WIDE = 1024  # dimensions of layers of which nobody says it


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

    @takes(Settings)
    def __init__(self, **settings: Any):
        super().__init__()
        self._recipe = complete(Settings(**settings).resolve())

    def expand(self, texts) -> Embedded:
        documents = texts | "Documents" >> beam.Map(to_document) | GatherDocuments()
        embedded, _ = _embed(documents, self._recipe)
        return embedded._replace(
            sentences=embedded.sentences | "SentenceRows" >> beam.FlatMap(each_stamped),
            tokens=embedded.tokens | "TokenRows" >> beam.FlatMap(each_stamped),
        )


def _token_bytes(recipe: Recipe) -> int:
    """What a token takes whose vectors are written."""
    return 4 * (recipe.spec.hidden_size or _WIDE) * len(recipe.vectors.token_layers)


def _embed(documents: beam.PCollection, recipe: Recipe) -> tuple[Embedded, beam.PCollection]:
    """What becomes of documents, those with vectors in batches; and `Count`s of the work."""
    tokenized = documents | Tokenize(
        tokenizer=recipe.spec.tokenizer, plan=recipe.windows, origin=recipe.origin
    )
    batches = tokenized.windows | BatchBySize(
        budget=batch_budget(recipe.spec),
        padding=recipe.spec.padding,
        longest=recipe.spec.longest_padded,
        kept=_token_bytes(recipe),
    )
    encoded = batches | Encode(
        model=recipe.spec, wanted=recipe.wanted, plan=recipe.vectors, origin=recipe.origin
    )
    pooled = encoded.parts | Pool(plan=recipe.vectors, origin=recipe.origin)
    as_batches(documents, Documents)
    as_batches(tokenized.windows, Windows)
    as_batches(batches, Windows)
    as_batches(encoded.parts, Parts)
    as_batches(pooled.sentences, Sentences)
    as_batches(pooled.tokens, TokenRows)
    failures = (tokenized.failures, pooled.failures) | "Failures" >> beam.Flatten()
    embedded = Embedded(pooled.sentences, pooled.tokens, failures, tokenized.empty)
    work = (tokenized.counts, encoded.counts, pooled.counts) | "Work" >> beam.Flatten()
    return embedded, work


def _read(job: Job) -> ReadDocuments:
    return ReadDocuments(
        listed=job.listed,
        n_files=len(job.files),
        reading=job.reading,
        limit=job.limit,
        spread=job.spread,
        ids_differ=ids_differ(job.reading, (file.path for file in job.files)),
    )


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Add the whole run to a pipeline."""
    read = pipeline | _read(job)
    documents, uncut, cutting = _chunks(read.documents, job)
    found, notes = _find(documents, job)
    new = found.new | GatherDocuments() if job.apart else found.new
    embedded, work = _embed(new, job.recipe)
    about, snapshot, tables = job.recipe.describe(job.reading.markup), job.snapshot, job.tables
    how: dict[str, Any] = {"snapshot": snapshot, "about": about, "encoding": job.vector_encoding}

    def write(rows: beam.PCollection, table: str) -> beam.PCollection:
        return rows | f"Write{table.capitalize()}" >> WriteTable(table=table, **how)

    fresh = [write(embedded.sentences, SENTENCES)]
    if TOKENS in tables:
        fresh.append(write(embedded.tokens, TOKENS))
    settled = _settle(found.repeats, fresh, embedded, job)
    copy = functools.partial(CopyRows, tables=tables, **how)
    copied = [found.copies | copy(made=names.REUSED, earlier=job.earlier, spare=job.spare)]
    copied.append(settled.copies | "CopyRepeated" >> copy(made=names.REPEATED))
    failures = [read.failures, *uncut, embedded.failures, settled.failures]
    rejected = failures | "Rejected" >> beam.Flatten()
    empty = embedded.empty | CountElements(name=names.EMPTY)
    sentences = (*fresh, *copied) | "Sentences" >> beam.Flatten() | beam.Filter(_of_sentences)
    changes, unread = sentences | CompareSnapshots(
        snapshot=snapshot, before=job.before, alike=job.alike, about=about
    )
    notes = (notes, unread) | "Notes" >> beam.Flatten()
    reports = [*fresh, *copied, changes, rejected | WriteRejected(snapshot=snapshot)]
    reports += [read.counts, *cutting, work, empty, settled.counts, notes]
    commit = CommitSnapshot(
        snapshot=snapshot, about=job.manifest | {"run": about}, limits=job.limits
    )
    reports | "Reports" >> beam.Flatten() | commit


_Parts = Sequence[beam.PCollection]


def _chunks(documents: beam.PCollection, job: Job) -> tuple[beam.PCollection, _Parts, _Parts]:
    """Documents, as their chunks where the job has such; those that cannot be cut; counts."""
    if job.chunks is None or job.recipe.spec.tokenizer is None:
        return documents, [], []
    cut = CutChunks(tokenizer=job.recipe.spec.tokenizer, plan=job.chunks, origin=job.recipe.origin)
    if not job.apart:
        found = documents | cut
        return found.chunks, [found.failures], [found.counts]
    found = documents | "GatherWhole" >> GatherDocuments() | cut
    each = found.chunks | "EachChunk" >> beam.FlatMap(list)
    return each, [found.failures], [found.counts]


def _of_sentences(report: WrittenFile | Count) -> bool:
    return isinstance(report, WrittenFile) and report.table == SENTENCES


def _find(documents: beam.PCollection, job: Job) -> tuple[Found, beam.PCollection]:
    """Which documents have rows already; `DamagedFile`s."""
    how: dict[str, Any] = {"earlier": job.earlier, "spare": job.spare}
    how["tokens"] = TOKENS in job.tables
    if not job.apart:
        as_batches(documents, Documents)
        found = documents | FindVectors(**how)
        as_batches(found.repeats, pa.Table)
        as_batches(found.copies, Copies)
        return Found(found.new, found.repeats, found.copies), found.notes
    located = documents.pipeline | LocateEarlier(**how)
    return (documents, located.places) | FindVectorsByText(), located.notes


def _settle(
    repeats: beam.PCollection, fresh: Sequence[beam.PCollection], embedded: Embedded, job: Job
) -> Settled:
    """What becomes of documents whose text another one of this run has."""
    attempt, tokens = job.snapshot.attempt, TOKENS in job.tables
    files = tuple(fresh) | "Fresh" >> beam.Flatten()
    fates = (embedded.failures, embedded.empty)
    if not job.apart:
        return (repeats, files, *fates) | FindRepeated(folder=attempt, tokens=tokens)
    located = (
        files
        | "OfThisRun" >> beam.Map(lambda file: EarlierFile(attempt, file, True))
        | "LocateFresh" >> LocateRows(tokens=tokens)
    )
    settled = (repeats, located.places, *fates) | FindRepeatedByText()
    counts = (settled.counts, located.notes) | "Settling" >> beam.Flatten()
    return settled._replace(counts=counts)
