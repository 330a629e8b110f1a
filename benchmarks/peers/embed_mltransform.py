"""`embed_mltransform.py MODEL LINES FOLDER [BATCH]`: Beam's MLTransform with
SentenceTransformerEmbeddings, from a text file to Parquet. Beam chooses how many texts it hands to
the model at once, or `BATCH` says.
"""

from __future__ import annotations

import sys

import apache_beam as beam
import pyarrow
from apache_beam.ml.transforms.base import MLTransform
from apache_beam.ml.transforms.embeddings.huggingface import SentenceTransformerEmbeddings
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def main(model: str, lines: str, folder: str, batch: str = "") -> None:
    sizes = {"min_batch_size": int(batch), "max_batch_size": int(batch)} if batch else {}
    embeddings = SentenceTransformerEmbeddings(
        model_name=model, columns=["text"], load_model_args={"device": "cpu"}, **sizes
    )
    schema = pyarrow.schema([("text", pyarrow.list_(pyarrow.float32()))])
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromText(lines)
            | beam.Map(lambda line: {"text": line})
            | MLTransform(write_artifact_location=f"{folder}/artifacts").with_transform(embeddings)
            | beam.Map(lambda row: {"text": row["text"]})
            | beam.io.WriteToParquet(f"{folder}/vectors", schema, file_name_suffix=".parquet")
        )


main(*sys.argv[1:])
