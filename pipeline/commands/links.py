"""The commands that find documents: `related`, `search`, `evaluate`, `mcp`."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpusvec.pipeline.flags.links import FORMS
from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.links import choices, corpora, evaluations
from corpusvec.pipeline.links.pages import Pages, opened
from corpusvec.pipeline.links.rankings import MOST_EMBEDDED, VECTORS
from corpusvec.pipeline.links.related import Asked, Finder, far_first, with_distances
from corpusvec.pipeline.links.searches import Searcher
from corpusvec.pipeline.links.servers import Tools, check_installed, serve
from corpusvec.pipeline.terminal import logs
from corpusvec.pipeline.terminal.exits import say
from corpusvec.pipeline.terminal.formats import counted, shortened
from corpusvec.transforms.links.suggestions import Hit, Suggestion
from corpusvec.transforms.storage.files import join

_MEASURED = 10_000  # documents; of more, to count the links between them takes too long unasked


def related(flags: argparse.Namespace) -> None:
    """Prints or writes suggestions; or notes that one was accepted or dismissed."""
    pages = opened(flags.output, flags.snapshot, flags.across, flags.column)
    if any(one is not None for one in (flags.accept, flags.dismiss, flags.choices)):
        say(_choose(pages, flags))
        return
    form = FORMS[flags.format]
    if not form.text and flags.file is None and sys.stdout.isatty():
        raise UsageError(f"--format={flags.format}: is no text; name a --file to write it to")
    found = _suggestions(pages, flags) if form.suggests else []
    module, _, name = form.make.partition(":")
    make = getattr(importlib.import_module(f"corpusvec.pipeline.{module}"), name)
    if form.files:
        say(make(pages, found, flags.file, (flags.public or "").split(",")))
    elif flags.file is not None:
        _write(flags.file, make(pages, found))
        say([f"{flags.file} is written"])
    elif form.text:
        say(make(pages, found).decode().splitlines())
    else:
        sys.stdout.buffer.write(make(pages, found))


def _suggestions(pages: Pages, flags: argparse.Namespace) -> list[Suggestion]:
    finder = Finder(pages, _asked(flags, pages.corpora[0].output), flags.model)
    if finder.by != VECTORS and len(pages) > MOST_EMBEDDED:
        logs.say(f"comparing the words and titles of {len(pages):,} documents takes minutes")
    found = list(finder.suggestions())
    for note in finder.notes:
        logs.say(logs.Line(note, "note"))
    if flags.far or len(pages) <= _MEASURED:
        found = with_distances(pages, found)
    return far_first(found) if flags.far else found


def _asked(flags: argparse.Namespace, output: str) -> Asked:
    if flags.above is not None and flags.links == "only":
        raise UsageError("--above and --links=only: choose one of them")
    names = ("top", "of", "by", "links", "orphans", "not_within", "skip", "above", "passages")
    chosen = frozenset(choices.chosen(output))
    return Asked(**{name: getattr(flags, name) for name in names}, chosen=chosen)


def _choose(pages: Pages, flags: argparse.Namespace) -> Iterator[str]:
    output = pages.corpora[0].output
    place = f"in {join(output, choices.NAME)}"
    if flags.choices is not None:
        said = choices.read(flags.choices)
        known = {pair: what for pair, what in said.items() if pair[0] in pages.rows}
        choices.choose(output, known)
        for what in (choices.ACCEPTED, choices.DISMISSED):
            yield f"{what}: {counted([*known.values()].count(what), 'suggestion')}, {place}"
        if gone := len(said) - len(known):
            yield f"left out: {counted(gone, 'line')} about documents that the output does not have"
    if flags.of is None and (flags.accept is not None or flags.dismiss is not None):
        raise UsageError("--accept, --dismiss: need --of, the document that has the suggestion")
    reds = {key for _, key in pages.graph.reds}
    for what, target in ((choices.ACCEPTED, flags.accept), (choices.DISMISSED, flags.dismiss)):
        if target is not None:
            document = pages.ids[pages.row(flags.of)]
            found = target if target in reds else pages.ids[pages.row(target)]
            choices.choose(output, {(document, found): what})
            yield f"{what}: {document} -> {found}, {place}"


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).expanduser().write_bytes(content)
    except OSError as error:
        raise UsageError(f"--file={path}: cannot be written ({error.strerror})") from error


def search(flags: argparse.Namespace) -> None:
    """Prints what a text finds, a draft, or each line of stdin."""
    if flags.text is not None and flags.file is not None:
        raise UsageError("a text and --file: search for one of them")
    draft = _text_of("--file", flags.file) if flags.file is not None else None
    corpus = corpora.open(flags.output, flags.snapshot)
    searcher = Searcher(corpus, flags.column, flags.by, flags.model)
    searcher.load()
    if draft is not None:
        say(_hits(searcher, searcher.search_draft(draft, flags.top), flags.json, True))
    elif flags.text is not None:
        say(_hits(searcher, searcher.search(flags.text, flags.top), flags.json, False))
    else:
        _converse(searcher, flags)


def _converse(searcher: Searcher, flags: argparse.Namespace) -> None:
    """A query on each line, until there are no more."""
    logs.say(f"{len(searcher.corpus):,} documents; type a query, Ctrl-D ends")
    if isinstance(sys.stdin, io.TextIOWrapper):  # a line that is not UTF-8 ends only itself
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in sys.stdin:
        if line.strip():
            try:
                hits = searcher.search(line.strip(), flags.top)
            except UsageError as error:
                logs.say(f"corpusvec: {error}")
                continue
            say(_hits(searcher, hits, flags.json, False))


def _hits(searcher: Searcher, hits: list[Hit], as_json: bool, draft: bool) -> Iterator[str]:
    corpus = searcher.corpus
    titles = [corpus.titles[corpus.rows[hit.document]] for hit in hits]
    if as_json:
        told = [hit._asdict() | {"title": title} for hit, title in zip(hits, titles)]
        yield json.dumps(told, ensure_ascii=False)
        return
    if not hits:
        yield "nothing was found"
    for hit, title in zip(hits, titles):
        yield f"{hit.score:.3f}  {shortened(title, 90)}"
        yield f"       > {shortened(hit.passage, 90)}"
        if draft:
            yield f"       < {shortened(hit.query, 90)}"


def mcp(flags: argparse.Namespace) -> None:
    """Serves an output until stdin ends."""
    check_installed()
    corpus = corpora.open(flags.output, flags.snapshot)
    searcher = Searcher(corpus, flags.column, None, flags.model)
    pages = Pages([corpus], flags.column)
    serve(Tools(searcher, pages, flags.model))


def evaluate(flags: argparse.Namespace) -> None:
    """Prints how many links are found, or how scores of pairs agree."""
    lines = None
    if flags.pairs is not None:
        lines = _text_of("--pairs", flags.pairs).splitlines()
    pages = Pages([corpora.open(flags.output, flags.snapshot)], flags.column)
    found: evaluations.Evaluation | dict[str, Any]
    if lines is None:
        found = evaluations.evaluate(pages, flags.model)
    else:
        found = evaluations.compare_pairs(pages, flags.pairs, lines, flags.model)
    say(evaluations.told(found, flags.json))


def _text_of(flag: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag}={path}: cannot be read ({error})") from error
