"""`report`: an output as one HTML file to look at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import corpora
from corpusvec.pipeline.reports.contents import contents
from corpusvec.pipeline.reports.pages import page
from corpusvec.pipeline.terminal.formats import bytes_text, counted

_EACH = 3  # suggestions for each document


def report(flags: argparse.Namespace) -> Iterator[str]:
    """The lines to print. Raises `ValueError` or `RuntimeError` where the output cannot be read or
    the file not be written.
    """
    file = checked_file(flags.file)
    corpus = corpora.open(flags.output)
    found = [one for id_ in corpus.ids for one in corpus.related(id_, _EACH, flags.column)]
    shown = contents(corpus, found, flags.column)
    text = page(shown, flags.lang)
    write(file, text)
    yield (
        f"{file}: {counted(len(shown['suggestions']), 'suggested link')}, a map of"
        f" {counted(len(shown['documents']['id']), 'document')}, {bytes_text(len(text.encode()))};"
        " open it in a browser"
    )
    if len(shown["documents"]["id"]) < shown["total"]:
        yield f"of {shown['total']:,} documents it shows those with suggestions, and a sample"


def checked_file(name: str) -> Path:
    """Where the report goes. Raises `UsageError` before anything is read."""
    file = Path(os.path.expanduser(name))
    if "://" in name:
        raise UsageError(f"--file={name}: is not on this machine; write it here and copy it")
    if not name or file.is_dir():
        raise UsageError(f"--file={name}: is a folder; name a file in it, as report.html")
    if not file.parent.is_dir():
        raise UsageError(f"--file={name}: there is no folder {file.parent}; make it first")
    return file


def write(file: Path, text: str) -> None:
    """All of it, or the file stays as it was."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_text(text, "utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RuntimeError(f"--file={file}: cannot be written ({error.strerror})") from error
