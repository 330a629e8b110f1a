"""A sample of a snapshot embedded again, and what became of its vectors: with another model before
it takes the old one's place, or with the same to see whether it still gives what it gave.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from corpusvec.pipeline import __version__
from corpusvec.pipeline.comparisons import texts
from corpusvec.pipeline.comparisons.batches import invariance, rounding
from corpusvec.pipeline.comparisons.columns import FEWEST, NEAREST, Row, change
from corpusvec.pipeline.comparisons.reports import Reason, Report, Side, Swap
from corpusvec.pipeline.comparisons.samples import Sample, read_sample
from corpusvec.pipeline.comparisons.settings import Again, settings_of
from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.flags.compare_models import SAMPLE
from corpusvec.pipeline.outputs.named_snapshots import manifest_of, output_at, snapshot_named
from corpusvec.pipeline.settings import Recipe
from corpusvec.pipeline.terminal.exits import DONE, NOT_PUBLISHED, failed, say
from corpusvec.transforms.elements import Failure, SentenceVector
from corpusvec.transforms.measures import names
from corpusvec.transforms.models.sources.handles import display_name
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.manifests import FORMATS, files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.recipes import differences
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.storage.digests import key_of
from corpusvec.transforms.storage.stores import served
from corpusvec.transforms.vectors.quantizations import FLOATS, quantization_in, ranges_of

_NOT_FINITE = "not finite"  # what failures of that kind say


def run(flags: argparse.Namespace) -> int:
    """Print the report -> exit code."""
    report = compare_models(flags)
    say(lines(report, flags.json))
    if report.enough is False:
        return failed(f"corpusvec: {report.verdict[-1]}", NOT_PUBLISHED, "not_enough")
    return DONE


def compare_models(flags: argparse.Namespace) -> Report:
    """What `verify` with `--model` or `--invariance` finds of a snapshot, the published one where
    `flags.snapshot` names no other. Nothing is written.

    Raises `ValueError` where the snapshot cannot be read or the model cannot meet its settings,
    `BrokenModel` where the model fails on everything.
    """
    with output_at(flags.output) as output:
        manifest = _manifest(output, flags.snapshot)
    chosen = settings_of(manifest, flags)
    recipe = chosen.recipe
    columns = _columns_of_both(manifest, recipe) if flags.model else []
    sample = _sample(Snapshot(output, manifest["id"]).folder, manifest, flags, columns)
    model, name = (
        LoadedModel(recipe if recipe.vectors.dtype in FLOATS else recipe.in_float32()),
        display_name(flags.model or manifest["configuration"]["model"]),
    )
    swap = _swap(manifest, recipe, sample, model, name) if flags.model else None
    varied = invariance(model, model.recipe, name, sample.documents)
    report = Report(
        output=output.folder,
        snapshot=manifest["id"],
        documents=sample.rows,
        sample=len(sample.documents),
        row_groups=sample.groups,
        unreadable=len(sample.unreadable),
        notes=(*_notes(manifest, chosen, flags), *recipe.notes),
        swap=swap,
        invariance=varied,
        min_neighbours=flags.min_neighbours,
        enough=_enough(swap, flags.min_neighbours),
    )
    return replace(report, verdict=tuple(texts.verdict(report)))


def lines(report: Report, as_json: bool) -> Iterable[str]:
    """The lines to print."""
    if as_json:
        return [json.dumps(asdict(report), indent=1, allow_nan=False)]
    return texts.lines(report)


def _manifest(output: Output, asked: str | None) -> Mapping[str, Any]:
    manifest = manifest_of(output, snapshot_named(output, asked))
    if (version := manifest["format_version"]) not in FORMATS:
        raise ValueError(
            f"{output}: {manifest['id']} was made by another version of corpusvec (its format is"
            f" {version}, this one knows {' and '.join(map(str, FORMATS))}); embed again"
        )
    return manifest


def _columns(run: Mapping[str, Any]) -> list[str]:
    return [column["name"] for column in run["vectors"]]


def _columns_of_both(manifest: Mapping[str, Any], recipe: Recipe) -> list[str]:
    old, new = _columns(manifest["run"]), [column.name for column in recipe.vectors.columns]
    if both := [name for name in old if name in new]:
        return both
    raise ValueError(
        f"--vectors: the snapshot has {', '.join(old)}, this would make {', '.join(new)}; name one"
        f" alike to compare it, as {old[0]}=mean@-1"
    )


def _sample(
    folder: str, manifest: Mapping[str, Any], flags: argparse.Namespace, columns: Sequence[str]
) -> Sample:
    """Raises `ValueError` where there is too little to compare."""
    files = [file for file in files_of(manifest) if file.table == SENTENCES and file.rows]
    if not files:
        raise ValueError(f"{folder}: has no document; there is nothing to compare")
    with served(folder):
        how = {name: quantization_in(manifest["run"], name) for name in columns}
        sample = read_sample(folder, files, flags.sample or SAMPLE, how)
    distinct = len({key_of(document) for document in sample.documents})
    if flags.min_neighbours is not None and distinct < FEWEST:
        raise ValueError(
            f"--min_neighbours: the sample has {distinct} different texts, and {FEWEST} are"
            f" the fewest of which {NEAREST} neighbours say anything; take a larger --sample, or"
            " omit the flag"
        )
    if not sample.documents:
        raise ValueError(f"{folder}: what the model read of its texts cannot be restored")
    return sample


def _notes(manifest: Mapping[str, Any], chosen: Again, flags: argparse.Namespace) -> Iterator[str]:
    yield from chosen.notes
    was = manifest["run"]["model"]["digest"]
    if not flags.model and chosen.recipe.spec.digest != was:
        yield (
            "the model is not the one that the snapshot was made with any more: its digest is"
            f" {chosen.recipe.spec.digest[:12]}…, and was {was[:12]}…"
        )


def _enough(swap: Swap | None, least: float | None) -> bool | None:
    if swap is None or least is None:
        return None
    return all(c.neighbours is not None and c.neighbours.mean >= least for c in swap.columns)


def _swap(
    manifest: Mapping[str, Any], recipe: Recipe, sample: Sample, model: LoadedModel, name: str
) -> Swap:
    run = manifest["run"]
    model.warm_up(sample.documents)
    rows = model.embed(sample.documents)
    recipe = _with_ranges(recipe, run, rows)
    new = _new_side(recipe, name, rows, 1000 * model.seconds / len(rows))
    failures = [row for row in rows if isinstance(row, Failure)]
    described = json.loads(json.dumps(recipe.describe(run["scrapbox_markup"])))
    settings = differences(run, described)
    old_columns, new_columns = _columns(run), _columns(described)
    how = dict(zip(new_columns, recipe.vectors.quantizations))
    return Swap(
        same_model=recipe.spec.digest == run["model"]["digest"],
        settings=tuple(one for one in settings if one.partition(".")[0] != "layers"),
        versions=dict(_versions(manifest)),
        old=_old_side(manifest, sample),
        new=new,
        rejected=len(failures),
        reasons=tuple(_reasons(failures)),
        columns=tuple(
            change(one, sample, rows, rounding(recipe), how.get(one)) for one in sample.vectors
        ),
        only_old=tuple(one for one in old_columns if one not in new_columns),
        only_new=tuple(one for one in new_columns if one not in old_columns),
    )


def _with_ranges(recipe: Recipe, run: Mapping[str, Any], rows: Sequence[Row]) -> Recipe:
    """Where it lacks ranges, with the snapshot's if it has some of the same model; else with those
    of the new vectors themselves.
    """
    made = [row.vectors for row in rows if isinstance(row, SentenceVector)]
    if not recipe.lacks_ranges or not made:
        return recipe
    same = recipe.spec.digest == run["model"]["digest"]
    found = {}
    for name in made[0]:
        new = np.stack([one[name] for one in made])
        known = quantization_in(run, name) if same else None
        fits = known is not None and known.dimensions == new.shape[1]
        found[name] = (known.ranges if known and fits else None) or ranges_of(new)
    return recipe.with_ranges(found)


def _old_side(manifest: Mapping[str, Any], sample: Sample) -> Side:
    counts, model = manifest["counts"], manifest["run"]["model"]
    embedded, spent = counts.get(names.EMBEDDED), counts.get(names.ENCODE_MS)
    finite = [np.isfinite(vectors).all(axis=1) for vectors in sample.vectors.values()]
    return Side(
        model=manifest["configuration"]["model"],
        kind=model["kind"],
        digest=model["digest"],
        **_tokens(sample.n_tokens, sample.n_unknown, len(sample.documents)),
        not_finite=int(np.count_nonzero(~np.all(finite, axis=0))),
        # Of the rows that this run made: with all of them reused nobody knows.
        seconds_per_1000=spent / embedded if embedded and spent is not None else None,
    )


def _new_side(recipe: Recipe, name: str, rows: Sequence[Row], seconds: float) -> Side:
    made = [row for row in rows if isinstance(row, SentenceVector)]
    errors = [row.error for row in rows if isinstance(row, Failure)]
    tokens = _total([row.n_tokens for row in made])
    return Side(
        model=name,
        kind=recipe.spec.kind,
        digest=recipe.spec.digest,
        **_tokens(tokens, _total([row.n_unknown for row in made]), len(made)),
        not_finite=sum(_NOT_FINITE in error for error in errors),
        seconds_per_1000=seconds,
    )


def _tokens(tokens: int | None, unknown: int | None, documents: int) -> dict[str, float | None]:
    return {
        "tokens_per_document": tokens / documents if tokens is not None and documents else None,
        "unknown_share": unknown / tokens if tokens and unknown is not None else None,
    }


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _versions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    """Those that are not what they were."""
    here: dict[str, str | None] = {"corpusvec": __version__, "python": platform.python_version()}
    for name, was in manifest.get("versions", {}).items():
        if name not in here:
            with contextlib.suppress(PackageNotFoundError):
                here[name] = version(name)
        if here.get(name) != was:
            yield name, (was, here.get(name))


def _reasons(failures: Sequence[Failure]) -> Iterator[Reason]:
    """The most frequent first."""
    first: dict[str, str] = {}
    for failure in failures:
        first.setdefault(failure.error, failure.document_id)
    for error, count in Counter(failure.error for failure in failures).most_common():
        yield Reason(error, count, first[error])
