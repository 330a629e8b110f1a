"""What a run says at its end."""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpusvec.pipeline.first_models import Languages, Model, is_same
from corpusvec.pipeline.flags.embed import EMBED_FLAGS
from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.runners.options import LOCAL
from corpusvec.pipeline.terminal.formats import number, shortened
from corpusvec.pipeline.terminal.logs import Line, warning
from corpusvec.transforms.documents import ages
from corpusvec.transforms.measures import names
from corpusvec.transforms.models import devices
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.manifests import (
    Limits,
    other_recipe,
    why_not_published,
)
from corpusvec.transforms.snapshots.schemas import REJECTED, SENTENCES
from corpusvec.transforms.snapshots.tables import first_rows
from corpusvec.transforms.storage.files import open_file

_SEEN = 500  # rows whose texts show a language
# What a run with another model is given, too, where it is not the default.
_KEPT = {name: flag.get("default") for name, flag in EMBED_FLAGS["what to read"].items()}
_KEPT["max_rejected"] = EMBED_FLAGS["what to write"]["max_rejected"]["default"]
_ROWS = 3


def summary(
    snapshot: Snapshot, manifest: Mapping[str, Any], seconds: float
) -> Iterator[str | Line]:
    """Lines: where the vectors are, how many documents and tokens, how long it took, what to look
    at, a few rows.
    """
    counts = manifest["counts"]
    published = snapshot.output.latest == snapshot.id
    about = {"snapshot": snapshot.id, "published": published}
    named = f"{snapshot.folder}{' (LATEST names it)' if published else ''}"
    yield Line(named, "snapshot", {"folder": snapshot.folder, **about})
    tokens = f" {counts[names.TOKENS]:,} tokens;" if counts[names.TOKENS] else ""
    told = (
        f"{counts[names.DOCUMENTS]:,} documents{_made(counts)},"
        f" {counts[names.REJECTED]:,} rejected, {counts[names.EMPTY]:,} empty,"
        f" of {counts[names.RECORDS]:,} records;{tokens} {seconds:.1f} s"
    )
    read = manifest["input"]
    age = {"input_age_seconds": read["age_seconds"]} if "age_seconds" in read else {}
    yield Line(told, "summary", {**about, "seconds": round(seconds, 3), **age, **counts})
    yield from _input(read)
    yield from _device(counts, manifest["configuration"])
    yield from _work(counts)
    yield from (Line(note, "note") for note in manifest.get("notes", ()))
    yield from _unknown(counts, manifest["configuration"], _languages(snapshot, manifest))
    yield from _advice(counts, read)
    yield from _first_windows(counts, manifest["run"]["vectors"])
    yield from _rejected(snapshot, manifest)
    if left := snapshot.output.leftovers(but=snapshot.id):
        yield Line(
            f"{snapshot.output}/snapshots has {len(left)} unfinished attempts of other runs"
            f" ({left[0]}, …); `{command('snapshots', 'prune', snapshot.output.folder)}` removes"
            " those of runs that were killed",
            "note",
        )
    yield from _rows(snapshot, manifest)


def _input(about: Mapping[str, Any]) -> Iterator[str]:
    """What was read, and how old it is."""
    files = f"{about['files']:,} file{'' if about['files'] == 1 else 's'}"
    age = f"; {known}" if (known := ages.age_text(about)) else ""
    yield f"input: {files}, {about['bytes']:,} bytes{age}"


def _made(counts: Mapping[str, int]) -> str:
    """How the documents got their vectors, where some of these were copied."""
    copied = [
        f"{counts[name]:,} {name}" for name in (names.REUSED, names.REPEATED) if counts.get(name)
    ]
    return f" ({', '.join([f'{counts[names.EMBEDDED]:,} embedded', *copied])})" if copied else ""


def _device(counts: Mapping[str, int], asked: Mapping[str, Any]) -> Iterator[str]:
    """What computed, where that was this process: of workers elsewhere nobody here knows."""
    local = asked.get("runner", LOCAL) == LOCAL
    if local and counts.get(names.MODELS) and (device := devices.in_use()):
        yield f"device: {device}"


def _work(counts: Mapping[str, int]) -> Iterator[str]:
    """What the model took, summed over processes and streams."""
    if counts.get(names.BATCHES):
        loading, encoding = (
            counts.get(names.MODEL_LOAD_MS, 0) / 1000,
            counts[names.ENCODE_MS] / 1000,
        )
        times = f" {counts[names.MODELS]} times" if counts.get(names.MODELS, 0) > 1 else ""
        tokens = counts.get(names.ENCODED_TOKENS)
        padding = f", {counts[names.PADDED_TOKENS] / tokens - 1:.1%} padding" if tokens else ""
        yield (
            f"model loaded{times} in {loading:,.1f} s; {encoding:,.1f} s of encoding, all streams"
            f" together, {counts[names.BATCHES]:,} batches{padding}"
        )


def _unknown(
    counts: Mapping[str, int], asked: Mapping[str, Any], languages: Languages
) -> Iterator[Line]:
    """Of texts in a language that the model does not know, and how to embed them with one that
    does.
    """
    said = languages.trouble(counts.get(names.UNKNOWN_TOKENS, 0), counts[names.TOKENS])
    if not said:
        return
    model = languages.model
    if is_same(model.handle, asked["model"]):
        yield warning(f"{said}; is it a model for these texts?")
        return
    yield warning(
        f"{said}; if it is none for this language, this embeds the same input with one of"
        f" {model.languages} (with plan for embed, it says first what that takes):"
        f" {_with_another(asked, model)}"
    )


def _languages(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Languages:
    """Of the first texts."""
    found = Languages()
    files = [file["path"] for file in manifest["files"] if file["table"] == SENTENCES][:1]
    for file in files:
        rows = first_rows(f"{snapshot.folder}/{file}", _SEEN, ["text", "n_tokens"])
        for row in rows.to_pylist():
            found.add(row["text"], row["n_tokens"] or 0)
    return found


def _with_another(asked: Mapping[str, Any], model: Model) -> str:
    """The command, with the flags of this run that are not about its model."""
    given = {name: asked[name] for name in _KEPT if asked[name] not in (None, _KEPT[name])}
    flags = [("input", pattern) for pattern in given.pop("input")]
    flags += given.items()
    output = asked["output"].rstrip("/")
    if output.rpartition("/")[2] in ("", ".", ".."):
        output = os.path.abspath(output or "/").rstrip("/")
    flags += [("output", f"{output}-{model.name}"), ("model", model.handle)]
    flags += [("prompt", model.prompt)]
    typed = [f"--{name}={shlex.quote(str(value))}" for name, value in flags]
    return " ".join([command("embed"), *typed])


def _advice(counts: Mapping[str, int], read: Mapping[str, Any]) -> Iterator[Line]:
    if counts.get(names.DROPPED_TOKENS):
        cut = f"{counts[names.DROPPED_TOKENS]:,} tokens were cut off (--long_text=truncate)"
        yield Line(cut, "note")
    if n := counts.get(names.PAIR_SEPARATORS):
        lines = (
            f"{n:,} lines have ' ||| ' in them and were"
            if n > 1
            else "1 line has ' ||| ' in it and was"
        )
        beside = "" if len(read.get("formats", ())) < 2 else ", in a run of text files alone"
        said = f"{lines} read as single texts; --input_format=pairs reads pairs{beside}"
        yield Line(said, "note")


def _first_windows(
    counts: Mapping[str, int], columns: Sequence[Mapping[str, Any]]
) -> Iterator[Line]:
    """Outputs of a model's own are of what it sees at once, however long the text is."""
    own = [column["name"] for column in columns if column["output"]]
    if own and counts[names.WINDOWS] > counts[names.DOCUMENTS]:
        yield Line(
            f"some texts are longer than the model; {', '.join(own)} of such a text is that"
            " of its first window (n_windows says of how many)",
            "note",
        )


def _rejected(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Iterator[Line]:
    """The first rejected records and why; all of them are in the snapshot."""
    files = [file["path"] for file in manifest["files"] if file["table"] == REJECTED]
    if files:
        with open_file(f"{snapshot.folder}/{files[0]}") as stream:
            for line in itertools.islice(stream, _ROWS):
                failure = json.loads(line)
                name = shortened(failure["id"] or failure["source"])
                said = f"{name}: {shortened(failure['error'], 120)}"
                yield Line(said, "rejected", level="warning")


def _rows(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Iterator[str]:
    files = [file["path"] for file in manifest["files"] if file["table"] == SENTENCES]
    if not files:
        return
    for row in first_rows(f"{snapshot.folder}/{files[0]}", _ROWS).to_pylist():
        name = list(row)[-1] if "vector" not in row else "vector"
        start = ", ".join(map(number, row[name][:3]))
        text = shortened(row["text"])
        yield f"  {shortened(row['id'])}  {text}  {name}: [{start}, … {len(row[name])}]"


def forecast(job: Job) -> Iterator[Line]:
    """What can be known of a run's end before it begins."""
    about = {**job.manifest, "run": job.recipe.describe(job.reading.markup)}
    other = other_recipe(about, job.snapshot.output.published_manifest)
    if other and not job.limits.new_recipe:
        yield Line(
            f"{other}; the snapshot will be finished and not published, unless --new_recipe"
            " says that it is meant",
            "note",
        )


def not_published(snapshot: Snapshot, manifest: Mapping[str, Any], limits: Limits) -> str:
    """Why a finished snapshot is not published, and what to do."""
    current = snapshot.output.latest
    stays = f"LATEST still names {current}" if current else "no snapshot is published yet"
    before = snapshot.output.published_manifest
    why = why_not_published(manifest, before, limits)
    if not why:
        return (
            "not published: a newer snapshot was published meanwhile, which is the one to use;"
            f" {stays}"
        )
    said = f"not published: {why}; {stays}"
    if manifest.get("incomplete"):
        return said
    publish = command("publish", snapshot.output.folder, snapshot.id)
    if why == other_recipe(manifest, before):
        return f"{said}; if it is meant, publish it with: {publish}, or run again with --new_recipe"
    where = f"; see {snapshot.folder}/{REJECTED}/" if manifest["counts"][names.REJECTED] else ""
    if not manifest["counts"][names.DOCUMENTS]:
        return f"{said}{where or '; check --input'}"
    return f"{said}{where}; correct the input, or accept it with: {publish}"
