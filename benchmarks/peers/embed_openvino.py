"""`embed_openvino.py MODEL LINES FOLDER`: sentence-transformers with OpenVINO and weights of eight
bits; the vectors to Parquet. `embed_openvino.py MODEL FOLDER` makes such a MODEL into FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
from optimum.intel import OVWeightQuantizationConfig
from sentence_transformers import SentenceTransformer


def export(model: str, folder: str) -> None:
    rounded = {"quantization_config": OVWeightQuantizationConfig(bits=8), "export": True}
    SentenceTransformer(model, backend="openvino", model_kwargs=rounded).save_pretrained(folder)


def embed(model: str, lines: str, folder: str) -> None:
    texts = Path(lines).read_text("utf-8").splitlines()
    vectors = SentenceTransformer(model, backend="openvino", device="cpu").encode(texts)
    column = pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    table = pyarrow.table({"text": texts, "vector": column})
    pyarrow.parquet.write_table(table, f"{folder}/vectors.parquet")


(export if len(sys.argv) == 3 else embed)(*sys.argv[1:])
