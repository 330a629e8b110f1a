"""The table of input formats. A new one is a module with its reader and a row here.

The table imports no reader before it is used, so that `--help` starts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from corpusvec.transforms.columns import Records

Open = Callable[[], BinaryIO]
# How to open a file, its path, its name in ids. Each record is exactly one document or failure.
Reader = Callable[[Open, str, str], "Iterator[Records]"]

CHUNKS = "window"  # the unit of documents that are cut after they are read
UNITS = ("page", "line", "section", CHUNKS)


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a record are what. None is the field of that name, where there is one; for
    metadata, all others.
    """

    text: str = "text"
    id: str | None = None
    pair: str | None = None
    metadata: tuple[str, ...] | None = None


ALL_FIELDS = Fields()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the flags say about input and its records."""

    input_format: str = "auto"
    unit: str = "page"
    markup: str = "strip"
    fields: Fields = ALL_FIELDS


@dataclass(frozen=True, slots=True)
class Format:
    """A format: where its `reader` is, by what suffixes `auto` knows it, which further arguments
    the reader takes (of `Reading`, `dates`, or of a part of a file), which units it has, by what a
    large file `splits`: `lines`, `rows` below a header, `groups` of rows, or not at all; whether a
    file's name is a part of its ids; and whether each id is this name and a number, so that no two
    are the same.
    """

    reader: str
    suffixes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    units: tuple[str, ...] = ("page", CHUNKS)
    splits: str = ""
    names_files: bool = True
    numbers_records: bool = False

    def read(self, reading: Reading, **more: object) -> Reader:
        """The reader, told what it takes: of `reading`, and what `more` has."""
        module, _, name = self.reader.partition(":")
        function = getattr(import_module(f"corpusvec.transforms.documents.{module}"), name)
        told = {"unit": reading.unit, "markup": reading.markup, "fields": reading.fields} | more
        return partial(function, **{what: told[what] for what in self.takes if what in told})


FORMATS: Mapping[str, Format] = {
    "scrapbox": Format(
        "scrapbox:read_scrapbox",
        (".json",),
        ("unit", "markup", "dates"),
        ("page", "line", CHUNKS),
        names_files=False,
    ),
    "text": Format(
        "lines:read_text",
        (".txt",),
        ("skipped",),
        ("page", "line", CHUNKS),
        "lines",
        numbers_records=True,
    ),
    "pairs": Format(
        "lines:read_pairs", (), ("skipped",), ("page", "line"), "lines", numbers_records=True
    ),
    "jsonl": Format(
        "lines:read_jsonl",
        (".jsonl", ".ndjson"),
        ("fields", "skipped"),
        ("page", "line", CHUNKS),
        "lines",
    ),
    "parquet": Format(
        "parquet_files:read_parquet",
        (".parquet",),
        ("fields", "groups", "skipped"),
        splits="groups",
    ),
    "csv": Format("delimited:read_csv", (".csv",), ("fields", "skipped"), splits="rows"),
    "tsv": Format("delimited:read_tsv", (".tsv", ".tab"), ("fields", "skipped"), splits="rows"),
    "markdown": Format(
        "markdown:read_markdown",
        (".md", ".markdown"),
        ("unit", "markup"),
        ("page", "section", CHUNKS),
    ),
}
SUFFIXES = {suffix: name for name, row in FORMATS.items() for suffix in row.suffixes}
BY_SUFFIX = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())  # for people


def format_of(path: str, input_format: str = "auto") -> str:
    """The name of the format of the file at `path`.

    Raises: ValueError if that cannot be told from its suffix.
    """
    if input_format in FORMATS:
        return input_format
    allowed = f"{', '.join(FORMATS)} or auto"
    if input_format != "auto":
        raise ValueError(f"--input_format={input_format}: unknown; use {allowed}")
    stem = uncompressed(path.lower())
    for suffix, found in SUFFIXES.items():
        if stem.endswith(suffix):
            return found
    raise ValueError(
        f"--input_format=auto: cannot tell what {path} holds; auto knows {BY_SUFFIX}; "
        f"say what it is with --input_format, one of {', '.join(FORMATS)}"
    )


def uncompressed(path: str) -> str:
    """A path without the suffix of its compression."""
    from corpusvec.transforms.documents.streams import COMPRESSIONS

    for compression in COMPRESSIONS:
        path = path.removesuffix(compression)
    return path


def reader_for(path: str, reading: Reading, **more: object) -> Reader:
    """The reader of the file at `path`; see `Format.read`."""
    return FORMATS[format_of(path, reading.input_format)].read(reading, **more)


def formats_of(reading: Reading, paths: Iterable[str]) -> list[Format]:
    """The formats of these files, each once."""
    return [FORMATS[name] for name in {format_of(path, reading.input_format) for path in paths}]


def ids_differ(reading: Reading, paths: Iterable[str]) -> bool:
    """Whether no two records of these files can have one id, all names of files being different."""
    return all(row.numbers_records for row in formats_of(reading, paths))


def check_reading(reading: Reading, paths: Iterable[str]) -> None:
    """Raises: ValueError for a flag that none of the files' formats knows."""
    if reading.unit not in UNITS:
        raise ValueError(f"--unit={reading.unit}: unknown; use {', '.join(UNITS)}")
    if reading.markup not in ("strip", "keep"):
        raise ValueError(f"--scrapbox_markup={reading.markup}: unknown; use strip or keep")
    rows = formats_of(reading, paths)
    if not any(reading.unit in row.units for row in rows):
        able = [name for name, row in FORMATS.items() if reading.unit in row.units]
        raise ValueError(f"--unit={reading.unit}: only {', '.join(able)} have such; omit the flag")
    if reading.fields != ALL_FIELDS and not any("fields" in row.takes for row in rows):
        able = [name for name, row in FORMATS.items() if "fields" in row.takes]
        raise ValueError(
            f"--text_column, --id_column, --pair_column, --metadata_columns: only {', '.join(able)}"
            " have columns; omit the flag"
        )
