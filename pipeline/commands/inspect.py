"""`inspect`: what a model, or an output folder, holds.

With `--json` one object: the fields of `inspections.models.ModelReport` or of
`inspections.output_facts.OutputReport` (`what` says which), and `other_readings`, a list of such
objects for other models in the same place. The first one is what `embed` would use.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from corpusvec.pipeline.flags.parsing import command
from corpusvec.pipeline.inspections import broken_models, models, texts
from corpusvec.pipeline.inspections.models import ModelReport
from corpusvec.transforms.models.kinds import check_whole, describe_model
from corpusvec.transforms.models.saved_models import choices, signatures
from corpusvec.transforms.models.sources.downloads import without_secrets
from corpusvec.transforms.models.sources.handles import hub_hint, is_handle, local_model
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.specs import Asked, ModelSpec
from corpusvec.transforms.storage.json_files import read_json

_HUBS = ("http", "https", "hf")  # where there are no outputs
_FLAGS = ("signature", "output_key", "tokenizer", "model_cache")


def inspect(flags: argparse.Namespace) -> Iterable[str]:
    """The lines to print. Raises `ValueError` where nothing is there or it is broken,
    `RuntimeError` where a handle's model cannot be had.
    """
    if not flags.place.strip():
        raise ValueError("MODEL_OR_OUTPUT is empty; name a model or an output folder")
    try:
        reports = _reports(os.path.expanduser(flags.place), flags)
    except (ValueError, RuntimeError) as error:
        if type(error) not in (ValueError, RuntimeError):
            raise
        raise type(error)(_said(error)) from error  # there is no flag --model here
    _refuse_flags_of_models(reports, flags)
    if flags.json:
        first, *others = map(asdict, reports)
        return [json.dumps(first | {"other_readings": others}, indent=1, allow_nan=False)]
    return list(texts.lines(reports))


def _reports(place: str, flags: argparse.Namespace) -> Sequence[Any]:
    if _is_output_of_a_store(place):
        return [_output(place)]
    if not is_handle(place) and not os.path.exists(place) and not _kinds(place):
        raise ValueError(f"{place}: no such file or folder; {hub_hint(place)}")
    path = local_model(place, flags.model_cache, flags.refresh_model, check_whole)
    output = _output(path) if _is_output(path) else None
    if not _kinds(path):
        if output:
            return [output]
        raise ValueError(f"{place}: {_nothing_known(path)}")
    reports = _models(path, _Question.of(place, flags))
    if is_handle(place):
        reports = [replace(report, handle=_shown(place)) for report in reports]
    if output is None:
        return reports
    note = "it is an output of `embed` too: see the other reading"
    return [replace(reports[0], notes=(*reports[0].notes, note)), *reports[1:], output]


def _refuse_flags_of_models(reports: Sequence[Any], flags: argparse.Namespace) -> None:
    for name in ("signature", "output_key", "tokenizer"):
        if (value := getattr(flags, name)) and reports[0].what == "output":
            raise ValueError(
                f"--{name}={value}: {flags.place} is an output, not a model; omit the flag"
            )


def _is_output_of_a_store(place: str) -> bool:
    scheme = place.partition("://")[0].lower() if "://" in place else "file"
    if scheme in (*_HUBS, "file"):
        return False
    from corpusvec.pipeline.inspections.outputs import is_there

    return is_there(place)


def _is_output(path: str) -> bool:
    """Whether a local folder is one; Beam takes a second to import."""
    names = ("LATEST", "snapshots", "manifest.json")
    there = any(os.path.exists(os.path.join(path, name)) for name in names)
    if not there and not path.rstrip("/").endswith(".attempt"):
        return False
    from corpusvec.pipeline.inspections.outputs import is_there

    return is_there(path)


def _output(place: str) -> Any:
    from corpusvec.pipeline.inspections.outputs import read

    return read(place)


def _nothing_known(path: str) -> str:
    if not os.path.isdir(path):
        return "is neither a model's folder, nor an archive of one, nor an output of `embed`"
    if not os.listdir(path):
        return "is an empty folder"
    looked_for = "; ".join(kind.looks_for for kind in KINDS.values())
    return f"neither a model nor an output of `embed`. Expected: LATEST or snapshots/; {looked_for}"


def _said(error: Exception) -> str:
    return str(error).replace("--model=", "")


def _shown(place: str) -> str:
    return without_secrets(place) if "://" in place else place


@dataclass(frozen=True, slots=True)
class _Question:
    """What the user typed."""

    place: str
    asked: Asked
    flags: argparse.Namespace

    @classmethod
    def of(cls, place: str, flags: argparse.Namespace) -> _Question:
        asked = Asked(flags.tokenizer, flags.do_lower_case, flags.signature, flags.output_key)
        return cls(_shown(place), asked, flags)

    def command(self, model: str = "") -> str:
        """What would embed with it, or with another `model`."""
        values = {"model": model or self.place, "input": "texts.txt", "output": "vectors"}
        values |= {name: getattr(self.flags, name) for name in _FLAGS}
        if self.asked.do_lower_case != "auto":
            values["do_lower_case"] = self.asked.do_lower_case
        parts = [f"--{name}={value}" for name, value in values.items() if value]
        return command("embed", *parts)


def _kinds(path: str) -> list[str]:
    """What could be read there, in the order in which `embed` looks: kinds, and `saved_model` for
    those of SavedModels.
    """
    modules = {name: kind.load_module() for name, kind in KINDS.items()}
    found = [
        name
        for name, module in modules.items()
        if not hasattr(module, "takes") and module.recognises(path, Asked())
    ]
    return [*found, "saved_model"] if choices.is_there(path) else found


def _models(path: str, question: _Question) -> list[ModelReport]:
    """A report for each reading, that of `embed` first; one that is broken has its `problem`.

    Raises `ValueError` where all are broken.
    """
    kinds = _kinds(path)
    reports: list[ModelReport] = []
    errors: list[ValueError] = []
    for kind in kinds:
        try:
            read = _READERS.get(kind, functools.partial(_as_described, kind))
            reports += read(path, question, kind == kinds[0])
        except ValueError as error:
            errors.append(error)
            key = kind if kind in KINDS else None
            reports.append(broken_models.broken(key, path, question.place, _said(error)))
    if len(errors) == len(kinds):
        raise errors[0]
    return _told_apart(reports) if len(kinds) > 1 else reports


def _told_apart(reports: Sequence[ModelReport]) -> list[ModelReport]:
    first, *others = reports
    forms = " and ".join(dict.fromkeys(report.form for report in reports))
    note = f"several readings are possible ({forms}); `embed` takes the first"
    if first.problem:
        note += ", and cannot; to have another, copy its files alone into a folder"
    return [
        replace(first, notes=(*first.notes, note)),
        *(replace(other, embed=None) for other in others),
    ]


def _describe(kind: str, path: str, asked: Asked, first: bool) -> ModelSpec:
    """As `embed` does it, or as it would where the first reading were not there."""
    return describe_model(path, asked) if first else KINDS[kind].load_module().describe(path, asked)


def _checkpoint(path: str, question: _Question, first: bool) -> Iterator[ModelReport]:
    """Of several checkpoints in a folder the one that is read; all where nothing says which."""
    prefixes = sorted(str(file.with_suffix("")) for file in Path(path).glob("*.ckpt*.index"))
    try:
        spec = _describe("checkpoint", path, question.asked, first)
    except ValueError as error:
        if len(prefixes) < 2:
            raise
        for prefix in prefixes:
            spec = KINDS["checkpoint"].load_module().describe(prefix, question.asked)
            report = models.of_spec(spec, prefix, None, question.command(prefix))
            yield replace(report, notes=(*report.notes, _said(error)))
        return
    report = models.of_spec(spec, question.place, None, question.command())
    names = [os.path.basename(prefix) for prefix in prefixes]
    if len(names) > 1:
        note = (
            f"of {len(names)} checkpoints ({', '.join(names)})"
            f" {os.path.basename(spec.weights[0])} is read, which the file `checkpoint` names"
        )
        report = replace(report, notes=(*report.notes, note))
    yield report


def _hugging_face(path: str, question: _Question, first: bool) -> Iterator[ModelReport]:
    try:
        spec = _describe("hugging_face", path, question.asked, first)
    except ValueError as error:
        values = broken_models.not_implemented(path, question.asked)
        if values is None:
            raise
        yield broken_models.of_configuration(path, question.place, values, _said(error))
        return
    report = models.of_spec(spec, question.place, None, question.command())
    values = read_json(Path(spec.weights[0]).parent / "config.json")
    yield replace(report, architecture=values.get("model_type"))


def _as_described(kind: str, path: str, question: _Question, first: bool) -> Iterator[ModelReport]:
    spec = _describe(kind, path, question.asked, first)
    yield models.of_spec(spec, question.place, None, question.command())


def _saved_model(path: str, question: _Question, first: bool) -> Iterator[ModelReport]:
    model = signatures.read(path)
    try:
        if first:
            spec = describe_model(path, question.asked)
        else:
            adapter = choices.chosen(path, question.asked).adapter
            spec = KINDS[adapter].load_module().describe(path, question.asked)
    except ValueError as error:
        whole, signature = broken_models.undecided(path, question.asked)
        if not whole:
            raise
        problem = _said(error)
        yield broken_models.of_functions(model, question.place, problem, signature)
        return
    yield models.of_spec(spec, question.place, model, question.command())


_READERS = {  # of kinds of which there is more to tell
    "checkpoint": _checkpoint,
    "hugging_face": _hugging_face,
    "saved_model": _saved_model,
}
