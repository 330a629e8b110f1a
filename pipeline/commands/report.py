"""`report`: an output as one HTML file to look at."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from corpusvec.pipeline.links.choices import chosen
from corpusvec.pipeline.links.pages import opened
from corpusvec.pipeline.links.related import Asked, Finder
from corpusvec.pipeline.reports import files
from corpusvec.pipeline.reports.contents import contents
from corpusvec.pipeline.reports.pages import page
from corpusvec.pipeline.terminal.formats import bytes_text, counted

_EACH = 3  # suggestions for each document


def report(flags: argparse.Namespace) -> Iterator[str]:
    """The lines to print. Raises `ValueError` or `RuntimeError` where the output cannot be read or
    the file not be written.
    """
    file = files.checked(flags.file)
    pages = opened(flags.output, flags.snapshot, flags.across, flags.column)
    asked = Asked(
        top=_EACH,
        passages=flags.passages,
        not_within=flags.not_within,
        chosen=frozenset(chosen(pages.corpora[0].output)),
    )
    finder = Finder(pages, asked, flags.model)
    shown = contents(pages, list(finder.suggestions()))
    text = page(shown, flags.lang)
    files.write(file, text)
    yield from (f"note: {note}" for note in finder.notes)
    yield (
        f"{file}: {counted(len(shown['suggestions']), 'suggested link')}, a map of"
        f" {counted(len(shown['documents']['id']), 'document')}, {bytes_text(len(text.encode()))};"
        " open it in a browser"
    )
    if len(shown["documents"]["id"]) < shown["total"]:
        yield f"of {shown['total']:,} documents it shows those with suggestions, and a sample"
