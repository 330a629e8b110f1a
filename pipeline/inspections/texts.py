"""The facts that `inspect` found as text: labels on the left, lines of 100 columns."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from corpusvec.pipeline.inspections.models import (
    LayerReport,
    ModelReport,
    SignatureReport,
    TokenizerReport,
)
from corpusvec.pipeline.inspections.output_facts import (
    OutputReport,
    SnapshotLine,
    SnapshotReport,
    TableReport,
)
from corpusvec.pipeline.terminal.formats import bytes_text, counted, number
from corpusvec.transforms.models.saved_models.choices import shape_text
from corpusvec.transforms.specs import Tensor

_WIDTH, _LABEL = 100, 17
_SNAPSHOTS = 20  # so many of the newest are listed
_JOINT = "\0"  # a space where no line may end
_Entry = tuple[str, Iterable[str]]  # a label, and the paragraphs beside it

_TOKENIZERS: Mapping[str, str] = {
    "wordpiece": "WordPiece, as google-research/bert",
    "bert_fast": "WordPiece, as Hugging Face's BertTokenizerFast",
    "tokenizer.json": "as tokenizer.json says",
    "sentencepiece": "SentencePiece, as bert-japanese",
    "xlm_roberta": "SentencePiece, as XLM-RoBERTa",
    "sentencepiece_ids": "SentencePiece, with its own numbers",
    "pieces": "SentencePiece, with its own numbers",
    "words": "words, cut at spaces",
}


def lines(reports: Sequence[Any]) -> Iterator[str]:
    """One block for each `ModelReport` or `OutputReport`."""
    for place, report in enumerate(reports):
        if place:
            yield ""
        if len(reports) > 1:
            yield f"reading {place + 1} of {len(reports)}"
        is_model = report.what == "model"
        for label, paragraphs in _of_model(report) if is_model else _of_output(report):
            yield from _aligned(label, paragraphs)


def _aligned(label: str, paragraphs: Iterable[str]) -> Iterator[str]:
    """The label beside the first line; lines that are too long go on, further in."""
    for paragraph in paragraphs:
        inner = " " * (len(paragraph) - len(paragraph.lstrip()))
        wrapped = textwrap.wrap(
            paragraph,
            _WIDTH,
            initial_indent=f"{label:<{_LABEL}} ",
            subsequent_indent=" " * (_LABEL + 1) + inner + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (line.replace(_JOINT, " ") for line in wrapped or [""])
        label = ""


# ------------------------------------------------------------------------------------- a model


def _of_model(report: ModelReport) -> Iterator[_Entry]:
    key = f" ({report.kind})" if report.kind else ""
    yield "kind", [f"{report.form}{key}"]
    yield "place", [report.path, *([f"fetched from {report.handle}"] if report.handle else [])]
    if report.problem:
        yield "cannot be run", [report.problem]
    yield "size", [f"{_bytes(report.bytes)} in {counted(report.files, 'file')}"]
    if report.digest:
        yield "digest", [report.digest]
    if report.architecture:
        yield "architecture", [report.architecture]
    if report.parameters is not None:
        yield "parameters", [f"{report.parameters:,}"]
    yield from _shape(report)
    yield from _vectors(report)
    yield from _reading(report)
    if report.signatures:
        yield "signatures", _signatures(report.signatures)
    if report.assets:
        yield "assets", [", ".join(report.assets)]
    if report.tags:
        yield "tags", [", ".join(report.tags)]
    if report.notes:
        yield "notes", report.notes
    if report.trial:
        tokens = " ".join(report.trial.tokens)
        yield "a trial", [report.trial.text, f"-> {tokens}", _unknown(report)]
    if report.embed:
        yield "to embed", _command(report.embed)


def _shape(report: ModelReport) -> Iterator[_Entry]:
    """Numbers of the whole model, more of them where it cannot be run."""
    numbers = {"hidden size": report.hidden_size}
    if not report.takes:
        numbers["longest input"] = report.longest
        numbers["vocabulary"] = report.vocabulary_size
    if not report.layers:
        numbers["layers"] = report.layer_count
    for label, count in numbers.items():
        if count is not None:
            yield label, [f"{count:,}"]


def _vectors(report: ModelReport) -> Iterator[_Entry]:
    if report.layers or report.outputs:
        yield "layers", _layers(report.layers)
        outputs = [f"{output.vectors} ({_wide(output.width)})" for output in report.outputs]
        yield "own outputs", [", ".join(outputs) or "none"]
    if report.poolings:
        yield "poolings", [", ".join(report.poolings)]
    columns = []
    for column in report.default_columns:
        then = "".join(f", then {step}" for step in column.then)
        columns.append(f"{column.vectors}{then} ({_wide(column.width)})")
    yield "default vector", columns


def _layers(layers: Sequence[LayerReport]) -> list[str]:
    """As `--layers` names them, those of the same width together."""
    if not layers:
        return ["none: it gives sentence vectors only"]
    numbers = [one.layer for one in layers if isinstance(one.layer, int)]
    last = max(numbers, default=0)
    found = []
    for width, group in itertools.groupby(layers, lambda one: one.width):
        same = [one.layer for one in group]
        run = len(same) > 2 and all(isinstance(layer, int) for layer in same)
        names = f"{same[0]} to {same[-1]}" if run else ", ".join(map(str, same))
        found.append(f"{names} ({_wide(width)})")
    return ["; ".join(found) + (f"; -1 is {last}" if last > 0 else "")]


def _wide(width: int | None) -> str:
    return "width unknown" if width is None else f"{width:,} wide"


def _reading(report: ModelReport) -> Iterator[_Entry]:
    """How it reads texts."""
    if not report.takes:
        return
    if report.max_seq_length is None:
        yield "longest input", ["any"]
    else:
        most = "any" if report.longest is None else f"{report.longest:,} at most"
        yield "longest input", [f"{report.max_seq_length:,} tokens (--max_seq_length: {most})"]
    yield "takes", [report.takes]
    yield "tokenizer", _tokenizer(report.tokenizer)
    yield "pairs", ["yes" if report.pairs else "no"]
    if report.prompts:
        prompts = [f"{name}: {prompt!r}" for name, prompt in report.prompts.items()]
        yield "prompts", prompts
    if report.default_prompt:
        yield "default prompt", [repr(report.default_prompt)]


def _tokenizer(tokenizer: TokenizerReport | None) -> list[str]:
    if tokenizer is None:
        return ["inside the model"]
    size = tokenizer.vocabulary_size
    vocabulary = "vocabulary unknown" if size is None else f"vocabulary of {size:,}"
    case = "lower-cased" if tokenizer.lower_case else "case is kept"
    between = ", ".join([tokenizer.after or ""] * tokenizer.separators)
    places = (tokenizer.before, "before"), (tokenizer.after, "after"), (between, "between texts")
    around = ", ".join(f"{token} {where}" for token, where in places if token)
    around = around or "no special tokens"
    kind = _TOKENIZERS.get(tokenizer.kind, tokenizer.kind)
    return [f"{kind} ({tokenizer.kind}); {vocabulary}; {case}; {around}", *tokenizer.files]


def _signatures(signatures: Sequence[SignatureReport]) -> Iterator[str]:
    for signature in signatures:
        training = "" if signature.training is None else f" (training={signature.training})"
        run = f"run as {signature.adapter}" if signature.adapter else signature.why_not
        called = ", and is the one called" if signature.chosen else ""
        yield f"{signature.name}{training}: {run}{called}"
        yield f"  takes {_tensors(signature.inputs)}"
        yield f"  gives {_tensors(signature.outputs)}"


def _tensors(tensors: Sequence[Tensor]) -> str:
    """Those of a numbered list together: `encoder_outputs/0 to 11`."""
    found = []
    for (stem, what), group in itertools.groupby(tensors, _stem_and_type):
        names = [tensor.name for tensor in group]
        if len(names) > 2 and stem != names[0]:
            found.append(f"{names[0]} to {names[-1].removeprefix(stem)}: {what}")
        else:
            found += [f"{name}: {what}" for name in names]
    return ", ".join(one.replace(" ", _JOINT) for one in found) or "nothing"


def _stem_and_type(tensor: Tensor) -> tuple[str, str]:
    return re.sub(r"(?<=/)\d+$", "", tensor.name), f"{tensor.dtype} {shape_text(tensor)}"


def _unknown(report: ModelReport) -> str:
    trial = report.trial
    assert trial is not None
    tokens = counted(len(trial.tokens), "token")
    if trial.unknown is None:
        return f"{tokens}; which are unknown only the model knows"
    return f"{tokens}, {trial.unknown} unknown"


def _command(embed: str) -> list[str]:
    """In two lines where it is long; a shell reads them as one."""
    start, flag, rest = embed.partition(" --input=")
    if len(embed) < _WIDTH - _LABEL:
        return [embed]
    return [f"{start} \\".replace(" ", _JOINT), f"  {flag.lstrip()}{rest}".replace(" ", _JOINT)]


# ----------------------------------------------------------------------------- an output folder


def _of_output(report: OutputReport) -> Iterator[_Entry]:
    if report.path is None:
        yield "kind", ["a snapshot of an output that lies elsewhere"]
    else:
        yield "kind", ["output of `embed`"]
        yield "place", [report.path]
        yield "LATEST", [report.latest or "nothing is published"]
        yield "snapshots", _snapshots(report.snapshots)
    if report.unfinished:
        yield "unfinished", report.unfinished
    if report.same_fingerprint and len(report.snapshots) > 1:
        yield "fingerprints", ["the same for all: the snapshots were made alike"]
    if report.notes:
        yield "notes", report.notes
    if report.snapshot:
        yield from _snapshot(report.snapshot)


def _snapshots(snapshots: Sequence[SnapshotLine]) -> Iterator[str]:
    if not snapshots:
        yield "none that is whole"
    if len(snapshots) > _SNAPSHOTS:
        yield f"… {len(snapshots) - _SNAPSHOTS:,} older ones"
    for one in snapshots[-_SNAPSHOTS:]:
        state = ", LATEST" if one.is_latest else ", not published" * (one.published is False)
        counts = f"{counted(one.documents, 'document')}, {one.rejected:,} rejected"
        yield f"{one.id}: {counts}, finished {one.finished}{state}"


def _snapshot(snapshot: SnapshotReport) -> Iterator[_Entry]:
    yield "", [""]
    yield "snapshot", [snapshot.id, snapshot.folder]
    yield "finished", [f"{snapshot.finished} (started {snapshot.started})"]
    yield "counts", [_pairs({k: f"{v:,}" for k, v in snapshot.counts.items()})]
    yield "size", [f"{_bytes(snapshot.bytes)} in {counted(snapshot.files, 'file')}"]
    yield "model", [f"{snapshot.model_kind} {snapshot.model_digest}"]
    yield "fingerprint", [str(snapshot.fingerprint)]
    asked = {k: v for k, v in snapshot.configuration.items() if v not in (None, "", False, [])}
    yield "configuration", [_pairs(asked)]
    yield "versions", [_pairs(snapshot.versions)]
    for name, table in snapshot.tables.items():
        yield name, _table(table)
    rows = []
    for row in snapshot.rows:
        rows.append(f"{row.id}  {row.text}")
        for column, vector in row.vectors.items():
            numbers = ", ".join("NaN" if n is None else number(n) for n in vector.start)
            rows.append(f"  {column}: [{numbers}, … {vector.width}]")
    if rows:
        yield "first rows", rows


def _table(table: TableReport) -> Iterator[str]:
    rows, files = counted(table.rows, "row"), counted(table.files, "file")
    yield f"{rows} in {files}, {_bytes(table.bytes)}"
    columns = [
        f"{column.name}: {column.type}".replace(" ", _JOINT)
        + (f"[{column.width}]" if column.width else "")
        for column in table.columns
    ]
    if columns:
        yield "  " + ", ".join(columns)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


def _bytes(number: int) -> str:
    """`1.2 MB (1,234,567 bytes)`"""
    return f"{number:,} bytes" if number < 1000 else f"{bytes_text(number)} ({number:,} bytes)"
