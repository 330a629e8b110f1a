"""How large a batch may be on this machine: as large as a GPU's memory allows, and smaller once a
batch was too large.
"""

from __future__ import annotations

import logging
import math
from threading import Lock

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.columns import Windows

_LOG = logging.getLogger(__name__)
MOST, USUAL, LEAST = 1 << 16, 1 << 14, 1 << 12  # tokens, padding included, that a GPU is given
_SPARE = 6  # a batch gets a sixth of the memory: three are computed or copied at once
_COPIES = 3  # of what a layer makes that are there at once


class Capacity:
    """The capacity of a process, shared by its threads.

    `few_shapes`: batches should have few shapes, since each is compiled.
    """

    def __init__(self) -> None:
        self.few_shapes = False
        self._wanted, self._most = 0, math.inf
        self._lock = Lock()

    def want(self, tokens: int, few_shapes: bool = False) -> None:
        """A model calls this once it is loaded on a GPU, since small batches leave a GPU idle."""
        self._wanted, self.few_shapes = tokens, few_shapes

    @property
    def tokens(self) -> int:
        """Padded tokens that a batch should have if possible; 0 if small batches are good too."""
        return int(min(self._wanted, self._most))

    def fits(self, windows: Windows) -> bool:
        """Whether a batch is small enough, as far as is known."""
        return len(windows) == 1 or _padded(windows) <= self._most

    def was_exceeded_by(self, windows: Windows) -> None:
        """Call this for a batch that ran out of memory: the next ones are at most half as large.
        The first call warns.
        """
        with self._lock:
            first, self._most = self._most == math.inf, min(self._most, _padded(windows) // 2)
        if first:
            _LOG.warning(
                "%s tokens at once are more than the memory of the device holds; batches are"
                " halved",
                f"{_padded(windows):,}",
            )


THIS_PROCESS = Capacity()


def _padded(windows: Windows) -> int:
    return len(windows) * int(windows.sizes.max())


def tokens_for(config: Transformer, longest: int, width: int, memory: int) -> int:
    """Padded tokens of a batch, a power of two, for a GPU with `memory` bytes (0: unknown) and
    windows of `longest` tokens; a number has `width` bytes.
    """
    if not memory:
        return USUAL
    attention, inner = config.attention, config.feed_forward.inner
    heads = (attention.heads + 2 * attention.groups) * attention.head_size
    numbers = 2 * config.hidden_size + heads + (1 + config.feed_forward.gated) * inner
    numbers += attention.heads * longest  # scores
    room = memory / _SPARE / (_COPIES * width * numbers)
    return min(MOST, max(LEAST, 1 << int(math.log2(max(room, 1)))))
