"""The commands that look after an output's snapshots: lines to say, and whether all is well."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from corpusvec.pipeline.flags.compare_models import embeds
from corpusvec.pipeline.flags.parsing import UsageError, command
from corpusvec.pipeline.inspections import outputs, texts
from corpusvec.pipeline.outputs import differences, listings, prunings, verifications
from corpusvec.pipeline.outputs.named_snapshots import manifest_of, output_at, snapshot_named
from corpusvec.pipeline.terminal.exits import DONE, FAILED, say
from corpusvec.pipeline.terminal.formats import bytes_text, counted
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import Damaged, EarlierFile, check_file
from corpusvec.transforms.snapshots.layouts import LATEST, is_id, was_published
from corpusvec.transforms.snapshots.manifests import files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.storage.files import files_in

_Said = tuple[Iterable[str], bool]


def _of_output(command: Callable[[Output, argparse.Namespace], _Said]) -> Callable[..., int]:
    """A command -> the same with what it says printed, and its exit code."""

    @functools.wraps(command)
    def run(flags: argparse.Namespace) -> int:
        with output_at(flags.output) as output:
            lines, whole = command(output, flags)
            lines = list(lines)
        say(lines)
        return DONE if whole else FAILED

    return run


def _json(value: Any) -> list[str]:
    return [json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)]


@_of_output
def list_all(output: Output, flags: argparse.Namespace) -> _Said:
    found = listings.listing(output)
    if not (found.snapshots or found.attempts or found.latest or found.running):
        raise UsageError(f"{output}: holds no snapshot; is it an --output of `embed`?")
    return _json(found.as_json()) if flags.json else listings.lines(found), True


@_of_output
def show(output: Output, flags: argparse.Namespace) -> _Said:
    one = snapshot_named(output, flags.snapshot)
    manifest_of(output, one)
    report = outputs.read(Snapshot(output, one).folder)
    own = tuple(line for line in report.snapshots if line.id == one)
    report = replace(report, snapshots=own, unfinished=())
    return _json(asdict(report)) if flags.json else texts.lines([report]), True


@_of_output
def diff(output: Output, flags: argparse.Namespace) -> _Said:
    new = manifest_of(output, snapshot_named(output, flags.new))
    old = snapshot_named(output, flags.old) if flags.old else _before(output, new)
    found = differences.changes_between(output, manifest_of(output, old), new)
    said = _json(found.as_json()) if flags.json else differences.lines(found)
    return said, True


def _before(output: Output, manifest: Mapping[str, Any]) -> str:
    """The snapshot that one followed; where that is gone, the one published before it. Raises
    `UsageError` where there is none.
    """
    there, named = output.snapshot_ids(), manifest.get("previous")
    if named in there:
        return named
    earlier = [one for one in there if one < manifest["id"]]
    if known := [one for one in earlier if one in output.published]:
        return known[-1]
    instead = f"; name one of: {', '.join(earlier)}" if earlier else ""
    raise UsageError(f"{output}: has no published snapshot before {manifest['id']}{instead}")


@_of_output
def _verify_files(output: Output, flags: argparse.Namespace) -> _Said:
    found = verifications.verify(output, snapshot_named(output, flags.snapshot))
    if flags.json:
        whole = {"whole": not found.problems}
        problems = [problem._asdict() for problem in found.problems]
        return _json(asdict(found) | whole | {"problems": problems}), not found.problems
    return _verified(found), not found.problems


def _verified(found: verifications.Verified) -> Iterator[str]:
    yield from map(str, found.problems)
    name = f"{found.snapshot}{' (LATEST names it)' if found.is_latest else ''}"
    if found.problems:
        yield f"{name} is damaged: {counted(len(found.problems), 'problem')}"
        return
    documents, tokens = found.counts.get(names.DOCUMENTS, 0), found.counts.get(names.TOKENS, 0)
    yield (
        f"{name} is whole: {counted(documents, 'document')}, {counted(tokens, 'token')},"
        f" {counted(found.files, 'file')}, {bytes_text(found.bytes)}"
    )


@_of_output
def publish(output: Output, flags: argparse.Namespace) -> _Said:
    # What `embed` prints is the snapshot's folder: its name will do, and so will all of it.
    snapshot = Snapshot(output, flags.snapshot.rstrip("/").rpartition("/")[2])
    manifest = output.manifest(snapshot.id)
    if why := manifest.get("incomplete"):
        raise UsageError(f"{snapshot.id}: is not complete ({why}); run `embed` again")
    if not manifest["counts"]["documents"]:
        raise UsageError(f"{snapshot.id}: has no document; there is nothing to publish")
    if not snapshot.publish():
        back = command("snapshots", "rollback", output.folder, snapshot.id)
        raise UsageError(
            f"{snapshot.id}: LATEST names {output.latest}, which is newer; to go back, run: {back}"
        )
    return [f"{snapshot.folder} is published: {output.path(LATEST)} names it"], True


@_of_output
def rollback(output: Output, flags: argparse.Namespace) -> _Said:
    named = output.latest
    if named is None:
        raise UsageError(f"{output}: nothing is published; there is nothing to go back from")
    known = output.snapshot_ids()
    earlier = [one for one in known if one < named or not is_id(named)]
    lines: list[str] = []
    if flags.snapshot is None:
        target = _newest_whole(output, flags.fast, named, earlier, lines)
    else:
        target = snapshot_named(output, flags.snapshot)
        _refuse_target(output, flags.fast, named, target, target in earlier)
    Snapshot(output, target).publish_again()
    lines.append(f"{output.path(LATEST)} names {target} now, instead of {named}")
    if named in known:
        lines.append(f"to undo it, run: {command('publish', output.folder, named)}")
    return lines, True


def _newest_whole(
    output: Output, fast: bool, named: str, earlier: Sequence[str], lines: list[str]
) -> str:
    """Of the earlier snapshots that were published; `lines` say which are passed over. Raises
    `UsageError` where there is none.
    """
    for one in reversed([one for one in earlier if one in output.published]):
        if not (lack := _what_lacks(output, one, fast)):
            return one
        lines.append(f"passed over: {one}: {lack}")
    others = f"; name one of: {', '.join(earlier)}" if earlier else ""
    passed = "".join(f"; {line}" for line in lines)
    raise UsageError(
        f"{output}: no whole snapshot before {named} is known as published{passed}{others}"
    )


def _refuse_target(output: Output, fast: bool, named: str, target: str, is_earlier: bool) -> None:
    """Raises what is to be said where nobody can go back to a snapshot that was asked for."""
    manifest = manifest_of(output, target)
    if not is_earlier:
        raise UsageError(
            f"{target}: is not older than {named}, which LATEST names; to move forward, run:"
            f" {command('publish', output.folder, target)}"
        )
    if was_published(manifest, output.published) is False:
        raise UsageError(f"{target}: was never published; go back to one that was: {output}")
    if lack := _what_lacks(output, target, fast):
        raise RuntimeError(
            f"{target}: {lack}; to see all that is damaged, run:"
            f" {command('verify', output.folder, target)}, and to go back to the newest that is"
            f" whole: {command('snapshots', 'rollback', output.folder)}"
        )


def _what_lacks(output: Output, one: str, fast: bool) -> str:
    """Why nobody can go back to a snapshot: a file that is gone, or unless it is to be `fast` one
    whose bytes are others; empty where all are there.
    """
    folder = Snapshot(output, one).folder
    try:
        files = files_of(manifest_of(output, one))
    except (RuntimeError, KeyError, TypeError):
        return "its manifest cannot be read"
    if lost := sorted({file.path for file in files} - set(files_in(folder))):
        return f"{lost[0]} is not there"
    for file in () if fast else files:
        try:
            check_file(EarlierFile(folder, file, fresh=False))
        except Damaged as error:
            return f"{file.path} {error.file.what}"
    return ""


@_of_output
def prune(output: Output, flags: argparse.Namespace) -> _Said:
    if not output.snapshot_ids() and not output.leftovers() and output.latest is None:
        raise UsageError(f"{output}: holds no snapshot; is it an --output of `embed`?")
    found = prunings.prune(output, flags.keep, flags.handed_over, flags.dry_run)
    return prunings.lines(output, found, flags.dry_run), True


def verify(flags: argparse.Namespace) -> int:
    """The files, or with a model the vectors."""
    if not embeds(flags):
        return _verify_files(flags)
    from corpusvec.pipeline.commands import compare_models

    return compare_models.run(flags)
