"""`plan`: what a run of `embed` would read, write and take, here and on several workers."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from corpusvec.pipeline import jobs
from corpusvec.pipeline.first_models import Languages, is_same
from corpusvec.pipeline.flags.parsing import Typed
from corpusvec.pipeline.jobs import Job
from corpusvec.pipeline.plans import texts
from corpusvec.pipeline.plans.blocks import only_from_start
from corpusvec.pipeline.plans.estimates import Corpus, Work, corpus, cost
from corpusvec.pipeline.plans.reports import Report, Run
from corpusvec.pipeline.plans.samples import Sample, take_sample
from corpusvec.pipeline.plans.trials import Speeds, try_out
from corpusvec.pipeline.runners.options import check_runner
from corpusvec.transforms.measures import names
from corpusvec.transforms.snapshots.schemas import SENTENCES, TOKENS
from corpusvec.transforms.snapshots.tables import FILE_BYTES

_NO_OUTPUT = os.devnull  # a job has one; nothing is written
_WORKERS = (1, 10, 100)
_DOCUMENT_BYTES = 60  # that a local run keeps of each, measured
_RUNNER_SECONDS = 4e-6  # that stages take to hand a window on, many together


def plan(flags: Typed) -> Iterable[str]:
    """The lines to print. Raises `ValueError` where `embed` would, and where no document is
    found.
    """
    check_runner(flags)
    flags.output = flags.output or _NO_OUTPUT
    started = flags.metrics.started
    job = jobs.from_flags(flags, started)
    ready = time.time() - started
    sample = take_sample(job)
    size = sum(file.size for file in job.files)
    whole = corpus(sample.blocks, size, sample.whole, job.limit)
    _refuse_nothing(whole)
    assert sample.windows is not None  # where there is a document
    speeds = try_out(job.recipe, sample.windows, job.vector_encoding)
    work = _work(job, sample, whole, speeds, ready)
    report = _report(job, sample, whole, speeds, work, flags)
    if flags.json:
        return [json.dumps(asdict(report), indent=1, allow_nan=False)]
    return texts.lines(report)


def _refuse_nothing(whole: Corpus) -> None:
    counts = whole.counts
    if counts.get(names.DOCUMENTS):
        return
    where = "the files" if whole.whole else "the sample"
    if not counts.get(names.RECORDS):
        raise ValueError(f"--input: {where} hold no record; there is nothing to plan")
    raise ValueError(
        f"--input: no record of {where} is a document ({counts[names.EMPTY]:,.0f} empty,"
        f" {counts[names.REJECTED]:,.0f} rejected); run `embed` with --limit to see why"
    )


def _work(job: Job, sample: Sample, whole: Corpus, speeds: Speeds, ready: float) -> Work:
    counts, scale = whole.counts, whole.scale
    later = sum(
        (
            scale * sample.tokenizing.cpu,
            counts[names.DOCUMENTS] * speeds.texts.seconds,
            counts[names.WINDOWS] * (speeds.vectors.seconds + _RUNNER_SECONDS),
            counts[names.TOKENS] * speeds.tokens.seconds,
        )
    )
    read = sum(block.bytes for block in sample.blocks)
    of_byte = sample.reading.wall / read if read else 0.0
    return Work(
        start=ready + speeds.start,
        encode=counts["size"] / speeds.rate,
        thread=later + scale * sample.reading.wall,
        load=later + scale * sample.reading.cpu,
        longest=min(scale * read, max(file.size for file in job.files)) * of_byte,
        cores=speeds.streams if not speeds.gpu else os.cpu_count() or 1,
        gpu=speeds.gpu,
    )


def _report(
    job: Job, sample: Sample, whole: Corpus, speeds: Speeds, work: Work, flags: argparse.Namespace
) -> Report:
    counts = whole.counts
    written = {
        SENTENCES: counts[names.DOCUMENTS] * (speeds.texts.bytes + speeds.vectors.bytes),
        TOKENS: counts[names.TOKENS] * speeds.tokens.bytes,
    }
    stored = {table: round(size) for table, size in written.items() if size}
    told = [name for name in counts if name not in ("size", "cut")]
    return Report(
        files=len(job.files),
        input_bytes=sum(file.size for file in job.files),
        counts={name: round(counts[name]) for name in told},
        margins={name: whole.margins[name] for name in told},
        bytes=stored,
        output_files={table: math.ceil(size / FILE_BYTES) for table, size in stored.items()},
        memory_bytes=round(speeds.memory + _DOCUMENT_BYTES * counts[names.DOCUMENTS]),
        unit="tokens" if job.recipe.spec.tokenizer else "bytes",
        speed=speeds.rate,
        by_precision=speeds.by_precision,
        start_seconds=work.start,
        runs=_runs(work, flags),
        price=flags.price,
        sample={
            "whole": whole.whole,
            "share": 1 / whole.scale,
            "documents": round(counts[names.DOCUMENTS] / whole.scale),
            "seconds": sample.reading.wall + sample.tokenizing.wall,
            "from_start": bool(job.limit)
            or any(only_from_start(file, job.reading.input_format) for file in job.files),
            "encoded": speeds.size,
            "encode_seconds": speeds.seconds,
        },
        advice=_advice(sample.languages, counts, job),
    )


def _advice(languages: Languages, counts: Mapping[str, float], job: Job) -> str | None:
    """What to type for a model that knows the language."""
    model = languages.model
    said = languages.trouble(round(counts[names.UNKNOWN_TOKENS]), round(counts[names.TOKENS]))
    if not said or is_same(model.handle, job.manifest["configuration"]["model"]):
        return None
    return (
        f"{said}; for a model of {model.languages}, type --model={model.handle}"
        f" --prompt={shlex.quote(model.prompt)}"
    )


def _runs(work: Work, flags: argparse.Namespace) -> list[Run]:
    """This machine first."""
    cores = flags.cores or work.cores
    asked = [(workers, cores) for workers in flags.workers or _WORKERS]
    alone = (1, work.cores)
    return [
        _run(work.alone() if which == alone else work.shared(*which), *which, flags.price)
        for which in [alone, *(which for which in asked if which != alone)]
    ]


def _run(seconds: float, workers: int, cores: int, price: float | None) -> Run:
    hours = cost(seconds, workers, cores, 1)
    return Run(workers, cores, seconds, hours, None if price is None else price * hours)
