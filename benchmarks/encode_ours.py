"""`python -m benchmarks.encode_ours MODEL WINDOWS PRECISION [LAYERS]`: our encoder alone, as a
server; with the batches and the threads of a run, and nothing read, tokenized or written.
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
    encoder, batches, _ = loaded(model, windows, precision, layers)
    tokens = sum(int(batch.lengths.sum()) for batch in batches)
    with ThreadPoolExecutor(encoder.streams) as threads:

        def encode() -> float:
            deque(threads.map(encoder.encode, batches), maxlen=0)  # looked at, and let go
            return tokens

        serve(encode)


def loaded(model: str, windows: str, precision: str, layers: str | None = None):
    """The encoder, the windows in batches, and the model's description; on a GPU once all that
    comes again is compiled.
    """
    from corpusvec.pipeline.embedders import LoadedModel
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.models.probes import id_windows

    settings = Settings(model=model, precision=precision, vectors=VECTORS, layers=layers)
    recipe = settings.resolve()
    ready = LoadedModel(recipe)
    batches = ready.batches(id_windows(*json.loads(Path(windows).read_text())))
    compiled = [one.compiled for one in getattr(ready.encoder, "graphs", ()) if one.compiled]
    shapes = -1
    while compiled and shapes < (now := sum(len(one.seconds) for one in compiled)):
        shapes = now
        for batch in batches * 2:  # a shape that comes again is compiled
            ready.encoder.encode(batch)
        for one in compiled:
            one.wait()
    return ready.encoder, batches, recipe.spec


if __name__ == "__main__":
    main(*sys.argv[1:])
