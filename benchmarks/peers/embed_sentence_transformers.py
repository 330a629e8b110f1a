"""`embed_sentence_transformers.py MODEL LINES FOLDER [DEVICE [BACKEND]]`: sentence-transformers as
its documentation has it, which sorts the texts by length and encodes 32 at once, on a card 256; the
vectors to Parquet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
from sentence_transformers import SentenceTransformer


def main(model: str, lines: str, folder: str, device: str = "cpu", backend: str = "torch") -> None:
    texts = Path(lines).read_text("utf-8").splitlines()
    count = 32 if device == "cpu" else 256
    encoder = SentenceTransformer(model, device=device, backend=backend)
    vectors = encoder.encode(texts, batch_size=count)
    column = pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    table = pyarrow.table({"text": texts, "vector": column})
    pyarrow.parquet.write_table(table, f"{folder}/vectors.parquet")


main(*sys.argv[1:])
