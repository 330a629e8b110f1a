"""`python -m benchmarks.null_run [--ready-ids] embed …`: the program with a model that takes no
time, and perhaps a tokenizer that takes none: what is left is the program's own work.

Prints a line of JSON: seconds from the first record to the end, those of all cores together,
those of the thread that reads and of all stages that run there, and those of all cores since the
program began.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks import machine

_READY = "--ready-ids"
_ROWS = 1 << 14  # padded tokens of a batch, at most


class NullEncoder:
    """Vectors that are ready, whatever is encoded."""

    def __init__(self, spec, wanted):
        self.streams = 2
        self._layers, self._outputs = wanted.layers, wanted.outputs
        size = (_ROWS, spec.hidden_size)
        self._rows = np.random.default_rng(0).standard_normal(size, np.float32)

    def encode(self, windows):
        from corpusvec.transforms.columns import Encoded

        count, length = len(windows), int(windows.lengths.max())
        layer = self._rows[: count * length].reshape(count, length, -1)
        return Encoded(
            windows,
            dict.fromkeys(self._layers, layer),
            dict.fromkeys(self._outputs, self._rows[:count]),
        )


class ReadyTokens:
    """A tokenizer that gives each text the same thirty tokens, at once."""

    _TOKENS = 28

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def encode_columns(self, texts, spans: bool, strings: bool):
        from corpusvec.transforms.tokens.tokens import TokenColumns

        n = len(texts) * self._TOKENS
        places = np.tile(np.array([0, 1], np.int32), (n, 1)) if spans else None
        return TokenColumns(
            np.arange(len(texts) + 1) * self._TOKENS,
            np.full(n, 2000, np.int32),
            places,
            None,
            self._tokenizer._vocabulary if strings else None,
        )


def main(arguments: list[str]) -> int:
    """The command of the arguments, then what it took."""
    from corpusvec.pipeline.runners import allocators

    allocators.share_heap()  # as the program does, before anything imports Arrow
    from corpusvec.transforms import read
    from corpusvec.transforms.models import kinds
    from corpusvec.transforms.tokens import tokenizers

    kinds.load_encoder = NullEncoder  # type: ignore[assignment]  # before anything imports it
    if _READY in arguments:
        arguments = [argument for argument in arguments if argument != _READY]
        load = tokenizers.load_tokenizer
        tokenizers.load_tokenizer = lambda spec: ReadyTokens(load(spec))  # type: ignore[assignment, return-value]
    began: list[tuple[float, float]] = []
    own: list[float] = []
    process = read._ReadFn.process

    def noted(self, files):
        began.append((time.perf_counter(), time.process_time()))
        started = time.thread_time()
        yield from process(self, files)
        own.append(time.thread_time() - started)  # with the stages that each output goes through

    read._ReadFn.process = noted  # type: ignore[method-assign]
    from corpusvec.pipeline.cli import main as command

    code = command(arguments)
    wall, cpu = began[0]
    now = time.process_time()
    took = {"wall": time.perf_counter() - wall, "cpu": now - cpu, "program": now, "own": sum(own)}
    print(json.dumps({**took, "MiB": machine.held("VmHWM")}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
