"""A run as a value: the flags of `embed`, checked."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from corpusvec.pipeline import __version__, calibrations
from corpusvec.pipeline.previous import Previous, previous
from corpusvec.pipeline.runners.options import LOCAL
from corpusvec.pipeline.settings import Recipe, Settings, chunk_plan
from corpusvec.transforms.documents.formats import (
    CHUNKS,
    Fields,
    Reading,
    check_reading,
    format_of,
    formats_of,
)
from corpusvec.transforms.documents.inputs import (
    InputFile,
    check_names,
    match_inputs,
    refuse_output_inside_inputs,
    split_patterns,
)
from corpusvec.transforms.documents.pipes import PIPE, piped
from corpusvec.transforms.models.kinds import weights_digest
from corpusvec.transforms.models.sources.downloads import without_secrets
from corpusvec.transforms.snapshots.claim_files import Claim
from corpusvec.transforms.snapshots.commits import Snapshot, new_id
from corpusvec.transforms.snapshots.earlier_rows import Earlier
from corpusvec.transforms.snapshots.manifests import DEFAULT_LIMITS, Limits
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import PLAIN, SENTENCES, TOKENS
from corpusvec.transforms.storage.files import join
from corpusvec.transforms.tokens.chunks import ChunkPlan
from corpusvec.transforms.vectors.quantizations import FLOATS

_LIBRARIES = ("apache-beam", "tensorflow", "tokenizers", "sentencepiece", "pyarrow", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run: what to read, how to embed it, where it goes."""

    files: Sequence[InputFile]
    reading: Reading
    limit: int | None
    spread: bool = False  # over workers: reading by file, all else by document
    recipe: Recipe
    chunks: ChunkPlan | None = None  # what documents are cut into
    snapshot: Snapshot
    earlier: Sequence[Earlier] = ()  # rows to reuse
    spare: Sequence[Earlier] = ()  # those of damaged files, the newest first
    before: Earlier | None = None  # the snapshot that this one follows
    alike: bool = True  # both have the same vectors for the same texts
    limits: Limits = DEFAULT_LIMITS
    vector_encoding: str = PLAIN  # in the files; it is no part of what decides the vectors
    manifest: dict[str, Any]  # what the manifest says beside counts and files
    claims: Sequence[Claim] = ()  # on the output, and on what is read elsewhere

    @property
    def listed(self) -> str:
        """Where the list of its files lies while it runs; a commit removes what no report names."""
        return join(self.snapshot.attempt, "inputs.parquet")

    @property
    def apart(self) -> bool:
        """Whether documents are in several processes; the first few need an order."""
        return self.spread and self.limit is None

    @property
    def tables(self) -> list[str]:
        """Those of vectors that the run writes."""
        return [SENTENCES] + ([TOKENS] if self.recipe.vectors.token_layers else [])


def from_flags(
    flags: argparse.Namespace, started: float, held: contextlib.ExitStack | None = None
) -> Job:
    """With `held` the output is claimed until that is closed, as is what the run reads elsewhere.

    Raises `ValueError` before any work, with the flag, the value, what is allowed and what to do;
    `Busy` where another run has the output.
    """
    spread = flags.runner != LOCAL
    _make_whole(flags, spread)
    reading = _reading(flags)
    notes: list[str] = []
    files = _files(flags, reading, notes)
    recipe, chunks = _recipe(flags)
    outputs = [*map(Output, filter(None, (flags.previous, flags.output.rstrip("/") or "/")))]
    sampled = flags.limit if held else calibrations.FEW  # where nothing is written few will do
    how = (recipe, outputs, files, reading, sampled, chunks)
    begun = _begin(flags, outputs, started, partial(calibrations.settled, *how), held)
    if begun.late:  # by now there may be others
        notes = []
        files = _files(flags, reading, notes)
    before, recipe = begun.before, begun.recipe
    return Job(
        files=files,
        reading=reading,
        limit=flags.limit,
        spread=spread,
        recipe=recipe,
        chunks=chunks,
        snapshot=begun.snapshot,
        earlier=before.earlier,
        spare=before.spare,
        before=before.before,
        alike=before.alike,
        limits=Limits(flags.max_rejected, flags.max_shrink, flags.max_input_age, flags.new_recipe),
        vector_encoding=flags.vector_encoding,
        manifest=_about(flags, begun.at, files, recipe)
        | {"previous": before.id, "notes": [*recipe.notes, *notes, *before.notes]},
        claims=begun.claims,
    )


def _make_whole(flags: argparse.Namespace, spread: bool) -> None:
    """The paths of the flags but --input."""
    for name in (
        "output",
        "previous",
        "model",
        "tokenizer",
        "model_cache",
        "id_root",
        "vector_ranges",
    ):
        if path := getattr(flags, name):
            # Shells expand ~ at the start of a word only, not behind =.
            path = os.path.expanduser(path)
            setattr(flags, name, _absolute(path) if spread and name != "model_cache" else path)


def _patterns(flags: argparse.Namespace) -> list[str]:
    """Those of --input, none of which reads the output."""
    patterns = [pattern for text in flags.input for pattern in split_patterns(text)]
    if not patterns:
        raise ValueError("--input: names no file")
    refuse_output_inside_inputs(flags.output, patterns)
    return patterns


def _reading(flags: argparse.Namespace) -> Reading:
    metadata = flags.metadata_columns
    fields = Fields(
        flags.text_column or "text",
        flags.id_column,
        flags.pair_column,
        None if metadata is None else tuple(part for part in metadata.split(",") if part),
    )
    return Reading(flags.input_format, flags.unit, flags.scrapbox_markup, fields)


def _recipe(flags: argparse.Namespace) -> tuple[Recipe, ChunkPlan | None]:
    """What makes vectors, and what documents are cut into before. Chunks fit into a window, so what
    windows share is of no account to their vectors.
    """
    if flags.vector_encoding != PLAIN and flags.vector_dtype not in FLOATS:
        raise ValueError(
            f"--vector_encoding={flags.vector_encoding}: is for floats, and --vector_dtype is"
            f" {flags.vector_dtype}; omit the flag"
        )
    settings = {name: getattr(flags, name) for name in Settings.__dataclass_fields__}
    if flags.unit != CHUNKS:
        if flags.chunk_tokens is not None:
            raise ValueError(
                f"--chunk_tokens={flags.chunk_tokens}: chunks are made with --unit={CHUNKS} alone;"
                " add it, or omit the flag"
            )
        return Settings(**settings).resolve(), None
    recipe = Settings(**settings | {"window_overlap": None}).resolve()
    return recipe, chunk_plan(recipe, flags.chunk_tokens, flags.window_overlap)


def _absolute(path: str) -> str:
    """Workers are at home in other folders."""
    return path if "://" in path else os.path.abspath(path)


class _Begun(NamedTuple):
    """A run's snapshot, when it began, its recipe, what it can take over, its claims, and whether
    it was `late`: another one published after the start of this one.
    """

    snapshot: Snapshot
    at: datetime
    recipe: Recipe
    before: Previous
    late: bool
    claims: Sequence[Claim] = ()


def _begin(
    flags: argparse.Namespace,
    outputs: Sequence[Output],
    started: float,
    settled: Callable[[], Recipe],
    held: contextlib.ExitStack | None,
) -> _Begun:
    """What is there is looked at only when the claims are made, also by `settled`: until then
    another run may be at it, or somebody prunes. The last one of `outputs` is written.
    """
    output, other = outputs[-1], outputs[0] if flags.previous else None
    begun = datetime.fromtimestamp(started, timezone.utc)
    if held is None:
        recipe = settled()
        run = recipe.describe(flags.scrapbox_markup)
        before = previous(output, other, flags.full, run)
        return _Begun(Snapshot(output, new_id(begun)), begun, recipe, before, late=False)
    claim = held.enter_context(output.writing(flags.if_running == "wait"))
    read = held.enter_context(other.reading()) if other else None
    # To resolve a model may take long: of two runs the one that claims first need not be the one
    # that was started first, and LATEST would be newer than the other.
    now = datetime.now(timezone.utc)
    snapshot, recipe = Snapshot(output, new_id(now)), settled()
    run = recipe.describe(flags.scrapbox_markup)
    with output.store.sole_writer():
        late = claim.waited or (output.latest_now() or "") > new_id(begun)
        before = previous(output, other, flags.full, run)
        claim.tell(snapshot.id, before.names_in(output))
    if other and read:
        read.tell(snapshot.id, before.names_in(other))
    claims = [claim, read] if read else [claim]
    return _Begun(snapshot, now if late else begun, recipe, before, late, claims)


def _files(flags: argparse.Namespace, reading: Reading, notes: list[str]) -> list[InputFile]:
    """Formats are looked at before names: ids of Scrapbox pages hold no file name, so theirs may be
    the same.
    """
    patterns = _patterns(flags)
    named = [pattern for pattern in patterns if pattern != PIPE]
    files = match_inputs(named, flags.id_root, unique_names=False, notes=notes)
    if len(named) < len(patterns):
        if flags.runner != LOCAL:
            raise ValueError(
                f"--input=- with --runner={flags.runner}: workers on other machines cannot read a"
                " pipe; write a file that they can reach"
            )
        files.append(piped(flags.input_format))
    check_reading(reading, (file.path for file in files))
    if any(row.names_files for row in formats_of(reading, (file.path for file in files))):
        check_names(files)
    if flags.runner == LOCAL:
        return files
    return [replace(file, absolute=_absolute(file.path)) for file in files]


def _about(
    flags: argparse.Namespace, begun: datetime, files: Sequence[InputFile], recipe: Recipe
) -> dict[str, Any]:
    """What the manifest says beside counts, files and what `recipe` describes."""
    asked = dict(vars(flags))
    asked["model"] = without_secrets(flags.model) if "://" in flags.model else flags.model
    return {
        "started": begun.isoformat(timespec="milliseconds"),
        "input": {
            "files": len(files),
            "bytes": sum(file.size for file in files),
            "formats": dict(Counter(format_of(file.path, flags.input_format) for file in files)),
        },
        "configuration": asked,
        "weights_digest": weights_digest(recipe.spec),
        "versions": {"corpusvec": __version__, "python": platform.python_version()}
        | {name: version(name) for name in _LIBRARIES},
    }
