"""Read the input files: the first stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.digests import DigestSet
from transforms.elements import Count, Document, Failure
from transforms.files import InputFile, open_input
from transforms.formats import format_of, has_pair_separator, reader_for
from transforms.metrics import count

_REPORT_EVERY = 64  # records


@dataclass(kw_only=True)
class ReadDocuments(beam.PTransform):
    """Files -> `documents`, `failures` and `counts`: `Document`, `Failure`, `Count`.

    All files are one element, read in order by one worker: so `limit`, the first records over all
    files, and which of two documents of one id is the first, are the same in each run, and nothing
    crosses a shuffle.
    """

    files: Sequence[InputFile]
    input_format: str = "auto"
    unit: str = "page"
    markup: str = "strip"
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__init__()
        _check_choice("--unit", self.unit, ("page", "line"))
        _check_choice("--scrapbox_markup", self.markup, ("strip", "keep"))
        if self.limit is not None and self.limit < 1:
            raise ValueError(
                f"--limit={self.limit}: must be 1 or more; leave it out for all records"
            )
        for file in self.files:
            format_of(file.path, self.input_format)

    def expand(self, root: Any) -> Any:
        read = _ReadFn(self.input_format, self.unit, self.markup, self.limit)
        return (
            root
            | beam.Create([tuple(self.files)], reshuffle=False)
            | beam.ParDo(read).with_outputs("failures", "counts", main="documents")
        )


def _check_choice(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{flag}={value}: unknown; use {' or '.join(allowed)}")


class _ReadFn(beam.DoFn):
    def __init__(self, input_format: str, unit: str, markup: str, limit: int | None):
        self._input_format, self._unit, self._markup = input_format, unit, markup
        self._limit = limit

    def process(self, files: Sequence[InputFile]) -> Iterator[Any]:
        seen = DigestSet()
        n_records = n_separators = 0
        for record, input_format in self._records(files):
            n_records += 1
            if n_records % _REPORT_EVERY == 0:
                count("records", _REPORT_EVERY)
            if isinstance(record, Failure):
                yield beam.pvalue.TaggedOutput("failures", record)
            elif seen.add(record.id):
                n_separators += input_format == "text" and has_pair_separator(record.text)
                yield record
            else:
                yield beam.pvalue.TaggedOutput("failures", _duplicate(record))
            if n_records == self._limit:
                break
        count("records", n_records % _REPORT_EVERY)
        yield beam.pvalue.TaggedOutput("counts", Count("records", n_records))
        yield beam.pvalue.TaggedOutput("counts", Count("pair_separators", n_separators))

    def _records(self, files: Sequence[InputFile]) -> Iterator[tuple[Document | Failure, str]]:
        for file in files:
            input_format = format_of(file.path, self._input_format)
            read = reader_for(input_format, self._unit, self._markup)
            opener = _Opener(file.path)
            with closing(read(opener, file.path, file.name)) as records:  # type: ignore[type-var]
                for record in records:
                    yield record, input_format


class _Opener:
    """Opens one file, as often as its reader likes; its bytes are counted once."""

    def __init__(self, path: str):
        self._path = path
        self._counted = 0

    def __call__(self) -> Any:
        at = 0

        def on_bytes(n: int) -> None:
            nonlocal at
            at += n
            if at > self._counted:
                count("bytes_read", at - self._counted)
                self._counted = at

        return open_input(self._path, on_bytes)


def _duplicate(document: Document) -> Failure:
    error = f"an earlier record has the same id, {document.id!r}; ids must be unique"
    return Failure("read", document.id, document.source, document.source_row, error)
