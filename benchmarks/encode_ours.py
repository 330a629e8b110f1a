"""`python -m benchmarks.encode_ours MODEL WINDOWS PRECISION [LAYERS]`: our encoder alone, as a
server; with the batches and the threads of a run on a CPU, and nothing read, tokenized or written.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers.serving import serve

# Not the last but one, which is the default of a BERT: all that the peers compute is computed.
VECTORS = "mean@-1"


def main(model: str, windows: str, precision: str, layers: str | None = None) -> None:
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.batches import _BATCH_TOKENS, cut_batches
    from corpusvec.transforms.models.kinds import load_encoder
    from corpusvec.transforms.models.probes import id_windows

    settings = Settings(model=model, precision=precision, vectors=VECTORS, layers=layers)
    recipe = settings.resolve()
    encoder = load_encoder(recipe.spec, recipe.wanted)
    every = id_windows(*json.loads(Path(windows).read_text()))
    batches = list(cut_batches(every, _BATCH_TOKENS, longest=recipe.spec.longest_padded))
    tokens = int(every.lengths.sum())
    with ThreadPoolExecutor(encoder.streams) as threads:

        def encode() -> float:
            deque(threads.map(encoder.encode, batches), maxlen=0)  # looked at, and let go
            return tokens

        serve(encode)


if __name__ == "__main__":
    main(*sys.argv[1:])
