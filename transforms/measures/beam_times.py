"""Where an element belongs in Beam's time. Batching mixes elements; their results go back to where
each came from.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue


class Stamp(NamedTuple):
    """Beam's timestamp and window of a document, and a key that no other document of the bundle
    has.
    """

    timestamp: Any
    window: Any
    key: tuple[int, int]


# Of what tells about a run and not of a document.
OF_THE_RUN = Stamp(MIN_TIMESTAMP, GlobalWindow(), (0, 0))


def keys() -> Iterator[tuple[int, int]]:
    """Keys that differ within a DoFn and, by chance, between all of them."""
    instance = random.getrandbits(64)
    return ((instance, n) for n in itertools.count())


def stamped(value: Any, stamp: Stamp, tag: str | None = None) -> Any:
    """`value` as an output, under `tag`, with the timestamp and window of its document."""
    windowed = WindowedValue(value, stamp.timestamp, (stamp.window,))
    return pvalue.TaggedOutput(tag, windowed) if tag else windowed
