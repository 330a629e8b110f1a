"""Where an element belongs in Beam's time. Batching mixes elements; their results go back to where
each came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from corpusvec.transforms.columns import Documents, Sentences, TokenRows


class Stamp(NamedTuple):
    """Beam's timestamp and window of a document."""

    timestamp: Any
    window: Any


# Of what tells about a run and not of a document.
OF_THE_RUN = Stamp(MIN_TIMESTAMP, GlobalWindow())


def stamp_of(documents: Documents, row: int) -> Stamp:
    """Where one of a batch belongs; those of a run's own files belong nowhere in particular."""
    return documents.stamps[row] or OF_THE_RUN


def stamped(value: Any, stamp: Stamp, tag: str | None = None) -> Any:
    """`value` as an output, under `tag`, with the timestamp and window of its document."""
    windowed = WindowedValue(value, stamp.timestamp, (stamp.window,))
    return pvalue.TaggedOutput(tag, windowed) if tag else windowed


def each_stamped(rows: Sentences | TokenRows) -> Iterator[Any]:
    """The rows of a batch, one by one, each where its document belongs."""
    return (stamped(row, stamp_of(rows.documents, at)) for at, row in enumerate(rows))
