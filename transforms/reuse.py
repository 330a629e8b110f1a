"""Documents whose texts have vectors already are told from those that are to be embedded."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa

from corpusvec.transforms.columns import CHARACTERS, DOCUMENTS, Documents
from corpusvec.transforms.elements import (
    Count,
    Document,
    Failure,
    Known,
    Packed,
    Place,
    WrittenFile,
)
from corpusvec.transforms.measures import names
from corpusvec.transforms.measures.batch_coders import packed, unpacked
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, stamped
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.snapshots.copies import Copies, Waiting, places_table
from corpusvec.transforms.snapshots.earlier_rows import Earlier, EarlierRows
from corpusvec.transforms.snapshots.schemas import about_documents
from corpusvec.transforms.storage.digests import DigestSet, as_keys, key_of, keys_of, text_digests

_KEYED = tuple[bytes, Any]
# Of the texts that a bundle remembers, so many documents travel one by one.
_RECENT, _SINGLE = 10_000, 10
# What travels together at most, and waits for others at most: documents, and characters.
_TOGETHER, _HELD = 4_096, 2 << 20
_BESIDE = 100  # characters' worth that each takes beside what it says


class Found(NamedTuple):
    """`new` are to be embedded: of several documents with a text the first; the others are
    `repeats`, as `Known`s in many processes, in one as tables of these. `copies` have rows in
    earlier files.
    """

    new: beam.PCollection
    repeats: beam.PCollection
    copies: beam.PCollection


@dataclass(kw_only=True, eq=False)
class FindVectors(beam.PTransform):
    """`Documents` and `EarlierRows`, in one process -> `Found`, and `notes`: damaged files, and
    what it took. What is new stays in its batch.
    """

    earlier: Sequence[Earlier]
    spare: Sequence[Earlier] = ()
    tokens: bool  # whether token vectors are wanted too

    def expand(self, documents):
        find = beam.ParDo(_FindFn(self.earlier, self.tokens, self.spare))
        return documents | find.with_outputs("repeats", "copies", "notes", main="new")


class FindVectorsByText(beam.PTransform):
    """`Document`s, and the places of rows by their keys -> `Found`: in many processes."""

    def expand(self, parts):
        documents, places = parts
        keyed = documents | "ByText" >> beam.ParDo(_ByTextFn()).with_output_types(_KEYED)
        find = beam.FlatMap(_find_of_text).with_outputs("repeats", "copies", main="new")
        found = (keyed, places) | beam.Flatten() | beam.GroupByKey() | find
        return Found(found.new, found.repeats, found.copies | GroupCopies())


class Settled(NamedTuple):
    """What becomes of repeats: their rows are copied, or what was said of the first document of
    their text is said of them.
    """

    copies: beam.PCollection
    failures: beam.PCollection
    counts: beam.PCollection


@dataclass(kw_only=True, eq=False)
class FindRepeated(beam.PTransform):
    """Repeats, the files with rows of this run, and why there are none of other texts (`Failure`s,
    and those of texts that are empty) -> `Settled`, in one process.
    """

    folder: str
    tokens: bool

    def expand(self, parts):
        repeats, files, failures, empty = parts
        settle = beam.ParDo(
            _SettleFn(self.folder, self.tokens),
            beam.pvalue.AsList(files),
            beam.pvalue.AsDict(_fates(failures, empty)),
        )
        return Settled(*(repeats | settle.with_outputs("failures", "counts", main="copies")))


class FindRepeatedByText(beam.PTransform):
    """The same with the places of rows in place of files: in many processes."""

    def expand(self, parts):
        repeats, places, failures, empty = parts
        keyed = repeats | "ByText" >> beam.ParDo(_ByTextFn()).with_output_types(_KEYED)
        settle = beam.FlatMap(_settle_of_text).with_outputs("failures", "counts", main="copies")
        known = (keyed, places, _fates(failures, empty)) | beam.Flatten()
        settled = known | beam.GroupByKey() | settle
        return Settled(settled.copies | GroupCopies(), settled.failures, settled.counts)


class GroupCopies(beam.PTransform):
    """`(Known, Place)` -> `Copies`, each of one file."""

    def expand(self, copies):
        return (
            copies
            | "ByFile" >> beam.ParDo(_ByFileFn()).with_output_types(_FILED)
            | beam.GroupByKey()
            | beam.FlatMap(_in_parts)
        )


_FILED = tuple[str, bytes]


class _TogetherFn(beam.DoFn):
    """Collect the values of each key, and send them on together."""

    def start_bundle(self):
        self._waiting: dict[Any, list] = {}
        self._sizes, self._held = Counter[Any](), 0  # characters of each key, and of all

    def _wait(self, key: Any, value: Any, known: Known) -> Iterator:
        self._waiting.setdefault(key, []).append(value)
        size = known.characters + _BESIDE
        self._sizes[key] += size
        self._held += size
        if len(self._waiting[key]) >= _TOGETHER or self._sizes[key] >= CHARACTERS:
            yield from self._gone(key)
        elif self._held >= _HELD:
            yield from self._all()

    def _all(self) -> Iterator:
        return itertools.chain.from_iterable(map(self._gone, list(self._waiting)))

    def _gone(self, key: Any) -> list[tuple]:
        self._held -= self._sizes.pop(key)
        return self._sent(key, self._waiting.pop(key))

    def _sent(self, key: Any, values: list) -> list[tuple]:
        return [(key, packed(values))]

    def finish_bundle(self):
        yield from (stamped(one, OF_THE_RUN) for one in self._all())


class _ByFileFn(_TogetherFn):
    def process(self, copy: tuple[Known, Place]):
        known, place = copy
        yield from self._wait(place.file, copy, known)


class _ByTextFn(_TogetherFn):
    """Key `Document`s, or repeats, by their text. After the first few of a text the others are
    packed together.
    """

    def start_bundle(self):
        super().start_bundle()
        self._recent = Counter[bytes]()

    def process(self, one: Document | Known | Packed):
        key = key_of(one) if isinstance(one, Document) else one.key
        if isinstance(one, Packed):
            yield key, one
        elif self._recent[key] >= _SINGLE:
            known = _known(one, key)
            yield from self._wait(key, known, known)
        else:
            if len(self._recent) >= _RECENT:
                self._forget()
            self._recent[key] += 1
            yield key, one

    def _forget(self) -> None:
        """Forget all texts except the frequent ones, and those too if there are very many."""
        often = {key: n for key, n in self._recent.items() if n >= _SINGLE}
        self._recent = Counter(often if len(often) < _RECENT // 2 else {})

    def _sent(self, key: bytes, values: list[Known]) -> list[tuple]:
        if len(values) < _SINGLE:
            return [(key, one) for one in values]
        return [(key, Packed(key, packed(values)))]


def _in_parts(group: tuple[str, Iterable[bytes]]) -> Iterator[Copies]:
    waiting = Waiting()
    copies = itertools.chain.from_iterable(map(unpacked, group[1]))
    while some := list(itertools.islice(copies, DOCUMENTS)):
        known, places = zip(*some)
        rows = [(one.id, "", None, *one[2:5], None, *one[5:]) for one in known]
        waiting.add(about_documents(Documents.of_rows(rows)), places_table(places))
    yield from waiting.all()


def _known(document: Document | Known, key: bytes) -> Known:
    if isinstance(document, Known):
        return document
    place = (document.source, document.source_row)
    return Known(key, document.id, *place, document.metadata, document.links, document.span)


def _fates(failures: beam.PCollection, empty: beam.PCollection) -> beam.PCollection:
    """By the keys of texts that have no row: why, and None for those that are empty."""
    return (
        failures | "Failed" >> beam.Map(lambda one: (one.key, one)).with_output_types(_KEYED),
        empty | "Empty" >> beam.Map(lambda one: (one.key, None)).with_output_types(_KEYED),
    ) | "Fates" >> beam.Flatten()


class _FindFn(beam.DoFn):
    def __init__(self, earlier: Sequence[Earlier], tokens: bool, spare: Sequence[Earlier]):
        self._earlier, self._tokens, self._spare = earlier, tokens, spare

    def start_bundle(self):
        self._rows: EarlierRows | None = None
        self._seen, self._waiting = DigestSet(), Waiting()
        self._spent = Spent(names.FIND_MS)

    def process(self, documents: Documents):
        yield from self._spent.during(self._found(documents))

    def finish_bundle(self):
        for copies in self._waiting.all():
            yield stamped(copies, OF_THE_RUN, "copies")
        yield from (stamped(count, OF_THE_RUN, "notes") for count in self._spent.reports())

    def _found(self, documents: Documents) -> Iterator:
        if self._rows is None:
            self._rows = EarlierRows(self._earlier, self._tokens, self._spare)
        documents = replace(documents, digests=text_digests(documents))
        keys = keys_of(documents)
        at = self._rows.find(as_keys(b"".join(keys)))
        while self._rows.damaged:
            yield stamped(self._rows.damaged.pop(0), OF_THE_RUN, "notes")
        if (found := at >= 0).any():
            known = documents if found.all() else documents.take(np.flatnonzero(found))
            self._waiting.add(about_documents(known), self._rows.places(at[found]))
        unknown = np.flatnonzero(~found)
        is_new = np.array(self._seen.add_digests([keys[row] for row in unknown.tolist()]), bool)
        if len(twice := unknown[~is_new]):
            known = about_documents(documents.take(twice))
            again = pa.array([keys[row] for row in twice.tolist()])
            yield stamped(known.append_column("key", again), OF_THE_RUN, "repeats")
        if is_new.all() and not found.any():
            yield stamped(documents, OF_THE_RUN)
        elif is_new.any():
            yield stamped(documents.take(unknown[is_new]), OF_THE_RUN)


def _find_of_text(group: tuple[bytes, Iterable[Document | Packed | Place]]) -> Iterator:
    """All documents of a text, and where it has rows. They may be more than fit in memory, so they
    are gone through twice.
    """
    key, found = group
    places = (one for one in found if isinstance(one, Place))
    place = max(places, key=_snapshot_of, default=None)  # the newest
    is_new = place is None
    for one in found:
        if isinstance(one, Place):
            continue
        if is_new and isinstance(one, Document):
            is_new = False
            yield one
        elif place:
            for known in _each(one, key):
                yield beam.pvalue.TaggedOutput("copies", (known, place))
        else:
            repeat = _known(one, key) if isinstance(one, Document) else one
            yield beam.pvalue.TaggedOutput("repeats", repeat)


def _each(one: Document | Known | Packed, key: bytes) -> list[Known]:
    return unpacked(one.known) if isinstance(one, Packed) else [_known(one, key)]


def _snapshot_of(place: Place) -> str:
    """By the name of its folder, which an attempt has with a dot before it."""
    return place.file.split("/")[-3].lstrip(".")


class _SettleFn(beam.DoFn):
    def __init__(self, folder: str, tokens: bool):
        self._folder, self._tokens = folder, tokens

    def start_bundle(self):
        self._rows: EarlierRows | None = None
        self._waiting = Waiting()

    def process(
        self,
        repeats: pa.Table,
        files: Sequence[WrittenFile],
        fates: Mapping[bytes, Failure | None],
    ):
        if self._rows is None:
            self._rows = EarlierRows(
                [Earlier(self._folder, tuple(files), fresh=True)], self._tokens
            )
        at = self._rows.find(as_keys(b"".join(repeats["key"].to_pylist())))
        if (found := at >= 0).any():
            known = repeats.filter(pa.array(found)).drop_columns("key")
            self._waiting.add(known, self._rows.places(at[found]))
        others = repeats.filter(pa.array(~found)).select(["key", "id", "source", "source_row"])
        yield from _settled((Known(**one, metadata={}) for one in others.to_pylist()), fates)

    def finish_bundle(self):
        for copies in self._waiting.all():
            yield stamped(copies, OF_THE_RUN)


def _settle_of_text(
    group: tuple[bytes, Iterable[Known | Packed | Place | Failure | None]],
) -> Iterator:
    """The same of all repeats of a text, and where it has rows or why not."""
    key, found = group
    place = next((one for one in found if isinstance(one, Place)), None)
    why = [one for one in found if one is None or isinstance(one, Failure)]
    fates = {key: why[0]} if why else {}
    parts = (_each(one, key) for one in found if isinstance(one, Known | Packed))
    repeats = itertools.chain.from_iterable(parts)
    yield from ((one, place) for one in repeats) if place else _settled(repeats, fates)


def _settled(
    repeats: Iterable[Known], fates: Mapping[bytes, Failure | None]
) -> Iterator[beam.pvalue.TaggedOutput]:
    """What becomes of repeats of texts without rows."""
    empty = 0
    for repeat in repeats:
        if repeat.key not in fates:
            raise RuntimeError(
                f"{repeat.id}: no document of its text has a row, or a reason for none"
            )
        if (first := fates[repeat.key]) is None:
            empty += 1
            continue
        place = (repeat.id, repeat.source, repeat.source_row)
        failure = Failure(first.stage, *place, first.error, first.detail, repeat.key)
        yield beam.pvalue.TaggedOutput("failures", failure)
    if empty:
        yield beam.pvalue.TaggedOutput("counts", Count(names.EMPTY, empty))
