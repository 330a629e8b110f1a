"""Long texts cut into chunks: separate documents, each short enough for one window of the model.
The chunks of a text cover all of it, in order.

A chunk ends at the end of a line or a sentence if possible, else between two words, else between
two tokens. It is embedded as a separate text, so its tokens are counted as the tokenizer finds them
in the chunk. If a cut is inside a word, the chunk may have more tokens than the same part of the
text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Alignment
from corpusvec.transforms.ranges import Run
from corpusvec.transforms.tokens.tokenizers import Tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut

CUT_PAIR = "is a pair of texts, which is not cut into chunks; use --unit=page"
SHARED = 64  # tokens that chunks share at most, by default
_LINE = re.compile(r"\n(?:[^\S\n]*\n)*")
_SENTENCE = re.compile(r"[.!?]+[\"'”’)\]]*\s+|[。．！？]+[」』）”’)]*\s*")
# Two code points that are one character to a reader: with joiners, colours of skin, flags, Korean
# syllables in parts. Marks are known by their category.
_ONE = (
    r".\u200d|\u200d.|.[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\r\n"
    r"|[\U0001f1e6-\U0001f1ff]{2}|[\u1100-\u11ff\uac00-\ud7a3][\u1160-\u11ff]"
)
_CHARACTER = re.compile(_ONE, re.DOTALL)
# Or of a word; Japanese and Chinese have no spaces between words.
_LETTER = r"[^\W_\u3040-\u30ff\u3400-\u9fff]"
_WORD = re.compile(rf"{_LETTER}{{2}}|{_ONE}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """A chunk has at most `tokens` tokens, including special tokens and the prompt of `windows`.
    Neighbours share up to `overlap` tokens of the text (None: a quarter of a chunk, at most 64).
    """

    tokens: int
    overlap: int | None
    windows: WindowPlan


class Chunks(NamedTuple):
    """Chunks as documents, and the rows of documents that cannot be cut, each with the reason."""

    documents: Documents
    refused: list[tuple[int, str]]


def cut_chunks(documents: Documents, tokenizer: Tokenizer, plan: ChunkPlan) -> Chunks:
    """Each document as its chunks, at least one; their ids are its id with `#0`, `#1`, ….

    A document is cut again, with less room, if one of its chunks is too long.
    """
    refused = {row: CUT_PAIR for row, pair in enumerate(documents.pairs) if pair is not None}
    runs: list[list[Run]] = [[(0, len(text))] for text in documents.texts]
    wholes = _wholes(documents, tokenizer, plan)
    rooms = dict.fromkeys(wholes, plan.tokens)
    excess = {
        row: whole.special
        for row, whole in wholes.items()
        if whole.special + len(whole.starts) > plan.tokens and row not in refused
    }
    while excess:
        for row, n in excess.items():
            rooms[row] -= n
            if rooms[row] < 1:
                refused[row] = (
                    f"--chunk_tokens={plan.tokens}: has a character of more tokens; raise it"
                )
            else:
                text, starts = documents.texts[row], wholes[row].starts
                runs[row] = chunk_runs(text, starts, rooms[row], plan.overlap)
        rows = [row for row in excess if row not in refused]
        excess = _excess(documents, runs, rows, tokenizer, plan)
    rows = [row for row in range(len(documents)) if row not in refused]
    return Chunks(_parts(documents, runs, rows), sorted(refused.items()))


class _Whole(NamedTuple):
    """A text's tokens: where each begins in the source, ascending; and the number of other tokens,
    special tokens and those of the prompt.
    """

    starts: list[int]
    special: int


def _wholes(documents: Documents, tokenizer: Tokenizer, plan: ChunkPlan) -> dict[int, _Whole]:
    """By row, for documents that have tokens."""
    windows = cut(documents, tokenizer, _uncut(plan, spans=True)).windows
    spans = windows.stream.spans
    assert spans is not None, "they were asked for"
    found = {}
    bounds = zip(windows.owners.tolist(), windows.starts.tolist(), windows.stops.tolist())
    for row, start, stop in bounds:
        starts = spans[start:stop, 0]
        starts = np.maximum.accumulate(starts[starts >= 0])
        found[row] = _Whole(starts.tolist(), stop - start - len(starts))
    return found


def _uncut(plan: ChunkPlan, spans: bool) -> WindowPlan:
    """The plan that counts all tokens of a text."""
    return replace(plan.windows, max_seq_length=None, long_text="window", spans=spans)


def _excess(
    documents: Documents,
    runs: Sequence[Sequence[Run]],
    rows: Sequence[int],
    tokenizer: Tokenizer,
    plan: ChunkPlan,
) -> dict[int, int]:
    """For each row with a chunk that is too long: the excess tokens of its longest chunk."""
    windows = cut(_parts(documents, runs, rows), tokenizer, _uncut(plan, spans=False)).windows
    which = np.repeat(rows, [len(runs[row]) for row in rows])
    found: dict[int, int] = {}
    for row, length in zip(which[windows.owners].tolist(), windows.lengths.tolist()):
        if length > plan.tokens:
            found[row] = max(found.get(row, 0), length - plan.tokens)
    return found


def _parts(documents: Documents, runs: Sequence[Sequence[Run]], rows: Sequence[int]) -> Documents:
    """The chunks of some documents as documents."""
    numbered = [(row, number) for row in rows for number in range(len(runs[row]))]
    spans = [run for row in rows for run in runs[row]]
    taken = documents.take([row for row, _ in numbered])
    return replace(
        taken,
        ids=[f"{documents.ids[row]}#{number}" for row, number in numbered],
        texts=[text[start:stop] for text, (start, stop) in zip(taken.texts, spans)],
        alignments=[part_of(one, *span) for one, span in zip(taken.alignments, spans)],
        spans=spans,
    )


def part_of(alignment: Alignment | None, start: int, stop: int) -> Alignment | None:
    """The alignment of a part of a text."""
    if alignment is None:
        return None
    runs = alignment.runs
    first = bisect_right(runs, start, key=lambda run: run[1])
    last = bisect_left(runs, stop, key=lambda run: run[0])
    kept = tuple((max(a, start) - start, min(b, stop) - start) for a, b in runs[first:last])
    return None if kept == ((0, stop - start),) else Alignment(kept)


def chunk_runs(
    text: str, starts: Sequence[int], room: int, overlap: int | None = None
) -> list[Run]:
    """The chunks of a text whose tokens begin at `starts`: runs that cover it, each of at most
    `room` tokens, unless a single character has more. Each begins and ends after the previous one.
    """
    lines, ends = _edges(text)
    shared = min(SHARED, room // 4) if overlap is None else min(overlap, room - 1)
    found: list[Run] = []
    start = stop = 0
    while len(starts) - (first := bisect_left(starts, start)) > room:
        high = starts[first + room]
        half, quarter = (max(stop, starts[first + room // part]) for part in (2, 4))
        edge = (
            _last(lines, half, high)
            or _last(ends, quarter, high)
            or _last(starts, quarter, high, text)
            or _unsplit(text, stop, high)
        )
        if not edge and start < stop:  # what is shared leaves no room for the next character
            start = stop
            continue
        if not edge and high <= stop:
            after = bisect_right(starts, stop)
            if after == len(starts):
                break
            high = starts[after]
        stop = edge or high
        found.append((start, stop))
        back = starts[max(bisect_left(starts, stop) - shared, bisect_right(starts, start))]
        start = _first(ends, back, stop) or _first(starts, back, stop, text) or stop
    return [*found, (start, len(text))]


def _edges(text: str) -> tuple[list[int], list[int]]:
    """The ends of lines; the ends of lines and sentences. Ascending."""
    lines, sentences = (
        [found.end() for found in pattern.finditer(text)] for pattern in (_LINE, _SENTENCE)
    )
    return lines, sorted({*lines, *sentences})


def _last(places: Sequence[int], least: int, most: int, text: str = "") -> int:
    """The last place after `least`, up to `most`; with `text` only between words. 0 for none."""
    for at in range(bisect_right(places, most) - 1, bisect_right(places, least) - 1, -1):
        if not _is_inside(text, places[at], _WORD):
            return places[at]
    return 0


def _first(places: Sequence[int], least: int, most: int, text: str = "") -> int:
    """The first place from `least` to before `most`; with `text` only between words. 0 for none."""
    for at in range(bisect_left(places, least), bisect_left(places, most)):
        if not _is_inside(text, places[at], _WORD):
            return places[at]
    return 0


def _unsplit(text: str, low: int, at: int) -> int:
    """The place, or the nearest one before it that is not inside what a reader sees as one
    character; 0 if that is not after `low`.
    """
    while at > low and _is_inside(text, at, _CHARACTER):
        at -= 1
    return at if at > low else 0


def _is_inside(text: str, at: int, what: re.Pattern[str]) -> bool:
    """Whether a cut there would split a match of `what`, or a mark from its letter."""
    if not 0 < at < len(text):
        return False
    return unicodedata.category(text[at])[0] == "M" or bool(what.match(text, at - 1, at + 1))
